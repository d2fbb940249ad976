//! Faults, planted where pipelines have them: in tensors, pixels, arithmetic, weights and configs.
//!
//! Which strength is strong is fixed here, before anything is measured: strong is what a person
//! sees. An injection that changes nothing a person would see (grey pictures for channel orders,
//! nothing out of range for wrapping) gives `None` and is not counted.

use ndarray::{Array4, ArrayView4, Axis, s};
use vae_fidelity::diagnosis::UserFiles;
use vae_fidelity::{Dtype, Result, Rgb8, Vae};

use super::plot::*;
use super::runs::{Numbers, UNTOUCHED};
use super::tiles::{hard, overlapping};
use super::{asymmetric, colours, dc, flux2, hunyuan, jpeg, tiny, wan};

/// One way of going wrong.
pub struct Fault {
    /// Name of the row in the matrix.
    pub cause: &'static str,
    /// The code that has to be among the findings.
    pub code: &'static str,
    pub strong: bool,
    /// Models that it is planted in.
    pub models: &'static [&'static str],
    pub plant: Plant,
}

/// Makes the files of a pipeline; `None` where nobody would see the fault.
pub type Plant = fn(&Plot) -> Result<Option<UserFiles>>;

pub(super) const TRAINED: &[&str] = &["builtin", UNTOUCHED];
pub(super) const ALL: &[&str] = &["builtin", UNTOUCHED, "sd-small", "act-relu"];
const SHIFTED: &[&str] = &["flux1-small"];
const NORMALISED: &[&str] = &["playground-small"];

macro_rules! strong {
    ($cause:literal, $code:literal, $models:expr, $plant:expr) => {
        Fault { cause: $cause, code: $code, strong: true, models: $models, plant: $plant }
    };
}

macro_rules! weak {
    ($cause:literal, $code:literal, $models:expr, $plant:expr) => {
        Fault { cause: $cause, code: $code, strong: false, models: $models, plant: $plant }
    };
}

/// Every fault that shows in files.
pub fn faults() -> Vec<Fault> {
    let mut faults = in_latents();
    faults.extend(before_the_encoder());
    faults.extend(in_preprocessed());
    faults.extend(in_pictures());
    faults.extend(colours::faults());
    faults.extend(jpeg::faults());
    faults.extend(flux2::faults());
    faults.extend(tiny::faults());
    faults.extend(asymmetric::faults());
    faults.extend(wan::faults());
    faults.extend(dc::faults());
    faults.extend(hunyuan::faults());
    #[cfg(feature = "tch")]
    faults.extend(super::ports::faults());
    faults
}

