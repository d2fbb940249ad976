//! What each family published beside its weights, for files that come without a config.

use super::asymmetric_autoencoder_kl::AsymmetricAutoencoderKLConfig;
use super::autoencoder_kl::{Activation, AutoencoderKLConfig, SampleSize};
use super::autoencoder_kl_flux2::AutoencoderKLFlux2Config;
use super::autoencoder_tiny::AutoencoderTinyConfig;
use super::class::Class;
use super::family::Family;
use super::vae_config::VaeConfig;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// The part of a published `config.json` in which families differ. All have three channels in and
/// out, SiLU, 32 groups, and `force_upcast`.
struct Published {
    latent_channels: usize,
    block_out_channels: &'static [usize],
    layers_per_block: usize,
    quant_convs: bool,
    attention: bool,
    sample_size: usize,
    scaling_factor: f64,
    shift_factor: Option<f64>,
    /// Mean and standard deviation of each latent channel.
    latents: Option<([f64; 4], [f64; 4])>,
}

/// Channels of each level, as most families have them.
const FULL_WIDTH: [usize; 4] = [128, 256, 512, 512];

/// Stable Diffusion's, with the four values in which 1.x, 2.x and SDXL differ filled in below.
const STABLE_DIFFUSION: Published = Published {
    latent_channels: 4,
    block_out_channels: &FULL_WIDTH,
    layers_per_block: 2,
    quant_convs: true,
    attention: true,
    sample_size: 512,
    scaling_factor: 0.18215,
    shift_factor: None,
    latents: None,
};

const SIXTEEN_CHANNELS: Published =
    Published { latent_channels: 16, quant_convs: false, sample_size: 1024, ..STABLE_DIFFUSION };

impl Family {
    /// Fields that [`Family::apply`] sets.
    pub const SUPPLIED: [&str; 11] = [
        "sample_size",
        "scaling_factor",
        "shift_factor",
        "latents_mean",
        "latents_std",
        "force_upcast",
        "batch_norm_eps",
        "latent_magnitude",
        "latent_shift",
        "scale_factor_temporal",
        "scale_factor_spatial",
    ];

    /// Families that have published a config, in the order in which a question names them.
    pub const PUBLISHED: [Self; 25] = [
        Self::Sd1,
        Self::Sd2,
        Self::Sdxl,
        Self::PlaygroundV25,
        Self::Sd3,
        Self::Flux1,
        Self::Cogview,
        Self::X4Upscaler,
        Self::Flux2,
        Self::Taesd,
        Self::Taesdxl,
        Self::Taesd3,
        Self::Taef1,
        Self::Taef2,
        Self::Asymmetric,
        Self::Wan21,
        Self::Wan22,
        Self::QwenImage,
        Self::QwenImageLayered,
        Self::Sana,
        Self::DcAeF32Mix,
        Self::DcAeF64Mix,
        Self::DcAeF128Mix,
        Self::HunyuanImage,
        Self::QwenImage21,
    ];

    /// From `vae/config.json` of the repository named beside each value.
    fn published(self) -> Option<Published> {
        Some(match self {
            // CompVis/stable-diffusion-v1-4
            Self::Sd1 => STABLE_DIFFUSION,
            // stabilityai/stable-diffusion-2-1
            Self::Sd2 => Published { sample_size: 768, ..STABLE_DIFFUSION },
            // stabilityai/stable-diffusion-xl-base-1.0
            Self::Sdxl => {
                Published { sample_size: 1024, scaling_factor: 0.13025, ..STABLE_DIFFUSION }
            }
            // playgroundai/playground-v2.5-1024px-aesthetic
            Self::PlaygroundV25 => Published {
                sample_size: 1024,
                scaling_factor: 0.5,
                latents: Some(([-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299])),
                ..STABLE_DIFFUSION
            },
            // stabilityai/stable-diffusion-3-medium-diffusers
            Self::Sd3 => {
                Published { scaling_factor: 1.5305, shift_factor: Some(0.0609), ..SIXTEEN_CHANNELS }
            }
            // black-forest-labs/FLUX.1-schnell
            Self::Flux1 => {
                Published { scaling_factor: 0.3611, shift_factor: Some(0.1159), ..SIXTEEN_CHANNELS }
            }
            // THUDM/CogView4-6B, as diffusers' scripts/convert_cogview4_to_diffusers.py writes it
            Self::Cogview => Published {
                block_out_channels: &[128, 512, 1024, 1024],
                layers_per_block: 3,
                attention: false,
                scaling_factor: 1.0,
                ..SIXTEEN_CHANNELS
            },
            // stabilityai/stable-diffusion-x4-upscaler; the scaling is stated in diffusers' pull
            // request 1860
            Self::X4Upscaler => Published {
                block_out_channels: &[128, 256, 512],
                sample_size: 256,
                scaling_factor: 0.08333,
                ..STABLE_DIFFUSION
            },
            // Of other classes.
            Self::Flux2 | Self::Asymmetric => return None,
            Self::Wan21 | Self::Wan22 | Self::QwenImage | Self::QwenImageLayered => return None,
            Self::Taesd | Self::Taesdxl | Self::Taesd3 | Self::Taef1 | Self::Taef2 => return None,
            Self::Sana | Self::DcAeF32Mix | Self::DcAeF64Mix | Self::DcAeF128Mix => return None,
            Self::HunyuanImage | Self::QwenImage21 => return None,
            Self::Builtin | Self::Unknown => return None,
        })
    }

