//! The config of an `AutoencoderKLQwenImage21`.

use serde::Serialize;

use super::autoencoder_kl_wan::AutoencoderKLWanConfig;
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// Mean of each latent channel of Qwen-Image 2.1: the class's default, and ComfyUI's
/// `latent_formats.QwenImage21`.
#[expect(clippy::approx_constant, reason = "a mean, and not π / 6")]
pub(super) const LATENTS_MEAN: [f64; 64] = [
    0.5126, 0.7721, -0.0631, 1.3506, -0.7855, -2.1025, -0.3458, 1.3722, 1.8873, -1.7177, -0.6510,
    0.2732, 0.7562, -0.6163, -1.0277, 3.8363, 2.0210, 0.0472, 0.9320, 2.0087, 2.4954, -0.1391,
    -1.4249, 1.8464, -0.5236, 1.2826, 3.7046, -1.3035, 2.7286, -1.4518, -1.9036, -1.9955, -0.0342,
    -1.0265, -0.7636, 3.0555, 0.0746, -3.0751, -0.1076, 1.7376, -1.0914, -1.9435, -0.2784, -1.3680,
    0.4809, -0.4433, 0.3764, 0.5729, -2.0595, 1.0960, -1.3260, -2.0211, -5.0179, 0.5275, 4.0162,
    1.8505, 0.3026, 1.9373, 1.4937, 0.2632, 0.5547, -1.7121, -0.1562, 0.0304,
];

/// Standard deviation of each latent channel of Qwen-Image 2.1.
pub(super) const LATENTS_STD: [f64; 64] = [
    3.2001, 3.2936, 3.4321, 3.0091, 3.1061, 4.0379, 4.0705, 3.7910, 3.0785, 3.6500, 3.9308, 3.0904,
    2.8778, 3.7675, 3.7320, 5.0756, 3.2864, 4.0397, 3.1317, 4.0443, 2.9249, 3.9454, 3.0988, 4.2489,
    3.4896, 3.8513, 3.9323, 3.4719, 3.7498, 4.2830, 3.5694, 4.2467, 3.9037, 3.2947, 5.0770, 3.5075,
    3.2700, 3.4767, 2.8063, 5.1125, 3.5327, 4.7833, 3.1286, 4.1819, 3.8527, 3.8312, 3.5605, 4.3875,
    3.9624, 4.0168, 3.5643, 4.0550, 5.5614, 4.2963, 4.4080, 3.4959, 3.8747, 3.7608, 3.5735, 3.1490,
    3.7662, 3.6746, 3.4563, 3.8161,
];

