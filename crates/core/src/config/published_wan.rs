//! What Wan and Qwen-Image published beside their weights.

use super::autoencoder_kl_qwen_image::AutoencoderKLQwenImageConfig;
use super::autoencoder_kl_qwen_image_21::{
    AutoencoderKLQwenImage21Config, LATENTS_MEAN as LATENTS_MEAN_QWEN_IMAGE_21,
    LATENTS_STD as LATENTS_STD_QWEN_IMAGE_21,
};
use super::autoencoder_kl_wan::{AutoencoderKLWanConfig, LATENTS_MEAN, LATENTS_STD};
use super::family::Family;
use super::published::differ;
use super::vae_config::VaeConfig;

/// Mean of each latent channel of Wan 2.2 (Wan-AI/Wan2.2-TI2V-5B-Diffusers, `vae/config.json`).
const LATENTS_MEAN_22: [f64; 48] = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813,
    0.0891, 0.157, -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108,
    -0.2158, 0.2502, -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.123, -0.0313,
    -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.052, 0.3748, 0.0152, 0.1957, 0.1433, -0.2944,
    0.3573, -0.0548, -0.1681, -0.0667,
];

/// Standard deviation of each latent channel of Wan 2.2.
const LATENTS_STD_22: [f64; 48] = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901,
    0.6885, 0.6165, 0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944,
    0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.06, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
];

/// What tells the graphs that were published; all have two residual blocks in a level.
#[derive(Debug, Clone, Copy)]
struct Graph {
    latents: usize,
    base: usize,
    decoder: usize,
    dim_mult: &'static [usize],
    halves_frames: &'static [bool],
    is_residual: bool,
    channels: usize,
    patch: usize,
}

/// Wan-AI/Wan2.1-T2V-1.3B-Diffusers, `vae/config.json`.
const WAN_21: Graph = Graph {
    latents: 16,
    base: 96,
    decoder: 96,
    dim_mult: &[1, 2, 4, 4],
    halves_frames: &[false, true, true],
    is_residual: false,
    channels: 3,
    patch: 1,
};

/// Wan-AI/Wan2.2-TI2V-5B-Diffusers, `vae/config.json`.
const WAN_22: Graph = Graph {
    latents: 48,
    base: 160,
    decoder: 256,
    is_residual: true,
    channels: 12,
    patch: 2,
    ..WAN_21
};

/// The class's defaults, which are ComfyUI's settings for its file too (`comfy/sd.py`).
const QWEN_IMAGE_21: Graph = Graph {
    latents: 64,
    base: 96,
    decoder: 144,
    dim_mult: &[1, 2, 4, 8, 8],
    halves_frames: &[false, true, true, true],
    is_residual: true,
    channels: 4,
    patch: 1,
};

impl Family {
    /// Mean and standard deviation of each latent channel, of the families of Wan's classes; `None` for any
    /// other.
    pub fn wan_statistics(self) -> Option<(&'static [f64], &'static [f64])> {
        match self {
            // ComfyUI has one latent format for all Qwen-Image models (`supported_models.QwenImage`).
            Self::Wan21 | Self::QwenImage | Self::QwenImageLayered => {
                Some((&LATENTS_MEAN, &LATENTS_STD))
            }
            Self::Wan22 => Some((&LATENTS_MEAN_22, &LATENTS_STD_22)),
            Self::QwenImage21 => Some((&LATENTS_MEAN_QWEN_IMAGE_21, &LATENTS_STD_QWEN_IMAGE_21)),
            _ => None,
        }
    }

    /// The family of a config of Wan's class or of Qwen-Image's, which name their makers, by graph and
    /// statistics.
    pub(super) fn of_wan(config: &VaeConfig) -> Self {
        let candidates: &[Self] = match config {
            VaeConfig::AutoencoderKLQwenImage(_) => &[Self::QwenImage, Self::QwenImageLayered],
            VaeConfig::AutoencoderKLQwenImage21(_) => &[Self::QwenImage21],
            _ => &[Self::Wan21, Self::Wan22],
        };
        let fits = |family: &&Self| {
            family.wan_difference(config) == Some(None)
                && family.wan_statistics() == config.latents_statistics()
        };
        candidates.iter().find(fits).copied().unwrap_or(Self::Unknown)
    }

    /// The graph that was published.
    fn wan_graph(self) -> Option<Graph> {
        match self {
            Self::Wan21 | Self::QwenImage => Some(WAN_21),
            // Of RGBA (`QwenImageLayeredPipeline` converts to it).
            Self::QwenImageLayered => Some(Graph { channels: 4, ..WAN_21 }),
            Self::Wan22 => Some(WAN_22),
            Self::QwenImage21 => Some(QWEN_IMAGE_21),
            _ => None,
        }
    }

