//! Finds the VAE among the tensors of a file and gives each its present diffusers name.
//!
//! Several namings are in use: diffusers' own, diffusers' before 0.17 (`query` for `to_q`), that of the
//! LDM code that Stable Diffusion and FLUX were published with, that of `taesd.py`, and those of Wan's,
//! DC-AE's and HunyuanImage's own files, which are in modules of their own. The rules are those
//! of diffusers 0.42.1 (`convert_ldm_vae_checkpoint`, `_fix_state_dict_keys_on_load`,
//! `convert_asymmetric_autoencoder_kl_state_dict`), and for TAESD the order of its layers: the decoder's
//! clamp is one of them there, and none in diffusers.

use std::collections::BTreeMap;

use super::class::{self, Recognised};
use super::dc_names;
use super::dc_shapes::is_of_dc;
use super::entry::Entry;
use super::fit::some_of;
use super::hunyuan_image_names;
use super::hunyuan_image_shapes::is_of_hunyuan_image;
use super::prefixes;
use super::scaled::is_mark;
use super::source::Source;
use super::wan_names;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Where a single file keeps its VAE, the one that diffusers' `from_single_file` prefers first.
const PREFIXES: [&str; 3] = ["vae.", "first_stage_model.", ""];

/// The same for a folder, whose names `from_pretrained` takes as they are.
const PREFIXES_IN_FOLDER: [&str; 3] = ["", "vae.", "first_stage_model."];

/// The modules of the classes that are run; `bn` is that of FLUX.2, and the last two are ComfyUI's for
/// those of TAESD.
const MODULES: [&str; 7] = [
    "encoder.",
    "decoder.",
    "quant_conv.",
    "post_quant_conv.",
    "bn.",
    "taesd_encoder.",
    "taesd_decoder.",
];

/// A count that training keeps beside statistics (FLUX.2's, and of DC-AE's batch norms), of no use here.
const BATCHES_TRACKED: &str = ".num_batches_tracked";

/// Layers of the original asymmetric VAEs that diffusers' conversion leaves out
/// (`scripts/convert_asymmetric_vqgan_to_diffusers.py`).
const UP_LAYERS: &str = "decoder.up_layers.";

/// Levels of a decoder beyond which a name is not believed.
const MAX_LEVELS: usize = 64;

/// The tensors of one or more files, told apart.
#[derive(Debug)]
pub(super) struct Named {
    /// The VAE's, by diffusers name.
    pub vae: BTreeMap<String, Entry>,
    /// All others by their own name.
    pub others: BTreeMap<String, Entry>,
    /// What the tensors are, where that is no VAE that is run.
    pub recognised: Option<Recognised>,
    /// What a user should know about the names.
    pub notes: Vec<String>,
}

