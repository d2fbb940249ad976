//! The config of an `AutoencoderDC`.

use serde::Serialize;
use serde_json::Value;

use super::autoencoder_kl::Activation;
use super::fields::Fields;
use crate::json_problem;
use vae_fidelity_files::error::Result;

/// The block of two convolutions.
pub(crate) const RES_BLOCK: &str = "ResBlock";
/// The block of linear attention.
pub(crate) const EFFICIENT_VIT_BLOCK: &str = "EfficientViTBlock";
/// The norm of the channels of each pixel.
pub(super) const RMS_NORM: &str = "rms_norm";
/// The norm by statistics in the checkpoint.
pub const BATCH_NORM: &str = "batch_norm";

/// The fields of diffusers' `AutoencoderDC.__init__` (`models/autoencoders/autoencoder_dc.py`, diffusers
/// 0.42.1), validated as [`super::AutoencoderKLConfig`] is. Fields that may be one word for all levels are
/// lists here, from the picture inwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AutoencoderDCConfig {
    /// Channels of the picture, given and decoded.
    pub in_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels of one head of attention.
    pub attention_head_dim: usize,
    /// `ResBlock` or `EfficientViTBlock` for each level of the encoder.
    pub encoder_block_types: Vec<String>,
    /// The same of the decoder.
    pub decoder_block_types: Vec<String>,
    /// Channels of each level of the encoder.
    pub encoder_block_out_channels: Vec<usize>,
    /// The same of the decoder.
    pub decoder_block_out_channels: Vec<usize>,
    /// Blocks in each level of the encoder; the first may have none, and then halves the picture at once.
    pub encoder_layers_per_block: Vec<usize>,
    /// The same of the decoder.
    pub decoder_layers_per_block: Vec<usize>,
    /// Sides of the kernels that attention in each level of the encoder looks through beside single pixels.
    pub encoder_qkv_multiscales: Vec<Vec<usize>>,
    /// The same of the decoder.
    pub decoder_qkv_multiscales: Vec<Vec<usize>>,
    /// `interpolate`, or anything else for a pixel shuffle.
    pub upsample_block_type: String,
    /// `pixel_unshuffle`, or anything else for a convolution of stride 2.
    pub downsample_block_type: String,
    /// The norm of each level of the decoder: `rms_norm`, or in residual blocks `batch_norm`.
    pub decoder_norm_types: Vec<String>,
    /// The activation of each level of the decoder.
    pub decoder_act_fns: Vec<Activation>,
    /// Whether means of the last level's channels are added to the latents.
    pub encoder_out_shortcut: bool,
    /// Whether repeated latents are added to the first channels of the decoder.
    pub decoder_in_shortcut: bool,
    /// The activation before the decoder's last convolution.
    pub decoder_conv_act_fn: Activation,
    /// What latents are multiplied by before diffusion.
    pub scaling_factor: f64,
    /// Fields the file left out, so that diffusers' default stands.
    #[serde(skip)]
    pub defaulted: Vec<&'static str>,
    /// Fields that the class does not know; diffusers ignores them too.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

