//! diffusers' tiling and slicing (`models/autoencoders/autoencoder_kl.py`): a large picture in
//! overlapping tiles whose seams are blended, a batch one picture at a time.
//!
//! Tiles are not the whole: every group norm sees a tile alone, so that results differ from those of
//! the whole picture.

use ndarray::{Array4, ArrayView4, Axis, Slice, Zip, concatenate, s};
use serde::Serialize;

use crate::config::{SampleSize, VaeConfig};
use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

/// How tiles are cut: by their side in pixels and in latents, each overlapping a quarter of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tiling {
    tile_sample_min_size: usize,
    tile_latent_min_size: usize,
}

impl Tiling {
    /// Tiles of `tile_size` pixels a side, or of the config's `sample_size`, as `enable_tiling()` has
    /// it. Only larger pictures are cut.
    ///
    /// # Errors
    ///
    /// Returns an error unless a quarter of a tile is a whole number of latents, since diffusers' steps
    /// and overlaps would not meet, and for a `sample_size` of two numbers, for which diffusers fails.
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
        let step = 4 * downsampling;
        if size == 0 || !size.is_multiple_of(step) {
            return Err(Error::option(
                subject,
                format!("expected a multiple of {step} pixels, found {size}"),
                format!(
                    "name another with `tile_size`: this model's latents are {downsampling} pixels \
                     wide, and tiles overlap by a quarter"
                ),
            ));
        }
        Ok(Self { tile_sample_min_size: size, tile_latent_min_size: size / downsampling })
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

/// Ways in which decoders get the units of tiles wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitMistake {
    /// Pixels are blended over as many as the overlap has latents.
    BlendInLatents,
    /// The same, and as much less is left out of each tile, so that parts of the picture come twice.
    KeepInLatents,
    /// The overlap in pixels is multiplied once more by what a latent covers.
    BlendTooWide,
}

impl UnitMistake {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::BlendInLatents, Self::KeepInLatents, Self::BlendTooWide];
}

impl Tiling {
    /// As [`Splitting::decoded`] in f32, with `mistake` in the arithmetic of tiles; cut off at the size
    /// that the picture should have.
    pub fn decoded_with(
        self,
        mistake: UnitMistake,
        latents: ArrayView4<f32>,
        mut decode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let Self { tile_sample_min_size: side, tile_latent_min_size: from } = self;
        let cuts = Cuts::new(from, side);
        let cuts = match mistake {
            UnitMistake::BlendInLatents => Cuts { overlap: from / 4, ..cuts },
            UnitMistake::KeepInLatents => Cuts { overlap: from / 4, kept: side - from / 4, ..cuts },
            UnitMistake::BlendTooWide => Cuts { overlap: cuts.overlap * (side / from), ..cuts },
        };
        let mut decoded = cuts.run(latents, Dtype::F32, &mut decode)?;
        let (_, _, height, width) = latents.dim();
        for (axis, latents) in [(Axis(2), height), (Axis(3), width)] {
            let right = Slice::from(..(latents * (side / from)) as isize);
            decoded.slice_axis_inplace(axis, within(right, decoded.len_of(axis)));
        }
        Ok(decoded)
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
}

impl Splitting {
    /// Whether `sample` (N, 3, H, W) is encoded in parts.
    pub fn splits_sample(&self, sample: &ArrayView4<f32>) -> bool {
        self.splits(sample, |tiling| tiling.tile_sample_min_size)
    }

    /// Whether `latents` (N, C, h, w) are decoded in parts.
    pub fn splits_latents(&self, latents: &ArrayView4<f32>) -> bool {
        self.splits(latents, |tiling| tiling.tile_latent_min_size)
    }

    fn splits(&self, input: &ArrayView4<f32>, side: impl Fn(Tiling) -> usize) -> bool {
        let (n, _, height, width) = input.dim();
        let larger = |tiling| height > side(tiling) || width > side(tiling);
        self.tiling.is_some_and(larger) || (self.slicing && n > 1)
    }

    /// Moments (N, 2C, h, w) of `sample` (N, 3, H, W), of which `encode` is given the parts; blending
    /// rounds to `dtype` as the model does.
    pub fn moments(
        &self,
        sample: ArrayView4<f32>,
        dtype: Dtype,
        encode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let cuts = self.tiling.map(|Tiling { tile_sample_min_size, tile_latent_min_size }| {
            Cuts::new(tile_sample_min_size, tile_latent_min_size)
        });
        self.run(sample, cuts, dtype, encode)
    }

