//! The tiles of Wan's family, which fade into each other as `AutoencoderKL`'s do: `tiled_encode` and
//! `tiled_decode` (`models/autoencoders/autoencoder_kl_wan.py`, `autoencoder_kl_qwenimage.py`,
//! `autoencoder_kl_qwenimage21.py`).
//!
//! Where pixels are patched, a tile of the picture is as many patches wide as one of latents has pixels, and
//! seams are blended before patches become pixels again. Wan and Qwen-Image 2.1 clamp the whole picture,
//! Qwen-Image does not.

use ndarray::{Array4, ArrayView4};

use super::faded::Cuts;
use crate::config::VaeConfig;
use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

/// What a model does to its tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Clips {
    patch: usize,
    clamps: bool,
}

impl Clips {
    /// The rule of `config`; `None` for other classes.
    ///
    /// Fails where the config names another size of latents than the model makes: diffusers' tiles would
    /// not fit together.
    pub fn of(config: &VaeConfig) -> Result<Option<Self>> {
        let clamps = config.clamps(true);
        let of_qwen_image_21;
        let wan = match config {
            VaeConfig::AutoencoderKLQwenImage(_) => return Ok(Some(Self { patch: 1, clamps })),
            VaeConfig::AutoencoderKLWan(wan) => wan,
            VaeConfig::AutoencoderKLQwenImage21(config) => {
                of_qwen_image_21 = config.as_wan();
                &of_qwen_image_21
            }
            _ => return Ok(None),
        };
        let (asked, made) = (wan.scale_factor_spatial, wan.downsampling());
        if asked != made {
            return Err(Error::option(
                "`tiling`",
                format!(
                    "the config's scale_factor_spatial is {asked}, and a latent of this model is {made} \
                     pixels wide, so that diffusers' tiles would not fit together"
                ),
                "leave out `tiling`, or mend the config",
            ));
        }
        Ok(Some(Self { patch: wan.patch(), clamps }))
    }

    /// The tiles of a sample, for tiles of `size` pixels and `latents` that become one.
    pub fn of_sample(self, (size, latents): (usize, usize)) -> Cuts {
        Cuts::new(size * self.patch, latents * self.patch)
    }

    /// The tiles of latents.
    pub fn of_latents(self, (size, latents): (usize, usize)) -> Cuts {
        Cuts::new(latents, size / self.patch)
    }

    /// The picture of what the decoder made of all tiles.
    pub fn finished(self, patches: ArrayView4<f32>) -> Array4<f32> {
        let (n, channels, height, width) = patches.dim();
        let patch = self.patch;
        let shape = (n, channels / (patch * patch), height * patch, width * patch);
        Array4::from_shape_fn(shape, |(image, channel, y, x)| {
            let from = (channel * patch + x % patch) * patch + y % patch;
            let value = patches[[image, from, y / patch, x / patch]];
            if self.clamps { value.clamp(-1.0, 1.0) } else { value }
        })
    }

