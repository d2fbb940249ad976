//! What a wrong tensor looks like: the mistakes of ports that have a signature of their own.

use ndarray::{Array4, ArrayView4, Axis};

use super::case_files::CaseFiles;
use super::posterior::{LOGVAR_RANGE, clamp_missing, std_of};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::{PatchedBatchNorm, Scaling};
use vae_fidelity_pixels::Rgb8;

/// How near a value has to be to what a mistake would make of it; far wider than rounding, far
/// narrower than the mistakes.
const NEAR: f32 = 1e-3;

/// What rounding leaves of a latent near 0, of which a mean was taken.
const NEAR_ZERO: f32 = 1e-5;

/// Latents as a mistake makes them, and what it is.
type Signature = (Array4<f32>, String);

/// What wrong latents look like, if it is one of the usual mistakes; `scaling` is the model's rule.
pub(super) fn latents(files: &CaseFiles, actual: &[f32], scaling: &Scaling) -> Option<String> {
    let golden = files.latents.array()?;
    let mut signatures = match scaling {
        Scaling::Factor { scaling_factor } => of_a_factor(&golden, *scaling_factor as f32),
        Scaling::PerChannel(_) => of_statistics(&golden, scaling),
        Scaling::PatchedBatchNorm(rule) => of_patches(&golden, rule),
        _ => Vec::new(),
    };
    if let (Some(moments), Some(Some(noise))) = (
        files.moments.as_ref().and_then(|of| of.array()),
        files.noise.as_ref().map(|noise| noise.array()),
    ) {
        let (mean, logvar) = moments.view().split_at(Axis(1), noise.dim().1);
        let unclamped = logvar.mapv(|logvar| (0.5 * logvar).exp());
        let variance = std_of(logvar).mapv(|std| std * std);
        let drawn = [
            (&mean + &unclamped * &noise, clamp_missing()),
            (
                &mean + &variance * &noise,
                "the noise is multiplied with the variance: use its square root, exp(logvar / 2)"
                    .to_owned(),
            ),
            (
                mean.to_owned(),
                "these are the means: the mode was taken, where a draw was asked for".to_owned(),
            ),
        ];
        let scaled = |(latents, text): Signature| {
            Some((scaling.scale(latents.view(), Dtype::F32).ok()?, text))
        };
        signatures.extend(drawn.into_iter().filter_map(scaled));
    }
    let flat = |values: &Array4<f32>| values.iter().copied().collect::<Vec<f32>>();
    let golden = flat(&golden);
    let mut signatures = signatures.into_iter();
    signatures
        .find(|(made, _)| has_signature(actual, &flat(made), &golden, NEAR_ZERO))
        .map(|(_, text)| text)
}

fn of_a_factor(golden: &Array4<f32>, factor: f32) -> Vec<Signature> {
    vec![
        (
            golden * factor,
            format!("every latent is scaling_factor ({factor}) times the golden: scaled twice"),
        ),
        (
            golden / factor,
            format!("every latent is the golden without scaling_factor ({factor}): not scaled"),
        ),
    ]
}

/// Of the config, one a channel.
fn of_statistics(golden: &Array4<f32>, scaling: &Scaling) -> Vec<Signature> {
    let made = [
        (
            scaling.unscale(golden.view(), Dtype::F32),
            "latents_mean and latents_std were left out: these are latents as the model makes them",
        ),
        (
            scaling.scale(golden.view(), Dtype::F32),
            "latents_mean and latents_std were applied twice",
        ),
    ];
    made.into_iter().filter_map(|(made, text)| Some((made.ok()?, text.to_owned()))).collect()
}

/// Of the checkpoint, one a channel of patches.
fn of_patches(golden: &Array4<f32>, rule: &PatchedBatchNorm) -> Vec<Signature> {
    let patches = rule.denormalised(golden, Dtype::F32);
    let twice = rule.normalised(golden, Dtype::F32);
    let (n, channels, height, width) = golden.dim();
    let [ph, pw] = rule.patch_size;
    // (n, c, ph, pw, h, w), so that an order of patches is an order of axes.
    let whole = patches.to_shape((n, channels / (ph * pw), ph, pw, height, width)).ok();
    let orders = [
        ([0, 1, 3, 2, 4, 5], "(c, pw, ph)"),
        ([0, 2, 3, 1, 4, 5], "(ph, pw, c)"),
        ([0, 3, 2, 1, 4, 5], "(pw, ph, c)"),
    ];
    let reordered = orders.into_iter().filter_map(|(axes, order)| {
        let packed = whole.as_ref()?.view().permuted_axes(axes);
        let packed = packed.to_shape(golden.dim()).ok()?.into_owned();
        let text = format!("patches are packed as {order}: FLUX.2's are (c, ph, pw)");
        Some((rule.normalised(&packed, Dtype::F32), text))
    });
    let missing = "the statistics of the batch norm were left out: these are patches of latents as the \
                   model makes them";
    let twice = (twice, "the statistics of the batch norm were applied twice".to_owned());
    [(patches.clone(), missing.to_owned()), twice].into_iter().chain(reordered).collect()
}