    /// The `scaling_factor` that this family published; `None` where it published nothing.
    pub fn scaling_factor(self) -> Option<f64> {
        match (self, self.latents_of_taesd()) {
            (Self::Asymmetric, _) => Some(STABLE_DIFFUSION.scaling_factor),
            (_, Some(_)) => Some(1.0),
            (_, None) => self
                .dc_scaling_factor()
                .or_else(|| self.hunyuan_image_scaling_factor())
                .or_else(|| self.published().map(|published| published.scaling_factor)),
        }
    }

    /// Channels of the latents of those that are TAESDs.
    fn latents_of_taesd(self) -> Option<usize> {
        match self {
            Self::Taesd | Self::Taesdxl => Some(4),
            Self::Taesd3 | Self::Taef1 => Some(16),
            Self::Taef2 => Some(32),
            _ => None,
        }
    }

    /// Families whose VAE has the graph of `config`, whatever its scaling.
    pub fn with_graph_of(config: &VaeConfig) -> Vec<Self> {
        let fits = |family: &Self| matches!(family.difference(config), Some(None));
        Self::PUBLISHED.into_iter().filter(fits).collect()
    }

    /// The first thing in which `config` has another graph than this family; `None` if this family
    /// published nothing.
    fn difference(self, config: &VaeConfig) -> Option<Option<String>> {
        let of_class = |class: Class| {
            let found = config.class();
            (found != class).then(|| format!("it is of the class {}", found.name()))
        };
        if self.wan_statistics().is_some() {
            let class = match self {
                Self::QwenImage21 => Class::AutoencoderKLQwenImage21,
                _ => Class::AutoencoderKLWan,
            };
            let other = || of_class(class);
            return Some(self.wan_difference(config).unwrap_or_else(other));
        }
        if self.dc_scaling_factor().is_some() {
            let VaeConfig::AutoencoderDC(config) = config else {
                return Some(of_class(Class::AutoencoderDC));
            };
            return self.dc_difference(config);
        }
        if self.hunyuan_image_scaling_factor().is_some() {
            let VaeConfig::AutoencoderKLHunyuanImage(config) = config else {
                return Some(of_class(Class::AutoencoderKLHunyuanImage));
            };
            return self.hunyuan_image_difference(config);
        }
        match (self, config) {
            (Self::Flux2, VaeConfig::AutoencoderKLFlux2(config)) => Some(flux2_difference(config)),
            (Self::Flux2, _) => Some(of_class(Class::AutoencoderKLFlux2)),
            (Self::Asymmetric, VaeConfig::AsymmetricAutoencoderKL(config)) => {
                Some(asymmetric_difference(config))
            }
            (Self::Asymmetric, _) => Some(of_class(Class::AsymmetricAutoencoderKL)),
            (family, VaeConfig::AutoencoderTiny(config)) => match family.latents_of_taesd() {
                Some(latents) => Some(taesd_difference(latents, config)),
                None => family.published().map(|_| of_class(Class::AutoencoderKL)),
            },
            (family, _) if family.latents_of_taesd().is_some() => {
                Some(of_class(Class::AutoencoderTiny))
            }
            (_, VaeConfig::AutoencoderKL(config)) => {
                self.published().map(|published| published.difference(config))
            }
            _ => self.published().map(|_| of_class(Class::AutoencoderKL)),
        }
    }

