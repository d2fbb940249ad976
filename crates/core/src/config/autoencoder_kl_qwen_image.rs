//! The config of an `AutoencoderKLQwenImage`.

use serde::Serialize;

use super::autoencoder_kl_wan::{AutoencoderKLWanConfig, LATENTS_MEAN, LATENTS_STD};
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// The fields of diffusers' `AutoencoderKLQwenImage.__init__`
/// (`models/autoencoders/autoencoder_kl_qwenimage.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is. The graph is that of Wan 2.1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLQwenImageConfig {
    /// Channels at the picture's own size, of which each level has a multiple.
    pub base_dim: usize,
    /// Channels of the latents.
    pub z_dim: usize,
    /// By how much each level is wider than `base_dim`, from the picture inwards.
    pub dim_mult: Vec<usize>,
    /// Residual blocks in a level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Scales with attention between blocks: none, since diffusers fails to run it.
    pub attn_scales: Vec<f64>,
    /// Whether each level but the last halves the number of frames; one picture is not halved.
    pub temperal_downsample: Vec<bool>,
    /// Of training alone.
    pub dropout: f64,
    /// Channels of the picture, in and out: 4 with alpha, as Qwen-Image-Layered has it.
    pub input_channels: usize,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f64>,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderKLQwenImageConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let mut config = Self {
            base_dim: fields.take("base_dim", || 96)?,
            z_dim: fields.take("z_dim", || 16)?,
            dim_mult: fields.take("dim_mult", || vec![1, 2, 4, 4])?,
            num_res_blocks: fields.take("num_res_blocks", || 2)?,
            attn_scales: fields.take("attn_scales", Vec::new)?,
            temperal_downsample: fields.take("temperal_downsample", || vec![false, true, true])?,
            dropout: fields.take("dropout", || 0.0)?,
            input_channels: fields.take("input_channels", || 3)?,
            latents_mean: fields.take("latents_mean", || LATENTS_MEAN.to_vec())?,
            latents_std: fields.take("latents_std", || LATENTS_STD.to_vec())?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        fields.check_channels("input_channels", config.input_channels)?;
        config.as_wan().validate(&fields)?;
        Ok(config)
    }

    /// What computes the same as a Wan 2.1.
    pub(super) fn of_wan(config: AutoencoderKLWanConfig) -> Self {
        Self {
            base_dim: config.base_dim,
            z_dim: config.z_dim,
            dim_mult: config.dim_mult,
            num_res_blocks: config.num_res_blocks,
            attn_scales: config.attn_scales,
            temperal_downsample: config.temperal_downsample,
            dropout: config.dropout,
            input_channels: config.in_channels,
            latents_mean: config.latents_mean,
            latents_std: config.latents_std,
            defaulted: config.defaulted,
            unknown: config.unknown,
        }
    }

    /// The `AutoencoderKLWan` that computes the same.
    pub fn as_wan(&self) -> AutoencoderKLWanConfig {
        AutoencoderKLWanConfig {
            base_dim: self.base_dim,
            decoder_base_dim: None,
            z_dim: self.z_dim,
            dim_mult: self.dim_mult.clone(),
            num_res_blocks: self.num_res_blocks,
            attn_scales: self.attn_scales.clone(),
            temperal_downsample: self.temperal_downsample.clone(),
            dropout: self.dropout,
            latents_mean: self.latents_mean.clone(),
            latents_std: self.latents_std.clone(),
            is_residual: false,
            in_channels: self.input_channels,
            out_channels: self.input_channels,
            patch_size: None,
            scale_factor_temporal: Some(4),
            // diffusers counts the samplers.
            scale_factor_spatial: 1 << self.temperal_downsample.len().min(8),
            defaulted: self.defaulted.clone(),
            unknown: self.unknown.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, VaeConfig};

    #[test]
    fn a_config_that_says_nothing_is_qwen_image() {
        let text = r#"{"_class_name": "AutoencoderKLQwenImage"}"#;
        let config = VaeConfig::from_json(text, "config.json").unwrap();
        assert_eq!(config.class(), Class::AutoencoderKLQwenImage);
        assert_eq!((config.in_channels(), config.latent_channels()), (3, 16));
        assert_eq!((config.downsampling(), config.multiple_of()), (8, 8));
        let VaeConfig::AutoencoderKLQwenImage(config) = config else { panic!() };
        assert!(config.defaulted.contains(&"input_channels"));
        assert_eq!(config.as_wan().scale_factor_spatial, 8);
    }

    #[test]
    fn what_no_such_model_has_is_refused_by_the_field() {
        for (field, says) in [
            (r#""z_dim": 8"#, "latents_mean: expected 8 numbers"),
            (r#""input_channels": 0"#, "input_channels: expected 1 to"),
            (r#""attn_scales": [0.5]"#, "attn_scales"),
        ] {
            let text = format!(r#"{{"_class_name": "AutoencoderKLQwenImage", {field}}}"#);
            let error = VaeConfig::from_json(&text, "config.json").unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