/// Tells the VAE's tensors from the rest and renames them; `source` is where they were found.
///
/// Errors when two tensors have the same name once renamed, and when there are several VAEs of which
/// none is where diffusers looks.
pub(super) fn find_vae(entries: BTreeMap<String, Entry>, source: &Source) -> Result<Named> {
    let (entries, unwrapped) = prefixes::unwrapped(entries);
    let candidates = prefixes::candidates(entries.keys());
    let prefix = chosen(&candidates, &entries, source)?;
    let prefix = prefix.as_str();
    let recognised = class::recognise(&entries, (!candidates.is_empty()).then_some(prefix));
    let notes = unwrapped.into_iter().collect();
    let mut named = Named { vae: BTreeMap::new(), others: BTreeMap::new(), recognised, notes };
    let is_wan = wan_names::is_original(&entries, prefix);
    let is_over_one_frame = is_wan && wan_names::is_over_one_frame(&entries, prefix);
    let original_dc = dc_names::Names::of(&entries, prefix);
    let original_hunyuan_image = hunyuan_image_names::Names::of(&entries, prefix);
    let levels = decoder_levels(entries.keys().filter_map(|name| name.strip_prefix(prefix)));
    // Norms of these have LDM's names for others.
    let is_kept = |own: &str| is_of_dc(own) || is_of_hunyuan_image(own);
    let are_kept = entries.keys().filter_map(|name| name.strip_prefix(prefix)).any(is_kept);
    let mut renamed = 0;
    for (name, mut entry) in entries {
        let own = match is_wan {
            // Two of its names are too common to be looked for elsewhere.
            true => name.strip_prefix(prefix).filter(|own| is_of_wan(own)),
            false => own_name(&name, prefix),
        };
        let Some(own) = own else {
            named.others.insert(name, entry);
            continue;
        };
        if own.ends_with(BATCHES_TRACKED) || own.starts_with(UP_LAYERS) {
            continue;
        }
        let made = if let Some(names) = &original_dc {
            names.present(own, entry)
        } else if let Some(names) = &original_hunyuan_image {
            vec![names.present(own, entry)]
        } else if is_wan {
            if is_over_one_frame && own.ends_with(".weight") {
                entry.squeeze_frame();
            }
            vec![(wan_names::present(own), entry)]
        } else if are_kept {
            vec![(own.to_owned(), entry)]
        } else {
            vec![(present_name(own, levels), entry)]
        };
        for (present, mut entry) in made {
            renamed += usize::from(present != own);
            let is_linear = original_hunyuan_image.is_none() && !are_kept;
            if is_linear && is_attention_weight(&present) {
                entry.squeeze_kernel();
            }
            if named.vae.insert(present.clone(), entry).is_some() {
                return Err(Error::new(
                    ErrorKind::Checkpoint,
                    source,
                    format!("two tensors are {present}; one of them is called {name}"),
                    "the file mixes two VAEs or two conversions of one: fetch or export it again",
                ));
            }
        }
    }
    if renamed > 0 {
        named.notes.push(format!("{renamed} tensors have older names (of LDM or early diffusers)"));
    }
    if !prefix.is_empty() {
        named.notes.push(format!("the VAE's tensors are those that begin with {prefix}"));
    }
    let (copies, others): (Vec<String>, Vec<String>) =
        named.others.keys().cloned().partition(|name| name.starts_with("model_ema."));
    if !copies.is_empty() {
        let copies = some_of(&copies, "averaged copies");
        named.notes.push(format!("{copies}, not used, as diffusers does not"));
    }
    let second = |name: &String| {
        let known = PREFIXES.iter().any(|prefix| own_name(name, prefix).is_some());
        known || candidates.iter().any(|prefix| own_name(name, prefix).is_some())
    };
    let (copies, others): (Vec<String>, Vec<String>) = others.into_iter().partition(second);
    if !copies.is_empty() {
        let others = candidates.iter().filter(|other| *other != prefix && !other.is_empty());
        let keys: Vec<&str> = others.map(|other| other.trim_end_matches('.')).collect();
        let how = match keys.as_slice() {
            [] => String::new(),
            keys => format!("; `key` {} reads it", keys.join(" or ")),
        };
        let copies = some_of(&copies, "of a second VAE");
        named.notes.push(format!("{copies}, not used, as diffusers does not{how}"));
    }
    let others: Vec<String> = others.into_iter().filter(|name| !is_mark(name)).collect();
    if !others.is_empty() {
        named.notes.push(format!("{}, left alone", some_of(&others, "not of the VAE")));
    }
    Ok(named)
}

/// The prefix of the VAE that is meant: where diffusers looks, or the only one that there is.
fn chosen(
    candidates: &[String],
    entries: &BTreeMap<String, Entry>,
    source: &Source,
) -> Result<String> {
    let known = match source {
        Source::File { .. } | Source::InMemory { .. } => PREFIXES,
        _ => PREFIXES_IN_FOLDER,
    };
    let known = known.iter().find(|known| candidates.iter().any(|prefix| prefix == *known));
    match (known, candidates) {
        (Some(known), _) => Ok((*known).to_owned()),
        (None, []) => Ok(String::new()),
        (None, [only]) => Ok(only.clone()),
        (None, several) => {
            let count = |prefix: &String| {
                entries.keys().filter(|name| own_name(name, prefix).is_some()).count()
            };
            let counted: Vec<(String, usize)> =
                several.iter().map(|prefix| (prefix.clone(), count(prefix))).collect();
            Err(prefixes::ambiguous(source, &counted))
        }
    }
}

/// What a tensor of a VAE that begins with `prefix` is called in it.
fn own_name<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let own = name.strip_prefix(prefix)?;
    MODULES.iter().any(|module| own.starts_with(module)).then_some(own)
}