fn in_latents() -> Vec<Fault> {
    vec![
        strong!("another family's factor", "scaling-factor-mismatch", ALL, |plot| {
            scaled_by(plot, 0.13025)
        }),
        weak!("a factor 4 % off", "scaling-factor-mismatch", ALL, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, own * 1.04)
        }),
        strong!("latents not scaled", "scaling-factor-mismatch", ALL, |plot| scaled_by(plot, 1.0)),
        strong!("latents scaled twice", "scaling-factor-mismatch", ALL, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, own * own)
        }),
        strong!("latents divided by the factor", "scaling-factor-mismatch", ALL, |plot| {
            scaled_by(plot, 1.0 / plot.vae.config().scaling_factor().unwrap())
        }),
        strong!("shift left out", "shift-factor-dropped", SHIFTED, |plot| shifted(plot, 0.0)),
        strong!("shift of the wrong sign", "shift-factor-dropped", SHIFTED, |plot| {
            shifted(plot, -1.0)
        }),
        strong!("a shift that the config lacks", "shift-factor-dropped", TRAINED, |plot| {
            latents(plot.run.latents.mapv(|z| z - 0.1159))
        }),
        strong!("latents_mean and latents_std ignored", "latent-stats-ignored", NORMALISED, |p| {
            latents(p.run.latents.clone())
        }),
        strong!(
            "decoded without latents_mean and latents_std",
            "latent-stats-ignored",
            NORMALISED,
            |p| {
                let mut raw = expected(p);
                let factor = p.vae.config().scaling_factor().unwrap() as f32;
                raw.mapv_inplace(|z| z / factor);
                picture(&p.vae.decode(raw.view())?)
            }
        ),
        strong!("a draw, not the mode", "sample-vs-mode", ALL, |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let factor = plot.vae.config().scaling_factor().unwrap() as f32;
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            latents(drawn * factor)
        }),
        strong!("the log-variance dropped", "posterior-noise", TRAINED, |plot| {
            let mut numbers = Numbers(plot.seed);
            let factor = plot.vae.config().scaling_factor().unwrap() as f32;
            latents(plot.run.encoded.latents.mapv(|z| (z + numbers.normal()) * factor))
        }),
        strong!("the posterior's noise added twice", "posterior-noise", TRAINED, |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let factor = plot.vae.config().scaling_factor().unwrap() as f32;
            let noise = std.mapv(|std| std * (numbers.normal() + numbers.normal()));
            latents((&plot.run.encoded.latents + &noise) * factor)
        }),
        // Where the posterior is wider than the latents, as in models made by recipe, a draw looks no
        // better.
        strong!("latents reshaped, not permuted", "layout-scrambled", TRAINED, |plot| {
            latents(reshaped(&plot.run.latents))
        }),
        strong!("the first channel in place of all", "latent-channels-repeated", ALL, |plot| {
            copied(plot, |_| 0)
        }),
        strong!("half of the channels, twice", "latent-channels-repeated", ALL, |plot| {
            let half = plot.run.latents.dim().1 / 2;
            copied(plot, |channel| channel % half)
        }),
        strong!("the last channel a copy", "latent-channels-repeated", ALL, |plot| {
            let last = plot.run.latents.dim().1 - 1;
            copied(plot, |channel| channel.min(last - 1))
        }),
        strong!("latents of another family's channels", "wrong-family-channels", ALL, |plot| {
            let all = plot.run.latents.dim().1;
            let part = plot.run.latents.slice(s![.., ..all / 2 + 1, .., ..]).to_owned();
            latents(part)
        }),
        strong!("NaN in latents", "non-finite-output", ALL, |plot| {
            let mut broken = plot.run.latents.clone();
            broken[[0, 0, 0, 0]] = f32::NAN;
            latents(broken)
        }),
        strong!("latents of another size", "size-mismatch", ALL, |plot| {
            latents(plot.run.latents.slice(s![.., .., 1.., ..]).to_owned())
        }),
    ]
}

