//! The config of an `AutoencoderKLWan` or `AutoencoderKLQwenImage21` without one, read off its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::entry::Entry;
use vae_fidelity_core::config::Class;
use vae_fidelity_files::error::{Error, Result};

/// Channels of a picture, which tell the side of a patch.
const PICTURE: usize = 3;

/// Whether `vae` is of Wan's family, under diffusers' names: its norms are over channels.
pub(super) fn is_wan(vae: &BTreeMap<String, Entry>) -> bool {
    vae.keys().any(|name| name.ends_with(".gamma"))
}

/// Whether its kernels are over one frame, as those of `AutoencoderKLQwenImage21` are: they have no dimension of
/// time.
pub(super) fn is_over_one_frame(vae: &BTreeMap<String, Entry>) -> bool {
    let is_kernel = |name: &str| {
        [".conv_in.weight", ".conv_out.weight", ".conv1.weight", ".conv2.weight"]
            .iter()
            .any(|end| name.ends_with(end))
    };
    let mut kernels = vae.iter().filter(|(name, _)| is_kernel(name)).peekable();
    kernels.peek().is_some() && kernels.all(|(_, entry)| entry.shape.len() == 4)
}

/// The fields of a config that the names and shapes of `vae` settle; the statistics of the latents are not
/// among them, and stand for latents as they are.
///
/// Fails where a half is missing or is no such list of levels.
pub(super) fn fields(vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<Value> {
    let size = |name: &str, which: usize| match vae.get(name) {
        Some(entry) if entry.shape.get(which).is_some_and(|&size| size > 0) => {
            Ok(entry.shape[which])
        }
        Some(entry) => Err(Error::checkpoint(
            origin,
            format!("{name}: expected a tensor of Wan's class, found shape {:?}", entry.shape),
            "fetch the file again, or pass the model's config.json with `config`",
        )),
        None => Err(Error::checkpoint(
            origin,
            format!("expected {name}, as in every VAE of Wan's class"),
            "name the file of the whole VAE",
        )),
    };
    let base = size("encoder.conv_in.weight", 0)?;
    let (inputs, outputs) =
        (size("encoder.conv_in.weight", 1)?, size("decoder.conv_out.weight", 0)?);
    let z_dim = size("decoder.conv_in.weight", 1)?;
    let is_residual = vae.contains_key("encoder.down_blocks.0.resnets.0.conv1.weight");
    let levels = match is_residual {
        true => Levels::nested(vae),
        false => Levels::flat(vae),
    };
    let whole = levels.widths.iter().all(|width| width.is_multiple_of(base));
    let mult: Vec<usize> = levels.widths.iter().map(|width| width / base).collect();
    let (Some(&first), true) = (mult.first().filter(|&&by| by > 0), whole) else {
        return Err(Error::checkpoint(
            origin,
            format!(
                "expected levels of multiples of {base} channels, as the first convolution has, found {:?}",
                levels.widths
            ),
            "pass the model's config.json with `config`",
        ));
    };
    let patch = (inputs / PICTURE).isqrt();
    let is_patched = patch > 1 && patch * patch * PICTURE == inputs;
    let is_qwen_image_21 = is_over_one_frame(vae);
    let class = match is_qwen_image_21 {
        true => Class::AutoencoderKLQwenImage21,
        false => Class::AutoencoderKLWan,
    };
    let mut fields = json!({
        "_class_name": class.name(),
        "base_dim": base,
        "z_dim": z_dim,
        "dim_mult": mult,
        "num_res_blocks": levels.blocks,
        "temperal_downsample": levels.frames,
        "is_residual": is_residual,
        "in_channels": inputs,
        "out_channels": outputs,
        "latents_mean": vec![0.0; z_dim],
        "latents_std": vec![1.0; z_dim],
    });
    let decoder_base = size("decoder.norm_out.gamma", 0)? / first;
    // Qwen-Image 2.1's default is its own decoder's.
    if decoder_base != base || is_qwen_image_21 {
        fields["decoder_base_dim"] = json!(decoder_base);
    }
    if is_patched {
        fields["patch_size"] = json!(patch);
    }
    Ok(fields)
}

/// What the encoder's levels show.
#[derive(Debug, Default)]
struct Levels {
    widths: Vec<usize>,
    /// Whether each level but the last has a convolution over time.
    frames: Vec<bool>,
    /// Of the first level.
    blocks: usize,
}

impl Levels {
    /// Of 2.2: each level is a module.
    fn nested(vae: &BTreeMap<String, Entry>) -> Self {
        let mut levels = Self::default();
        for level in 0..vae.len() {
            let name = format!("encoder.down_blocks.{level}");
            let block = |number: usize| format!("{name}.resnets.{number}.conv1.weight");
            let Some(width) = width(vae, &block(0)) else { break };
            levels.widths.push(width);
            if vae.contains_key(&format!("{name}.downsampler.resample.1.weight")) {
                let time_conv = format!("{name}.downsampler.time_conv.weight");
                levels.frames.push(vae.contains_key(&time_conv));
            }
            if level == 0 {
                let is_there = |number: &usize| vae.contains_key(&block(*number));
                levels.blocks = (0..vae.len()).take_while(is_there).count();
            }
        }
        levels
    }

    /// Of 2.1: blocks and samplers are one list.
    fn flat(vae: &BTreeMap<String, Entry>) -> Self {
        let mut levels = Self::default();
        let (mut last, mut blocks) = (None, 0);
        for number in 0..vae.len() {
            let name = format!("encoder.down_blocks.{number}");
            if let Some(width) = width(vae, &format!("{name}.conv1.weight")) {
                last = Some(width);
                blocks += usize::from(levels.widths.is_empty());
            } else if vae.contains_key(&format!("{name}.resample.1.weight")) {
                levels.widths.extend(last);
                levels.frames.push(vae.contains_key(&format!("{name}.time_conv.weight")));
            } else {
                break;
            }
        }
        levels.widths.extend(last);
        levels.blocks = blocks;
        levels
    }
}

fn width(vae: &BTreeMap<String, Entry>, name: &str) -> Option<usize> {
    vae.get(name)?.shape.first().copied().filter(|&width| width > 0)
}
