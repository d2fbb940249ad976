//! A preview in place of the decoded picture: latents mapped to colours, one for each block.

use ndarray::Array4;

use super::super::codes::{Cause, Code};
use super::super::decided_by::DecidedBy;
use super::super::finding::Finding;
use super::super::fit::regression;
use super::super::severity::Severity;
use super::search::pixels;
use vae_fidelity_pixels::Rgb8;

pub(in super::super) const PREVIEW_DECODER: Cause = Cause {
    code: Code::PreviewDecoder,
    severity: Severity::Error,
    title: "a preview was kept in place of the decoded picture",
    meaning: "While they sample, programs show a cheap preview: a linear map from latent channels to \
              colours, enlarged. It has no detail within the blocks of the VAE.",
    rule: "Your picture has less than half of the reference's detail within blocks of one latent, \
           its blocks are not the reference's means, and a linear map from the latents gives at \
           least 95 % of what they vary by, and your picture better than the reference blurred does.",
    remedy: "decode the final latents with the VAE, and save that",
    diffusers: "vae.decode(latents / scaling_factor), not a latents-to-RGB callback",
    comfyui: "save what VAE Decode gives, not the sampler's preview",
    ports: "run the decoder; a matrix of latent_channels x 3 is a preview",
    sources: &["lllyasviel/stable-diffusion-webui-forge#1846"],
    decided_by: &[DecidedBy::DecodedImage],
};

/// Levels of detail within blocks that a picture has to have to lose any.
const DETAIL: f64 = 3.0;
const FLAT: f64 = 0.5;
const EXPLAINED: f64 = 0.95;
/// RMS in levels by which blocks have to differ from the reference's.
const OTHER: f64 = 4.0;

/// `preview-decoder`, from raw latents (1, C, h, w) and pictures a whole number of times as large, where
/// a preview leaves less than `rival_rms_levels`.
pub(super) fn preview(
    latents: &Array4<f32>,
    ours: &Rgb8,
    theirs: &Rgb8,
    rival_rms_levels: f64,
) -> Option<Finding> {
    let (_, channels, height, width) = latents.dim();
    let side = ours.width() / width.max(1);
    let places = height * width;
    if side < 2
        || (side * width, side * height) != (ours.width(), ours.height())
        || places < 4 * (channels + 1)
    {
        return None;
    }
    let (mine, yours) = (Blocks::of(ours, side), Blocks::of(theirs, side));
    let smooth = yours.smooth_detail.min(yours.detail);
    let moved = (mine.means.iter().flatten().zip(yours.means.iter().flatten()))
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f64>();
    let moved = (moved / (3 * places) as f64).sqrt();
    if mine.detail < DETAIL || smooth > FLAT * mine.detail || moved < OTHER {
        return None;
    }
    let (mut left, mut spread, mut fitted) = (0.0, 0.0, 0);
    for colour in 0..3 {
        // What the map makes of the others is clamped to 8 bits.
        let open = (0..places).filter(|&i| (1.0..=254.0).contains(&yours.means[i][colour]));
        let rows: Vec<(Vec<f64>, f64)> = open
            .map(|i| {
                let z = |c: usize| f64::from(latents[[0, c, i / width, i % width]]);
                let values = (0..channels).map(z).chain([1.0]).collect();
                (values, yours.means[i][colour])
            })
            .collect();
        if rows.len() < 4 * (channels + 1) {
            continue;
        }
        let (squares, variance) = regression(&rows)?;
        left += squares;
        spread += variance;
        fitted += rows.len();
    }
    if fitted == 0 {
        return None;
    }
    let explained = 1.0 - left / spread;
    let left_rms_levels = (smooth.powi(2) + left / fitted as f64).sqrt();
    (explained >= EXPLAINED && left_rms_levels < rival_rms_levels).then(|| {
        let title = format!(
            "your picture is a preview: one colour for each {side} x {side} pixels, from a linear map of the latents"
        );
        Finding::new(&PREVIEW_DECODER, title)
            .evidence("explained_by_a_linear_map", explained)
            .evidence("rms_levels_left", left_rms_levels)
            .evidence("rms_levels_of_detail", smooth)
            .evidence("rms_levels_of_detail_expected", mine.detail)
    })
}

