//! JSON to [`AutoencoderKLConfig`], with diffusers' defaults.

use super::autoencoder_kl::AutoencoderKLConfig;
use super::class::Class;
use super::fields::Fields;
use vae_fidelity_files::error::Result;

impl AutoencoderKLConfig {
    /// Reads the text of a `config.json`; `origin` names it in errors.
    ///
    /// Absent fields take diffusers' defaults and are listed in `defaulted`; fields that
    /// `AutoencoderKL` does not have are listed in `unknown`.
    ///
    /// # Errors
    ///
    /// Returns an error for invalid JSON, another `_class_name`, unknown block types, and values that no
    /// `AutoencoderKL` can have.
    pub fn from_json(text: &str, origin: &str) -> Result<Self> {
        let fields = Fields::parse(text, origin)?;
        fields.check_class(&[Class::AutoencoderKL])?;
        Self::from_fields(fields)
    }

    /// Takes the class's fields, whichever class the file names.
    pub(super) fn from_fields(mut fields: Fields) -> Result<Self> {
        let down_block_types =
            fields.take("down_block_types", || vec!["DownEncoderBlock2D".to_owned()])?;
        let up_block_types =
            fields.take("up_block_types", || vec!["UpDecoderBlock2D".to_owned()])?;
        let mut config = Self {
            in_channels: fields.take("in_channels", || 3)?,
            out_channels: fields.take("out_channels", || 3)?,
            down_block_types,
            up_block_types,
            block_out_channels: fields.take("block_out_channels", || vec![64])?,
            layers_per_block: fields.take("layers_per_block", || 1)?,
            act_fn: fields.take_activation("silu")?,
            latent_channels: fields.take("latent_channels", || 4)?,
            norm_num_groups: fields.take("norm_num_groups", || 32)?,
            sample_size: fields.take_sample_size(32)?,
            scaling_factor: fields.take("scaling_factor", || 0.18215)?,
            shift_factor: fields.take("shift_factor", || None)?,
            latents_mean: fields.take_per_channel("latents_mean")?,
            latents_std: fields.take_per_channel("latents_std")?,
            force_upcast: fields.take("force_upcast", || true)?,
            use_quant_conv: fields.take("use_quant_conv", || true)?,
            use_post_quant_conv: fields.take("use_post_quant_conv", || true)?,
            mid_block_add_attention: fields.take("mid_block_add_attention", || true)?,
            defaulted: Vec::new(),
            unknown: Vec::new(),
        };
        config.defaulted = std::mem::take(&mut fields.defaulted);
        config.unknown = fields.left_over();
        config.validate(&fields)?;
        Ok(config)
    }

    fn validate(&self, fields: &Fields) -> Result<()> {
        let levels = ("block_out_channels", self.block_out_channels.len());
        fields.check_channels("norm_num_groups", self.norm_num_groups)?;
        fields.check_widths(
            "block_out_channels",
            &self.block_out_channels,
            self.norm_num_groups,
        )?;
        let down = ("down_block_types", &self.down_block_types, "DownEncoderBlock2D");
        let up = ("up_block_types", &self.up_block_types, "UpDecoderBlock2D");
        for (name, types, known) in [down, up] {
            fields.check_blocks(name, types, levels, known)?;
        }
        for (name, channels) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
        ] {
            fields.check_channels(name, channels)?;
        }
        fields.check_layers("layers_per_block", self.layers_per_block)?;
        fields.check_scaling_factor(self.scaling_factor)?;
        for (name, list) in
            [("latents_mean", &self.latents_mean), ("latents_std", &self.latents_std)]
        {
            let Some(list) = list else { continue };
            if list.len() != self.latent_channels {
                return Err(fields.bad(
                    name,
                    format!(
                        "expected {} values, one a latent channel, found {}",
                        self.latent_channels,
                        list.len()
                    ),
                ));
            }
            fields.check_statistics(name, list)?;
        }
        match self.shift_factor {
            Some(shift) if !(shift as f32).is_finite() => {
                Err(fields.bad("shift_factor", format!("expected a finite f32, found {shift}")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Family, SampleSize};
    use vae_fidelity_files::error::ErrorKind;

    const SD1: &str = r#"{"_class_name": "AutoencoderKL", "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2, "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
        "in_channels": 3, "out_channels": 3, "sample_size": 512, "shiny": 1}"#;

    fn problem(text: &str) -> String {
        let error = AutoencoderKLConfig::from_json(text, "config.json").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn a_published_config_shows_what_was_defaulted_and_what_is_unknown() {
        let config = AutoencoderKLConfig::from_json(SD1, "config.json").unwrap();
        assert_eq!(config.downsampling(), 8);
        assert_eq!(config.scaling_factor, 0.18215);
        assert!(config.defaulted.contains(&"scaling_factor"));
        assert!(!config.defaulted.contains(&"latent_channels"));
        assert_eq!(config.unknown, ["shiny"]);
        assert_eq!(Family::of(&config.into()), Family::Sd1);
    }

    #[test]
    fn what_no_autoencoder_kl_has_is_refused_by_name() {
        let with = |from: &str, to: &str| problem(&SD1.replace(from, to));
        assert!(with("\"AutoencoderKL\"", "\"AutoencoderKLWan\"").contains("AutoencoderKLWan"));
        assert!(with("\"UpDecoderBlock2D\"]", "\"AttnUpDecoderBlock2D\"]").contains("AttnUp"));
        assert!(with("512, 512]", "512]").contains("expected 3 entries"));
        assert!(with("[128, 256", "[100, 256").contains("norm_num_groups"));
        assert!(
            with("\"latent_channels\": 4", "\"latent_channels\": -4").contains("latent_channels")
        );
        assert!(with("\"latent_channels\": 4", "\"latent_channels\": 99999").contains("16384"));
        assert!(with("\"silu\"", "\"tanh\"").contains("tanh"));
        for beyond_f32 in ["0", "1e39", "-1e-46"] {
            let config = format!("{{\"scaling_factor\": {beyond_f32}}}");
            assert!(problem(&config).contains("finite f32 other than 0"), "{beyond_f32}");
        }
        assert!(problem("{").contains("not valid JSON"));
        assert!(problem("[]").contains("found a list"));
    }

    #[test]
    fn a_pair_and_nested_lists_are_read() {
        let text = SD1.replace(
            "512, \"shiny\": 1",
            "[256, 512], \"latents_mean\": [[[[1]], [[2]], [[3]], [[4.5]]]]",
        );
        let config = AutoencoderKLConfig::from_json(&text, "config.json").unwrap();
        assert_eq!(config.sample_size, SampleSize::Pair(256, 512));
        assert_eq!(config.latents_mean, Some(vec![1.0, 2.0, 3.0, 4.5]));
    }
}
