//! The config of an autoencoder, of whichever class.

use std::borrow::Cow;

use serde::Serialize;

use super::asymmetric_autoencoder_kl::AsymmetricAutoencoderKLConfig;
use super::autoencoder_dc::AutoencoderDCConfig;
use super::autoencoder_kl::AutoencoderKLConfig;
use super::autoencoder_kl_flux2::AutoencoderKLFlux2Config;
use super::autoencoder_kl_hunyuan_image::AutoencoderKLHunyuanImageConfig;
use super::autoencoder_kl_qwen_image::AutoencoderKLQwenImageConfig;
use super::autoencoder_kl_qwen_image_21::AutoencoderKLQwenImage21Config;
use super::autoencoder_kl_wan::AutoencoderKLWanConfig;
use super::autoencoder_tiny::AutoencoderTinyConfig;
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
    /// Of an `AutoencoderTiny`.
    AutoencoderTiny(AutoencoderTinyConfig),
    /// Of an `AsymmetricAutoencoderKL`.
    AsymmetricAutoencoderKL(AsymmetricAutoencoderKLConfig),
    /// Of an `AutoencoderKLWan`.
    AutoencoderKLWan(AutoencoderKLWanConfig),
    /// Of an `AutoencoderKLQwenImage`.
    AutoencoderKLQwenImage(AutoencoderKLQwenImageConfig),
    /// Of an `AutoencoderDC`.
    AutoencoderDC(AutoencoderDCConfig),
    /// Of an `AutoencoderKLHunyuanImage`.
    AutoencoderKLHunyuanImage(AutoencoderKLHunyuanImageConfig),
    /// Of an `AutoencoderKLQwenImage21`.
    AutoencoderKLQwenImage21(AutoencoderKLQwenImage21Config),
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
        let class = fields.check_class(&Class::ALL)?;
        Self::of_class(class, fields)
    }

    /// The class that the text of a `config.json` names; `None` where it names none that is run.
    pub fn class_named(text: &str) -> Option<Class> {
        Fields::parse(text, "").ok()?.class().ok()?
    }

    /// Whether the text of a `config.json` describes a VAE of `class`, whatever class it names: whether its
    /// values are possible there, and no field of its scaling is unknown there.
    pub fn describes(text: &str, class: Class) -> bool {
        let config = Fields::parse(text, "").and_then(|fields| Self::of_class(class, fields));
        config.is_ok_and(|config| !config.unknown().iter().any(|field| field == "scaling_factor"))
    }

    /// Takes the fields of `class`, whichever the file names.
    fn of_class(class: Class, fields: Fields) -> Result<Self> {
        Ok(match class {
            Class::AutoencoderKL => Self::AutoencoderKL(AutoencoderKLConfig::from_fields(fields)?),
            Class::AutoencoderKLFlux2 => {
                Self::AutoencoderKLFlux2(AutoencoderKLFlux2Config::from_fields(fields)?)
            }
            Class::AutoencoderTiny => {
                Self::AutoencoderTiny(AutoencoderTinyConfig::from_fields(fields)?)
            }
            Class::AsymmetricAutoencoderKL => {
                Self::AsymmetricAutoencoderKL(AsymmetricAutoencoderKLConfig::from_fields(fields)?)
            }
            Class::AutoencoderKLWan => {
                Self::AutoencoderKLWan(AutoencoderKLWanConfig::from_fields(fields)?)
            }
            Class::AutoencoderKLQwenImage => {
                Self::AutoencoderKLQwenImage(AutoencoderKLQwenImageConfig::from_fields(fields)?)
            }
            Class::AutoencoderDC => Self::AutoencoderDC(AutoencoderDCConfig::from_fields(fields)?),
            Class::AutoencoderKLHunyuanImage => Self::AutoencoderKLHunyuanImage(
                AutoencoderKLHunyuanImageConfig::from_fields(fields)?,
            ),
            Class::AutoencoderKLQwenImage21 => {
                Self::AutoencoderKLQwenImage21(AutoencoderKLQwenImage21Config::from_fields(fields)?)
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
            Self::AutoencoderTiny(_) => Class::AutoencoderTiny,
            Self::AsymmetricAutoencoderKL(_) => Class::AsymmetricAutoencoderKL,
            Self::AutoencoderKLWan(_) => Class::AutoencoderKLWan,
            Self::AutoencoderKLQwenImage(_) => Class::AutoencoderKLQwenImage,
            Self::AutoencoderDC(_) => Class::AutoencoderDC,
            Self::AutoencoderKLHunyuanImage(_) => Class::AutoencoderKLHunyuanImage,
            Self::AutoencoderKLQwenImage21(_) => Class::AutoencoderKLQwenImage21,
        }
    }

    /// Channels of the input picture.
    pub fn in_channels(&self) -> usize {
        match self {
            Self::AutoencoderKL(config) => config.in_channels,
            Self::AutoencoderKLFlux2(config) => config.in_channels,
            Self::AutoencoderTiny(config) => config.in_channels,
            Self::AsymmetricAutoencoderKL(config) => config.in_channels,
            Self::AutoencoderKLWan(config) => config.in_channels / config.patch().pow(2),
            Self::AutoencoderKLQwenImage(config) => config.input_channels,
            Self::AutoencoderDC(config) => config.in_channels,
            Self::AutoencoderKLHunyuanImage(config) => config.in_channels,
            Self::AutoencoderKLQwenImage21(config) => {
                config.in_channels / config.as_wan().patch().pow(2)
            }
        }
    }

    /// Channels of the decoded picture.
    pub fn out_channels(&self) -> usize {
        match self {
            Self::AutoencoderKL(config) => config.out_channels,
            Self::AutoencoderKLFlux2(config) => config.out_channels,
            Self::AutoencoderTiny(config) => config.out_channels,
            Self::AsymmetricAutoencoderKL(config) => config.out_channels,
            Self::AutoencoderKLWan(config) => config.out_channels / config.patch().pow(2),
            Self::AutoencoderKLQwenImage(config) => config.input_channels,
            Self::AutoencoderDC(config) => config.in_channels,
            Self::AutoencoderKLHunyuanImage(config) => config.out_channels,
            Self::AutoencoderKLQwenImage21(config) => {
                config.out_channels / config.as_wan().patch().pow(2)
            }
        }
    }

    /// Whether pictures go in and come out in RGBA.
    pub fn has_alpha(&self) -> bool {
        (self.in_channels(), self.out_channels()) == (4, 4)
    }

    /// Channels of the latents as the model makes them.
    pub fn latent_channels(&self) -> usize {
        match self {
            Self::AutoencoderKL(config) => config.latent_channels,
            Self::AutoencoderKLFlux2(config) => config.latent_channels,
            Self::AutoencoderTiny(config) => config.latent_channels,
            Self::AsymmetricAutoencoderKL(config) => config.latent_channels,
            Self::AutoencoderKLWan(config) => config.z_dim,
            Self::AutoencoderKLQwenImage(config) => config.z_dim,
            Self::AutoencoderDC(config) => config.latent_channels,
            Self::AutoencoderKLHunyuanImage(config) => config.latent_channels,
            Self::AutoencoderKLQwenImage21(config) => config.z_dim,
        }
    }

    /// Whether the encoder gives a distribution of latents, whose mode or a draw is taken; if not, it
    /// gives the latents.
    pub fn has_posterior(&self) -> bool {
        !matches!(self, Self::AutoencoderTiny(_) | Self::AutoencoderDC(_))
    }

    /// Whether diffusers' class can be tiled and sliced.
    pub fn can_be_split(&self) -> bool {
        !matches!(self, Self::AsymmetricAutoencoderKL(_))
    }

    /// The last module of the encoder, by diffusers' name.
    pub fn last_of_encoder(&self) -> &'static str {
        match self {
            Self::AutoencoderKL(AutoencoderKLConfig { use_quant_conv: true, .. })
            | Self::AutoencoderKLFlux2(AutoencoderKLFlux2Config { use_quant_conv: true, .. })
            | Self::AsymmetricAutoencoderKL(_)
            | Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_) => "quant_conv",
            Self::AutoencoderKL(_) | Self::AutoencoderKLFlux2(_) => "encoder.conv_out",
            Self::AutoencoderTiny(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => "encoder",
        }
    }

    /// Channels of each level of the encoder, from the picture inwards.
    pub fn block_out_channels(&self) -> Cow<'_, [usize]> {
        Cow::Borrowed(match self {
            Self::AutoencoderKL(config) => &config.block_out_channels,
            Self::AutoencoderKLFlux2(config) => &config.block_out_channels,
            Self::AutoencoderTiny(config) => &config.encoder_block_out_channels,
            Self::AsymmetricAutoencoderKL(config) => &config.down_block_out_channels,
            Self::AutoencoderKLWan(config) => return Cow::Owned(config.widths()),
            Self::AutoencoderKLQwenImage(config) => return Cow::Owned(config.as_wan().widths()),
            Self::AutoencoderDC(config) => &config.encoder_block_out_channels,
            Self::AutoencoderKLHunyuanImage(config) => &config.block_out_channels,
            Self::AutoencoderKLQwenImage21(config) => return Cow::Owned(config.as_wan().widths()),
        })
    }

    /// The same of the decoder, from the picture inwards too.
    pub fn decoder_widths(&self) -> Cow<'_, [usize]> {
        Cow::Borrowed(match self {
            Self::AutoencoderKL(config) => &config.block_out_channels,
            Self::AutoencoderKLFlux2(config) => config.decoder_widths(),
            // From the latents outwards, but all of them are the same.
            Self::AutoencoderTiny(config) => &config.decoder_block_out_channels,
            Self::AsymmetricAutoencoderKL(config) => &config.up_block_out_channels,
            Self::AutoencoderKLWan(config) => return Cow::Owned(config.decoder_widths()),
            Self::AutoencoderKLQwenImage(_) => return self.block_out_channels(),
            Self::AutoencoderDC(config) => &config.decoder_block_out_channels,
            Self::AutoencoderKLHunyuanImage(config) => &config.block_out_channels,
            Self::AutoencoderKLQwenImage21(config) => {
                return Cow::Owned(config.as_wan().decoder_widths());
            }
        })
    }

    /// Widths and numbers of blocks, for messages.
    pub fn levels_in_words(&self) -> String {
        let widths = format!("widths {:?}", self.block_out_channels());
        match self {
            Self::AutoencoderKL(AutoencoderKLConfig { layers_per_block, .. })
            | Self::AutoencoderKLFlux2(AutoencoderKLFlux2Config { layers_per_block, .. })
            | Self::AutoencoderKLHunyuanImage(AutoencoderKLHunyuanImageConfig {
                layers_per_block,
                ..
            }) => {
                format!("{widths}, {layers_per_block} layers a block")
            }
            Self::AutoencoderTiny(config) => {
                let (encoder, decoder) = (&config.num_encoder_blocks, &config.num_decoder_blocks);
                format!("{widths}, {encoder:?} and {decoder:?} blocks")
            }
            Self::AsymmetricAutoencoderKL(config) => {
                let (down, up) = (config.layers_per_down_block, config.layers_per_up_block);
                let decoder = &config.up_block_out_channels;
                format!("{widths} and {decoder:?}, {down} and {up} layers a block")
            }
            Self::AutoencoderDC(config) => {
                let (widths, decoder) = (self.block_out_channels(), self.decoder_widths());
                let (down, up) =
                    (&config.encoder_layers_per_block, &config.decoder_layers_per_block);
                format!("widths {widths:?} and {decoder:?}, {down:?} and {up:?} blocks")
            }
            Self::AutoencoderKLWan(AutoencoderKLWanConfig { num_res_blocks, .. })
            | Self::AutoencoderKLQwenImage(AutoencoderKLQwenImageConfig {
                num_res_blocks, ..
            })
            | Self::AutoencoderKLQwenImage21(AutoencoderKLQwenImage21Config {
                num_res_blocks,
                ..
            }) => {
                let decoder = self.decoder_widths();
                format!("{widths} and {decoder:?}, {num_res_blocks} blocks a level")
            }
        }
    }

    /// Whether the model clamps what it decodes to [-1, 1] itself, so that nothing is known of what was
    /// outside; Qwen-Image does not where it decodes in tiles.
    pub fn clamps(&self, in_tiles: bool) -> bool {
        match self {
            Self::AutoencoderKLWan(_) | Self::AutoencoderKLQwenImage21(_) => true,
            Self::AutoencoderKLQwenImage(_) => !in_tiles,
            Self::AutoencoderKL(_)
            | Self::AutoencoderKLFlux2(_)
            | Self::AutoencoderTiny(_)
            | Self::AsymmetricAutoencoderKL(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => false,
        }
    }

    /// The fields of an `AutoencoderKL`, if it is one.
    pub fn autoencoder_kl(&self) -> Option<&AutoencoderKLConfig> {
        match self {
            Self::AutoencoderKL(config) => Some(config),
            _ => None,
        }
    }

    /// Fields the file left out, so that diffusers' default stands.
    pub fn defaulted(&self) -> &[&'static str] {
        match self {
            Self::AutoencoderKL(config) => &config.defaulted,
            Self::AutoencoderKLFlux2(config) => &config.defaulted,
            Self::AutoencoderTiny(config) => &config.defaulted,
            Self::AsymmetricAutoencoderKL(config) => &config.defaulted,
            Self::AutoencoderKLWan(config) => &config.defaulted,
            Self::AutoencoderKLQwenImage(config) => &config.defaulted,
            Self::AutoencoderDC(config) => &config.defaulted,
            Self::AutoencoderKLHunyuanImage(config) => &config.defaulted,
            Self::AutoencoderKLQwenImage21(config) => &config.defaulted,
        }
    }

    /// The same, as if the file had left nothing out: for a config that was read off shapes.
    #[must_use]
    pub fn with_nothing_defaulted(mut self) -> Self {
        match &mut self {
            Self::AutoencoderKL(config) => config.defaulted.clear(),
            Self::AutoencoderKLFlux2(config) => config.defaulted.clear(),
            Self::AutoencoderTiny(config) => config.defaulted.clear(),
            Self::AsymmetricAutoencoderKL(config) => config.defaulted.clear(),
            Self::AutoencoderKLWan(config) => config.defaulted.clear(),
            Self::AutoencoderKLQwenImage(config) => config.defaulted.clear(),
            Self::AutoencoderDC(config) => config.defaulted.clear(),
            Self::AutoencoderKLHunyuanImage(config) => config.defaulted.clear(),
            Self::AutoencoderKLQwenImage21(config) => config.defaulted.clear(),
        }
        self
    }

    /// Fields that the class does not know; diffusers ignores them too.
    pub fn unknown(&self) -> &[String] {
        match self {
            Self::AutoencoderKL(config) => &config.unknown,
            Self::AutoencoderKLFlux2(config) => &config.unknown,
            Self::AutoencoderTiny(config) => &config.unknown,
            Self::AsymmetricAutoencoderKL(config) => &config.unknown,
            Self::AutoencoderKLWan(config) => &config.unknown,
            Self::AutoencoderKLQwenImage(config) => &config.unknown,
            Self::AutoencoderDC(config) => &config.unknown,
            Self::AutoencoderKLHunyuanImage(config) => &config.unknown,
            Self::AutoencoderKLQwenImage21(config) => &config.unknown,
        }
    }
}

macro_rules! from {
    ($($class:ident($config:ident)),* $(,)?) => {
        $(
            impl From<$config> for VaeConfig {
                fn from(config: $config) -> Self {
                    Self::$class(config)
                }
            }
        )*
    };
}

from! {
    AutoencoderKL(AutoencoderKLConfig),
    AutoencoderKLFlux2(AutoencoderKLFlux2Config),
    AutoencoderTiny(AutoencoderTinyConfig),
    AsymmetricAutoencoderKL(AsymmetricAutoencoderKLConfig),
    AutoencoderKLWan(AutoencoderKLWanConfig),
    AutoencoderKLQwenImage(AutoencoderKLQwenImageConfig),
    AutoencoderDC(AutoencoderDCConfig),
    AutoencoderKLHunyuanImage(AutoencoderKLHunyuanImageConfig),
    AutoencoderKLQwenImage21(AutoencoderKLQwenImage21Config),
}
