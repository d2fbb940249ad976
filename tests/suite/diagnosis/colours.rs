//! Colours changed beside the VAE, and files that are no picture of this run's: faults that used to be
//! blamed on the scaling factor, or passed.

use ndarray::{Array4, Axis, s};
use vae_fidelity::diagnosis::UserFiles;
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::{Dtype, Result, Rgb8};

use super::faults::{Fault, TRAINED};
use super::plot::*;
use super::runs::Numbers;

pub type Pixel = [f64; 3];

/// Levels from 0 to 1 of a decoded picture, changed and written.
fn written(plot: &Plot, change: impl Fn(Pixel) -> Pixel) -> Result<Option<UserFiles>> {
    let written = picture(&plot.run.decoded)?.and_then(|files| files.decoded_image).unwrap().pixels;
    let pixels = written.data().chunks_exact(3).map(|p| [p[0], p[1], p[2]]);
    let bytes = pixels.flat_map(|pixel| {
        change(pixel.map(|level| f64::from(level) / 255.0)).map(|x| (x * 255.0).round() as u8)
    });
    let decoded_image = Some(Rgb8::new(written.width(), written.height(), bytes.collect())?.into());
    Ok(Some(UserFiles { decoded_image, ..UserFiles::default() }))
}

/// The sample of a picture that was changed before it became one.
fn sample(plot: &Plot, change: impl Fn(Pixel) -> Pixel) -> Array4<f32> {
    changed(plot.run.sample.clone(), change)
}

/// What was done to the picture itself, before it became a sample.
fn of_8_bits(sample: Array4<f32>) -> Array4<f32> {
    to_sample(&denormalize(sample.view(), Dtype::F32).unwrap())
}

/// Samples from -1 to 1 whose colours, from 0 to 1, are changed.
pub fn changed(mut sample: Array4<f32>, change: impl Fn(Pixel) -> Pixel) -> Array4<f32> {
    let (_, _, height, width) = sample.dim();
    for y in 0..height {
        for x in 0..width {
            let pixel = [0, 1, 2].map(|c| f64::from(sample[[0, c, y, x]]) / 2.0 + 0.5);
            for (c, level) in change(pixel).into_iter().enumerate() {
                sample[[0, c, y, x]] = (level.clamp(0.0, 1.0) * 2.0 - 1.0) as f32;
            }
        }
    }
    sample
}

pub fn video_range(pixel: Pixel) -> Pixel {
    pixel.map(|x| (x * 219.0 + 16.0) / 255.0)
}

pub fn expanded(pixel: Pixel) -> Pixel {
    pixel.map(|x| (x * 255.0 - 16.0) / 219.0)
}

pub fn contrast(by: f64) -> impl Fn(Pixel) -> Pixel {
    move |pixel| pixel.map(|x| by * (x - 0.5) + 0.5)
}

pub fn linear(pixel: Pixel) -> Pixel {
    pixel.map(|x| if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) })
}

pub fn srgb(pixel: Pixel) -> Pixel {
    pixel.map(|x| if x <= 0.0031308 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 })
}

pub fn saturated(by: f64) -> impl Fn(Pixel) -> Pixel {
    move |[r, g, b]| {
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        [r, g, b].map(|x| grey + by * (x - grey))
    }
}

/// Written with BT.601's matrix, read with BT.709's.
pub fn reread([r, g, b]: Pixel) -> Pixel {
    let luma = 0.299 * r + 0.587 * g + 0.114 * b;
    let (cb, cr) = ((b - luma) / 1.772, (r - luma) / 1.402);
    [luma + 1.5748 * cr, luma - 0.187_324 * cb - 0.468_124 * cr, luma + 1.8556 * cb]
}

/// 1.5 pixels to each side, as a box of three, three times.
pub fn blurred(decoded: &Array4<f32>) -> Array4<f32> {
    let mut soft = decoded.clone();
    for _ in 0..3 {
        for axis in [2, 3] {
            let before = soft.clone();
            let end = before.shape()[axis] - 1;
            for (at, value) in soft.indexed_iter_mut() {
                let mut at: [usize; 4] = at.into();
                let here = at[axis];
                let taps = [here.saturating_sub(1), here, (here + 1).min(end)].map(|to| {
                    at[axis] = to;
                    before[at]
                });
                *value = taps.iter().sum::<f32>() / 3.0;
            }
        }
    }
    soft
}

