//! diffusers' tiling and slicing (`models/autoencoders/autoencoder_kl.py` and those of other classes): a
//! picture in overlapping tiles whose seams are blended, a batch one picture at a time.
//!
//! Tiles are not the whole: every group norm sees a tile alone, and at its edge each convolution sees
//! zeros, so that results differ from those of the whole picture.

mod faded;
mod clips;
mod masked;

use ndarray::{Array4, ArrayView4, Axis};
use serde::Serialize;

use crate::config::{FRAMES_OF_A_LATENT, SampleSize, VaeConfig};
use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

use clips::Clips;
pub use faded::UnitMistake;
use faded::{Cuts, joined};
use masked::Masked;

/// How tiles are cut: by their side in pixels and in latents. Each overlaps a quarter of the next, and
/// those of `AutoencoderTiny` and `AutoencoderDC` an eighth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tiling {
    tile_sample_min_size: usize,
    tile_latent_min_size: usize,
    #[serde(skip)]
    rule: Rule,
}

/// How tiles are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Rule {
    /// Where a picture is larger than a tile, the end of each fades into the next.
    #[default]
    Faded,
    /// The same, with half the overlap.
    FadedByAnEighth,
    /// As the first, of latents alone ([`Tiling::encodes`]).
    FadedLatents,
    /// Each is laid over those before it by a mask, also where there is but one.
    Masked(Masked),
    /// As the first, around what the class does to a whole picture.
    Clips(Clips),
}

/// What a decoder is given a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Whole pictures.
    Whole,
    /// A tile: wanted is what the decoder makes of it, before the class does anything to the whole
    /// ([`crate::graph::Graph::after_decoder`]).
    Tile,
}

impl Tiling {
    /// Tiles of `tile_size` pixels a side, or of the config's `sample_size`, as `enable_tiling()` has
    /// it. Only larger pictures are cut, but `AutoencoderTiny` cuts all that are larger than 7/8 of one.
    ///
    /// # Errors
    ///
    /// Returns an error unless a quarter of a tile is a whole number of latents, since diffusers' steps
    /// and overlaps would not meet, for a `sample_size` of two numbers, for which diffusers fails, for
    /// an `AutoencoderTiny` that diffusers fails to tile, and for a class that it does not tile at all
    /// ([`VaeConfig::can_be_split`]). One that it decodes alone in tiles is taken ([`Self::encodes`]).
    ///
    /// # Examples
    ///
    /// ```
    /// use vae_fidelity_core::VaeConfig;
    /// use vae_fidelity_core::tiling::Tiling;
    /// let json = r#"{"norm_num_groups": 32, "sample_size": 512}"#;
    /// let config = VaeConfig::from_json(json, "a test").unwrap();
    /// assert_eq!(Tiling::new(&config, None).unwrap().tile_sample_min_size(), 512);
    /// assert!(Tiling::new(&config, Some(30)).is_err());
    /// ```
    pub fn new(config: &VaeConfig, tile_size: Option<usize>) -> Result<Self> {
        check_can_be_split(config, "tiling")?;
        let (subject, size) = match (tile_size, config.sample_size()) {
            (Some(size), _) => ("`tile_size`", size),
            (None, SampleSize::Side(size)) => ("sample_size of the config", size),
            (None, SampleSize::Pair(height, width)) => {
                return Err(Error::option(
                    "`tiling`",
                    format!("the config's sample_size is {height} x {width}, and tiles are square"),
                    "give the side of a tile in pixels with `tile_size`",
                ));
            }
        };
        let downsampling = config.downsampling();
        if let VaeConfig::AutoencoderTiny(config) = config {
            let rule = Rule::Masked(Masked::new(config, subject, size)?);
            let tile_latent_min_size = size / downsampling;
            return Ok(Self { tile_sample_min_size: size, tile_latent_min_size, rule });
        }
        let is_dc = matches!(config, VaeConfig::AutoencoderDC(_));
        let (parts, part) = if is_dc { (8, "an eighth") } else { (4, "a quarter") };
        let step = parts * downsampling;
        if size == 0 || !size.is_multiple_of(step) {
            return Err(Error::option(
                subject,
                format!("expected a multiple of {step} pixels, found {size}"),
                format!(
                    "name another with `tile_size`: this model's latents are {downsampling} pixels \
                     wide, and tiles overlap by {part}"
                ),
            ));
        }
        let tile_latent_min_size = size / downsampling;
        let rule = match (config, Clips::of(config)?) {
            (_, Some(clips)) => Rule::Clips(clips),
            (VaeConfig::AutoencoderDC(_), None) => Rule::FadedByAnEighth,
            (VaeConfig::AutoencoderKLHunyuanImage(_), None) => Rule::FadedLatents,
            _ => Rule::Faded,
        };
        Ok(Self { tile_sample_min_size: size, tile_latent_min_size, rule })
    }

