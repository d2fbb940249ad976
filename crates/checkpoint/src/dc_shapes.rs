//! The config of an `AutoencoderDC` without one, read off its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::entry::Entry;
use vae_fidelity_core::config::BATCH_NORM;
use vae_fidelity_core::config::Class;
use vae_fidelity_files::error::{Error, Result};

/// Whether `vae` is of DC-AE's class, under diffusers' names: its levels are plain lists of blocks.
pub(super) fn is_dc(vae: &BTreeMap<String, Entry>) -> bool {
    vae.keys().any(|name| is_of_dc(name))
}

/// Whether no other class has a tensor of this name.
pub(super) fn is_of_dc(name: &str) -> bool {
    let mut parts = name.split('.');
    let half = matches!(parts.next(), Some("encoder" | "decoder"));
    let levels = matches!(parts.next(), Some("down_blocks" | "up_blocks"));
    let mut numbers = || parts.next().is_some_and(|part| part.parse::<usize>().is_ok());
    half && levels && numbers() && numbers()
}

/// The fields of a config that the names and shapes of `vae` settle. The rest is as in all published models:
/// shortcuts around the latents, and the activations of the decoder; `scaling_factor` is not among them.
///
/// Fails where a half is missing or is no such list of levels.
pub(super) fn fields(vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<Value> {
    let shapes = Shapes { vae, origin };
    let down = shapes.half("encoder.down_blocks", false)?;
    let up = shapes.half("decoder.up_blocks", true)?;
    let plain = vae.contains_key("encoder.conv_in.weight");
    let name = if plain { "encoder.conv_in.weight" } else { "encoder.conv_in.conv.weight" };
    // What a level's last module makes is a quarter of the next width where pixels are shuffled.
    let (made, wanted) = match plain {
        true => {
            let count = down.layers[0];
            let name = format!("encoder.down_blocks.0.{count}.conv.weight");
            (shapes.size(&name, 0)?, down.widths.get(1).copied())
        }
        false => (shapes.size(name, 0)?, down.widths.get(1).copied()),
    };
    let level = up.layers.iter().rposition(|_| true).and_then(|last| last.checked_sub(1));
    let level =
        level.ok_or_else(|| shapes.bad("decoder.up_blocks", "expected two levels or more"))?;
    let raised = shapes.size(&format!("decoder.up_blocks.{level}.0.conv.weight"), 0)?;
    let head = |half: &Half| half.head_dim;
    Ok(json!({
        "_class_name": Class::AutoencoderDC.name(),
        "in_channels": shapes.size(name, 1)?,
        "latent_channels": shapes.size("decoder.conv_in.weight", 1)?,
        "attention_head_dim": head(&down).or(head(&up)).unwrap_or(32),
        "encoder_block_types": down.types,
        "decoder_block_types": up.types,
        "encoder_block_out_channels": down.widths,
        "decoder_block_out_channels": up.widths,
        "encoder_layers_per_block": down.layers,
        "decoder_layers_per_block": up.layers,
        "encoder_qkv_multiscales": down.scales,
        "decoder_qkv_multiscales": up.scales,
        "decoder_norm_types": up.norms,
        "decoder_act_fns": up.norms.iter().map(|norm| activation_beside(norm)).collect::<Vec<_>>(),
        "downsample_block_type": if Some(made) == wanted { "conv" } else { "pixel_unshuffle" },
        "upsample_block_type": if raised == up.widths[level] { "interpolate" } else { "pixel_shuffle" },
    }))
}

/// The activation that every published model has beside a norm of this type.
fn activation_beside(norm: &str) -> &'static str {
    if norm == BATCH_NORM { "relu" } else { "silu" }
}

/// What the levels of one half are.
#[derive(Default)]
struct Half {
    widths: Vec<usize>,
    layers: Vec<usize>,
    types: Vec<&'static str>,
    scales: Vec<Vec<usize>>,
    head_dim: Option<usize>,
    norms: Vec<&'static str>,
}

struct Shapes<'a> {
    vae: &'a BTreeMap<String, Entry>,
    origin: &'a Path,
}

impl Shapes<'_> {
    fn bad(&self, name: &str, problem: &str) -> Error {
        let next = "name the file of the whole VAE, or pass the model's config.json with `config`";
        Error::checkpoint(self.origin, format!("{name}: {problem}"), next)
    }

    fn size(&self, name: &str, which: usize) -> Result<usize> {
        let size = self.vae.get(name).and_then(|entry| entry.shape.get(which)).copied();
        size.filter(|size| *size > 0)
            .ok_or_else(|| self.bad(name, "expected it, as in every AutoencoderDC"))
    }

    /// The levels below `list`; those of the decoder begin with what doubles the picture, but for the last.
    fn half(&self, list: &str, ups: bool) -> Result<Half> {
        let begins = |prefix: &str| {
            self.vae
                .range(prefix.to_owned()..)
                .next()
                .is_some_and(|(name, _)| name.starts_with(prefix))
        };
        // The first level may have no blocks.
        let levels = (1..=self.vae.len()).find(|level| !begins(&format!("{list}.{level}.")));
        let mut half = Half::default();
        for level in 0..levels.unwrap_or(1) {
            let first =
                usize::from(ups && self.vae.contains_key(&format!("{list}.{level}.0.conv.weight")));
            let block = |number: usize| format!("{list}.{level}.{}", first + number);
            let is_block = |number: &usize| {
                ["conv1.weight", "attn.to_q.weight"]
                    .iter()
                    .any(|part| self.vae.contains_key(&format!("{}.{part}", block(*number))))
            };
            let count = (0..).take_while(is_block).count();
            half.layers.push(count);
            let has_statistics = self.vae.contains_key(&format!("{}.norm.running_mean", block(0)));
            half.norms.push(if has_statistics { BATCH_NORM } else { "rms_norm" });
            let attention = format!("{}.attn", block(0));
            if count > 0 && self.vae.contains_key(&format!("{}.conv1.weight", block(0))) {
                half.widths.push(self.size(&format!("{}.conv1.weight", block(0)), 1)?);
                half.types.push("ResBlock");
                half.scales.push(Vec::new());
            } else if count > 0 {
                half.widths.push(self.size(&format!("{attention}.to_q.weight"), 1)?);
                half.types.push("EfficientViTBlock");
                let scale = |number: usize| format!("{attention}.to_qkv_multiscale.{number}");
                let mut scales = Vec::new();
                while self.vae.contains_key(&format!("{}.proj_in.weight", scale(scales.len()))) {
                    let scale = scale(scales.len());
                    half.head_dim = Some(self.size(&format!("{scale}.proj_out.weight"), 1)?);
                    scales.push(self.size(&format!("{scale}.proj_in.weight"), 2)?);
                }
                half.scales.push(scales);
            } else {
                // Of no module, and not to be read off any.
                half.widths.push(0);
                half.types.push("ResBlock");
                half.scales.push(Vec::new());
            }
        }
        // The level without blocks has the next one's norm in published configs, and half of its width.
        if half.layers[0] == 0
            && let (Some(&width), Some(&norm)) = (half.widths.get(1), half.norms.get(1))
        {
            half.widths[0] = (width / 2).max(1);
            half.norms[0] = norm;
        }
        Ok(half)
    }
}