/// What a wrong standard deviation looks like.
pub(super) fn std(files: &CaseFiles, actual: &[f32]) -> Option<String> {
    let moments = files.moments.as_ref()?.array()?;
    let (mean, logvar) = halves(moments.view());
    let golden: Vec<f32> = std_of(logvar).iter().copied().collect();
    let of = |change: &dyn Fn(f32) -> f32| logvar.iter().map(|&value| change(value)).collect();
    let (low, high) = LOGVAR_RANGE;
    let signatures: [(Vec<f32>, String); 4] = [
        (
            std_of(mean).iter().copied().collect(),
            "this is exp(mean / 2): mean and log-variance are swapped, the mean comes first"
                .to_owned(),
        ),
        (of(&|logvar| (0.5 * logvar).exp()), clamp_missing()),
        (
            of(&|logvar| logvar.clamp(low, high).exp()),
            "this is the variance: take its square root, exp(logvar / 2)".to_owned(),
        ),
        (of(&|logvar| logvar), "this is the log-variance: take exp(logvar / 2) of it".to_owned()),
    ];
    let mut signatures = signatures.into_iter();
    signatures.find(|(made, _)| has_signature(actual, made, &golden, 1e-9)).map(|(_, text)| text)
}

/// What wrong 8-bit values look like, compared with those of the reference script's conversion of the
/// same sample.
pub(super) fn pixels(actual: &Rgb8, expected: &Rgb8) -> Option<String> {
    if (actual.width(), actual.height()) != (expected.width(), expected.height()) {
        return None;
    }
    let pairs = || {
        let (actual, expected) = (actual.data().iter(), expected.data().iter());
        actual.zip(expected).map(|(&actual, &expected)| (i16::from(actual), i16::from(expected)))
    };
    let differing = pairs().filter(|(actual, expected)| actual != expected).count();
    if differing == 0 {
        return None;
    }
    let share = differing as f64 / actual.data().len() as f64;
    if pairs().all(|(actual, expected)| [0, 1].contains(&(expected - actual))) && share > 0.2 {
        return Some(
            "many 8-bit values are one too low and none is too high: cut off on the way to u8; round \
             to the nearest, halves to even, before the cast"
                .to_owned(),
        );
    }
    let wraps = |(actual, expected): (i16, i16)| {
        (actual - expected).abs() <= 1 || [0, 255].contains(&expected)
    };
    if pairs().any(|(actual, expected)| (actual - expected).abs() > 200) && pairs().all(wraps) {
        return Some(
            "8-bit values differ by more than 200: values beyond [-1, 1] wrap around; clamp to [0, 1] \
             before the cast to u8"
                .to_owned(),
        );
    }
    let swapped = actual.data().chunks_exact(3).zip(expected.data().chunks_exact(3)).all(
        |(actual, expected)| {
            [actual[2], actual[1], actual[0]] == [expected[0], expected[1], expected[2]]
        },
    );
    swapped.then(|| "red and blue are swapped: pictures are RGB".to_owned())
}

/// Mean and log-variance.
fn halves<'a>(moments: ArrayView4<'a, f32>) -> (ArrayView4<'a, f32>, ArrayView4<'a, f32>) {
    let channels = moments.dim().1 / 2;
    moments.split_at(Axis(1), channels)
}

