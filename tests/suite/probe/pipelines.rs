//! Mistakes of pipelines around a sound VAE: those of the calibration that need no file but a VAE.

use ndarray::{Array4, Axis, s};
use vae_fidelity::{Dtype, Vae};

use super::faults::Planted;
use super::sound::changed;
use super::wrapped::{Change, Wrapped};
use crate::diagnosis::colours::{self, Pixel};
use crate::diagnosis::plot::reshaped;
use crate::diagnosis::tiles::{hard, overlapping};
use crate::weights::planted::{As, Draws};

/// Each with the calibration's name for it, without where it is seen.
pub fn in_pipelines(model: &'static str) -> Planted {
    let mut all = before_the_encoder(model);
    all.extend(in_latents(model));
    all.extend(in_decoding(model));
    all.extend(in_pictures(model));
    all.extend(in_levels(model));
    all
}

fn with(model: &str, change: impl FnOnce(&mut Wrapped)) -> Box<dyn Vae> {
    let mut wrapped = Wrapped::new(Box::new(changed(model, As::F32, |_| {})));
    change(&mut wrapped);
    Box::new(wrapped)
}

/// Something done to every value.
fn each(change: impl Fn(f32) -> f32 + Send + 'static) -> Change {
    Box::new(move |tensor| tensor.mapv(&change))
}

/// Something done to every colour, from 0 to 1.
fn colour(change: impl Fn(Pixel) -> Pixel + Send + 'static) -> Change {
    Box::new(move |tensor| colours::changed(tensor, &change))
}

fn swapped() -> Change {
    Box::new(|tensor| tensor.select(Axis(1), &[2, 1, 0]))
}

/// Which numbers are drawn for `tensor`: the same ones for the same picture.
fn seed(tensor: &Array4<f32>) -> u64 {
    tensor.len() as u64 ^ u64::from(tensor[[0, 0, 0, 0]].to_bits())
}

fn before_the_encoder(model: &'static str) -> Planted {
    let fed = |change: Change| with(model, |w| w.fed = change);
    let normalised: Change = Box::new(|x| {
        let mut x = x.mapv(|x| x / 2.0 + 0.5);
        let statistics = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
        for (channel, (mean, std)) in statistics.into_iter().enumerate() {
            x.index_axis_mut(Axis(1), channel).mapv_inplace(|x| (x - mean) / std);
        }
        x
    });
    let drawn: Change = Box::new(|x| {
        let mut draws = Draws(3);
        x.mapv(|_| draws.uniform())
    });
    vec![
        ("BGR fed", fed(swapped())),
        ("[0, 1] fed", fed(each(|x| x / 2.0 + 0.5))),
        ("0 to 255 fed", fed(each(|x| x * 127.5 + 127.5))),
        ("ImageNet's statistics", fed(normalised)),
        ("a mirrored picture fed", fed(Box::new(|x| x.slice(s![.., .., .., ..;-1]).to_owned()))),
        ("a reshaped picture fed", fed(Box::new(|x| reshaped(&x)))),
        ("another picture fed", fed(drawn)),
        ("video range fed", fed(colour(colours::video_range))),
        ("less contrast fed", fed(colour(colours::contrast(0.8)))),
        ("linear light fed", fed(colour(colours::linear))),
        ("a power of 0.6", fed(colour(|pixel| pixel.map(|x| x.powf(0.6))))),
        ("less saturation fed", fed(colour(colours::saturated(0.5)))),
        ("a part pasted in after caching", fed(Box::new(colours::pasted))),
        ("latents of another picture", fed(Box::new(|x| colours::other(&x, 3)))),
        ("a blurred picture fed", fed(Box::new(|x| colours::blurred(&x)))),
    ]
}

fn in_latents(model: &'static str) -> Planted {
    let encoded = |change: Change| with(model, |w| w.encoded = change);
    let own = changed(model, As::F32, |_| {}).config().scaling_factor().unwrap() as f32;
    vec![
        ("another family's factor", encoded(each(|z| z / 0.13025))),
        ("latents not scaled", encoded(each(move |z| z / own))),
        ("latents scaled twice", encoded(each(move |z| z * own))),
        ("latents divided by the factor", encoded(each(move |z| z / own / own))),
        ("latents reshaped, not permuted", encoded(Box::new(|z| reshaped(&z)))),
        ("latents unpacked by columns", encoded(Box::new(|z| colours::phases_exchanged(&z)))),
        (
            "the log-variance dropped",
            encoded(Box::new(|z| {
                let mut draws = Draws(seed(&z));
                z.mapv(|z| z + draws.normal())
            })),
        ),
        (
            "NaN in latents",
            encoded(Box::new(|mut z| {
                z[[0, 0, 0, 0]] = f32::NAN;
                z
            })),
        ),
        ("a draw, not the mode", with(model, |w| w.draws = 1)),
        ("the posterior's noise added twice", with(model, |w| w.draws = 2)),
        // A factor that is wrong in the config cancels.
        (
            "scaling_factor a fifth",
            with(model, |w| {
                w.encoded = each(|z| z / 5.0);
                w.received = each(|z| z * 5.0);
            }),
        ),
        (
            "scaling_factor of 1e38",
            with(model, |w| {
                w.encoded = each(|z| z * 1e38);
                w.received = each(|z| z / 1e38);
            }),
        ),
    ]
}

