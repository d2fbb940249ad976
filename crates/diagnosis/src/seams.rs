//! Seams: steps in the difference of two pictures that repeat at one stride.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;
use vae_fidelity_pixels::Rgb8;

pub(super) const TILE_SEAMS: Cause = Cause {
    code: Code::TileSeams,
    severity: Severity::Warning,
    title: "seams where tiles meet",
    meaning: "Tiled decoding lets group norm see one tile at a time: tones step from tile to \
              tile, and lines show at a fixed stride.",
    rule: "Steps in (output - input) across columns or rows at multiples of one stride (a \
           multiple of 8, at least 32) are at least 2.5 times those elsewhere, at two lines or \
           more.",
    remedy: "decode in one piece, or with larger and more overlapping tiles",
    diffusers: "vae.disable_tiling(), or a larger tile_sample_min_size and tile_overlap_factor",
    comfyui: "use VAE Decode; or VAE Decode (Tiled) with larger tile_size and overlap",
    ports: "blend over a quarter of a tile; take group norm's statistics over the whole picture",
    sources: &[
        "comfyanonymous/ComfyUI#163",
        "comfyanonymous/ComfyUI#500",
        "leejet/stable-diffusion.cpp#353",
    ],
    decided_by: &[DecidedBy::DecodedImage],
};

const LEAST_STRIDE: usize = 32;
/// How much stronger than other columns on the latent grid a seam is.
const STRONGER: f64 = 2.5;
/// Lines, of both directions together, that have to show it.
const LINES: usize = 2;

/// `tile-seams` in `theirs`, by its difference to `ours` of the same size.
pub(super) fn seams(ours: &Rgb8, theirs: &Rgb8) -> Option<Finding> {
    let (width, height) = (ours.width(), ours.height());
    let difference = |x: usize, y: usize| -> [f64; 3] {
        let (a, b) = (ours.pixel(x, y), theirs.pixel(x, y));
        std::array::from_fn(|c| f64::from(b[c]) - f64::from(a[c]))
    };
    let step = |a: [f64; 3], b: [f64; 3]| (0..3).map(|c| (a[c] - b[c]).abs()).sum::<f64>() / 3.0;
    let columns: Vec<f64> = (1..width)
        .map(|x| {
            let steps = (0..height).map(|y| step(difference(x, y), difference(x - 1, y)));
            steps.sum::<f64>() / height as f64
        })
        .collect();
    let rows: Vec<f64> = (1..height)
        .map(|y| {
            let steps = (0..width).map(|x| step(difference(x, y), difference(x, y - 1)));
            steps.sum::<f64>() / width as f64
        })
        .collect();
    let longest = width.max(height) / 2;
    let strides = (LEAST_STRIDE..=longest).step_by(8);
    let (stride, ratio, lines) = strides
        .filter_map(|stride| {
            let (on, off) = split(&columns, &rows, stride);
            if on.len() < LINES || off.is_empty() {
                return None;
            }
            // Every line has to stand out, so that one edge of the picture does not make a seam;
            // the shortest stride that does is the stride.
            let weakest = on.iter().copied().fold(f64::INFINITY, f64::min);
            Some((stride, weakest / median(off).max(0.05), on.len()))
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    (ratio >= STRONGER).then(|| {
        Finding::new(&TILE_SEAMS, format!("seams every {stride} pixels, in {lines} lines"))
            .evidence("stride", stride)
            .evidence("lines", lines)
            .evidence("step_over_others", ratio)
    })
}

/// Steps at multiples of `stride`, and at the other multiples of 8: the latent grid shows by
/// itself. Index i is the step between i and i + 1.
fn split(columns: &[f64], rows: &[f64], stride: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut on, mut off) = (Vec::new(), Vec::new());
    for steps in [columns, rows] {
        for (index, &step) in steps.iter().enumerate() {
            match index + 1 {
                at if at % stride == 0 => on.push(step),
                at if at % 8 == 0 => off.push(step),
                _ => {}
            }
        }
    }
    (on, off)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
