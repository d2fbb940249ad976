//! What HunyuanImage 2.1 published beside its weights.

use super::autoencoder_kl_hunyuan_image::AutoencoderKLHunyuanImageConfig;
use super::family::Family;
use super::published::differ;

/// Of the config that diffusers' `scripts/convert_hunyuan_image_to_diffusers.py` writes, for the model and for
/// the distilled one alike: the factor, and the side that it was made for.
const SCALING_FACTOR: f64 = 0.75289;
const SAMPLE_SIZE: usize = 384;
/// Channels of each level there.
const WIDTHS: [usize; 6] = [128, 256, 512, 512, 1024, 1024];

impl Family {
    /// The `scaling_factor` of the family of `AutoencoderKLHunyuanImage`.
    pub(super) fn hunyuan_image_scaling_factor(self) -> Option<f64> {
        (self == Self::HunyuanImage).then_some(SCALING_FACTOR)
    }

    /// The first thing in which `config` has another graph; `None` if this is no family of its class.
    pub(super) fn hunyuan_image_difference(
        self,
        config: &AutoencoderKLHunyuanImageConfig,
    ) -> Option<Option<String>> {
        (self == Self::HunyuanImage).then(|| {
            let ratio = config.spatial_compression_ratio;
            differ("latent_channels", 64, config.latent_channels)
                .or_else(|| differ("block_out_channels", WIDTHS, &config.block_out_channels[..]))
                .or_else(|| differ("layers_per_block", 2, config.layers_per_block))
                .or_else(|| differ("spatial_compression_ratio", 32, ratio))
                .or_else(|| differ("in_channels", 3, config.in_channels))
                .or_else(|| differ("out_channels", 3, config.out_channels))
        })
    }

    /// `config` with the factor and the size that were published.
    pub(super) fn apply_hunyuan_image(
        self,
        config: AutoencoderKLHunyuanImageConfig,
        defaulted: Vec<&'static str>,
    ) -> AutoencoderKLHunyuanImageConfig {
        let (sample_size, scaling_factor) = (SAMPLE_SIZE, SCALING_FACTOR);
        AutoencoderKLHunyuanImageConfig { sample_size, scaling_factor, defaulted, ..config }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Family, VaeConfig};
    use serde_json::json;

    #[test]
    fn the_family_is_told_by_graph_and_factor() {
        let with = |factor: f64, widths: &[usize]| {
            let text = json!({
                "_class_name": "AutoencoderKLHunyuanImage", "in_channels": 3, "out_channels": 3,
                "latent_channels": 64, "block_out_channels": widths, "layers_per_block": 2,
                "spatial_compression_ratio": 32, "sample_size": 384, "scaling_factor": factor,
            });
            VaeConfig::from_json(&text.to_string(), "config.json").unwrap()
        };
        let widths = [128, 256, 512, 512, 1024, 1024];
        let published = with(0.75289, &widths);
        assert_eq!(Family::of(&published), Family::HunyuanImage);
        assert_eq!((published.downsampling(), published.multiple_of()), (32, 32));
        let other = with(1.0, &widths);
        assert_eq!(Family::of(&other), Family::Unknown);
        let applied = Family::HunyuanImage.apply(other).unwrap();
        assert_eq!(Family::of(&applied), Family::HunyuanImage);
        let narrow = with(0.75289, &[64, 256, 512, 512, 1024, 1024]);
        let error = Family::HunyuanImage.apply(narrow).unwrap_err().to_string();
        assert!(error.contains("block_out_channels: expected [128, 256"), "{error}");
        let error = Family::Sana.apply(published).unwrap_err().to_string();
        assert!(error.contains("of the class AutoencoderKLHunyuanImage"), "{error}");
    }
}
