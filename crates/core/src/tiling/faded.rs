//! Tiles whose ends fade into each other, each overlapping a quarter of the next: `AutoencoderKL`'s. Those of
//! `AutoencoderDC` overlap an eighth.

use ndarray::{Array4, ArrayView4, Axis, Slice, Zip, concatenate, s};

use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

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

/// `latents` (N, C, h, w) decoded in tiles of `from` latents and `side` pixels, with `mistake` in the
/// arithmetic of tiles; cut off at the size that the picture should have.
pub(super) fn decoded_with(
    mistake: UnitMistake,
    (from, side): (usize, usize),
    latents: ArrayView4<f32>,
    mut decode: impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
) -> Result<Array4<f32>> {
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

/// Tiles before and after the model, in units of what goes in and of what comes out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cuts {
    /// The side of a tile before the model.
    from: usize,
    /// How far apart tiles begin there.
    step: usize,
    /// Over how much the tiles that come out are blended.
    overlap: usize,
    /// How much of each is kept.
    kept: usize,
}

impl Cuts {
    pub fn new(from: usize, to: usize) -> Self {
        Self::overlapping(from, to, 4)
    }

    /// Each overlaps one of so many `parts` of the next.
    pub fn overlapping(from: usize, to: usize, parts: usize) -> Self {
        let step = from - from / parts;
        Self { from, step, overlap: to / parts, kept: to - to / parts }
    }

    /// Every tile through `run`, blended with the one above and then with the one on its left, both
    /// blended before; what the next tile covers is left out.
    pub fn run(
        self,
        input: ArrayView4<f32>,
        dtype: Dtype,
        run: &mut impl FnMut(ArrayView4<f32>) -> Result<Array4<f32>>,
    ) -> Result<Array4<f32>> {
        let (_, _, height, width) = input.dim();
        let (step, overlap) = (self.step, self.overlap);
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

/// Tiles or pictures side by side along `axis`.
pub(super) fn joined(axis: usize, parts: &[Array4<f32>]) -> Result<Array4<f32>> {
    let views: Vec<_> = parts.iter().map(Array4::view).collect();
    concatenate(Axis(axis), &views).map_err(|error| {
        Error::tensor(
            "the tiles of a picture",
            format!("do not fit together: {error}"),
            "report this with the command that shows it",
        )
    })
}
