//! The config of an `AutoencoderKLHunyuanImage` without one, read off its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::entry::Entry;
use vae_fidelity_core::config::Class;
use vae_fidelity_files::error::{Error, Result};

/// Whether `vae` is of HunyuanImage's class, under diffusers' names: its blocks are one list for all levels.
pub(super) fn is_hunyuan_image(vae: &BTreeMap<String, Entry>) -> bool {
    vae.keys().any(|name| is_of_hunyuan_image(name))
}

/// Whether no other class that is run has a tensor of this name: Wan's has `conv1` and `conv2` in such a list too,
/// but its norms are over channels.
pub(super) fn is_of_hunyuan_image(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let [half, list, number, part, "weight" | "bias"] = parts[..] else { return false };
    matches!((half, list), ("encoder", "down_blocks") | ("decoder", "up_blocks"))
        && number.parse::<usize>().is_ok()
        && ["norm1", "norm2", "conv"].contains(&part)
}

/// The fields of a config that the names and shapes of `vae` settle, where every level but the last halves the
/// picture, as in the published model; `scaling_factor` is not among them. Of no size was it made: that is the
/// family's to say.
///
/// Fails where a half has no such list, or a tensor that tells a width is missing.
pub(super) fn fields(vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<Value> {
    let size = |name: &str, which: usize| match vae.get(name).map(|entry| &entry.shape[..]) {
        Some(shape @ &[_, _, _, _]) if !shape.contains(&0) => Ok(shape[which]),
        Some(shape) => Err(bad(origin, name, format!("expected 4 dimensions, found {shape:?}"))),
        None => Err(bad(origin, name, "expected it, as in every AutoencoderKLHunyuanImage".into())),
    };
    let block = |number: usize, part: &str| format!("encoder.down_blocks.{number}.{part}.weight");
    let has = |number: usize, part: &str| vae.contains_key(&block(number, part));
    let mut widths = vec![size("encoder.conv_in.weight", 0)?];
    let (mut layers_per_block, mut layers) = (None, 0);
    for number in (0..).take_while(|&number| has(number, "conv1") || has(number, "conv")) {
        if has(number, "conv1") {
            layers += 1;
            continue;
        }
        // It makes a quarter of the next level's channels, and squares of pixels the rest.
        widths.push(4 * size(&block(number, "conv"), 0)?);
        layers_per_block = layers_per_block.or(Some(layers));
        layers = 0;
    }
    Ok(json!({
        "_class_name": Class::AutoencoderKLHunyuanImage.name(),
        "in_channels": size("encoder.conv_in.weight", 1)?,
        "out_channels": size("decoder.conv_out.weight", 0)?,
        "latent_channels": size("decoder.conv_in.weight", 1)?,
        "layers_per_block": layers_per_block.unwrap_or(layers),
        "spatial_compression_ratio": 1u64 << (widths.len() - 1).min(63),
        "block_out_channels": widths,
        "sample_size": 0,
    }))
}

fn bad(origin: &Path, name: &str, problem: String) -> Error {
    let next = "pass the model's config.json with `config` if it is one all the same";
    Error::checkpoint(origin, format!("{name}: {problem}"), next)
}

#[cfg(test)]
mod tests {
    use super::is_of_hunyuan_image;

    #[test]
    fn blocks_of_wan_are_one_list_too_and_have_other_norms() {
        for name in ["encoder.down_blocks.0.norm1.weight", "decoder.up_blocks.3.conv.bias"] {
            assert!(is_of_hunyuan_image(name), "{name}");
        }
        for name in [
            "encoder.down_blocks.0.norm1.gamma",
            "encoder.down_blocks.0.conv1.weight",
            "encoder.down_blocks.1.conv_shortcut.weight",
            "encoder.down_blocks.2.resample.1.weight",
            "encoder.down_blocks.0.resnets.0.norm1.weight",
        ] {
            assert!(!is_of_hunyuan_image(name), "{name}");
        }
    }
}
