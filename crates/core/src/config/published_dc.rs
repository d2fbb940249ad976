//! What DC-AE published beside its weights: for Sana, and mixes of data at three sizes of latents.

use super::autoencoder_dc::{
    AutoencoderDCConfig, BATCH_NORM, EFFICIENT_VIT_BLOCK, RES_BLOCK, RMS_NORM,
};
use super::autoencoder_kl::Activation;
use super::family::Family;
use super::published::differ;

/// Channels of each level; those of 32 pixels a latent have six, and each halving more one more.
const WIDTHS: [usize; 8] = [128, 256, 512, 512, 1024, 1024, 2048, 2048];
/// Levels of residual blocks; the others have attention.
const RESIDUAL_LEVELS: usize = 3;

/// That in which published models differ (diffusers' `scripts/convert_dcae_to_diffusers.py`, and the
/// `config.json` of mit-han-lab's repositories).
struct Published {
    latent_channels: usize,
    levels: usize,
    scaling_factor: f64,
    is_sana: bool,
}

impl Family {
    fn published_dc(self) -> Option<Published> {
        let mix = |latent_channels, levels, scaling_factor| {
            Some(Published { latent_channels, levels, scaling_factor, is_sana: false })
        };
        match self {
            Self::Sana => Some(Published {
                latent_channels: 32,
                levels: 6,
                scaling_factor: 0.41407,
                is_sana: true,
            }),
            Self::DcAeF32Mix => mix(32, 6, 0.4552),
            Self::DcAeF64Mix => mix(128, 7, 0.4538),
            Self::DcAeF128Mix => mix(512, 8, 0.3620),
            _ => None,
        }
    }

    /// The `scaling_factor` of a family of `AutoencoderDC`.
    pub(super) fn dc_scaling_factor(self) -> Option<f64> {
        self.published_dc().map(|published| published.scaling_factor)
    }

    /// The first thing in which `config` has another graph; `None` if this is no family of its class.
    pub(super) fn dc_difference(self, config: &AutoencoderDCConfig) -> Option<Option<String>> {
        self.published_dc().map(|published| published.difference(config))
    }

    /// `config` with the factor that this family published.
    pub(super) fn apply_dc(
        self,
        config: AutoencoderDCConfig,
        defaulted: Vec<&'static str>,
    ) -> AutoencoderDCConfig {
        let scaling_factor = self.dc_scaling_factor().unwrap_or(config.scaling_factor);
        AutoencoderDCConfig { scaling_factor, defaulted, ..config }
    }
}

impl Published {
    fn difference(&self, config: &AutoencoderDCConfig) -> Option<String> {
        let widths = &WIDTHS[..self.levels];
        let of_levels = |first: &'static str, rest: &'static str| -> Vec<&str> {
            (0..self.levels).map(|at| if at < RESIDUAL_LEVELS { first } else { rest }).collect()
        };
        let blocks = of_levels(RES_BLOCK, EFFICIENT_VIT_BLOCK);
        let norms = match self.is_sana {
            true => of_levels(RMS_NORM, RMS_NORM),
            false => of_levels(BATCH_NORM, RMS_NORM),
        };
        let activations = norms.iter().map(|norm| match *norm {
            BATCH_NORM => Activation::Relu,
            _ => Activation::Silu,
        });
        let activations: Vec<_> = activations.collect();
        let (encoder_layers, decoder_layers) = match self.is_sana {
            true => ([2, 2, 2, 3, 3, 3, 3, 3], [3; 8]),
            false => ([0, 4, 8, 2, 2, 2, 2, 2], [0, 5, 10, 2, 2, 2, 2, 2]),
        };
        let kernel = |at: usize| match self.is_sana && at >= RESIDUAL_LEVELS {
            true => vec![5],
            false => Vec::new(),
        };
        let scales: Vec<Vec<usize>> = (0..self.levels).map(kernel).collect();
        differ("latent_channels", self.latent_channels, config.latent_channels)
            .or_else(|| {
                let found = &config.encoder_block_out_channels[..];
                differ("encoder_block_out_channels", widths, found)
            })
            .or_else(|| {
                let found = &config.decoder_block_out_channels[..];
                differ("decoder_block_out_channels", widths, found)
            })
            .or_else(|| differ("encoder_block_types", &blocks[..], &config.encoder_block_types[..]))
            .or_else(|| differ("decoder_block_types", &blocks[..], &config.decoder_block_types[..]))
            .or_else(|| {
                let expected = &encoder_layers[..self.levels];
                differ("encoder_layers_per_block", expected, &config.encoder_layers_per_block[..])
            })
            .or_else(|| {
                let expected = &decoder_layers[..self.levels];
                differ("decoder_layers_per_block", expected, &config.decoder_layers_per_block[..])
            })
            .or_else(|| {
                let found = &config.encoder_qkv_multiscales[..];
                differ("encoder_qkv_multiscales", &scales[..], found)
            })
            .or_else(|| {
                let found = &config.decoder_qkv_multiscales[..];
                differ("decoder_qkv_multiscales", &scales[..], found)
            })
            .or_else(|| differ("decoder_norm_types", &norms[..], &config.decoder_norm_types[..]))
            .or_else(|| differ("decoder_act_fns", &activations[..], &config.decoder_act_fns[..]))
            .or_else(|| {
                let found = config.downsample_block_type.as_str();
                differ(
                    "downsample_block_type",
                    if self.is_sana { "conv" } else { "pixel_unshuffle" },
                    found,
                )
            })
            .or_else(|| {
                let found = config.upsample_block_type.as_str();
                differ(
                    "upsample_block_type",
                    if self.is_sana { "interpolate" } else { "pixel_shuffle" },
                    found,
                )
            })
            .or_else(|| differ("attention_head_dim", 32, config.attention_head_dim))
            .or_else(|| differ("in_channels", 3, config.in_channels))
            .or_else(|| differ("encoder_out_shortcut", true, config.encoder_out_shortcut))
            .or_else(|| differ("decoder_in_shortcut", true, config.decoder_in_shortcut))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Family, VaeConfig};
    use serde_json::json;