fn before_the_encoder() -> Vec<Fault> {
    vec![
        strong!("BGR, seen in latents", "channel-swap", TRAINED, |plot| {
            if !colourful(plot.run) {
                return Ok(None);
            }
            encoded(plot, plot.run.sample.select(Axis(1), &[2, 1, 0]))
        }),
        strong!("[0, 1] into the encoder, seen in latents", "input-not-normalised", TRAINED, |p| {
            encoded(p, p.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong!(
            "0 to 255 into the encoder, seen in latents",
            "input-not-normalised",
            TRAINED,
            |p| { encoded(p, p.run.sample.mapv(|x| x * 127.5 + 127.5)) }
        ),
        strong!("a mirrored picture, seen in latents", "exif-ignored", TRAINED, |plot| {
            encoded(plot, plot.run.sample.slice(s![.., .., .., ..;-1]).to_owned())
        }),
        strong!("a reshaped picture, seen in latents", "layout-scrambled", TRAINED, |plot| {
            encoded(plot, reshaped(&plot.run.sample))
        }),
        strong!("nearest-neighbour resize, seen in latents", "resize-mismatch", TRAINED, |plot| {
            let sample = to_sample(&picked(&plot.run.source, &plot.run.seen));
            encoded(plot, sample)
        }),
    ]
}

fn in_preprocessed() -> Vec<Fault> {
    vec![
        strong!("[0, 1] fed", "input-not-normalised", ALL, |plot| {
            fed(plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong!("0 to 255 fed", "input-not-normalised", ALL, |plot| {
            fed(plot.run.sample.mapv(|x| x * 127.5 + 127.5))
        }),
        strong!("ImageNet's statistics", "input-not-normalised", ALL, |plot| {
            let mut sample = plot.run.sample.mapv(|x| x / 2.0 + 0.5);
            let statistics = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
            for (channel, (mean, std)) in statistics.into_iter().enumerate() {
                sample.index_axis_mut(Axis(1), channel).mapv_inplace(|x| (x - mean) / std);
            }
            fed(sample)
        }),
        strong!("BGR fed", "channel-swap", ALL, |plot| {
            match colourful(plot.run) {
                true => fed(plot.run.sample.select(Axis(1), &[2, 1, 0])),
                false => Ok(None),
            }
        }),
        strong!("a reshaped picture fed", "layout-scrambled", ALL, |plot| {
            fed(reshaped(&plot.run.sample))
        }),
        strong!("a mirrored picture fed", "exif-ignored", ALL, |plot| {
            fed(plot.run.sample.slice(s![.., .., .., ..;-1]).to_owned())
        }),
        strong!("nearest-neighbour resize fed", "resize-mismatch", ALL, |plot| {
            fed(to_sample(&picked(&plot.run.source, &plot.run.seen)))
        }),
        strong!("cropped, not resized", "resize-mismatch", ALL, |plot| {
            let (source, seen) = (&plot.run.source, &plot.run.seen);
            let (width, height) = (seen.width(), seen.height());
            let (left, top) = ((source.width() - width) / 2, (source.height() - height) / 2);
            let bytes =
                (0..width * height).flat_map(|i| source.pixel(left + i % width, top + i / width));
            fed(to_sample(&Rgb8::new(width, height, bytes.collect())?))
        }),
        strong!("another picture fed", "preprocessed-differs", ALL, |plot| {
            let mut numbers = Numbers(plot.seed);
            fed(plot.run.sample.mapv(|_| numbers.unit() as f32 * 2.0 - 1.0))
        }),
    ]
}

pub(super) fn in_pictures() -> Vec<Fault> {
    vec![
        strong!("levels cut off", "u8-truncated", TRAINED, |plot| {
            converted(plot, |value| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0) as u8)
        }),
        strong!("levels wrapped round", "u8-wraparound", TRAINED, |plot| {
            // Specks that a person sees.
            match plot.run.decoded.iter().filter(|value| value.abs() > 1.01).count() >= 20 {
                true => converted(plot, |value| {
                    ((value / 2.0 + 0.5) * 255.0).round_ties_even() as i64 as u8
                }),
                false => Ok(None),
            }
        }),
        strong!("[-1, 1] taken for [0, 1]", "output-not-denormalised", TRAINED, |plot| {
            converted(plot, |value| (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)
        }),
        strong!("range converted twice", "output-not-denormalised", TRAINED, |plot| {
            converted(plot, |value| {
                ((value / 4.0 + 0.75).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
            })
        }),
        strong!("BGR written", "channel-swap", TRAINED, |plot| {
            match colourful(plot.run) {
                true => picture(&plot.run.decoded.select(Axis(1), &[2, 1, 0])),
                false => Ok(None),
            }
        }),
        strong!("BGR fed, seen in the picture", "channel-swap", TRAINED, |plot| {
            match colourful(plot.run) {
                true => trip(plot.vae, &plot.run.sample.select(Axis(1), &[2, 1, 0])),
                false => Ok(None),
            }
        }),
        strong!("a mirrored picture fed, seen in the picture", "exif-ignored", TRAINED, |plot| {
            trip(plot.vae, &plot.run.sample.slice(s![.., .., .., ..;-1]).to_owned())
        }),
        strong!("range converted in bf16", "banding", TRAINED, |plot| {
            converted(plot, |value| {
                let bf16 = |value| Dtype::Bf16.round(value);
                let unit = bf16(bf16(bf16(value) / 2.0) + 0.5).clamp(0.0, 1.0);
                bf16(unit * 255.0) as u8
            })
        }),
        strong!("32 levels", "banding", TRAINED, |plot| {
            // Steps show where there are levels between them.
            if !contrasty(&plot.run.seen) {
                return Ok(None);
            }
            converted(plot, |value| {
                let unit = (value / 2.0 + 0.5).clamp(0.0, 1.0);
                ((unit * 31.0).round() * 255.0 / 31.0).round() as u8
            })
        }),
        strong!("decoded with half the factor", "scaling-factor-mismatch", TRAINED, |plot| {
            decoded(plot, |z| z * 0.42893 / 0.18215)
        }),
        strong!("decoded without unscaling", "scaling-factor-mismatch", TRAINED, |plot| {
            decoded(plot, |z| z * 0.42893)
        }),
        strong!("a shift between latents and decoder", "shift-factor-dropped", TRAINED, |plot| {
            decoded(plot, |z| z - 0.5)
        }),
        strong!("latents reshaped, seen in the picture", "layout-scrambled", TRAINED, |plot| {
            let raw = reshaped(&plot.run.encoded.latents);
            picture(&plot.vae.decode(raw.view())?)
        }),
        // What is left of it in 8 bits.
        strong!("NaN, seen in the picture", "non-finite-output", TRAINED, |plot| {
            picture(&Array4::from_elem(plot.run.decoded.dim(), f32::NAN))
        }),
        strong!(
            "[0, 1] into the encoder, seen in the picture",
            "input-not-normalised",
            TRAINED,
            |p| {
                let sample = p.run.sample.mapv(|x| x / 2.0 + 0.5);
                let raw = p.vae.encode(sample.view(), None)?.latents;
                picture(&p.vae.decode(raw.view())?)
            }
        ),
        strong!("turned by 180 degrees", "exif-ignored", TRAINED, |plot| {
            picture(&plot.run.decoded.slice(s![.., .., ..;-1, ..;-1]).to_owned())
        }),
        strong!("hard tiles of 32 pixels", "tile-seams", TRAINED, |plot| tiles(plot, |vae, z| {
            hard(vae, z, 4)
        })),
        weak!("hard tiles of 64 pixels", "tile-seams", TRAINED, |plot| tiles(plot, |vae, z| hard(
            vae, z, 8
        ))),
        // Parts of the picture come twice, or stand behind each other.
        strong!("tiles cut by latents, not pixels", "tile-blend-units", TRAINED, |plot| {
            tiles(plot, |vae, z| overlapping(vae, z, 4, |overlap| (overlap / 8, overlap / 8)))
        }),
        strong!("tiles blended over 8 times the overlap", "tile-blend-units", TRAINED, |plot| {
            tiles(plot, |vae, z| overlapping(vae, z, 4, |overlap| (overlap, overlap * 8)))
        }),
        weak!("tiles blended by latents, not pixels", "tile-blend-units", TRAINED, |plot| {
            tiles(plot, |vae, z| overlapping(vae, z, 4, |overlap| (overlap, overlap / 8)))
        }),
        strong!("a picture of another size", "size-mismatch", TRAINED, |plot| {
            picture(&plot.run.decoded.slice(s![.., .., 8.., ..]).to_owned())
        }),
    ]
}

/// A picture that `decode` makes of the latents.
pub fn tiles(
    plot: &Plot,
    decode: impl Fn(&dyn Vae, ArrayView4<f32>) -> Result<Option<Array4<f32>>>,
) -> Result<Option<UserFiles>> {
    decoded_in(decode(plot.vae, plot.run.encoded.latents.view()))
}