    /// `config` with what this family published in place of scaling, shift, latent statistics,
    /// sample size and `force_upcast`.
    ///
    /// # Errors
    ///
    /// Returns an error if this family has published nothing, or if its graph is another.
    pub fn apply(self, config: VaeConfig) -> Result<VaeConfig> {
        let refused = |problem: String| {
            let fitting: Vec<String> =
                Self::with_graph_of(&config).iter().map(Self::to_string).collect();
            let next = match fitting.as_slice() {
                [] => "pass the model's config.json with `config`".to_owned(),
                names => format!("name one of {}, or pass `config`", names.join(", ")),
            };
            Error::new(ErrorKind::Option, format!("`family` {self}"), problem, next)
        };
        match self.difference(&config) {
            None => return Err(refused("no config is published under this name".into())),
            Some(Some(difference)) => {
                return Err(refused(format!("does not fit these weights: {difference}")));
            }
            Some(None) => (),
        }
        let supplied = |defaulted: Vec<&'static str>| {
            defaulted.into_iter().filter(|name| !Self::SUPPLIED.contains(name)).collect()
        };
        Ok(match (config, self.published()) {
            (VaeConfig::AutoencoderKL(config), Some(published)) => {
                VaeConfig::AutoencoderKL(AutoencoderKLConfig {
                    sample_size: SampleSize::Side(published.sample_size),
                    scaling_factor: published.scaling_factor,
                    shift_factor: published.shift_factor,
                    latents_mean: published.latents.map(|(mean, _)| mean.to_vec()),
                    latents_std: published.latents.map(|(_, std)| std.to_vec()),
                    force_upcast: true,
                    defaulted: supplied(config.defaulted),
                    ..config
                })
            }
            (VaeConfig::AutoencoderKLFlux2(config), _) => {
                VaeConfig::AutoencoderKLFlux2(AutoencoderKLFlux2Config {
                    sample_size: SampleSize::Side(1024),
                    batch_norm_eps: 1e-4,
                    defaulted: supplied(config.defaulted),
                    ..config
                })
            }
            (VaeConfig::AutoencoderTiny(config), _) => {
                VaeConfig::AutoencoderTiny(AutoencoderTinyConfig {
                    latent_magnitude: 3.0,
                    latent_shift: 0.5,
                    scaling_factor: 1.0,
                    shift_factor: 0.0,
                    defaulted: supplied(config.defaulted),
                    ..config
                })
            }
            (VaeConfig::AsymmetricAutoencoderKL(config), _) => {
                VaeConfig::AsymmetricAutoencoderKL(AsymmetricAutoencoderKLConfig {
                    sample_size: SampleSize::Side(256),
                    scaling_factor: STABLE_DIFFUSION.scaling_factor,
                    defaulted: supplied(config.defaulted),
                    ..config
                })
            }
            (VaeConfig::AutoencoderKLWan(config), _) => {
                let defaulted = supplied(config.defaulted.clone());
                self.apply_wan(config, defaulted)
            }
            (VaeConfig::AutoencoderKLQwenImage(config), _) => {
                self.apply_wan(config.as_wan(), supplied(config.defaulted))
            }
            (VaeConfig::AutoencoderKLQwenImage21(config), _) => {
                self.apply_wan(config.as_wan(), supplied(config.defaulted))
            }
            (VaeConfig::AutoencoderDC(config), _) => {
                let defaulted = supplied(config.defaulted.clone());
                self.apply_dc(config, defaulted).into()
            }
            (VaeConfig::AutoencoderKLHunyuanImage(config), _) => {
                let defaulted = supplied(config.defaulted.clone());
                self.apply_hunyuan_image(config, defaulted).into()
            }
            // Of no family that fits.
            (config, None) => config,
        })
    }
}

/// The first thing in which `config` has another graph than FLUX.2, whose config holds the class's
/// defaults (black-forest-labs/FLUX.2-dev); the small decoder's widths are in diffusers' pull request
/// 13428.
fn flux2_difference(config: &AutoencoderKLFlux2Config) -> Option<String> {
    let small_decoder = [96, 192, 384, 384];
    let decoder = config.decoder_widths();
    differ("latent_channels", 32, config.latent_channels)
        .or_else(|| differ("block_out_channels", &FULL_WIDTH[..], &config.block_out_channels[..]))
        .or_else(|| match decoder == small_decoder {
            true => None,
            false => differ("decoder_block_out_channels", &FULL_WIDTH[..], decoder),
        })
        .or_else(|| differ("layers_per_block", 2, config.layers_per_block))
        .or_else(|| differ("use_quant_conv", true, config.use_quant_conv))
        .or_else(|| differ("use_post_quant_conv", true, config.use_post_quant_conv))
        .or_else(|| differ("mid_block_add_attention", true, config.mid_block_add_attention))
        .or_else(|| differ("norm_num_groups", 32, config.norm_num_groups))
        .or_else(|| differ("in_channels", 3, config.in_channels))
        .or_else(|| differ("out_channels", 3, config.out_channels))
}