    /// The first thing in which `config` has another graph; `None` if one of the two is not of Wan's family,
    /// or one alone has kernels over time. Qwen-Image has the graph of Wan 2.1.
    pub(super) fn wan_difference(self, config: &VaeConfig) -> Option<Option<String>> {
        let published = self.wan_graph()?;
        let of_qwen_image;
        let (config, over_time) = match config {
            VaeConfig::AutoencoderKLWan(config) => (config, true),
            VaeConfig::AutoencoderKLQwenImage(config) => {
                of_qwen_image = config.as_wan();
                (&of_qwen_image, true)
            }
            VaeConfig::AutoencoderKLQwenImage21(config) => {
                of_qwen_image = config.as_wan();
                (&of_qwen_image, false)
            }
            _ => return None,
        };
        if over_time == (self == Self::QwenImage21) {
            return None;
        }
        let Graph { latents, base, decoder, dim_mult, halves_frames, is_residual, channels, patch } =
            published;
        let decoder_base = config.decoder_base_dim.unwrap_or(config.base_dim);
        let samplers = &config.temperal_downsample[..];
        Some(
            differ("z_dim", latents, config.z_dim)
                .or_else(|| differ("base_dim", base, config.base_dim))
                .or_else(|| differ("decoder_base_dim", decoder, decoder_base))
                .or_else(|| differ("dim_mult", dim_mult, &config.dim_mult[..]))
                .or_else(|| differ("num_res_blocks", 2, config.num_res_blocks))
                .or_else(|| differ("temperal_downsample", halves_frames, samplers))
                .or_else(|| differ("is_residual", is_residual, config.is_residual))
                .or_else(|| differ("in_channels", channels, config.in_channels))
                .or_else(|| differ("out_channels", channels, config.out_channels))
                .or_else(|| differ("patch_size", patch, config.patch())),
        )
    }

    /// `config` with what this family published of its scaling and tiles, in its own class.
    pub(super) fn apply_wan(
        self,
        config: AutoencoderKLWanConfig,
        defaulted: Vec<&'static str>,
    ) -> VaeConfig {
        let (mean, std) = self.wan_statistics().unwrap_or_default();
        let config = AutoencoderKLWanConfig {
            latents_mean: mean.to_vec(),
            latents_std: std.to_vec(),
            scale_factor_temporal: Some(if self == Self::QwenImage21 { 8 } else { 4 }),
            scale_factor_spatial: config.downsampling(),
            defaulted,
            ..config
        };
        match self {
            Self::QwenImage | Self::QwenImageLayered => {
                AutoencoderKLQwenImageConfig::of_wan(config).into()
            }
            Self::QwenImage21 => AutoencoderKLQwenImage21Config::of_wan(config).into(),
            _ => config.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Class, Family, VaeConfig};
    use serde_json::json;

    #[test]
    fn families_are_told_by_graph_class_and_statistics() {
        let read = |fields: serde_json::Value| {
            VaeConfig::from_json(&fields.to_string(), "config.json").unwrap()
        };
        let wan = read(json!({"_class_name": "AutoencoderKLWan"}));
        let qwen = read(json!({"_class_name": "AutoencoderKLQwenImage"}));
        assert_eq!(Family::of(&wan), Family::Wan21);
        assert_eq!(Family::of(&qwen), Family::QwenImage);
        assert_eq!(Family::with_graph_of(&wan), [Family::Wan21, Family::QwenImage]);
        let renamed = Family::QwenImage.apply(wan.clone()).unwrap();
        assert_eq!(renamed.class(), Class::AutoencoderKLQwenImage);
        assert_eq!(Family::of(&renamed), Family::QwenImage);
        let rgba = json!({"_class_name": "AutoencoderKLQwenImage", "input_channels": 4});
        let layered = read(rgba);
        assert!(layered.has_alpha() && !qwen.has_alpha());
        assert_eq!(Family::of(&layered), Family::QwenImageLayered);
        assert_eq!(Family::with_graph_of(&layered), [Family::QwenImageLayered]);
        let back = Family::Wan21.apply(renamed).unwrap();
        assert_eq!(back.class(), Class::AutoencoderKLWan);
        let other = read(json!({
            "_class_name": "AutoencoderKLWan", "latents_mean": vec![0.0; 16],
        }));
        assert_eq!(Family::of(&other), Family::Unknown);
        let error = Family::Wan22.apply(wan.clone()).unwrap_err().to_string();
        assert!(error.contains("z_dim: expected 48, found 16"), "{error}");
    }

    #[test]
    fn kernels_over_one_frame_are_of_another_family() {
        let read = |class: &str| {
            let text = json!({"_class_name": class}).to_string();
            VaeConfig::from_json(&text, "config.json").unwrap()
        };
        let qwen = read("AutoencoderKLQwenImage21");
        assert_eq!(Family::of(&qwen), Family::QwenImage21);
        assert_eq!(Family::with_graph_of(&qwen), [Family::QwenImage21]);
        assert_eq!(Family::QwenImage21.apply(qwen.clone()).unwrap().class(), qwen.class());
        let error = Family::Wan22.apply(qwen).unwrap_err().to_string();
        assert!(error.contains("of the class AutoencoderKLQwenImage21"), "{error}");
        let error = Family::QwenImage21.apply(read("AutoencoderKLWan")).unwrap_err().to_string();
        assert!(error.contains("of the class AutoencoderKLWan"), "{error}");
    }
}