/// The fields of diffusers' `AutoencoderKLQwenImage21.__init__`
/// (`models/autoencoders/autoencoder_kl_qwenimage21.py`, diffusers 0.42.1), validated as
/// [`super::AutoencoderKLConfig`] is. The modules are those of Wan 2.2, with convolutions over one frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderKLQwenImage21Config {
    /// Channels of the encoder at the picture's own size, of which each level has a multiple.
    pub base_dim: usize,
    /// The same of the decoder, where it is another.
    pub decoder_base_dim: Option<usize>,
    /// Channels of the latents.
    pub z_dim: usize,
    /// By how much each level is wider than `base_dim`, from the picture inwards.
    pub dim_mult: Vec<usize>,
    /// Residual blocks in a level of the encoder; the decoder has one more.
    pub num_res_blocks: usize,
    /// Scales with attention between blocks: none, since diffusers fails to run it.
    pub attn_scales: Vec<f64>,
    /// Whether the ways around each level but the last take frames of zeros in, as Wan 2.2's do.
    pub temperal_downsample: Vec<bool>,
    /// Of training alone.
    pub dropout: f64,
    /// Mean of each latent channel.
    pub latents_mean: Vec<f64>,
    /// Standard deviation of each latent channel.
    pub latents_std: Vec<f64>,
    /// Whether levels have ways around them.
    pub is_residual: bool,
    /// Channels that the encoder is given: those of the picture, alpha among them, times the values of a
    /// patch.
    pub in_channels: usize,
    /// The same of what the decoder makes.
    pub out_channels: usize,
    /// Side of the patches of pixels that become channels before the encoder.
    pub patch_size: Option<usize>,
    /// How many frames a latent would stand for; the class takes one.
    pub scale_factor_temporal: Option<usize>,
    /// How many pixels a latent stands for, a side; sets the tiles of latents.
    pub scale_factor_spatial: usize,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderKLQwenImage21Config {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let mut config = Self {
            base_dim: fields.take("base_dim", || 96)?,
            // `null` stands for `base_dim`, and an absent field for this.
            decoder_base_dim: fields.take("decoder_base_dim", || Some(144))?,
            z_dim: fields.take("z_dim", || 64)?,
            dim_mult: fields.take("dim_mult", || vec![1, 2, 4, 8, 8])?,
            num_res_blocks: fields.take("num_res_blocks", || 2)?,
            attn_scales: fields.take("attn_scales", Vec::new)?,
            temperal_downsample: fields
                .take("temperal_downsample", || vec![false, true, true, true])?,
            dropout: fields.take("dropout", || 0.0)?,
            latents_mean: fields.take("latents_mean", || LATENTS_MEAN.to_vec())?,
            latents_std: fields.take("latents_std", || LATENTS_STD.to_vec())?,
            is_residual: fields.take("is_residual", || true)?,
            in_channels: fields.take("in_channels", || 4)?,
            out_channels: fields.take("out_channels", || 4)?,
            patch_size: fields.take("patch_size", || None)?,
            scale_factor_temporal: fields.take("scale_factor_temporal", || Some(8))?,
            scale_factor_spatial: fields.take("scale_factor_spatial", || 16)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        // An absent field and `null` mean the same.
        fields.defaulted.retain(|name| *name != "patch_size");
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.as_wan().validate(&fields)?;
        Ok(config)
    }

    /// What has the modules of a Wan 2.2.
    pub(super) fn of_wan(config: AutoencoderKLWanConfig) -> Self {
        Self {
            base_dim: config.base_dim,
            decoder_base_dim: config.decoder_base_dim,
            z_dim: config.z_dim,
            dim_mult: config.dim_mult,
            num_res_blocks: config.num_res_blocks,
            attn_scales: config.attn_scales,
            temperal_downsample: config.temperal_downsample,
            dropout: config.dropout,
            latents_mean: config.latents_mean,
            latents_std: config.latents_std,
            is_residual: config.is_residual,
            in_channels: config.in_channels,
            out_channels: config.out_channels,
            patch_size: config.patch_size,
            scale_factor_temporal: config.scale_factor_temporal,
            scale_factor_spatial: config.scale_factor_spatial,
            defaulted: config.defaulted,
            unknown: config.unknown,
        }
    }

    /// The `AutoencoderKLWan` of the same fields, whose modules are the same but for kernels over time.
    pub fn as_wan(&self) -> AutoencoderKLWanConfig {
        AutoencoderKLWanConfig {
            base_dim: self.base_dim,
            decoder_base_dim: self.decoder_base_dim,
            z_dim: self.z_dim,
            dim_mult: self.dim_mult.clone(),
            num_res_blocks: self.num_res_blocks,
            attn_scales: self.attn_scales.clone(),
            temperal_downsample: self.temperal_downsample.clone(),
            dropout: self.dropout,
            latents_mean: self.latents_mean.clone(),
            latents_std: self.latents_std.clone(),
            is_residual: self.is_residual,
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            patch_size: self.patch_size,
            scale_factor_temporal: self.scale_factor_temporal,
            scale_factor_spatial: self.scale_factor_spatial,
            defaulted: self.defaulted.clone(),
            unknown: self.unknown.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, VaeConfig};

    fn read(fields: &str) -> vae_fidelity_files::Result<VaeConfig> {
        let text = format!(r#"{{"_class_name": "AutoencoderKLQwenImage21"{fields}}}"#);
        VaeConfig::from_json(&text, "config.json")
    }

    #[test]
    fn a_config_that_says_nothing_is_qwen_image_2_1() {
        let config = read("").unwrap();
        assert_eq!(config.class(), Class::AutoencoderKLQwenImage21);
        assert!(config.has_alpha() && config.class().is_of_clips());
        assert_eq!((config.in_channels(), config.latent_channels()), (4, 64));
        assert_eq!((config.downsampling(), config.multiple_of()), (16, 16));
        assert_eq!(config.whole_sides(), 16);
        assert_eq!(config.block_out_channels(), vec![96, 192, 384, 768, 768]);
        assert_eq!(config.decoder_widths(), vec![144, 288, 576, 1152, 1152]);
        assert_eq!(config.scaling_factor(), None);
        assert!(config.clamps(true) && config.clamps(false));
        assert!(config.defaulted().contains(&"latents_mean"));
        assert!(!config.defaulted().contains(&"patch_size"));
    }

    #[test]
    fn a_decoder_without_a_width_of_its_own_has_the_encoders() {
        let config = read(r#", "decoder_base_dim": null"#).unwrap();
        assert_eq!(config.decoder_widths(), config.block_out_channels());
    }

    #[test]
    fn what_no_such_model_has_is_refused_by_the_field() {
        for (field, says) in [
            (r#""z_dim": 16"#, "latents_mean: expected 16 numbers"),
            (r#""in_channels": 0"#, "in_channels: expected 1 to"),
            (r#""temperal_downsample": [true]"#, "expected 4 entries"),
            (r#""dim_mult": [1, 3, 4, 5, 7]"#, "cannot be shared out"),
            (r#""attn_scales": [0.5]"#, "attn_scales"),
        ] {
            let error = read(&format!(", {field}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