/// Whether `actual` is what the mistake makes, and the mistake shows: its signature is not the golden.
fn has_signature(actual: &[f32], signature: &[f32], golden: &[f32], near_zero: f32) -> bool {
    let near = |one: f32, other: f32| {
        (!one.is_finite() && !other.is_finite())
            || (one - other).abs() <= NEAR * other.abs() + near_zero
    };
    let all =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| near(a, b));
    all(actual, signature) && !all(golden, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 x 30 pixels that reach both ends.
    fn ramp() -> Rgb8 {
        let level = |at: usize| (at * 7 % 300).min(255) as u8;
        Rgb8::new(40, 30, (0..40 * 30 * 3).map(level).collect()).unwrap()
    }

    fn changed(change: impl Fn(usize, u8) -> u8) -> Rgb8 {
        let picture = ramp();
        let levels = picture.data().iter().enumerate();
        let levels = levels.map(|(at, &level)| change(at, level)).collect();
        Rgb8::new(picture.width(), picture.height(), levels).unwrap()
    }

    #[test]
    fn wrong_levels_are_named_and_other_pictures_are_not() {
        let wrapped = changed(|at, _| (at * 7 % 300) as u8);
        assert!(pixels(&wrapped, &ramp()).unwrap().contains("wrap around"));
        let cut = changed(|at, level| level.saturating_sub((at % 2) as u8));
        assert!(pixels(&cut, &ramp()).unwrap().contains("cut off"));
        let picture = ramp();
        let bgr = picture.data().chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
        let bgr = Rgb8::new(40, 30, bgr).unwrap();
        assert!(pixels(&bgr, &ramp()).unwrap().contains("red and blue"));
        let turned = changed(|at, _| ramp().data()[40 * 30 * 3 - 1 - at]);
        assert_eq!(pixels(&turned, &ramp()), None);
        assert_eq!(pixels(&ramp(), &ramp()), None);
    }

    /// What is said of `actual` where `golden` is expected.
    fn said(made: Vec<Signature>, actual: &Array4<f32>, golden: &Array4<f32>) -> Option<String> {
        let flat = |values: &Array4<f32>| values.iter().copied().collect::<Vec<f32>>();
        let mut made = made.into_iter();
        let is = |(made, _): &Signature| {
            has_signature(&flat(actual), &flat(made), &flat(golden), NEAR_ZERO)
        };
        made.find(is).map(|(_, text)| text)
    }

    #[test]
    fn statistics_that_are_missing_or_applied_twice_are_named() {
        use vae_fidelity_core::scaling::{PerChannel, PerChannelForm};

        let form = PerChannelForm::Reciprocal;
        let rule = PerChannel { mean: vec![0.5, -1.0], std: vec![2.0, 4.0], form };
        let scaling = Scaling::PerChannel(rule);
        let raw = Array4::from_shape_fn((1, 2, 2, 3), |(_, c, y, x)| (c + 2 * y + 3 * x) as f32);
        let once = scaling.scale(raw.view(), Dtype::F32).unwrap();
        let twice = scaling.scale(once.view(), Dtype::F32).unwrap();
        let said = |actual: &Array4<f32>| said(of_statistics(&once, &scaling), actual, &once);
        assert!(said(&raw).unwrap().contains("were left out"));
        assert!(said(&twice).unwrap().contains("applied twice"));
        assert_eq!(said(&once), None);
        assert_eq!(said(&(&raw + 0.1)), None);
    }

    #[test]
    fn patches_in_another_order_are_named() {
        let channels = 3;
        let number = |at: usize| at as f32 * 0.3 - 1.0;
        let rule = PatchedBatchNorm {
            patch_size: [2, 2],
            mean: (0..12).map(number).collect(),
            std: (0..12).map(|at| 1.0 + at as f32 / 5.0).collect(),
        };
        let raw = Array4::from_shape_fn((1, channels, 4, 6), |(_, c, y, x)| {
            ((c * 24 + y * 6 + x) as f32 * 0.7).sin()
        });
        let golden = rule.scale(raw.view(), Dtype::F32).unwrap();
        // By numpy's: raw.reshape(3, 2, 2, 3, 2).transpose(axes).reshape(12, 2, 3).
        type Place = fn(usize) -> [usize; 3];
        let orders: [(&str, Place); 3] = [
            ("(c, pw, ph)", |at| [at / 4, at % 2, at / 2 % 2]),
            ("(ph, pw, c)", |at| [at % 3, at / 6, at / 3 % 2]),
            ("(pw, ph, c)", |at| [at % 3, at / 3 % 2, at / 6]),
        ];
        let said = |actual: &Array4<f32>| said(of_patches(&golden, &rule), actual, &golden);
        for (order, place) in orders {
            let packed = Array4::from_shape_fn((1, 12, 2, 3), |(_, at, y, x)| {
                let [c, ph, pw] = place(at);
                raw[[0, c, 2 * y + ph, 2 * x + pw]]
            });
            let text = said(&rule.normalised(&packed, Dtype::F32)).unwrap();
            assert!(text.contains(order), "{order}: {text}");
        }
        assert!(said(&rule.denormalised(&golden, Dtype::F32)).unwrap().contains("left out"));
        assert!(said(&rule.normalised(&golden, Dtype::F32)).unwrap().contains("applied twice"));
        assert_eq!(said(&golden), None);
    }
}