/// The first thing in which `config` has another graph than the TAESD of that many latents. The config is
/// that of madebyollin/taesd; the files for FLUX.2 have none, and the pools of `taesd.py`.
fn taesd_difference(latents: usize, config: &AutoencoderTinyConfig) -> Option<String> {
    let widths = [64usize; 4];
    differ("latent_channels", latents, config.latent_channels)
        .or_else(|| {
            differ("encoder_block_out_channels", widths, &config.encoder_block_out_channels[..])
        })
        .or_else(|| {
            differ("decoder_block_out_channels", widths, &config.decoder_block_out_channels[..])
        })
        .or_else(|| differ("num_encoder_blocks", [1usize, 3, 3, 3], &config.num_encoder_blocks[..]))
        .or_else(|| differ("num_decoder_blocks", [3usize, 3, 3, 1], &config.num_decoder_blocks[..]))
        .or_else(|| differ("act_fn", Activation::Relu, config.act_fn))
        .or_else(|| differ("use_midblock_gn", latents == 32, config.use_midblock_gn))
        .or_else(|| differ("in_channels", 3, config.in_channels))
        .or_else(|| differ("out_channels", 3, config.out_channels))
}

/// The first thing in which `config` has another graph than both published ones
/// (cross-attention/asymmetric-autoencoder-kl-x-1-5 and -x-2), whose configs diffusers'
/// scripts/convert_asymmetric_vqgan_to_diffusers.py has.
fn asymmetric_difference(config: &AsymmetricAutoencoderKLConfig) -> Option<String> {
    let twice = [256, 512, 1024, 1024];
    let (decoder, layers) = match config.up_block_out_channels == twice {
        true => (twice, 5),
        false => ([192, 384, 768, 768], 3),
    };
    differ("latent_channels", 4, config.latent_channels)
        .or_else(|| {
            let encoder = &config.down_block_out_channels[..];
            differ("down_block_out_channels", &FULL_WIDTH[..], encoder)
        })
        .or_else(|| differ("up_block_out_channels", decoder, &config.up_block_out_channels[..]))
        .or_else(|| differ("layers_per_down_block", 2, config.layers_per_down_block))
        .or_else(|| differ("layers_per_up_block", layers, config.layers_per_up_block))
        .or_else(|| differ("act_fn", Activation::Silu, config.act_fn))
        .or_else(|| differ("norm_num_groups", 32, config.norm_num_groups))
        .or_else(|| differ("in_channels", 3, config.in_channels))
        .or_else(|| differ("out_channels", 3, config.out_channels))
}

pub(super) fn differ<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(
    name: &str,
    ours: T,
    theirs: U,
) -> Option<String> {
    (ours != theirs).then(|| format!("{name}: expected {ours:?}, found {theirs:?}"))
}

impl Published {
    /// The first thing in which `config` has another graph.
    fn difference(&self, config: &AutoencoderKLConfig) -> Option<String> {
        differ("latent_channels", self.latent_channels, config.latent_channels)
            .or_else(|| {
                differ(
                    "block_out_channels",
                    self.block_out_channels,
                    &config.block_out_channels[..],
                )
            })
            .or_else(|| differ("layers_per_block", self.layers_per_block, config.layers_per_block))
            .or_else(|| differ("use_quant_conv", self.quant_convs, config.use_quant_conv))
            .or_else(|| differ("use_post_quant_conv", self.quant_convs, config.use_post_quant_conv))
            .or_else(|| {
                let found = config.mid_block_add_attention;
                differ("mid_block_add_attention", self.attention, found)
            })
            .or_else(|| differ("norm_num_groups", 32, config.norm_num_groups))
            .or_else(|| differ("in_channels", 3, config.in_channels))
            .or_else(|| differ("out_channels", 3, config.out_channels))
    }
}
