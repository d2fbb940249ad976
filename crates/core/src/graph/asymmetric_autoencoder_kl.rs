//! diffusers' `AsymmetricAutoencoderKL` (`models/autoencoders/autoencoder_asym_kl.py`, `vae.py`) without a
//! mask: the halves of `AutoencoderKL`, each of widths and layers of its own.

use super::autoencoder_kl::{Half, decoder, encoder, one_by_one};
use super::{Graph, Module, TensorSpec};
use crate::config::AsymmetricAutoencoderKLConfig;

/// By how much `MaskConditionEncoder` makes a masked picture smaller, as `MaskConditionDecoder` has it
/// whatever the number of levels.
const STRIDE: usize = 16;

pub(super) fn graph(config: &AsymmetricAutoencoderKLConfig) -> Graph {
    let half = |widths, layers_per_block| Half {
        widths,
        layers_per_block,
        act_fn: config.act_fn,
        norm_num_groups: config.norm_num_groups,
        attention: true,
    };
    let latent = config.latent_channels;
    let down = half(&config.down_block_out_channels, config.layers_per_down_block);
    let up = half(&config.up_block_out_channels, config.layers_per_up_block);
    // Without a mask it takes the steps of a `Decoder`.
    let decoder =
        Module { class: "MaskConditionDecoder", ..decoder(up, latent, config.out_channels) };
    Graph {
        encoder: encoder(down, config.in_channels, latent),
        decoder,
        quant_conv: Some(one_by_one("quant_conv", 2 * latent)),
        post_quant_conv: Some(one_by_one("post_quant_conv", latent)),
        buffers: Vec::new(),
        idle: condition_encoder(config),
        before_encoder: Vec::new(),
        after_decoder: Vec::new(),
    }
}

/// `MaskConditionEncoder`: the convolutions that a picture goes through where it is masked.
fn condition_encoder(config: &AsymmetricAutoencoderKLConfig) -> Vec<TensorSpec> {
    let widths = &config.up_block_out_channels;
    let mut tensors = Vec::new();
    let mut inputs = config.out_channels;
    for (layer, outputs) in condition_widths(widths[0], widths[widths.len() - 1]).enumerate() {
        // The first two keep the size, the others halve it.
        let kernel = if layer < 2 { 3 } else { 4 };
        let name = format!("decoder.condition_encoder.layers.{layer}");
        let weight = vec![outputs, inputs, kernel, kernel];
        tensors.push(TensorSpec { name: format!("{name}.weight"), shape: weight });
        tensors.push(TensorSpec { name: format!("{name}.bias"), shape: vec![outputs] });
        inputs = outputs;
    }
    tensors
}

/// Channels of its layers, from the picture inwards: each twice the one before while that is no more than
/// the decoder's `last` width, which the deepest has in any case.
fn condition_widths(first: usize, last: usize) -> impl Iterator<Item = usize> {
    let halvings = STRIDE.ilog2() as usize;
    std::iter::successors(Some(first.min(last)), move |width| Some((2 * width).min(last)))
        .take(halvings)
        .chain([last])
}

#[cfg(test)]
mod tests {
    use super::condition_widths;

    #[test]
    fn the_encoder_of_masked_pictures_has_the_published_widths() {
        let widths = |first, last| condition_widths(first, last).collect::<Vec<_>>();
        assert_eq!(widths(192, 768), [192, 384, 768, 768, 768]);
        assert_eq!(widths(256, 1024), [256, 512, 1024, 1024, 1024]);
        assert_eq!(widths(64, 64), [64, 64, 64, 64, 64], "the class's defaults");
    }
}