/// Levels of a picture by blocks.
struct Blocks {
    /// The mean of each, row by row.
    means: Vec<[f64; 3]>,
    /// RMS of what those leave, as they are and interpolated.
    detail: f64,
    smooth_detail: f64,
}

impl Blocks {
    fn of(picture: &Rgb8, side: usize) -> Self {
        let (width, height) = (picture.width() / side, picture.height() / side);
        let levels = pixels(picture);
        let mut means = vec![[0.0; 3]; width * height];
        for (i, pixel) in levels.iter().enumerate() {
            let (x, y) = (i % picture.width() / side, i / picture.width() / side);
            for (mean, level) in means[y * width + x].iter_mut().zip(pixel) {
                *mean += 255.0 * level / (side * side) as f64;
            }
        }
        let near = |at: f64, end: usize| at.clamp(0.0, end as f64 - 1.0);
        let (mut detail, mut smooth) = (0.0, 0.0);
        for (i, pixel) in levels.iter().enumerate() {
            let (x, y) = (i % picture.width(), i / picture.width());
            let own = means[y / side * width + x / side];
            let middle = |at: usize| (at as f64 + 0.5) / side as f64 - 0.5;
            let (left, top) = (near(middle(x), width), near(middle(y), height));
            for c in 0..3 {
                let mean = |dx: usize, dy: usize| {
                    let (x, y) = (left as usize + dx, top as usize + dy);
                    means[y.min(height - 1) * width + x.min(width - 1)][c]
                };
                let along = |dy| mean(0, dy) + left.fract() * (mean(1, dy) - mean(0, dy));
                let between = along(0) + top.fract() * (along(1) - along(0));
                detail += (255.0 * pixel[c] - own[c]).powi(2);
                smooth += (255.0 * pixel[c] - between).powi(2);
            }
        }
        let count = (3 * levels.len()) as f64;
        Self { means, detail: (detail / count).sqrt(), smooth_detail: (smooth / count).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_map_of_latents_is_a_preview_and_a_shrunk_picture_is_none() {
        let z = |c: usize, y: usize, x: usize| ((x * (c + 2) + y * (c * c + 1)) as f32 * 0.7).sin();
        let latents = Array4::from_shape_fn((1, 4, 8, 8), |(_, c, y, x)| z(c, y, x));
        let drawn = |level: &dyn Fn(usize, usize, usize) -> f64| {
            let bytes = (0..64 * 64 * 3).map(|i| level(i / 192, i / 3 % 64, i % 3) as u8);
            Rgb8::new(64, 64, bytes.collect()).unwrap()
        };
        let ours = drawn(&|y, x, c| 90.0 + 60.0 * ((x * y + 31 * c) as f64).sin());
        let preview_of = |y: usize, x: usize, c: usize| {
            128.0 + 40.0 * f64::from(z(c, y / 8, x / 8)) - 20.0 * f64::from(z(3, y / 8, x / 8))
        };
        let found = |theirs: &Rgb8, rival: f64| preview(&latents, &ours, theirs, rival);
        let of_latents = drawn(&preview_of);
        assert_eq!(found(&of_latents, f64::INFINITY).unwrap().code, Code::PreviewDecoder);
        // What leaves less is nearer to the truth.
        assert_eq!(found(&of_latents, 0.1), None);
        assert_eq!(found(&ours, f64::INFINITY), None);
        let means = Blocks::of(&ours, 8).means;
        let shrunk = drawn(&|y, x, c| means[y / 8 * 8 + x / 8][c]);
        assert_eq!(found(&shrunk, f64::INFINITY), None);
    }
}
