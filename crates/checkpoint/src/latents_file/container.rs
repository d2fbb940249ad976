//! What programs write latents into, and whether those are scaled for diffusion: each by its own source.

use std::fmt;

use serde::Serialize;

use vae_fidelity_core::config::Family;

/// Who wrote a file of latents, as far as its names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Container {
    /// Nobody that is known: a tensor that someone saved.
    Plain,
    /// ComfyUI's SaveLatent (`nodes.py`), `latent_tensor` beside `latent_format_version_0`.
    ComfyUi,
    /// ComfyUI before that mark: LoadLatent divides by 0.18215, and so has this reader.
    ComfyUiOld,
    /// kohya's sd-scripts (`library/strategy_base.py`): `latents`, or `latents_HxW`, in an `.npz`.
    SdScripts,
    /// The same, whose name ends as those of FLUX.1 and Lumina 2 do.
    SdScriptsFlux,
    /// The same for Stable Diffusion 1, 2, XL or 3, by the name's end.
    SdScriptsSd,
    /// kohya's musubi-tuner (`image_video_dataset.py`): `latents_FxHxW_DTYPE`, scaled in its encoder.
    Musubi,
    /// The same of a model that it scales at training: Z-Image, HunyuanVideo.
    MusubiRaw,
    /// OneTrainer's cache (`mgds`, `DiskCache.py`): `latent_image` in a `.pt`.
    OneTrainer,
}

impl Container {
    /// Whether its latents are scaled for diffusion, where those of a VAE of `family` lie in it.
    pub fn is_scaled(self, family: Family) -> bool {
        match self {
            Self::Plain | Self::SdScriptsFlux | Self::Musubi => true,
            // ComfyUI's VAE patches and normalises FLUX.2's latents itself (comfy/ldm/models/autoencoder.py),
            // and OneTrainer and sd-scripts keep them as their VAE makes them.
            Self::ComfyUi if family == Family::Flux2 => true,
            // sd-scripts' own AutoEncoder for FLUX.1 scales when it encodes (flux_models.py); diffusers'
            // for Stable Diffusion, and SDVAE (sd3_utils.py), do not.
            Self::SdScripts => family == Family::Flux1,
            Self::ComfyUi
            | Self::ComfyUiOld
            | Self::SdScriptsSd
            | Self::MusubiRaw
            | Self::OneTrainer => false,
        }
    }

    /// Why, in words that follow "taken as scaled, since" or "taken as raw, since".
    pub fn reason(self, family: Family) -> &'static str {
        match self {
            Self::ComfyUi if family == Family::Flux2 => {
                "ComfyUI's VAE patches and normalises FLUX.2's latents itself, where its file has bn"
            }
            Self::Plain => "a plain file says nothing else",
            Self::ComfyUi => {
                "ComfyUI keeps latents as the VAE makes them (latent_format_version_0)"
            }
            Self::ComfyUiOld => {
                "ComfyUI wrote latents times 0.18215 before latent_format_version_0, and they were \
                 divided by it as its LoadLatent does"
            }
            Self::SdScripts | Self::SdScriptsFlux | Self::SdScriptsSd => {
                "sd-scripts caches what its VAE's encode() returns, which scales for FLUX.1 and Lumina 2 \
                 only"
            }
            Self::Musubi => "musubi-tuner's encoder scales before it caches",
            Self::MusubiRaw => {
                "musubi-tuner scales this model's latents at training, not in the cache"
            }
            Self::OneTrainer => "OneTrainer caches the posterior's mean and scales at training",
        }
    }

    /// Whether it holds draws from the posterior, not its mode.
    pub fn is_drawn(self) -> bool {
        matches!(self, Self::SdScripts | Self::SdScriptsFlux | Self::SdScriptsSd)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "a plain file",
            Self::ComfyUi | Self::ComfyUiOld => "ComfyUI's",
            Self::SdScripts | Self::SdScriptsFlux | Self::SdScriptsSd => "a cache of sd-scripts",
            Self::Musubi | Self::MusubiRaw => "a cache of musubi-tuner",
            Self::OneTrainer => "a cache of OneTrainer",
        })
    }
}
