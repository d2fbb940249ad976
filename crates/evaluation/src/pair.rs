//! What went in against what came back, by the choices of a protocol.

use ndarray::{ArrayView4, s};
use vae_fidelity_core::metrics::{
    SsimRule, Values, Visibility, ms_ssim, psnr, ssim_and_ms_ssim, ssimulacra2,
};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

use crate::protocol::{Metrics, Rounding, ValuesChoice, Zero};

/// The metrics of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PairMetrics {
    /// Mean squared error over all channels, in 8-bit values.
    pub mse: f64,
    /// `10 log10(255² / mse)` in dB; `None` where nothing differs and it is infinite.
    pub psnr_db: Option<f64>,
    /// SSIM as the protocol has it, at most 1; `None` where a side is smaller than its window.
    pub ssim: Option<f64>,
    /// MS-SSIM of the rounded pictures, 0 to 1; `None` where a side is under 176 pixels.
    pub ms_ssim: Option<f64>,
    /// Mean absolute error of the rounded pictures, in 8-bit values.
    pub mae: f64,
    /// Largest absolute difference of the rounded pictures, in 8-bit values.
    pub max_abs_diff: u8,
    /// SSIMULACRA 2 of the rounded pictures, 100 where nothing differs; `None` where it was not asked for, or a side is
    /// under 8 pixels.
    pub ssimulacra2: Option<f64>,
    /// Butteraugli's distance of the rounded pictures, 0 where nothing differs and 1 where it can just be seen; `None`
    /// as above.
    pub butteraugli: Option<f64>,
    /// LPIPS, of each network for which there are weights.
    pub lpips: LpipsDistances,
    /// DISTS of the rounded pictures, 0 where nothing differs; `None` where it was not asked for, or there are no
    /// weights.
    pub dists: Option<f64>,
    /// PSNR in dB of what latents turned by 90 degrees decode to, beside the picture turned so; `None` where it was not
    /// asked for, and where nothing differs.
    pub rotation_psnr_db: Option<f64>,
    /// The same of latents at half their size, beside the picture at half its own; `None` of odd sides, too.
    pub scaling_psnr_db: Option<f64>,
}

/// LPIPS of one picture by each network, 0 where nothing differs; `None` where it was not asked for, there are no
/// weights, or the picture is too small for it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LpipsDistances {
    /// AlexNet's.
    pub alex: Option<f64>,
    /// VGG16's.
    pub vgg: Option<f64>,
    /// SqueezeNet's.
    pub squeeze: Option<f64>,
}

/// What went in and what came back, rounded: the common part of both.
pub(crate) struct Pair {
    pub metrics: PairMetrics,
    pub input: Rgb8,
    pub output: Rgb8,
}

impl Pair {
    /// Compares `decoded` with `sample`, both (1, 3, H, W), in the area that both have at the top left.
    ///
    /// # Errors
    ///
    /// When there is no such area.
    pub fn of<'a>(
        sample: ArrayView4<'a, f32>,
        decoded: ArrayView4<'a, f32>,
        choices: &Metrics,
    ) -> Result<Self> {
        let (height, width) =
            (sample.dim().2.min(decoded.dim().2), sample.dim().3.min(decoded.dim().3));
        let [sample, decoded] =
            [sample, decoded].map(|tensor| tensor.slice_move(s![.., .., ..height, ..width]));
        let input = rounded(sample, choices.rounding)?;
        let output = rounded(decoded, choices.rounding)?;
        let mut floats: Option<[Vec<f64>; 2]> = None;
        let mut values = |choice: ValuesChoice| match choice {
            ValuesChoice::Rounded => [&input, &output].map(eight_bits),
            ValuesChoice::Clamped => {
                floats.get_or_insert_with(|| [sample, decoded].map(clamped)).clone()
            }
        };
        let [a, b] = values(choices.psnr_values);
        let squares: f64 = a.iter().zip(&b).map(|(a, b)| (a - b) * (a - b)).sum();
        let mse = squares / a.len() as f64;
        let rule = SsimRule {
            window: choices.ssim.window,
            border: choices.ssim.border,
            covariance: choices.ssim.covariance,
            range: 255.0 * choices.ssim.range,
        };
        let of_levels =
            choices.ssim.values == ValuesChoice::Rounded && choices.ssim.zero == Zero::Black;
        let (ssim, ms_ssim) = if of_levels && rule == SsimRule::AUTHORS {
            ssim_and_ms_ssim(&input, &output)
        } else {
            let [mut a, mut b] = match choices.ssim.values == choices.psnr_values {
                true => [a, b],
                false => values(choices.ssim.values),
            };
            if choices.ssim.zero == Zero::Grey {
                a.iter_mut().chain(&mut b).for_each(|value| *value -= 127.5);
            }
            let [a, b] = [&a, &b].map(|data| Values { width, height, data });
            (rule.of(a, b), ms_ssim(&input, &output))
        };
        let pairs = input.data().iter().zip(output.data());
        let differences = pairs.map(|(a, b)| a.abs_diff(*b));
        let (sum, most) = differences.fold((0u64, 0), |(sum, most), difference| {
            (sum + u64::from(difference), most.max(difference))
        });
        let asked = |is_asked: bool, of: fn(&Rgb8, &Rgb8) -> Option<f64>| {
            is_asked.then(|| of(&input, &output)).flatten()
        };
        let metrics = PairMetrics {
            ssimulacra2: asked(choices.ssimulacra2, ssimulacra2),
            butteraugli: asked(choices.butteraugli, butteraugli),
            mse,
            psnr_db: (mse > 0.0).then(|| decibels(mse)),
            ssim,
            ms_ssim,
            mae: sum as f64 / input.data().len() as f64,
            max_abs_diff: most,
            lpips: LpipsDistances::default(),
            dists: None,
            rotation_psnr_db: None,
            scaling_psnr_db: None,
        };
        Ok(Self { metrics, input, output })
    }
}