    /// Decoded sample (N, 3, h * f, w * f) of unscaled `latents` (N, C, h, w), of which `decode` is
    /// given the parts; blending rounds to `dtype` as the model does.
    pub fn decoded(
        &self,
        latents: ArrayView4<f32>,
        dtype: Dtype,
        decode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let cuts = self.tiling.map(|Tiling { tile_sample_min_size, tile_latent_min_size }| {
            Cuts::new(tile_latent_min_size, tile_sample_min_size)
        });
        self.run(latents, cuts, dtype, decode)
    }

    fn run(
        &self,
        input: ArrayView4<f32>,
        cuts: Option<Cuts>,
        dtype: Dtype,
        mut run: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let mut whole_or_tiles = |input: ArrayView4<f32>| {
            let (_, _, height, width) = input.dim();
            match cuts {
                Some(cuts) if height > cuts.from || width > cuts.from => {
                    cuts.run(input, dtype, &mut run)
                }
                _ => run(input),
            }
        };
        if self.slicing && input.dim().0 > 1 {
            let slices = input.axis_chunks_iter(Axis(0), 1).map(whole_or_tiles);
            return joined(0, &slices.collect::<Result<Vec<_>>>()?);
        }
        whole_or_tiles(input)
    }
}

/// Tiles before and after the model, in units of what goes in and of what comes out.
#[derive(Debug, Clone, Copy)]
struct Cuts {
    /// The side of a tile before the model.
    from: usize,
    /// Over how much the tiles that come out are blended.
    overlap: usize,
    /// How much of each is kept.
    kept: usize,
}

impl Cuts {
    fn new(from: usize, to: usize) -> Self {
        Self { from, overlap: to / 4, kept: to - to / 4 }
    }