    /// Whether the end of each tile fades into the next, which is where the units of tiles are got wrong.
    pub fn is_faded(self) -> bool {
        matches!(self.rule, Rule::Faded | Rule::FadedLatents)
    }

    /// Whether pictures are encoded in tiles, too. `AutoencoderKLHunyuanImage` encodes them whole, since diffusers'
    /// fails to do it in tiles: its `tiled_encode` expects clips (N, C, T, H, W).
    pub fn encodes(self) -> bool {
        self.rule != Rule::FadedLatents
    }

    /// Whether tiles are laid over each other by masks, also where there is but one.
    fn is_masked(self) -> bool {
        matches!(self.rule, Rule::Masked(_))
    }

    /// The side of a tile in pixels and in latents.
    fn sides(self) -> (usize, usize) {
        (self.tile_sample_min_size, self.tile_latent_min_size)
    }

    /// As [`Splitting::decoded`] in f32, with `mistake` in the arithmetic of tiles that fade; cut off at
    /// the size that the picture should have.
    pub fn decoded_with(
        self,
        mistake: UnitMistake,
        latents: ArrayView4<f32>,
        decode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let sides = (self.tile_latent_min_size, self.tile_sample_min_size);
        faded::decoded_with(mistake, sides, latents, decode)
    }

    /// The side of a tile in pixels.
    pub fn tile_sample_min_size(self) -> usize {
        self.tile_sample_min_size
    }

    /// The side of a tile in latents.
    pub fn tile_latent_min_size(self) -> usize {
        self.tile_latent_min_size
    }
}

/// How the work on one input is split: not at all, by tiles, by pictures of a batch, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Splitting {
    /// As after diffusers' `enable_tiling()`.
    pub tiling: Option<Tiling>,
    /// As after diffusers' `enable_slicing()`: one picture of a batch at a time.
    pub slicing: bool,
    /// Whether what is given are the frames of one clip, in place of a batch of pictures: (T, 3, H, W), and
    /// (T', C, h, w) of latents.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "schema", schemars(default))]
    pub clip: bool,
}

/// Fails for a class whose `enable_tiling()` and `enable_slicing()` fail in diffusers; `option` is the one
/// that was asked for.
fn check_can_be_split(config: &VaeConfig, option: &str) -> Result<()> {
    match config.can_be_split() {
        true => Ok(()),
        false => Err(Error::option(
            format!("`{option}`"),
            format!("diffusers has no {option} for {}", config.class().name()),
            "leave it out; the fast engine keeps to less memory with `max_memory`",
        )),
    }
}

impl Splitting {
    /// By tiles of `tile_size` as [`Tiling::new`] takes it, where that is given, and by pictures of a batch
    /// where `slicing` is set.
    ///
    /// # Errors
    ///
    /// As [`Tiling::new`], and for slicing of a class that diffusers does not slice
    /// ([`VaeConfig::can_be_split`]).
    pub fn new(
        config: &VaeConfig,
        tile_size: Option<Option<usize>>,
        slicing: bool,
    ) -> Result<Self> {
        if slicing {
            check_can_be_split(config, "slicing")?;
        }
        let tiling = tile_size.map(|size| Tiling::new(config, size)).transpose()?;
        Ok(Self { tiling, slicing, clip: false })
    }

    /// The same for the frames of one clip.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`ErrorKind::Unsupported`] for a class of which no clips are run
    /// ([`VaeConfig::check_runs_clips`]).
    ///
    /// [`ErrorKind::Unsupported`]: vae_fidelity_files::error::ErrorKind::Unsupported
    pub fn of_clip(self, config: &VaeConfig) -> Result<Self> {
        config.check_runs_clips()?;
        Ok(Self { clip: true, ..self })
    }

    /// How many frames `input` has, where it is a clip.
    pub fn frames_of(&self, input: &ArrayView4<f32>) -> Option<usize> {
        self.clip.then(|| input.dim().0)
    }

    /// Fails for a clip `sample` (T, 3, H, W) whose last frames diffusers would leave out.
    ///
    /// # Errors
    ///
    /// Returns an error unless T is one more than a multiple of four.
    pub fn check_sample(&self, sample: &ArrayView4<f32>) -> Result<()> {
        match self.frames_of(sample) {
            Some(frames) if frames % FRAMES_OF_A_LATENT != 1 => Err(Error::tensor(
                "sample",
                format!(
                    "expected one frame more than a multiple of {FRAMES_OF_A_LATENT}, found {frames}; \
                     diffusers leaves the last {} out without a word",
                    (frames + FRAMES_OF_A_LATENT - 1) % FRAMES_OF_A_LATENT
                ),
                "cut the clip to 1, 5, 9, 13, ... frames",
            )),
            _ => Ok(()),
        }
    }

