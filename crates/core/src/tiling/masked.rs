//! Tiles that are laid over each other by masks which rise over an eighth of a tile: `AutoencoderTiny`'s
//! `_tiled_encode` and `_tiled_decode` (`models/autoencoders/autoencoder_tiny.py`).
//!
//! diffusers' sums are in f32 whatever the model's dtype, and the whole picture begins as zeros.

use ndarray::{Array4, ArrayView4, Zip, s};

use crate::config::AutoencoderTinyConfig;
use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// How many times smaller latents are than pixels, a side: `2 ** out_channels` in diffusers, which so
/// holds for pictures of three channels and an encoder of four levels.
const SMALLER: usize = 8;

/// A tile is a multiple of this in pixels, so that an eighth of it is a whole number of latents, and more
/// than that, so that a mask has two values or more.
const STEP: usize = 64;

/// Channels of the latents that `_tiled_encode` makes room for.
const LATENT_CHANNELS: usize = 4;

/// A model that diffusers tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masked {
    latent_channels: usize,
}

/// The tiles of one input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masks {
    /// The side of a tile before the model, and how far the next one is.
    from: usize,
    step: usize,
    /// Over how much a mask rises behind the model.
    rise: usize,
    /// What a side is multiplied by, and then divided by.
    scale: (usize, usize),
}

impl Masked {
    /// Tiles of `size` pixels; `subject` says in errors where the number is from.
    pub fn new(config: &AutoencoderTinyConfig, subject: &str, size: usize) -> Result<Self> {
        let downsampling = config.downsampling();
        if (downsampling, config.out_channels) != (SMALLER, 3) {
            return Err(Error::new(
                ErrorKind::Option,
                "`tiling`",
                format!(
                    "diffusers tiles an AutoencoderTiny as if latents were 2^out_channels times \
                     smaller than the picture: 2^{} here, and they are {downsampling} times smaller",
                    config.out_channels
                ),
                "leave out `tiling`, as diffusers fails at it too",
            ));
        }
        if size <= STEP || !size.is_multiple_of(STEP) {
            return Err(Error::option(
                subject,
                format!("expected a multiple of {STEP} pixels from {}, found {size}", 2 * STEP),
                "name another with `tile_size`: tiles overlap by an eighth, over two latents or more",
            ));
        }
        Ok(Self { latent_channels: config.latent_channels })
    }

    /// The tiles of `sample` (N, 3, H, W), of `size` pixels.
    ///
    /// Fails where diffusers does.
    pub fn of_sample(self, size: usize, sample: ArrayView4<f32>, dtype: Dtype) -> Result<Masks> {
        let refused = |problem: String, next: &str| {
            Err(Error::new(ErrorKind::Unsupported, "`tiling` of AutoencoderTiny", problem, next))
        };
        if self.latent_channels != LATENT_CHANNELS {
            let problem = format!(
                "diffusers encodes in tiles to {LATENT_CHANNELS} channels alone, and fails for the {} \
                 of this model",
                self.latent_channels
            );
            return refused(problem, "leave out `tiling`; `decode` takes it for such latents");
        }
        if dtype != Dtype::F32 {
            let problem = format!(
                "diffusers' tiles give latents in f32, which its decoder does not take in {dtype}"
            );
            return refused(problem, "leave out `tiling`, or use `dtype` f32");
        }
        let (_, _, height, width) = sample.dim();
        if !height.is_multiple_of(SMALLER) || !width.is_multiple_of(SMALLER) {
            let problem = format!(
                "diffusers' tiles of {width} x {height} pixels do not fit together: sides have to be \
                 multiples of {SMALLER}"
            );
            return refused(problem, "resize the picture");
        }
        Ok(Masks::new(size, size / 8, (1, SMALLER)))
    }

    /// The tiles of latents, of `size` latents.
    pub fn of_latents(self, size: usize) -> Masks {
        Masks::new(size, size / 8, (SMALLER, 1))
    }
}

impl Masks {
    fn new(from: usize, overlap: usize, scale: (usize, usize)) -> Self {
        let rise = overlap * scale.0 / scale.1;
        Self { from, step: from - overlap, rise, scale }
    }