impl AutoencoderDCConfig {
    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let widths = || vec![128, 256, 512, 512, 1024, 1024];
        let scales = || vec![vec![], vec![], vec![], vec![5], vec![5], vec![5]];
        let encoder_block_out_channels: Vec<usize> =
            fields.take("encoder_block_out_channels", widths)?;
        let decoder_block_out_channels: Vec<usize> =
            fields.take("decoder_block_out_channels", widths)?;
        let (down, up) = (encoder_block_out_channels.len(), decoder_block_out_channels.len());
        let activations = fields.take_for_each_level("decoder_act_fns", "silu", up)?;
        let conv_activation: String = fields.take("decoder_conv_act_fn", || "relu".to_owned())?;
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            latent_channels: fields.take("latent_channels", || 32)?,
            attention_head_dim: fields.take("attention_head_dim", || 32)?,
            encoder_block_types: fields.take_for_each_level(
                "encoder_block_types",
                RES_BLOCK,
                down,
            )?,
            decoder_block_types: fields.take_for_each_level(
                "decoder_block_types",
                RES_BLOCK,
                up,
            )?,
            encoder_block_out_channels,
            decoder_block_out_channels,
            encoder_layers_per_block: fields
                .take("encoder_layers_per_block", || vec![2, 2, 2, 3, 3, 3])?,
            decoder_layers_per_block: fields.take("decoder_layers_per_block", || vec![3; 6])?,
            encoder_qkv_multiscales: fields.take("encoder_qkv_multiscales", scales)?,
            decoder_qkv_multiscales: fields.take("decoder_qkv_multiscales", scales)?,
            upsample_block_type: fields
                .take("upsample_block_type", || "pixel_shuffle".to_owned())?,
            downsample_block_type: fields
                .take("downsample_block_type", || "pixel_unshuffle".to_owned())?,
            decoder_norm_types: fields.take_for_each_level("decoder_norm_types", RMS_NORM, up)?,
            decoder_act_fns: activations
                .iter()
                .map(|name| fields.activation("decoder_act_fns", name))
                .collect::<Result<_>>()?,
            encoder_out_shortcut: fields.take("encoder_out_shortcut", || true)?,
            decoder_in_shortcut: fields.take("decoder_in_shortcut", || true)?,
            decoder_conv_act_fn: fields.activation("decoder_conv_act_fn", &conv_activation)?,
            scaling_factor: fields.take("scaling_factor", || 1.0)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        fields.check_channels("in_channels", self.in_channels)?;
        fields.check_channels("latent_channels", self.latent_channels)?;
        fields.check_channels("attention_head_dim", self.attention_head_dim)?;
        fields.check_scaling_factor(self.scaling_factor)?;
        let (down, up) = (&self.encoder_block_out_channels, &self.decoder_block_out_channels);
        fields.check_widths("encoder_block_out_channels", down, 1)?;
        fields.check_widths("decoder_block_out_channels", up, 1)?;
        if down.len() < 2 || down.len() != up.len() {
            let (down, up) = (down.len(), up.len());
            let problem = format!(
                "expected as many levels as the encoder's, 2 or more, found {up} beside {down}"
            );
            return Err(fields.bad("decoder_block_out_channels", problem));
        }
        self.check_halves(fields)?;
        self.check_shortcuts(fields)?;
        let norms = self.decoder_norm_types.iter();
        for (norm, block) in norms.zip(&self.decoder_block_types) {
            if norm == BATCH_NORM && block == EFFICIENT_VIT_BLOCK {
                let problem = format!("{BATCH_NORM} is not supported in a level of {block}");
                return Err(fields.bad("decoder_norm_types", problem));
            }
            if ![RMS_NORM, BATCH_NORM].contains(&norm.as_str()) {
                let problem =
                    format!("norm {norm} is not supported, only {RMS_NORM} and {BATCH_NORM} are");
                return Err(fields.bad("decoder_norm_types", problem));
            }
        }
        Ok(())
    }

    /// Whether lists have an entry for each level, and these are ones that a VAE can have.
    fn check_halves(&self, fields: &Fields) -> Result<()> {
        let levels = self.encoder_block_out_channels.len();
        let counted =
            |name: &str, found: usize| match found == levels {
                true => Ok(()),
                false => Err(fields
                    .bad(name, format!("expected {levels} entries, one a level, found {found}"))),
            };
        for (name, layers) in [
            ("encoder_layers_per_block", &self.encoder_layers_per_block),
            ("decoder_layers_per_block", &self.decoder_layers_per_block),
        ] {
            counted(name, layers.len())?;
            for (level, &count) in layers.iter().enumerate() {
                match level {
                    0 => fields.check_blocks_in_level(name, count)?,
                    // Without blocks such a level would not change the size either.
                    _ => fields.check_layers(name, count)?,
                }
            }
        }
        for (name, types, scales_name, scales, widths) in [
            (
                "encoder_block_types",
                &self.encoder_block_types,
                "encoder_qkv_multiscales",
                &self.encoder_qkv_multiscales,
                &self.encoder_block_out_channels,
            ),
            (
                "decoder_block_types",
                &self.decoder_block_types,
                "decoder_qkv_multiscales",
                &self.decoder_qkv_multiscales,
                &self.decoder_block_out_channels,
            ),
        ] {
            counted(name, types.len())?;
            counted(scales_name, scales.len())?;
            let head = self.attention_head_dim;
            for ((block, scales), &width) in types.iter().zip(scales).zip(widths) {
                if ![RES_BLOCK, EFFICIENT_VIT_BLOCK].contains(&block.as_str()) {
                    let problem = format!(
                        "block type {block} is not supported, only {RES_BLOCK} and {EFFICIENT_VIT_BLOCK} are"
                    );
                    return Err(fields.bad(name, problem));
                }
                if block == EFFICIENT_VIT_BLOCK && width < head {
                    let problem = format!(
                        "expected at most {width}, the width of a level with attention, found {head}"
                    );
                    return Err(fields.bad("attention_head_dim", problem));
                }
                if let Some(side) = scales.iter().find(|side| **side % 2 == 0 || **side > 31) {
                    let problem = format!("expected odd sides of kernels up to 31, found {side}");
                    return Err(fields.bad(scales_name, problem));
                }
            }
        }
        Ok(())
    }

    /// Shortcuts take the mean of whole groups of channels, and repeat whole channels.
    fn check_shortcuts(&self, fields: &Fields) -> Result<()> {
        let down = &self.encoder_block_out_channels[self.skipped(&self.encoder_layers_per_block)..];
        let up = &self.decoder_block_out_channels[self.skipped(&self.decoder_layers_per_block)..];
        let (name, latent) = ("encoder_block_out_channels", self.latent_channels);
        let unshuffles = self.unshuffles();
        for pair in down.windows(2) {
            if !(4 * pair[0]).is_multiple_of(pair[1]) {
                let problem =
                    format!("{} channels cannot be shared out among {}", pair[0], pair[1]);
                return Err(fields.bad(name, problem));
            }
        }
        let first_made = if down.len() < self.encoder_block_out_channels.len() { 0 } else { 1 };
        if let Some(width) =
            down[first_made..].iter().find(|width| unshuffles && !width.is_multiple_of(4))
        {
            let problem =
                format!("expected multiples of 4, which pixels are shuffled into, found {width}");
            return Err(fields.bad(name, problem));
        }
        let last = |widths: &[usize]| widths.last().copied().unwrap_or(1);
        if self.encoder_out_shortcut && !last(down).is_multiple_of(latent) {
            let problem = format!("{} channels cannot be shared out among {latent}", last(down));
            return Err(fields.bad("latent_channels", problem));
        }
        let name = "decoder_block_out_channels";
        for pair in up.windows(2) {
            if !(4 * pair[0]).is_multiple_of(pair[1]) {
                let problem = format!("{} channels cannot be repeated to {}", pair[1], 4 * pair[0]);
                return Err(fields.bad(name, problem));
            }
        }
        if self.decoder_in_shortcut && !last(up).is_multiple_of(latent) {
            let problem = format!("{latent} channels cannot be repeated to {}", last(up));
            return Err(fields.bad(name, problem));
        }
        Ok(())
    }

    /// How many levels from the picture inwards have no blocks, so that their width is no module's.
    fn skipped(&self, layers: &[usize]) -> usize {
        usize::from(layers[0] == 0)
    }

    /// Whether squares of pixels become channels where the encoder halves the picture.
    pub fn unshuffles(&self) -> bool {
        self.downsample_block_type == "pixel_unshuffle"
    }

    /// Whether pixels are repeated where the decoder doubles the picture.
    pub fn interpolates(&self) -> bool {
        self.upsample_block_type == "interpolate"
    }
}

