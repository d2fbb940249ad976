//! The config of an autoencoder, of whichever class.

use serde::Serialize;

use super::autoencoder_kl::{AutoencoderKLConfig, SampleSize};
use super::autoencoder_kl_flux2::AutoencoderKLFlux2Config;
use super::class::Class;
use super::fields::Fields;
use vae_fidelity_files::error::Result;

/// A `config.json`, read for the class that it names. In JSON it has that class's fields.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[non_exhaustive]
pub enum VaeConfig {
    /// Of an `AutoencoderKL`.
    AutoencoderKL(AutoencoderKLConfig),
    /// Of an `AutoencoderKLFlux2`.
    AutoencoderKLFlux2(AutoencoderKLFlux2Config),
}

/// What every class has in its config, under diffusers' names.
macro_rules! of_every_class {
    ($($(#[$doc:meta])* $field:ident: $of:ty;)*) => {
        $($(#[$doc])*
        pub fn $field(&self) -> $of {
            match self {
                Self::AutoencoderKL(config) => config.$field,
                Self::AutoencoderKLFlux2(config) => config.$field,
            }
        })*
    };
}

impl VaeConfig {
    /// Reads the text of a `config.json`; `origin` names it in errors. One that names no class is of
    /// `AutoencoderKL`.
    ///
    /// # Errors
    ///
    /// As [`AutoencoderKLConfig::from_json`], for a `_class_name` that is none of [`Class::ALL`].
    pub fn from_json(text: &str, origin: &str) -> Result<Self> {
        let fields = Fields::parse(text, origin)?;
        Ok(match fields.check_class(&Class::ALL)? {
            Class::AutoencoderKL => Self::AutoencoderKL(AutoencoderKLConfig::from_fields(fields)?),
            Class::AutoencoderKLFlux2 => {
                Self::AutoencoderKLFlux2(AutoencoderKLFlux2Config::from_fields(fields)?)
            }
        })
    }

    /// The class that the text of a `config.json` names, where it is none that is run.
    pub fn other_class(text: &str) -> Option<String> {
        Fields::parse(text, "").ok()?.class().err()
    }

    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Self::AutoencoderKL(_) => Class::AutoencoderKL,
            Self::AutoencoderKLFlux2(_) => Class::AutoencoderKLFlux2,
        }
    }

    of_every_class! {
        /// Channels of the input picture.
        in_channels: usize;
        /// Channels of the decoded picture.
        out_channels: usize;
        /// Channels of the latents as the model makes them.
        latent_channels: usize;
        /// Side, or (height, width), that the model was made for; sets diffusers' tile size.
        sample_size: SampleSize;
        /// Resnets in a level of the encoder; the decoder has one more.
        layers_per_block: usize;
        /// Groups of every `GroupNorm`.
        norm_num_groups: usize;
        /// Whether a 1x1 `quant_conv` follows the encoder.
        use_quant_conv: bool;
    }

    /// Channels of each level of the encoder, from the picture inwards.
    pub fn block_out_channels(&self) -> &[usize] {
        match self {
            Self::AutoencoderKL(config) => &config.block_out_channels,
            Self::AutoencoderKLFlux2(config) => &config.block_out_channels,
        }
    }

    /// The same of the decoder, from the picture inwards too.
    pub fn decoder_widths(&self) -> &[usize] {
        match self {
            Self::AutoencoderKL(config) => &config.block_out_channels,
            Self::AutoencoderKLFlux2(config) => config.decoder_widths(),
        }
    }

    /// How many times smaller the latents are than the picture, a side, as the model makes them.
    pub fn downsampling(&self) -> usize {
        1 << (self.block_out_channels().len() - 1)
    }

    /// What the sides of a picture have to be multiples of: 8 for the reference script, and what the
    /// patches of latents come to.
    pub fn multiple_of(&self) -> usize {
        match self {
            Self::AutoencoderKL(_) => 8,
            Self::AutoencoderKLFlux2(config) => (self.downsampling() * config.patch_size[0]).max(8),
        }
    }

    /// What latents are multiplied by before diffusion, in classes whose config has it.
    pub fn scaling_factor(&self) -> Option<f64> {
        self.autoencoder_kl().map(|config| config.scaling_factor)
    }

    /// What diffusion pipelines subtract before scaling, in classes whose config has it.
    pub fn shift_factor(&self) -> Option<f64> {
        self.autoencoder_kl()?.shift_factor
    }

    /// Mean and standard deviation of each latent channel, where the config has both.
    pub fn latents_statistics(&self) -> Option<(&[f64], &[f64])> {
        let config = self.autoencoder_kl()?;
        Some((config.latents_mean.as_deref()?, config.latents_std.as_deref()?))
    }

    /// The fields of an `AutoencoderKL`, if it is one.
    pub fn autoencoder_kl(&self) -> Option<&AutoencoderKLConfig> {
        match self {
            Self::AutoencoderKL(config) => Some(config),
            Self::AutoencoderKLFlux2(_) => None,
        }
    }

    /// Fields the file left out, so that diffusers' default stands.
    pub fn defaulted(&self) -> &[&'static str] {
        match self {
            Self::AutoencoderKL(config) => &config.defaulted,
            Self::AutoencoderKLFlux2(config) => &config.defaulted,
        }
    }

    /// The same, as if the file had left nothing out: for a config that was read off shapes.
    #[must_use]
    pub fn with_nothing_defaulted(mut self) -> Self {
        match &mut self {
            Self::AutoencoderKL(config) => config.defaulted.clear(),
            Self::AutoencoderKLFlux2(config) => config.defaulted.clear(),
        }
        self
    }

    /// Fields that the class does not know; diffusers ignores them too.
    pub fn unknown(&self) -> &[String] {
        match self {
            Self::AutoencoderKL(config) => &config.unknown,
            Self::AutoencoderKLFlux2(config) => &config.unknown,
        }
    }
}

impl From<AutoencoderKLConfig> for VaeConfig {
    fn from(config: AutoencoderKLConfig) -> Self {
        Self::AutoencoderKL(config)
    }
}

impl From<AutoencoderKLFlux2Config> for VaeConfig {
    fn from(config: AutoencoderKLFlux2Config) -> Self {
        Self::AutoencoderKLFlux2(config)
    }
}