/// As [`colourful`], for those who change colours by less than an exchange does.
fn only_colourful(plot: &Plot, files: Result<Option<UserFiles>>) -> Result<Option<UserFiles>> {
    if colourful(plot.run) { files } else { Ok(None) }
}

macro_rules! strong {
    ($cause:literal, $code:literal, $plant:expr) => {
        Fault { cause: $cause, code: $code, strong: true, models: TRAINED, plant: $plant }
    };
}

pub fn faults() -> Vec<Fault> {
    vec![
        strong!("a picture in video range", "levels-changed", |plot| written(plot, video_range)),
        strong!("a picture expanded twice", "levels-changed", |plot| written(plot, expanded)),
        strong!("less contrast", "levels-changed", |plot| written(plot, contrast(0.8))),
        strong!("more contrast", "levels-changed", |plot| written(plot, contrast(1.2))),
        strong!("lighter by 20 levels", "levels-changed", |plot| {
            written(plot, |pixel| pixel.map(|x| x + 20.0 / 255.0))
        }),
        strong!("a picture in linear light", "gamma-mismatch", |plot| written(plot, linear)),
        strong!("sRGB's curve twice", "gamma-mismatch", |plot| written(plot, srgb)),
        strong!("less saturation", "colour-matrix", |plot| {
            only_colourful(plot, written(plot, saturated(0.5)))
        }),
        strong!("BT.601 read as BT.709", "colour-matrix", |plot| {
            only_colourful(plot, written(plot, reread))
        }),
        strong!("video range fed", "levels-changed", |plot| fed(sample(plot, video_range))),
        strong!("less contrast fed", "levels-changed", |plot| fed(sample(plot, contrast(0.8)))),
        strong!("linear light fed", "gamma-mismatch", |plot| fed(sample(plot, linear))),
        strong!("less saturation fed", "colour-matrix", |plot| {
            only_colourful(plot, fed(sample(plot, saturated(0.5))))
        }),
        strong!("video range fed, of 8 bits", "levels-changed", |plot| {
            fed(of_8_bits(sample(plot, video_range)))
        }),
        strong!("less contrast fed, of 8 bits", "levels-changed", |plot| {
            fed(of_8_bits(sample(plot, contrast(0.8))))
        }),
        strong!("linear light fed, of 8 bits", "gamma-mismatch", |plot| {
            fed(of_8_bits(sample(plot, linear)))
        }),
        strong!("video range, seen in latents", "levels-changed", |plot| {
            encoded(plot, sample(plot, video_range))
        }),
        strong!("less contrast, seen in latents", "levels-changed", |plot| {
            encoded(plot, sample(plot, contrast(0.8)))
        }),
        strong!("linear light, seen in latents", "gamma-mismatch", |plot| {
            encoded(plot, sample(plot, linear))
        }),
        strong!("a power of 0.6, seen in latents", "gamma-mismatch", |plot| {
            encoded(plot, sample(plot, |pixel| pixel.map(|x| x.powf(0.6))))
        }),
        strong!("a part pasted in after decoding", "edited-region", |plot| {
            picture(&pasted(plot.run.decoded.clone()))
        }),
        strong!("a part pasted in after caching", "edited-region", |plot| {
            fed(pasted(plot.run.sample.clone()))
        }),
        // Only warned of, beside an error that names no cause.
        Fault {
            cause: "a part pasted in, seen in latents",
            code: "edited-region",
            strong: false,
            models: TRAINED,
            plant: |plot| encoded(plot, pasted(plot.run.sample.clone())),
        },
        strong!("latents unpacked by columns", "layout-scrambled", |plot| {
            latents(phases_exchanged(&plot.run.latents))
        }),
        strong!("pixels unpacked by columns", "layout-scrambled", |plot| {
            picture(&phases_exchanged(&plot.run.decoded))
        }),
        // A trained VAE keeps colours: few pictures have anything to match.
        Fault {
            cause: "colours matched to the input",
            code: "colour-matched",
            strong: false,
            models: TRAINED,
            plant: matched,
        },
        strong!("a preview kept", "preview-decoder", kept_preview),
        strong!("a blurred picture", "decoded-differs", |plot| picture(&blurred(
            &plot.run.decoded
        ))),
        strong!("another picture", "decoded-differs", |plot| picture(&other(
            &plot.run.sample,
            plot.seed
        ))),
        strong!("latents of another picture", "latents-differ", |plot| {
            encoded(plot, other(&plot.run.sample, plot.seed))
        }),
        strong!("a blurred picture fed", "preprocessed-differs", |plot| {
            fed(blurred(&plot.run.sample))
        }),
    ]
}

