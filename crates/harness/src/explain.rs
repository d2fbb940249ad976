//! What a wrong tensor looks like: the mistakes of ports that have a signature of their own.

use ndarray::{Array4, ArrayView4, Axis};

use super::case_files::CaseFiles;
use super::posterior::{LOGVAR_RANGE, clamp_missing, std_of};
use vae_fidelity_pixels::Rgb8;

/// How near a value has to be to what a mistake would make of it; far wider than rounding, far
/// narrower than the mistakes.
const NEAR: f32 = 1e-3;

/// What wrong latents look like, if it is one of the usual mistakes; `factor` is the config's
/// `scaling_factor`.
pub(super) fn latents(files: &CaseFiles, actual: &[f32], factor: f32) -> Option<String> {
    let golden: Vec<f32> = files.latents.array()?.iter().copied().collect();
    let by = |change: &dyn Fn(f32) -> f32| golden.iter().map(|&value| change(value)).collect();
    let mut signatures: Vec<(Vec<f32>, String)> = vec![
        (
            by(&|value| value * factor),
            format!("every latent is scaling_factor ({factor}) times the golden: scaled twice"),
        ),
        (
            by(&|value| value / factor),
            format!("every latent is the golden without scaling_factor ({factor}): not scaled"),
        ),
    ];
    if let (Some(moments), Some(Some(noise))) = (
        files.moments.as_ref().and_then(|of| of.array()),
        files.noise.as_ref().map(|noise| noise.array()),
    ) {
        let (mean, logvar) = moments.view().split_at(Axis(1), noise.dim().1);
        let scaled = |latents: Array4<f32>| latents.iter().map(|value| value * factor).collect();
        let unclamped = logvar.mapv(|logvar| (0.5 * logvar).exp());
        let variance = std_of(logvar).mapv(|std| std * std);
        signatures.push((scaled(&mean + &unclamped * &noise), clamp_missing()));
        signatures.push((
            scaled(&mean + &variance * &noise),
            "the noise is multiplied with the variance: use its square root, exp(logvar / 2)"
                .to_owned(),
        ));
        signatures.push((
            scaled(mean.to_owned()),
            "these are the means: the mode was taken, where a draw was asked for".to_owned(),
        ));
    }
    let mut signatures = signatures.into_iter();
    signatures.find(|(made, _)| has_signature(actual, made, &golden)).map(|(_, text)| text)
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
    signatures.find(|(made, _)| has_signature(actual, made, &golden)).map(|(_, text)| text)
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
fn has_signature(actual: &[f32], signature: &[f32], golden: &[f32]) -> bool {
    let near = |one: f32, other: f32| {
        (!one.is_finite() && !other.is_finite()) || (one - other).abs() <= NEAR * other.abs() + 1e-9
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
}