impl Fields<'_> {
    /// A list with an entry for each of `levels`, or one word that stands for all of them.
    fn take_for_each_level(
        &mut self,
        name: &'static str,
        default: &str,
        levels: usize,
    ) -> Result<Vec<String>> {
        match self.take(name, || Value::from(default))? {
            Value::String(word) => Ok(vec![word; levels]),
            list => serde_json::from_value(list).map_err(|error| {
                self.bad(
                    name,
                    format!("expected a word, or one a level: {}", json_problem::of(&error)),
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, VaeConfig};
    use serde_json::{Value, json};

    fn read(fields: Value) -> vae_fidelity_files::Result<VaeConfig> {
        let mut text = json!({"_class_name": "AutoencoderDC"});
        text.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        VaeConfig::from_json(&text.to_string(), "config.json")
    }

    #[test]
    fn a_config_that_says_nothing_has_diffusers_defaults() {
        let config = read(json!({})).unwrap();
        assert_eq!(config.class(), Class::AutoencoderDC);
        assert_eq!((config.in_channels(), config.latent_channels()), (3, 32));
        assert_eq!((config.downsampling(), config.multiple_of()), (32, 32));
        assert_eq!(config.scaling_factor(), Some(1.0));
        assert!(!config.has_posterior());
        let VaeConfig::AutoencoderDC(config) = config else { panic!() };
        assert_eq!(config.encoder_block_types, ["ResBlock"; 6]);
        assert!(config.unshuffles() && !config.interpolates());
    }

    #[test]
    fn what_diffusers_does_not_run_is_refused_by_the_field() {
        for (field, value, says) in [
            ("decoder_norm_types", json!("layer_norm"), "norm layer_norm is not supported"),
            ("encoder_block_types", json!("Other"), "block type Other is not supported"),
            ("encoder_block_types", json!(["ResBlock"]), "expected 6 entries"),
            ("encoder_layers_per_block", json!([2, 0, 2, 2, 2, 2]), "encoder_layers_per_block"),
            ("encoder_block_out_channels", json!([128, 256, 512]), "as many levels"),
            ("encoder_qkv_multiscales", json!([[], [], [], [4], [5], [5]]), "odd sides"),
            ("latent_channels", json!(48), "cannot be shared out among 48"),
            ("decoder_act_fns", json!("tanh"), "expected silu"),
            ("scaling_factor", json!(0.0), "scaling_factor"),
        ] {
            let error = read(json!({field: value})).unwrap_err().to_string();
            assert!(error.contains(says), "{field}: {error}");
        }
    }
}