    /// Every tile through `run`, blended with the one above and then with the one on its left, both
    /// blended before; what the next tile covers is left out.
    fn run(
        self,
        input: ArrayView4<f32>,
        dtype: Dtype,
        run: &mut impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let (_, _, height, width) = input.dim();
        let (step, overlap) = (self.from / 4 * 3, self.overlap);
        let kept = |tile: &Array4<f32>| {
            let kept = Slice::from(..self.kept as isize);
            let mut tile = tile.view();
            for axis in [Axis(2), Axis(3)] {
                tile.slice_axis_inplace(axis, within(kept, tile.len_of(axis)));
            }
            tile.to_owned()
        };
        let mut rows = Vec::new();
        let mut above: Vec<Array4<f32>> = Vec::new();
        for top in (0..height).step_by(step) {
            let mut row: Vec<Array4<f32>> = Vec::new();
            for (column, left) in (0..width).step_by(step).enumerate() {
                let (bottom, right) =
                    ((top + self.from).min(height), (left + self.from).min(width));
                let mut tile = run(input.slice(s![.., .., top..bottom, left..right]))?;
                if let Some(above) = above.get(column) {
                    blend(above, &mut tile, Axis(2), overlap, dtype);
                }
                if let Some(before) = row.last() {
                    blend(before, &mut tile, Axis(3), overlap, dtype);
                }
                row.push(tile);
            }
            rows.push(joined(3, &row.iter().map(kept).collect::<Vec<_>>())?);
            above = row;
        }
        joined(2, &rows)
    }
}

fn within(slice: Slice, length: usize) -> Slice {
    let end = slice.end.map(|end| end.min(length as isize));
    Slice { end, ..slice }
}

/// Fades from the end of `before` into the beginning of `tile` over `overlap` along `axis`.
fn blend(before: &Array4<f32>, tile: &mut Array4<f32>, axis: Axis, overlap: usize, dtype: Dtype) {
    let end = before.len_of(axis);
    let overlap = overlap.min(end).min(tile.len_of(axis));
    for at in 0..overlap {
        // Python's floats, which torch rounds to f32 before it multiplies.
        let ratio = at as f64 / overlap as f64;
        let (old, new) = ((1.0 - ratio) as f32, ratio as f32);
        let before = before.index_axis(axis, end - overlap + at);
        Zip::from(tile.index_axis_mut(axis, at)).and(before).for_each(|tile, &before| {
            *tile = dtype.round(dtype.round(before * old) + dtype.round(*tile * new));
        });
    }
}

fn joined(axis: usize, parts: &[Array4<f32>]) -> Result<Array4<f32>> {
    let views: Vec<_> = parts.iter().map(Array4::view).collect();
    concatenate(Axis(axis), &views).map_err(|error| {
        Error::tensor(
            "the tiles of a picture",
            format!("do not fit together: {error}"),
            "report this with the command that shows it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(sample_size: &str) -> VaeConfig {
        let four = |name| format!("[\"{name}\", \"{name}\"]");
        let json = format!(
            r#"{{"down_block_types": {}, "up_block_types": {}, "block_out_channels": [32, 32],
                "sample_size": {sample_size}}}"#,
            four("DownEncoderBlock2D"),
            four("UpDecoderBlock2D"),
        );
        VaeConfig::from_json(&json, "a test").unwrap()
    }

    fn counting(shape: (usize, usize, usize, usize)) -> Array4<f32> {
        let count = shape.0 * shape.1 * shape.2 * shape.3;
        Array4::from_shape_vec(shape, (0..count).map(|i| i as f32).collect()).unwrap()
    }

    /// Half a picture a side, like a model without weights.
    fn halved(part: ArrayView4<f32>) -> Result<Array4<f32>> {
        Ok(part.slice(s![.., .., ..;2, ..;2]).to_owned())
    }

    #[test]
    fn tiles_of_what_looks_at_single_pixels_give_the_whole() {
        let tiling = Some(Tiling::new(&config("16"), None).unwrap());
        let splitting = Splitting { tiling, slicing: false };
        for (height, width) in [(16, 16), (18, 16), (24, 40), (26, 50), (14, 34)] {
            let sample = counting((1, 2, height, width));
            let mut parts = 0;
            let moments = splitting.moments(sample.view(), Dtype::F32, |part| {
                parts += 1;
                halved(part)
            });
            assert_eq!(moments.unwrap(), halved(sample.view()).unwrap(), "{height} x {width}");
            let tiled = height.max(width) > 16;
            assert_eq!(splitting.splits_sample(&sample.view()), tiled);
            assert_eq!(parts, if tiled { height.div_ceil(12) * width.div_ceil(12) } else { 1 });
        }
    }

    #[test]
    fn seams_fade_from_one_tile_into_the_next() {
        let tiling = Some(Tiling::new(&config("16"), None).unwrap());
        let splitting = Splitting { tiling, slicing: false };
        let mut number = 0.0;
        let decoded = splitting.decoded(Array4::zeros((1, 1, 8, 12)).view(), Dtype::F32, |tile| {
            number += 1.0;
            Ok(Array4::from_elem((1, 1, 2 * tile.dim().2, 2 * tile.dim().3), number))
        });
        // Tiles 1 and 2 above, 3 and 4 below; all are 16 wide, and 12 of them are kept.
        let decoded = decoded.unwrap();
        assert_eq!(decoded.dim(), (1, 1, 16, 24));
        let row: Vec<f32> = decoded.slice(s![0, 0, 0, 10..18]).to_vec();
        assert_eq!(row, [1.0, 1.0, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0]);
        let column: Vec<f32> = decoded.slice(s![0, 0, 10..16, 0]).to_vec();
        assert_eq!(column, [1.0, 1.0, 1.0, 1.5, 2.0, 2.5]);
    }

    #[test]
    fn slices_are_single_pictures_and_come_back_in_order() {
        let sample = counting((3, 1, 4, 4));
        let run = |splitting: Splitting| {
            let mut sizes = Vec::new();
            let joined = splitting.decoded(sample.view(), Dtype::F32, |part| {
                sizes.push(part.dim().0);
                Ok(part.to_owned())
            });
            assert_eq!(joined.unwrap(), sample);
            sizes
        };
        assert_eq!(run(Splitting { tiling: None, slicing: true }), [1, 1, 1]);
        assert_eq!(run(Splitting::default()), [3]);
    }

    #[test]
    fn sizes_that_do_not_meet_are_refused() {
        assert!(Tiling::new(&config("16"), Some(8)).is_ok());
        for (config, size) in [("16", Some(12)), ("16", Some(0)), ("12", None), ("[16, 16]", None)]
        {
            let error = Tiling::new(&self::config(config), size).unwrap_err();
            assert!(error.next().contains("`tile_size`"), "{error:?}");
        }
        assert!(Tiling::new(&config("[16, 16]"), Some(16)).is_ok());
    }
}
