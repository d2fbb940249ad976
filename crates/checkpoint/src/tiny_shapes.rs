//! The config of an `AutoencoderTiny` without one, read off its tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::entry::Entry;
use vae_fidelity_core::config::Class;
use vae_fidelity_files::error::{Error, Result};

/// Whether `vae` is of this class, under diffusers' names: both halves are one list of layers.
pub(super) fn is_tiny(vae: &BTreeMap<String, Entry>) -> bool {
    vae.keys()
        .any(|name| name.starts_with("encoder.layers.") || name.starts_with("decoder.layers."))
}

/// The fields of a config that the names and shapes of `vae` settle; the activation is published as ReLU
/// alone, which no shape shows.
///
/// Fails where a half is missing or is no list of convolutions and blocks.
pub(super) fn fields(vae: &BTreeMap<String, Entry>, origin: &Path) -> Result<Value> {
    let encoder = Half::read(vae, "encoder", origin)?;
    let decoder = Half::read(vae, "decoder", origin)?;
    // A level of the encoder halves the side; the decoder's are taken to undo that in equal steps.
    let (down, up) = (encoder.blocks.len() as u32 - 1, decoder.blocks.len() as u32 - 1);
    let doublings = if up > 0 && down.is_multiple_of(up) { down / up } else { 1 };
    let mut fields = json!({
        "_class_name": Class::AutoencoderTiny.name(),
        "in_channels": encoder.inputs,
        "out_channels": decoder.outputs,
        "latent_channels": decoder.inputs,
        "encoder_block_out_channels": encoder.widths,
        "decoder_block_out_channels": decoder.widths,
        "num_encoder_blocks": encoder.blocks,
        "num_decoder_blocks": decoder.blocks,
        "upsampling_scaling_factor": 1u32.checked_shl(doublings).unwrap_or(0),
    });
    if vae.keys().any(|name| name.contains(".pool.")) {
        fields["use_midblock_gn"] = json!(true);
    }
    Ok(fields)
}

/// What the list of a half shows.
#[derive(Debug, Default)]
struct Half {
    inputs: usize,
    outputs: usize,
    /// Of each level, in the order of the list.
    widths: Vec<usize>,
    blocks: Vec<usize>,
}

impl Half {
    fn read(vae: &BTreeMap<String, Entry>, half: &str, origin: &Path) -> Result<Self> {
        let wrong = |problem: String| {
            Error::checkpoint(
                origin,
                problem,
                "pass the model's config.json with `config` if it is one of AutoencoderTiny's",
            )
        };
        let shape = |index: usize, rest: &str| -> Option<[usize; 4]> {
            let entry = vae.get(&format!("{half}.layers.{index}{rest}"))?;
            entry.shape.as_slice().try_into().ok()
        };
        let indices = vae.keys().filter_map(|name| {
            let rest = name.strip_prefix(half)?.strip_prefix(".layers.")?;
            rest.split('.').next()?.parse::<usize>().ok()
        });
        // Only as far as there are names: a wild number must not be counted up to.
        let last = indices.max().filter(|last| *last < 2 * vae.len()).ok_or_else(|| {
            wrong(format!("expected the layers of the {half}, {half}.layers.0.weight, found none"))
        })?;
        let mut found = Self::default();
        for index in 0..=last {
            if let Some([outputs, inputs, _, _]) = shape(index, ".weight") {
                if index == 0 {
                    found.inputs = inputs;
                }
                found.outputs = outputs;
                if index != last {
                    found.widths.push(outputs);
                    found.blocks.push(0);
                }
            } else if shape(index, ".conv.0.weight").is_some() {
                let blocks = found.blocks.last_mut().ok_or_else(|| {
                    wrong(format!("{half}.layers.0: expected a convolution, found a block"))
                })?;
                *blocks += 1;
            }
        }
        match shape(last, ".weight").is_some() && !found.widths.is_empty() {
            true => Ok(found),
            false => Err(wrong(format!(
                "the layers of the {half} do not begin and end in a convolution, as those of an \
                 AutoencoderTiny do"
            ))),
        }
    }
}