    /// Every tile through `run`, laid over what is there.
    pub fn run(
        self,
        input: ArrayView4<f32>,
        run: &mut impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let (n, _, height, width) = input.dim();
        let scaled = |side: usize| side * self.scale.0 / self.scale.1;
        let mut whole: Option<Array4<f32>> = None;
        for top in (0..height).step_by(self.step) {
            for left in (0..width).step_by(self.step) {
                let (bottom, right) =
                    ((top + self.from).min(height), (left + self.from).min(width));
                let tile = run(input.slice(s![.., .., top..bottom, left..right]))?;
                let channels = tile.dim().1;
                let whole = whole.get_or_insert_with(|| {
                    Array4::zeros((n, channels, scaled(height), scaled(width)))
                });
                let place = s![.., .., scaled(top)..scaled(bottom), scaled(left)..scaled(right)];
                let mut place = whole.slice_mut(place);
                if place.dim() != tile.dim() {
                    return Err(Error::tensor(
                        "a tile of the picture",
                        format!("expected {:?}, found {:?}", place.dim(), tile.dim()),
                        "report this with the command that shows it",
                    ));
                }
                Zip::indexed(&mut place).and(&tile).for_each(|(_, _, y, x), place, &tile| {
                    let mask = self.mask(top, y) * self.mask(left, x);
                    *place = mask * tile + (1.0 - mask) * *place;
                });
            }
        }
        whole.ok_or_else(|| {
            let next = "pass a picture of one pixel or more";
            Error::tensor("the tiles of a picture", "there are none", next)
        })
    }

    /// How much of a tile that begins at `start` counts, `at` values behind that; all of the first.
    fn mask(self, start: usize, at: usize) -> f32 {
        if start == 0 { 1.0 } else { (at as f32 / (self.rise as f32 - 1.0)).clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VaeConfig;
    use crate::tiling::{Splitting, Tiling};

    fn config(fields: &str) -> VaeConfig {
        let text = format!(r#"{{"_class_name": "AutoencoderTiny"{fields}}}"#);
        VaeConfig::from_json(&text, "a test").unwrap()
    }

    fn splitting(tile_size: usize) -> Splitting {
        let tiling = Tiling::new(&config(""), Some(tile_size)).unwrap();
        Splitting { tiling: Some(tiling), slicing: false, clip: false }
    }

    #[test]
    fn each_tile_rises_over_an_eighth_of_those_before_it() {
        let mut number = 0.0;
        let decoded = splitting(128).decoded(Array4::zeros((1, 4, 16, 30)).view(), Dtype::F32, {
            |tile, _| {
                number += 1.0;
                Ok(Array4::from_elem((1, 3, 8 * tile.dim().2, 8 * tile.dim().3), number))
            }
        });
        // Tiles of 16 latents at 0, 14 and 28; above and, from row 14, below.
        let decoded = decoded.unwrap();
        assert_eq!((decoded.dim(), number), ((1, 3, 128, 240), 6.0));
        let row: Vec<f32> = decoded.slice(s![0, 0, 0, 110..130]).to_vec();
        assert_eq!((row[1], row[2], row[17], row[19]), (1.0, 1.0, 2.0, 2.0));
        assert_eq!(row[3], (1.0 / 15.0) * 2.0 + (1.0 - 1.0 / 15.0) * 1.0);
    }

    #[test]
    fn what_diffusers_fails_at_is_refused_by_name() {
        for (fields, tile_size, expected) in [
            ("", Some(64), "multiple of 64 pixels from 128"),
            ("", Some(130), "multiple of 64"),
            (r#", "out_channels": 4"#, None, "2^4 here, and they are 8 times smaller"),
        ] {
            let error = Tiling::new(&config(fields), tile_size).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let sample = Array4::zeros((1, 3, 20, 16));
        let encoded = |fields: &str, dtype: Dtype, sample: ArrayView4<f32>| {
            let tiling = Tiling::new(&config(fields), None).unwrap();
            let splitting = Splitting { tiling: Some(tiling), slicing: false, clip: false };
            assert!(splitting.splits_sample(&sample), "also where there is one tile");
            splitting.moments(sample, dtype, |_| panic!()).unwrap_err().to_string()
        };
        let even = sample.slice(s![.., .., ..16, ..]);
        assert!(encoded(r#", "latent_channels": 16"#, Dtype::F32, even).contains("the 16 of"));
        assert!(encoded("", Dtype::F16, even).contains("does not take in f16"));
        assert!(encoded("", Dtype::F32, sample.view()).contains("16 x 20 pixels"));
    }
}