    /// Whether `sample` (N, 3, H, W) is encoded in parts.
    pub fn splits_sample(&self, sample: &ArrayView4<f32>) -> bool {
        let tiling = self.tiling.filter(|tiling| tiling.encodes());
        Self { tiling, ..*self }.splits(sample, |tiling| tiling.tile_sample_min_size)
    }

    /// Whether `latents` (N, C, h, w) are decoded in parts.
    pub fn splits_latents(&self, latents: &ArrayView4<f32>) -> bool {
        self.splits(latents, |tiling| tiling.tile_latent_min_size)
    }

    fn splits(&self, input: &ArrayView4<f32>, side: impl Fn(Tiling) -> usize) -> bool {
        let (n, _, height, width) = input.dim();
        let larger =
            |tiling: Tiling| tiling.is_masked() || height > side(tiling) || width > side(tiling);
        self.tiling.is_some_and(larger) || (self.slicing && !self.clip && n > 1)
    }

    /// Moments (N, 2C, h, w) of `sample` (N, 3, H, W), of which `encode` is given the parts; blending
    /// rounds to `dtype` as the model does.
    pub fn moments(
        &self,
        sample: ArrayView4<f32>,
        dtype: Dtype,
        mut encode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let tiling = self.tiling.filter(|tiling| tiling.encodes());
        let tiles = match tiling {
            None | Some(Tiling { rule: Rule::FadedLatents, .. }) => None,
            Some(Tiling { rule: Rule::Masked(rule), tile_sample_min_size, .. }) => {
                Some(Tiles::Masked(rule.of_sample(tile_sample_min_size, sample, dtype)?))
            }
            Some(tiling @ Tiling { rule: Rule::Faded, .. }) => {
                let (from, to) = tiling.sides();
                Some(Tiles::Faded(Cuts::new(from, to)))
            }
            Some(tiling @ Tiling { rule: Rule::FadedByAnEighth, .. }) => {
                let (from, to) = tiling.sides();
                Some(Tiles::Faded(Cuts::overlapping(from, to, 8)))
            }
            Some(tiling @ Tiling { rule: Rule::Clips(rule), .. }) => {
                Some(Tiles::Faded(rule.of_sample(tiling.sides())))
            }
        };
        let tiling = tiling.map(|tiling| (tiling, tiling.tile_sample_min_size));
        self.run(sample, tiles.zip(tiling), dtype, |part, _| encode(part))
    }

    /// Decoded sample (N, 3, h * f, w * f) of unscaled `latents` (N, C, h, w), of which `decode` is
    /// given the parts, and whether they are tiles; blending rounds to `dtype` as the model does.
    pub fn decoded(
        &self,
        latents: ArrayView4<f32>,
        dtype: Dtype,
        decode: impl FnMut(ArrayView4<f32>, Part) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let tiles = self.tiling.map(|tiling| {
            let (to, from) = tiling.sides();
            let tiles = match tiling.rule {
                Rule::Masked(rule) => Tiles::Masked(rule.of_latents(from)),
                Rule::Faded | Rule::FadedLatents => Tiles::Faded(Cuts::new(from, to)),
                Rule::FadedByAnEighth => Tiles::Faded(Cuts::overlapping(from, to, 8)),
                Rule::Clips(rule) => Tiles::Clips(rule, (to, from)),
            };
            (tiles, (tiling, from))
        });
        self.run(latents, tiles, dtype, decode)
    }

    fn run(
        &self,
        input: ArrayView4<f32>,
        tiles: Option<(Tiles, (Tiling, usize))>,
        dtype: Dtype,
        mut run: impl FnMut(ArrayView4<f32>, Part) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let mut whole_or_tiles = |input: ArrayView4<f32>| {
            let (_, _, height, width) = input.dim();
            let is_cut = |(tiling, side): (Tiling, usize)| {
                tiling.is_masked() || height > side || width > side
            };
            let mut tile = |part: ArrayView4<f32>| run(part, Part::Tile);
            match tiles {
                Some((tiles, tiling)) if is_cut(tiling) => match tiles {
                    Tiles::Faded(cuts) => cuts.run(input, dtype, &mut tile),
                    Tiles::Clips(rule, sides) => rule.decoded(sides, input, dtype, &mut tile),
                    Tiles::Masked(masks) => masks.run(input, &mut tile),
                },
                _ => run(input, Part::Whole),
            }
        };
        if self.slicing && !self.clip && input.dim().0 > 1 {
            let slices = input.axis_chunks_iter(Axis(0), 1).map(whole_or_tiles);
            return joined(0, &slices.collect::<Result<Vec<_>>>()?);
        }
        whole_or_tiles(input)
    }
}

/// What is done with the tiles of one input.
#[derive(Debug, Clone, Copy)]
enum Tiles {
    Faded(Cuts),
    Masked(masked::Masks),
    /// Of latents, with the sides of a tile in pixels and in latents.
    Clips(Clips, (usize, usize)),
}

#[cfg(test)]
mod tests;
