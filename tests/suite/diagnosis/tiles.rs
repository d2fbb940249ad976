//! Pictures decoded in tiles, without the crate's own tiling: soundly, and as ports get it wrong.

use ndarray::{Array4, ArrayView4, Axis, concatenate, s};
use vae_fidelity::{Result, Vae};

/// Every tile of `side` raw latents by itself, without overlap; `None` for pictures of less than two tiles.
pub fn hard(vae: &dyn Vae, latents: ArrayView4<f32>, side: usize) -> Result<Option<Array4<f32>>> {
    let scale = vae.config().downsampling();
    let (_, _, height, width) = latents.dim();
    if height < 2 * side + 1 || width < 2 * side + 1 {
        return Ok(None);
    }
    let mut whole = Array4::zeros((1, 3, height * scale, width * scale));
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let (bottom, right) = ((top + side).min(height), (left + side).min(width));
            let tile = latents.slice(s![.., .., top..bottom, left..right]).to_owned();
            let tile = vae.decode(tile.view())?;
            let (rows, columns) = (top * scale..bottom * scale, left * scale..right * scale);
            whole.slice_mut(s![.., .., rows, columns]).assign(&tile);
        }
    }
    Ok(Some(whole))
}

/// Tiles of `side` raw latents that overlap by a quarter. `units` turns the overlap in pixels into what is
/// cut from each tile, and into the width of the blend; sound is the overlap, twice.
pub fn overlapping(
    vae: &dyn Vae,
    latents: ArrayView4<f32>,
    side: usize,
    units: fn(usize) -> (usize, usize),
) -> Result<Option<Array4<f32>>> {
    let scale = vae.config().downsampling();
    let (_, _, height, width) = latents.dim();
    if height < 2 * side + 1 || width < 2 * side + 1 {
        return Ok(None);
    }
    let (cut, blend) = units(side * scale / 4);
    let starts = |length: usize| (0..length).step_by(side - side / 4);
    let mut rows: Vec<Vec<Array4<f32>>> = Vec::new();
    for top in starts(height) {
        let mut row: Vec<Array4<f32>> = Vec::new();
        for left in starts(width) {
            let (bottom, right) = ((top + side).min(height), (left + side).min(width));
            let tile = latents.slice(s![.., .., top..bottom, left..right]).to_owned();
            let mut tile = vae.decode(tile.view())?;
            if let Some(above) = rows.last() {
                fade(&above[row.len()], &mut tile, 2, blend);
            }
            if let Some(before) = row.last() {
                fade(before, &mut tile, 3, blend);
            }
            row.push(tile);
        }
        rows.push(row);
    }
    let kept = side * scale - cut;
    let joined = |axis: usize, parts: Vec<Array4<f32>>| {
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        concatenate(Axis(axis), &views).unwrap()
    };
    let row = |tiles: Vec<Array4<f32>>| {
        let cut = |tile: Array4<f32>| {
            let (_, _, height, width) = tile.dim();
            tile.slice(s![.., .., ..height.min(kept), ..width.min(kept)]).to_owned()
        };
        joined(3, tiles.into_iter().map(cut).collect())
    };
    let whole = joined(2, rows.into_iter().map(row).collect());
    Ok(Some(whole.slice(s![.., .., ..height * scale, ..width * scale]).to_owned()))
}

fn fade(from: &Array4<f32>, into: &mut Array4<f32>, axis: usize, over: usize) {
    let over = over.min(from.shape()[axis]).min(into.shape()[axis]);
    for at in 0..over {
        let share = at as f32 / over as f32;
        let old = from.index_axis(Axis(axis), from.shape()[axis] - over + at);
        let mut new = into.index_axis_mut(Axis(axis), at);
        new.zip_mut_with(&old, |new, old| *new = *new * share + old * (1.0 - share));
    }
}
