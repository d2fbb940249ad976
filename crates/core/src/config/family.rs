//! Which published VAE a config describes.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::autoencoder_kl::{AutoencoderKLConfig, SampleSize};
use super::vae_config::VaeConfig;

/// A family of published VAEs that share graph and scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Family {
    /// The small VAE inside this crate.
    #[serde(rename = "builtin")]
    Builtin,
    /// Stable Diffusion 1.x, and the ft-mse and ft-ema decoders.
    #[serde(rename = "sd1")]
    Sd1,
    /// Stable Diffusion 2.x.
    #[serde(rename = "sd2")]
    Sd2,
    /// SDXL, and the models that took over its VAE.
    #[serde(rename = "sdxl")]
    Sdxl,
    /// Playground v2.5.
    #[serde(rename = "playground-v2.5")]
    PlaygroundV25,
    /// Stable Diffusion 3 and 3.5.
    #[serde(rename = "sd3")]
    Sd3,
    /// FLUX.1, and the models that took over its VAE.
    #[serde(rename = "flux1")]
    Flux1,
    /// CogView 3 and 4.
    #[serde(rename = "cogview")]
    Cogview,
    /// FLUX.2 and FLUX.2 Klein, also with the small decoder.
    #[serde(rename = "flux2")]
    Flux2,
    /// TAESD, for Stable Diffusion 1.x and 2.x. TAESDXL has the same config.
    #[serde(rename = "taesd")]
    Taesd,
    /// TAESD for SDXL, which its config does not tell from the one for Stable Diffusion 1.x.
    #[serde(rename = "taesdxl")]
    Taesdxl,
    /// TAESD for Stable Diffusion 3. The one for FLUX.1 has the same config.
    #[serde(rename = "taesd3")]
    Taesd3,
    /// TAESD for FLUX.1, which its config does not tell from the one for Stable Diffusion 3.
    #[serde(rename = "taef1")]
    Taef1,
    /// TAESD for FLUX.2, of `taesd.py` alone: diffusers' class does not have its pools.
    #[serde(rename = "taef2")]
    Taef2,
    /// The Stable Diffusion x4 upscaler.
    #[serde(rename = "x4-upscaler")]
    X4Upscaler,
    /// The asymmetric VAEs x-1.5 and x-2, whose decoders are that much wider than Stable Diffusion's.
    #[serde(rename = "asymmetric")]
    Asymmetric,
    /// Wan 2.1, and Wan 2.2 of 14 B parameters, which took over its VAE.
    #[serde(rename = "wan2.1")]
    Wan21,
    /// Wan 2.2 of 5 B parameters, whose latents are 16 times smaller than the picture.
    #[serde(rename = "wan2.2")]
    Wan22,
    /// Qwen-Image, with the graph and the statistics of Wan 2.1.
    #[serde(rename = "qwen-image")]
    QwenImage,
    /// Qwen-Image-Layered: the same for pictures in RGBA.
    #[serde(rename = "qwen-image-layered")]
    QwenImageLayered,
    /// DC-AE with latents 32 times smaller than the picture, as Sana has it.
    #[serde(rename = "sana")]
    Sana,
    /// DC-AE with latents 32 times smaller, trained on a mix of data.
    #[serde(rename = "dc-ae-f32-mix")]
    DcAeF32Mix,
    /// DC-AE with latents 64 times smaller, trained on a mix of data.
    #[serde(rename = "dc-ae-f64-mix")]
    DcAeF64Mix,
    /// DC-AE with latents 128 times smaller, trained on a mix of data.
    #[serde(rename = "dc-ae-f128-mix")]
    DcAeF128Mix,
    /// HunyuanImage 2.1, whose latents are 32 times smaller than the picture and have 64 channels.
    #[serde(rename = "hunyuanimage")]
    HunyuanImage,
    /// Qwen-Image 2.1, whose pictures are RGBA and whose latents are 16 times smaller.
    #[serde(rename = "qwen-image-2.1")]
    QwenImage21,
    /// None of these.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Family {
    /// The name in JSON and on the command line, such as `sd1`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Sd1 => "sd1",
            Self::Sd2 => "sd2",
            Self::Sdxl => "sdxl",
            Self::PlaygroundV25 => "playground-v2.5",
            Self::Sd3 => "sd3",
            Self::Flux1 => "flux1",
            Self::Cogview => "cogview",
            Self::Flux2 => "flux2",
            Self::Taesd => "taesd",
            Self::Taesdxl => "taesdxl",
            Self::Taesd3 => "taesd3",
            Self::Taef1 => "taef1",
            Self::Taef2 => "taef2",
            Self::X4Upscaler => "x4-upscaler",
            Self::Asymmetric => "asymmetric",
            Self::Wan21 => "wan2.1",
            Self::Wan22 => "wan2.2",
            Self::QwenImage => "qwen-image",
            Self::QwenImageLayered => "qwen-image-layered",
            Self::Sana => "sana",
            Self::DcAeF32Mix => "dc-ae-f32-mix",
            Self::DcAeF64Mix => "dc-ae-f64-mix",
            Self::DcAeF128Mix => "dc-ae-f128-mix",
            Self::HunyuanImage => "hunyuanimage",
            Self::QwenImage21 => "qwen-image-2.1",
            Self::Unknown => "unknown",
        }
    }

    /// The models that come with it, for people.
    pub fn models(self) -> &'static str {
        match self {
            Self::Builtin => "The small VAE inside this crate",
            Self::Sd1 => "Stable Diffusion 1.x, and the ft-mse and ft-ema decoders",
            Self::Sd2 => "Stable Diffusion 2.x",
            Self::Sdxl => "SDXL, and the models that took over its VAE",
            Self::PlaygroundV25 => "Playground v2.5",
            Self::Sd3 => "Stable Diffusion 3 and 3.5",
            Self::Flux1 => "FLUX.1, and the models that took over its VAE",
            Self::Cogview => "CogView 3 and 4",
            Self::Flux2 => "FLUX.2 and FLUX.2 Klein, also with the small decoder",
            Self::Taesd => "TAESD, for Stable Diffusion 1.x and 2.x (TAESDXL has the same config)",
            Self::Taesdxl => "TAESD for SDXL",
            Self::Taesd3 => "TAESD for Stable Diffusion 3 (TAEF1 has the same config)",
            Self::Taef1 => "TAESD for FLUX.1",
            Self::Taef2 => "TAESD for FLUX.2, which diffusers does not load",
            Self::X4Upscaler => "The Stable Diffusion x4 upscaler",
            Self::Asymmetric => "The asymmetric VAEs x-1.5 and x-2 for inpainting, without a mask",
            Self::Wan21 => "Wan 2.1 and Wan 2.2 14B, as one picture",
            Self::Wan22 => "Wan 2.2 5B, as one picture",
            Self::QwenImage => "Qwen-Image and Qwen-Image-Edit",
            Self::QwenImageLayered => "Qwen-Image-Layered, whose pictures are RGBA",
            Self::Sana => "Sana, and models that took over its DC-AE",
            Self::DcAeF32Mix => "DC-AE f32c32, trained on a mix of data",
            Self::DcAeF64Mix => "DC-AE f64c128, trained on a mix of data",
            Self::DcAeF128Mix => "DC-AE f128c512, trained on a mix of data",
            Self::HunyuanImage => "HunyuanImage 2.1, without its refiner",
            Self::QwenImage21 => "Qwen-Image 2.1, whose pictures are RGBA",
            Self::Unknown => "None of these",
        }
    }

    /// The family whose published config has the same graph and the same scaling, or
    /// [`Family::Unknown`]; the first of those that published one config. A config says what its writer
    /// believed; weights are not looked at.
    pub fn of(config: &VaeConfig) -> Self {
        match config {
            VaeConfig::AutoencoderKL(config) => Self::of_autoencoder_kl(config),
            VaeConfig::AutoencoderKLFlux2(_) | VaeConfig::AutoencoderTiny(_) => {
                Self::with_graph_of(config).first().copied().unwrap_or(Self::Unknown)
            }
            VaeConfig::AutoencoderKLWan(_)
            | VaeConfig::AutoencoderKLQwenImage(_)
            | VaeConfig::AutoencoderKLQwenImage21(_) => Self::of_wan(config),
            VaeConfig::AsymmetricAutoencoderKL(_)
            | VaeConfig::AutoencoderDC(_)
            | VaeConfig::AutoencoderKLHunyuanImage(_) => {
                let found = config.scaling_factor().unwrap_or_default();
                let scaled = |family: &Self| {
                    let factor = family.scaling_factor().unwrap_or_default();
                    (found - factor).abs() < 1e-6
                };
                Self::with_graph_of(config).into_iter().find(scaled).unwrap_or(Self::Unknown)
            }
        }
    }

    fn of_autoencoder_kl(config: &AutoencoderKLConfig) -> Self {
        let full_width = config.block_out_channels == [128, 256, 512, 512];
        let quant_convs = config.use_quant_conv && config.use_post_quant_conv;
        let attention = config.mid_block_add_attention;
        let scaled_by = |factor: f64| (config.scaling_factor - factor).abs() < 1e-6;
        match config.latent_channels {
            4 if full_width && quant_convs && attention => match config.sample_size {
                _ if scaled_by(0.13025) => Self::Sdxl,
                _ if scaled_by(0.5) && config.latents_mean.is_some() => Self::PlaygroundV25,
                SampleSize::Side(768) if scaled_by(0.18215) => Self::Sd2,
                _ if scaled_by(0.18215) => Self::Sd1,
                _ => Self::Unknown,
            },
            4 if config.block_out_channels == [128, 256, 512] && scaled_by(0.08333) => {
                Self::X4Upscaler
            }
            16 if full_width && scaled_by(1.5305) => Self::Sd3,
            16 if full_width && scaled_by(0.3611) => Self::Flux1,
            16 if config.block_out_channels == [128, 512, 1024, 1024] && !attention => {
                Self::Cogview
            }
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = String;

    /// # Errors
    ///
    /// When `text` is not the name of one of [`Family::PUBLISHED`].
    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::PUBLISHED.into_iter().find(|family| family.name() == text);
        named.ok_or_else(|| {
            format!("expected one of {}", Self::PUBLISHED.map(Self::name).join(", "))
        })
    }
}
