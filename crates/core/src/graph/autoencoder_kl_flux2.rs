//! diffusers' `AutoencoderKLFlux2` (`models/autoencoders/autoencoder_kl_flux2.py`): the halves of
//! `AutoencoderKL`, and the statistics of the latents.

use super::autoencoder_kl::{Half, decoder, encoder, one_by_one};
use super::{Graph, TensorSpec};
use crate::config::AutoencoderKLFlux2Config;
use crate::scaling::{RUNNING_MEAN, RUNNING_VAR};

pub(super) fn graph(config: &AutoencoderKLFlux2Config) -> Graph {
    let half = |widths| Half {
        widths,
        layers_per_block: config.layers_per_block,
        act_fn: config.act_fn,
        norm_num_groups: config.norm_num_groups,
        attention: config.mid_block_add_attention,
    };
    let latent = config.latent_channels;
    let patched = latent * config.patch_size.iter().product::<usize>();
    let statistics = |name: &str| TensorSpec { name: name.to_owned(), shape: vec![patched] };
    Graph {
        encoder: encoder(half(&config.block_out_channels), config.in_channels, latent),
        decoder: decoder(half(config.decoder_widths()), latent, config.out_channels),
        quant_conv: config.use_quant_conv.then(|| one_by_one("quant_conv", 2 * latent)),
        post_quant_conv: config.use_post_quant_conv.then(|| one_by_one("post_quant_conv", latent)),
        buffers: [RUNNING_MEAN, RUNNING_VAR].map(statistics).to_vec(),
        idle: Vec::new(),
        before_encoder: Vec::new(),
        after_decoder: Vec::new(),
    }
}