/// A red rectangle in it.
pub fn pasted(mut picture: Array4<f32>) -> Array4<f32> {
    picture.slice_mut(s![.., 0, 16..40, 24..56]).fill(0.9);
    picture.slice_mut(s![.., 1.., 16..40, 24..56]).fill(-0.6);
    picture
}

/// The input's mean and spread, and the decoded picture's detail.
fn matched(plot: &Plot) -> Result<Option<UserFiles>> {
    let seen = plot.run.sample.index_axis(Axis(0), 0);
    let decoded = plot.run.decoded.mapv(|value| value.clamp(-1.0, 1.0));
    let mut changed = decoded.clone();
    let mut largest = 0.0f32;
    for (c, mut channel) in changed.index_axis_mut(Axis(0), 0).outer_iter_mut().enumerate() {
        let (mean, std) = (channel.mean().unwrap(), channel.std(0.0));
        let (to_mean, to_std) =
            (seen.index_axis(Axis(0), c).mean(), seen.index_axis(Axis(0), c).std(0.0));
        channel.mapv_inplace(|value| (value - mean) * to_std / std + to_mean.unwrap());
        largest = largest.max((to_std / std - 1.0).abs()).max((to_mean.unwrap() - mean).abs());
    }
    // Eight levels, or 6 % of contrast: less than that nobody sees.
    if largest < 0.06 { Ok(None) } else { picture(&changed) }
}

/// A preview about the picture's own colour, which the constants of a program's map see to.
fn kept_preview(plot: &Plot) -> Result<Option<UserFiles>> {
    let mean = |tensor: &Array4<f32>| {
        let mean = tensor.mean_axis(Axis(3)).and_then(|rows| rows.mean_axis(Axis(2))).unwrap();
        mean.insert_axis(Axis(2)).insert_axis(Axis(3))
    };
    let centred = &plot.run.latents - &mean(&plot.run.latents);
    picture(&(preview(&centred, plot.run.decoded.dim()) + mean(&plot.run.decoded)))
}

/// A linear map from latents to colours, one for each block of pixels.
pub fn preview(
    latents: &Array4<f32>,
    (_, _, height, width): (usize, usize, usize, usize),
) -> Array4<f32> {
    let side = height / latents.dim().2;
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        let z = |channel: usize| latents[[0, channel, y / side, x / side]];
        0.3 * z(0) + [0.2, -0.1, 0.1][c] * z(1) - [0.1, 0.2, -0.2][c] * z(2)
    })
}

/// In each 2 x 2, the top right and the bottom left exchanged.
pub fn phases_exchanged(tensor: &Array4<f32>) -> Array4<f32> {
    let (_, _, height, width) = tensor.dim();
    let mut changed = tensor.clone();
    for y in (0..height / 2 * 2).step_by(2) {
        for x in (0..width / 2 * 2).step_by(2) {
            changed.slice_mut(s![.., .., y, x + 1]).assign(&tensor.slice(s![.., .., y + 1, x]));
            changed.slice_mut(s![.., .., y + 1, x]).assign(&tensor.slice(s![.., .., y, x + 1]));
        }
    }
    changed
}

/// A picture that no rule can make of this one: parts of it exchanged and turned.
pub fn other(sample: &Array4<f32>, seed: u64) -> Array4<f32> {
    let (_, _, height, width) = sample.dim();
    let mut numbers = Numbers(seed);
    let mut other = sample.clone();
    for y in (0..height - 7).step_by(8) {
        for x in (0..width - 7).step_by(8) {
            let at =
                |end: usize, numbers: &mut Numbers| (numbers.unit() * (end - 8) as f64) as usize;
            let (from_y, from_x) = (at(height, &mut numbers), at(width, &mut numbers));
            let part = sample.slice(s![.., .., from_y..from_y + 8, from_x..from_x + 8; -1]);
            other.slice_mut(s![.., .., y..y + 8, x..x + 8]).assign(&part);
        }
    }
    other
}