/// Whether `own` is a tensor of a VAE under the names of Wan's own files.
fn is_of_wan(own: &str) -> bool {
    ["encoder.", "decoder.", "conv1.", "conv2."].iter().any(|module| own.starts_with(module))
}

/// How many `decoder.up.K` there are: LDM counts them from the picture, diffusers from the latents.
fn decoder_levels<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .filter_map(|name| {
            let (level, _) = name.strip_prefix("decoder.up.")?.split_once('.')?;
            level.parse::<usize>().ok()
        })
        .filter(|&level| level < MAX_LEVELS)
        .max()
        .map_or(0, |last| last + 1)
}

/// The name that diffusers has today for `name`; names that nothing is known about stay.
fn present_name(name: &str, levels: usize) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let leaf = |part: &str| if part == "nin_shortcut" { "conv_shortcut" } else { part }.to_owned();
    match parts[..] {
        ["encoder" | "taesd_encoder", index, ref rest @ ..] if number(index).is_some() => {
            format!("encoder.layers.{index}.{}", rest.join("."))
        }
        ["decoder" | "taesd_decoder", index, ref rest @ ..]
            if number(index).is_some_and(|index| index > 0) =>
        {
            let index = number(index).unwrap_or_default() - 1;
            format!("decoder.layers.{index}.{}", rest.join("."))
        }
        // As FLUX.2's original file has them.
        ["encoder", "quant_conv", kind] => format!("quant_conv.{kind}"),
        ["decoder", "post_quant_conv", kind] => format!("post_quant_conv.{kind}"),
        // As the original asymmetric VAEs have it.
        ["decoder", "encoder", ref rest @ ..] => {
            format!("decoder.condition_encoder.{}", rest.join("."))
        }
        [half, "norm_out", kind] if kind != "gamma" => format!("{half}.conv_norm_out.{kind}"),
        ["encoder", "down", level, "block", layer, part, kind] => {
            format!("encoder.down_blocks.{level}.resnets.{layer}.{}.{kind}", leaf(part))
        }
        ["encoder", "down", level, "downsample", "conv", kind] => {
            format!("encoder.down_blocks.{level}.downsamplers.0.conv.{kind}")
        }
        ["decoder", "up", level, ref rest @ ..] => {
            let from_latents =
                number(level).and_then(|level| levels.checked_sub(1)?.checked_sub(level));
            match (from_latents, rest) {
                (Some(level), ["block", layer, part, kind]) => {
                    format!("decoder.up_blocks.{level}.resnets.{layer}.{}.{kind}", leaf(part))
                }
                (Some(level), ["upsample", "conv", kind]) => {
                    format!("decoder.up_blocks.{level}.upsamplers.0.conv.{kind}")
                }
                _ => name.to_owned(),
            }
        }
        [half, "mid", "block_1", part, kind] => {
            format!("{half}.mid_block.resnets.0.{}.{kind}", leaf(part))
        }
        [half, "mid", "block_2", part, kind] => {
            format!("{half}.mid_block.resnets.1.{}.{kind}", leaf(part))
        }
        [half, "mid", "attn_1", part, kind]
        | [half, "mid_block", "attentions", "0", part, kind]
            // Wan's norm has that name today.
            if kind != "gamma" =>
        {
            format!("{half}.mid_block.attentions.0.{}.{kind}", attention_part(part))
        }
        _ => name.to_owned(),
    }
}

/// A number as Rust and Python write it: not `+1` or `01`.
fn number(text: &str) -> Option<usize> {
    text.parse::<usize>().ok().filter(|number| number.to_string() == text)
}

/// A part of the mid block's attention: LDM's name or diffusers' older one to today's.
fn attention_part(part: &str) -> &str {
    match part {
        "norm" => "group_norm",
        "q" | "query" => "to_q",
        "k" | "key" => "to_k",
        "v" | "value" => "to_v",
        "proj_out" | "proj_attn" => "to_out.0",
        other => other,
    }
}

/// A linear layer that LDM (and some converters) store as a 1x1 convolution.
fn is_attention_weight(name: &str) -> bool {
    name.contains(".attentions.0.to_") && name.ends_with(".weight") && !name.contains("to_qkv")
}
