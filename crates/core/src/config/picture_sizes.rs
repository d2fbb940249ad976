//! What a config says of the sizes of pictures, of their latents and of tiles.

use super::VaeConfig;
use super::autoencoder_kl::SampleSize;

/// The side of the tiles of `AutoencoderTiny` and `AutoencoderDC` in pixels, whose configs say nothing of a size.
const TILE_OF_TINY_AND_DC: usize = 512;

/// The side of the Wan family's tiles in pixels, for the same reason.
const TILE_OF_WAN: usize = 256;

impl VaeConfig {
    /// Side, or (height, width), that the model was made for; sets diffusers' tile size. A class without
    /// such a field has tiles of a size of its own.
    pub fn sample_size(&self) -> SampleSize {
        match self {
            Self::AutoencoderKL(config) => config.sample_size,
            Self::AutoencoderKLFlux2(config) => config.sample_size,
            Self::AutoencoderTiny(_) | Self::AutoencoderDC(_) => {
                SampleSize::Side(TILE_OF_TINY_AND_DC)
            }
            Self::AsymmetricAutoencoderKL(config) => config.sample_size,
            Self::AutoencoderKLHunyuanImage(config) => SampleSize::Side(config.sample_size),
            Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_) => SampleSize::Side(TILE_OF_WAN),
        }
    }

    /// How many times smaller the latents are than the picture, a side, as the model makes them.
    pub fn downsampling(&self) -> usize {
        match self {
            Self::AutoencoderKLWan(config) => config.downsampling(),
            Self::AutoencoderKLQwenImage21(config) => config.as_wan().downsampling(),
            Self::AutoencoderKLHunyuanImage(config) => config.spatial_compression_ratio,
            _ => 1 << (self.block_out_channels().len() - 1),
        }
    }

    /// What the sides of a sample have to be multiples of for diffusers to encode it at all; other classes cut
    /// off the rest, and this is 1.
    pub fn whole_sides(&self) -> usize {
        match self {
            Self::AutoencoderKLWan(config) => config.whole_sides(),
            Self::AutoencoderKLQwenImage21(config) => config.as_wan().whole_sides(),
            // Means are taken of whole squares of pixels, and squares become channels.
            Self::AutoencoderDC(_) | Self::AutoencoderKLHunyuanImage(_) => self.downsampling(),
            _ => 1,
        }
    }

    /// What the sides of a picture have to be multiples of: 8 for the reference script, and what the
    /// patches of latents come to.
    pub fn multiple_of(&self) -> usize {
        match self {
            Self::AutoencoderKL(_)
            | Self::AutoencoderTiny(_)
            | Self::AsymmetricAutoencoderKL(_)
            | Self::AutoencoderKLQwenImage(_) => 8,
            Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage21(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => self.whole_sides().max(8),
            Self::AutoencoderKLFlux2(config) => (self.downsampling() * config.patch_size[0]).max(8),
        }
    }
}
