//! The config of an `AutoencoderKL`: its fields, and scaling by them.

use serde::Serialize;

use crate::dtype::Dtype;

/// The fields of diffusers' `AutoencoderKL.__init__`
/// (`models/autoencoders/autoencoder_kl.py`, diffusers 0.42.1), validated.
///
/// Read one with [`AutoencoderKLConfig::from_json`]. Lengths of the three block lists agree, every
/// width is a multiple of `norm_num_groups`, and every number is finite.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLConfig {
    /// Channels of the input picture.
    pub in_channels: usize,
    /// Channels of the decoded picture.
    pub out_channels: usize,
    /// One name per level of the encoder; only `DownEncoderBlock2D` is run.
    pub down_block_types: Vec<String>,
    /// One name per level of the decoder; only `UpDecoderBlock2D` is run.
    pub up_block_types: Vec<String>,
    /// Channels of each level, from the picture inwards.
    pub block_out_channels: Vec<usize>,
    /// Resnets in a level of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers.
    pub act_fn: Activation,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Groups of every `GroupNorm`.
    pub norm_num_groups: usize,
    /// Side, or (height, width), that the model was made for; sets diffusers' tile size.
    pub sample_size: SampleSize,
    /// What latents are multiplied by before diffusion.
    pub scaling_factor: f64,
    /// What diffusion pipelines subtract before scaling. The reference script ignores it, and so does
    /// [`AutoencoderKLConfig::scale`].
    pub shift_factor: Option<f64>,
    /// Per-channel mean of the latents, used by some pipelines in place of a shift.
    pub latents_mean: Option<Vec<f64>>,
    /// Per-channel standard deviation of the latents.
    pub latents_std: Option<Vec<f64>>,
    /// Whether pipelines run this VAE in f32; the class itself ignores it.
    pub force_upcast: bool,
    /// Whether a 1x1 `quant_conv` follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 `post_quant_conv` precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the mid blocks have attention.
    pub mid_block_add_attention: bool,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that `AutoencoderKL` does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// An activation by diffusers' name (`models/activations.py`, `get_activation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x * sigmoid(x)`; `swish` is another name for it.
    Silu,
    /// `x * tanh(softplus(x))`.
    Mish,
    /// `x * Phi(x)`, with the exact error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

/// `sample_size` of a config: a number or a pair, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum SampleSize {
    /// One number for both sides.
    Side(usize),
    /// Height and width.
    Pair(usize, usize),
}

impl AutoencoderKLConfig {
    /// How many times smaller the latents are than the picture, a side: `2^(levels - 1)`.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels.len() - 1)
    }

    /// Scales a latent as the reference script does: times `scaling_factor`, rounded to `dtype`.
    pub fn scale(&self, latent: f32, dtype: Dtype) -> f32 {
        dtype.round(latent * self.scaling_factor as f32)
    }

    /// Undoes the scaling of a latent as the reference script does: divided by `scaling_factor`, rounded
    /// to `dtype`. (On CUDA, division is multiplication by the reciprocal; this is the CPU's division.)
    ///
    /// ```
    /// use vae_fidelity_core::AutoencoderKLConfig;
    /// use vae_fidelity_core::Dtype;
    /// let config = AutoencoderKLConfig::from_json(r#"{"norm_num_groups": 32}"#, "a test").unwrap();
    /// assert_eq!(config.scaling_factor, 0.18215);
    /// assert_eq!(config.unscale(config.scale(2.0, Dtype::F32), Dtype::F32), 2.0);
    /// ```
    pub fn unscale(&self, latent: f32, dtype: Dtype) -> f32 {
        dtype.round(latent / self.scaling_factor as f32)
    }
}