/// `None` where a side is too small.
fn butteraugli(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    Some(Visibility::of(a, b).ok()??.score())
}

/// PSNR in dB of two samples (1, 3, H, W), rounded, in the area that both have at the top left; `None` where nothing
/// differs.
///
/// # Errors
///
/// When there is no such area.
pub(crate) fn psnr_db(
    a: ArrayView4<f32>,
    b: ArrayView4<f32>,
    rounding: Rounding,
) -> Result<Option<f64>> {
    let (height, width) = (a.dim().2.min(b.dim().2), a.dim().3.min(b.dim().3));
    let of = |tensor: ArrayView4<f32>| {
        rounded(tensor.slice_move(s![.., .., ..height, ..width]), rounding)
    };
    Ok(psnr(&of(a)?, &of(b)?).filter(|psnr_db| psnr_db.is_finite()))
}

/// PSNR in dB of a mean squared error in 8-bit values.
pub(crate) fn decibels(mse: f64) -> f64 {
    10.0 * (255.0 * 255.0 / mse).log10()
}

fn rounded(tensor: ArrayView4<f32>, rounding: Rounding) -> Result<Rgb8> {
    let (_, _, height, width) = tensor.dim();
    let mut data = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|channel| to_u8(tensor[[0, channel, y, x]], rounding)));
        }
    }
    Rgb8::new(width, height, data)
}

/// In f32, step by step as the scripts do it.
fn to_u8(value: f32, rounding: Rounding) -> u8 {
    match rounding {
        Rounding::HalfEven => {
            let unit = (value / 2.0 + 0.5).clamp(0.0, 1.0);
            (unit * 255.0).round_ties_even() as u8
        }
        Rounding::HalfUp => (127.5 * value + 128.0).clamp(0.0, 255.0) as u8,
        Rounding::Down => (((value + 1.0) / 2.0).clamp(0.0, 1.0) * 255.0) as u8,
    }
}

fn eight_bits(picture: &Rgb8) -> Vec<f64> {
    picture.data().iter().map(|value| f64::from(*value)).collect()
}

/// Pixel by pixel, in 8-bit values that are not rounded.
fn clamped(tensor: ArrayView4<f32>) -> Vec<f64> {
    let (_, _, height, width) = tensor.dim();
    let mut data = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|channel| {
                let value = f64::from(tensor[[0, channel, y, x]]);
                (value.clamp(-1.0, 1.0) + 1.0) * 127.5
            }));
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_as_each_script_does() {
        for (value, even, up, down) in [
            (-1.0, 0, 0, 0),
            (1.0, 255, 255, 255),
            (0.0, 128, 128, 127),
            (-0.003_93, 127, 127, 126),
            (3.0, 255, 255, 255),
            (-3.0, 0, 0, 0),
        ] {
            let found = [Rounding::HalfEven, Rounding::HalfUp, Rounding::Down];
            assert_eq!(found.map(|rounding| to_u8(value, rounding)), [even, up, down], "{value}");
        }
    }
}