    /// Every tile of latents through `decode`, and the picture of them.
    pub fn decoded(
        self,
        sides: (usize, usize),
        latents: ArrayView4<f32>,
        dtype: Dtype,
        decode: &mut impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        Ok(self.finished(self.of_latents(sides).run(latents, dtype, decode)?.view()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiling::{Part, Splitting, Tiling};

    fn config(fields: &str) -> VaeConfig {
        VaeConfig::from_json(&format!("{{{fields}}}"), "a test").unwrap()
    }

    fn wan_22() -> VaeConfig {
        let statistics =
            format!(r#""latents_mean": {:?}, "latents_std": {:?}"#, [0.0; 48], [1.0; 48]);
        config(&format!(
            r#""_class_name": "AutoencoderKLWan", "base_dim": 8, "z_dim": 48, "is_residual": true,
               "in_channels": 12, "out_channels": 12, "patch_size": 2,
               "scale_factor_spatial": 16, {statistics}"#
        ))
    }

    #[test]
    fn tiles_of_pixels_are_as_many_patches_wide() {
        let tiling = Tiling::new(&wan_22(), Some(64)).unwrap();
        let splitting = Splitting { tiling: Some(tiling), slicing: false, clip: false };
        assert_eq!((tiling.tile_sample_min_size(), tiling.tile_latent_min_size()), (64, 4));
        let mut sizes = Vec::new();
        let sample = Array4::zeros((1, 3, 128, 160));
        let moments = splitting.moments(sample.view(), Dtype::F32, |part| {
            let (_, _, height, width) = part.dim();
            sizes.push((height, width));
            Ok(Array4::zeros((1, 96, height / 16, width / 16)))
        });
        // 128 pixels a side, 96 from one to the next.
        assert_eq!(sizes, [(128, 128), (128, 64), (32, 128), (32, 64)]);
        assert_eq!(moments.unwrap().dim(), (1, 96, 8, 10));
    }

    #[test]
    fn seams_are_blended_in_patches_and_the_whole_is_clamped() {
        let tiling = Tiling::new(&wan_22(), Some(64)).unwrap();
        let splitting = Splitting { tiling: Some(tiling), slicing: false, clip: false };
        let latents = Array4::zeros((1, 48, 4, 6));
        let mut number = 0.0;
        let decoded = splitting.decoded(latents.view(), Dtype::F32, |tile, part| {
            assert_eq!(part, Part::Tile);
            let (_, _, height, width) = tile.dim();
            number += 0.75;
            Ok(Array4::from_elem((1, 12, height * 8, width * 8), number))
        });
        let decoded = decoded.unwrap();
        assert_eq!(decoded.dim(), (1, 3, 64, 96));
        // The second tile begins at patch 24, and fades in over 8 of them.
        let row: Vec<f32> = [46, 48, 49, 50, 52, 95].map(|x| decoded[[0, 0, 0, x]]).to_vec();
        assert_eq!(row, [0.75, 0.75, 0.75, 0.84375, 0.9375, 1.0]);
        let whole = latents.slice(ndarray::s![.., .., .., ..4]);
        let whole = splitting.decoded(whole, Dtype::F32, |_, part| {
            assert_eq!(part, Part::Whole);
            Ok(Array4::zeros((1, 3, 64, 64)))
        });
        assert_eq!(whole.unwrap().dim(), (1, 3, 64, 64));
    }

    #[test]
    fn qwen_image_2_1_clamps_and_has_latents_of_16_pixels() {
        let qwen = config(r#""_class_name": "AutoencoderKLQwenImage21", "base_dim": 8"#);
        let tiling = Tiling::new(&qwen, None).unwrap();
        assert_eq!((tiling.tile_sample_min_size(), tiling.tile_latent_min_size()), (256, 16));
        let splitting = Splitting { tiling: Some(tiling), slicing: false, clip: false };
        let latents = Array4::zeros((1, 64, 4, 20));
        let decoded = splitting.decoded(latents.view(), Dtype::F32, |tile, part| {
            assert_eq!(part, Part::Tile);
            let (_, _, height, width) = tile.dim();
            Ok(Array4::from_elem((1, 4, height * 16, width * 16), 7.0))
        });
        let decoded = decoded.unwrap();
        assert_eq!((decoded.dim(), decoded[[0, 3, 0, 0]]), ((1, 4, 64, 320), 1.0));
    }

    #[test]
    fn qwen_image_does_not_clamp_its_tiles() {
        let qwen = config(r#""_class_name": "AutoencoderKLQwenImage", "base_dim": 8"#);
        let tiling = Tiling::new(&qwen, None).unwrap();
        assert_eq!(tiling.tile_sample_min_size(), 256);
        let splitting = Splitting { tiling: Some(tiling), slicing: false, clip: false };
        let latents = Array4::zeros((1, 16, 4, 40));
        let decoded = splitting.decoded(latents.view(), Dtype::F32, |tile, _| {
            let (_, _, height, width) = tile.dim();
            Ok(Array4::from_elem((1, 3, height * 8, width * 8), 7.0))
        });
        assert_eq!(decoded.unwrap()[[0, 0, 0, 0]], 7.0);
        let other = r#""_class_name": "AutoencoderKLWan", "scale_factor_spatial": 16"#;
        let error = Tiling::new(&config(other), None).unwrap_err().to_string();
        assert!(error.contains("scale_factor_spatial is 16"), "{error}");
    }
}