    #[test]
    fn families_are_told_by_graph_and_factor() {
        let blocks = ["ResBlock", "ResBlock", "ResBlock"];
        let levels = |rest: usize| [&blocks[..], &["EfficientViTBlock"].repeat(rest)].concat();
        let norms = |rest: usize| [vec!["batch_norm"; 3], vec!["rms_norm"; rest]].concat();
        let activations = |rest: usize| [vec!["relu"; 3], vec!["silu"; rest]].concat();
        let mix = |latents: usize, widths: &[usize], factor: f64| {
            let rest = widths.len() - 3;
            let layers = |first: [usize; 3]| [first.to_vec(), vec![2; rest]].concat();
            let scales: Vec<Vec<usize>> = vec![vec![]; widths.len()];
            let text = json!({
                "_class_name": "AutoencoderDC", "latent_channels": latents,
                "encoder_block_out_channels": widths, "decoder_block_out_channels": widths,
                "encoder_block_types": levels(rest), "decoder_block_types": levels(rest),
                "encoder_layers_per_block": layers([0, 4, 8]),
                "decoder_layers_per_block": layers([0, 5, 10]),
                "encoder_qkv_multiscales": scales, "decoder_qkv_multiscales": scales,
                "decoder_norm_types": norms(rest), "decoder_act_fns": activations(rest),
                "scaling_factor": factor,
            });
            VaeConfig::from_json(&text.to_string(), "config.json").unwrap()
        };
        let f32_mix = mix(32, &[128, 256, 512, 512, 1024, 1024], 0.4552);
        let f64_mix = mix(128, &[128, 256, 512, 512, 1024, 1024, 2048], 0.4538);
        let f128_mix = mix(512, &[128, 256, 512, 512, 1024, 1024, 2048, 2048], 0.362);
        assert_eq!(Family::of(&f32_mix), Family::DcAeF32Mix);
        assert_eq!(Family::of(&f64_mix), Family::DcAeF64Mix);
        assert_eq!(Family::of(&f128_mix), Family::DcAeF128Mix);
        assert_eq!(f128_mix.downsampling(), 128);
        let other = mix(32, &[128, 256, 512, 512, 1024, 1024], 1.0);
        assert_eq!(Family::of(&other), Family::Unknown);
        assert_eq!(Family::of(&Family::DcAeF32Mix.apply(other).unwrap()), Family::DcAeF32Mix);
        let error = Family::Sana.apply(f32_mix).unwrap_err().to_string();
        assert!(error.contains("encoder_layers_per_block: expected [2, 2, 2"), "{error}");
    }
}
