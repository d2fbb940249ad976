//! The classes of autoencoders that are run.

use serde::Serialize;

/// A class of diffusers' `models/autoencoders/`, as `_class_name` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Class {
    /// Stable Diffusion's, and that of most models after it.
    AutoencoderKL,
    /// FLUX.2's: the same graph, whose latents are patched and normalized by statistics in the
    /// checkpoint.
    AutoencoderKLFlux2,
    /// TAESD and its kin: a small autoencoder that was trained to make another's latents, scaled.
    AutoencoderTiny,
    /// Stable Diffusion's encoder with a wider decoder, which was trained for inpainting; run without a
    /// mask.
    AsymmetricAutoencoderKL,
    /// Wan's, 2.1 and 2.2, of which one picture is run: a clip of one frame.
    AutoencoderKLWan,
    /// Qwen-Image's: the graph of Wan 2.1.
    AutoencoderKLQwenImage,
    /// Sana's, and the DC-AE mixes: 32 to 128 times smaller a side.
    AutoencoderDC,
    /// HunyuanImage 2.1's: residual blocks as AutoencoderKL's, and squares of pixels as channels.
    AutoencoderKLHunyuanImage,
    /// Qwen-Image 2.1's: the modules of Wan 2.2 with convolutions over one frame, for pictures in RGBA.
    AutoencoderKLQwenImage21,
}

impl Class {
    /// Every class that is run.
    pub const ALL: [Self; 9] = [
        Self::AutoencoderKL,
        Self::AutoencoderKLFlux2,
        Self::AutoencoderTiny,
        Self::AsymmetricAutoencoderKL,
        Self::AutoencoderKLWan,
        Self::AutoencoderKLQwenImage,
        Self::AutoencoderDC,
        Self::AutoencoderKLHunyuanImage,
        Self::AutoencoderKLQwenImage21,
    ];

    /// diffusers' name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AutoencoderKL => "AutoencoderKL",
            Self::AutoencoderKLFlux2 => "AutoencoderKLFlux2",
            Self::AutoencoderTiny => "AutoencoderTiny",
            Self::AsymmetricAutoencoderKL => "AsymmetricAutoencoderKL",
            Self::AutoencoderKLWan => "AutoencoderKLWan",
            Self::AutoencoderKLQwenImage => "AutoencoderKLQwenImage",
            Self::AutoencoderDC => "AutoencoderDC",
            Self::AutoencoderKLHunyuanImage => "AutoencoderKLHunyuanImage",
            Self::AutoencoderKLQwenImage21 => "AutoencoderKLQwenImage21",
        }
    }

    /// Whether it is of Wan's family, whose models are given clips, here of one frame; Qwen-Image 2.1's
    /// takes no others.
    pub fn is_of_clips(self) -> bool {
        let clips =
            [Self::AutoencoderKLWan, Self::AutoencoderKLQwenImage, Self::AutoencoderKLQwenImage21];
        clips.contains(&self)
    }

    /// All names, for messages.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The class that `_class_name` means. Flax checkpoints hold the graph of `AutoencoderKL`.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "FlaxAutoencoderKL" => Some(Self::AutoencoderKL),
            _ => Self::ALL.into_iter().find(|class| class.name() == name),
        }
    }
}
