//! What a config says of how latents are scaled before diffusion.

use super::VaeConfig;

impl VaeConfig {
    /// What latents are multiplied by before diffusion, in classes whose config has it.
    pub fn scaling_factor(&self) -> Option<f64> {
        match self {
            Self::AutoencoderKL(config) => Some(config.scaling_factor),
            Self::AutoencoderKLFlux2(_)
            | Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_) => None,
            Self::AutoencoderTiny(config) => Some(config.scaling_factor),
            Self::AsymmetricAutoencoderKL(config) => Some(config.scaling_factor),
            Self::AutoencoderDC(config) => Some(config.scaling_factor),
            Self::AutoencoderKLHunyuanImage(config) => Some(config.scaling_factor),
        }
    }

    /// What diffusion pipelines subtract before scaling, in classes whose config has it.
    pub fn shift_factor(&self) -> Option<f64> {
        match self {
            Self::AutoencoderKL(config) => config.shift_factor,
            Self::AutoencoderKLFlux2(_)
            | Self::AsymmetricAutoencoderKL(_)
            | Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => None,
            Self::AutoencoderTiny(config) => {
                Some(config.shift_factor).filter(|shift| *shift != 0.0)
            }
        }
    }

    /// Mean and standard deviation of each latent channel, where the config has both.
    pub fn latents_statistics(&self) -> Option<(&[f64], &[f64])> {
        match self {
            Self::AutoencoderKL(config) => {
                Some((config.latents_mean.as_deref()?, config.latents_std.as_deref()?))
            }
            Self::AutoencoderKLWan(config) => Some((&config.latents_mean, &config.latents_std)),
            Self::AutoencoderKLQwenImage(config) => {
                Some((&config.latents_mean, &config.latents_std))
            }
            Self::AutoencoderKLQwenImage21(config) => {
                Some((&config.latents_mean, &config.latents_std))
            }
            _ => None,
        }
    }
}