fn in_decoding(model: &'static str) -> Planted {
    let received = |change: Change| with(model, |w| w.received = change);
    let own = changed(model, As::F32, |_| {}).config().scaling_factor().unwrap() as f32;
    vec![
        ("decoded with half the factor", received(each(move |z| z * own / 0.18215))),
        ("decoded without unscaling", received(each(move |z| z * own))),
        (
            "hard tiles of 32 pixels",
            with(model, |w| w.decode = |vae, z| Ok(hard(vae, z, 4)?.unwrap())),
        ),
        (
            "hard tiles of 64 pixels",
            with(model, |w| {
                // The mosaic is no larger than two of them.
                w.decode = |vae, z| hard(vae, z, 8)?.map_or_else(|| vae.decode(z), Ok);
            }),
        ),
        (
            "tiles cut by latents, not pixels",
            with(model, |w| {
                w.decode = |vae, z| {
                    Ok(overlapping(vae, z, 4, |overlap| (overlap / 8, overlap / 8))?.unwrap())
                };
            }),
        ),
        (
            "tiles blended over 8 times the overlap",
            with(model, |w| {
                w.decode =
                    |vae, z| Ok(overlapping(vae, z, 4, |overlap| (overlap, overlap * 8))?.unwrap());
            }),
        ),
        (
            "tiles blended by latents, not pixels",
            with(model, |w| {
                w.decode =
                    |vae, z| Ok(overlapping(vae, z, 4, |overlap| (overlap, overlap / 8))?.unwrap());
            }),
        ),
        (
            "a preview kept",
            with(model, |w| {
                w.decode = |vae, z| {
                    let (n, _, height, width) = z.dim();
                    let side = vae.config().downsampling();
                    let scaled = vae.scale(z)?;
                    Ok(colours::preview(&scaled, (n, 3, height * side, width * side)))
                };
            }),
        ),
    ]
}

fn in_pictures(model: &'static str) -> Planted {
    let decoded = |change: Change| with(model, |w| w.decoded = change);
    let brighter = colour(|pixel| pixel.map(|x| x + 20.0 / 255.0));
    vec![
        ("BGR written", decoded(swapped())),
        ("[-1, 1] taken for [0, 1]", decoded(each(|y| y.clamp(0.0, 1.0) * 2.0 - 1.0))),
        ("range converted twice", decoded(each(|y| y / 2.0 + 0.5))),
        (
            "turned by 180 degrees",
            decoded(Box::new(|y| y.slice(s![.., .., ..;-1, ..;-1]).to_owned())),
        ),
        ("a picture in video range", decoded(colour(colours::video_range))),
        ("a picture expanded twice", decoded(colour(colours::expanded))),
        ("less contrast", decoded(colour(colours::contrast(0.8)))),
        ("more contrast", decoded(colour(colours::contrast(1.2)))),
        ("lighter by 20 levels", decoded(brighter)),
        ("a picture in linear light", decoded(colour(colours::linear))),
        ("sRGB's curve twice", decoded(colour(colours::srgb))),
        ("less saturation", decoded(colour(colours::saturated(0.5)))),
        ("BT.601 read as BT.709", decoded(colour(colours::reread))),
        ("a part pasted in after decoding", decoded(Box::new(colours::pasted))),
        ("pixels unpacked by columns", decoded(Box::new(|y| colours::phases_exchanged(&y)))),
        ("a blurred picture", decoded(Box::new(|y| colours::blurred(&y)))),
        ("another picture", decoded(Box::new(|y| colours::other(&y, 3)))),
    ]
}

fn in_levels(model: &'static str) -> Planted {
    let level = |level: fn(f32) -> u8| with(model, |w| w.level = Some(level));
    vec![
        ("levels cut off", level(|value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0) as u8)),
        (
            "levels wrapped round",
            level(|value| ((value / 2.0 + 0.5) * 255.0).round_ties_even() as i64 as u8),
        ),
        (
            "range converted in bf16",
            level(|value| {
                let bf16 = |value| Dtype::Bf16.round(value);
                let unit = bf16(bf16(bf16(value) / 2.0) + 0.5).clamp(0.0, 1.0);
                bf16(unit * 255.0) as u8
            }),
        ),
        (
            "32 levels",
            level(|value| {
                let unit = (value / 2.0 + 0.5).clamp(0.0, 1.0);
                ((unit * 31.0).round() * 255.0 / 31.0).round() as u8
            }),
        ),
    ]
}
