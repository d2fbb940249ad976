//! Energy over frequency, of pictures and of latents: blocks of 8 x 8 values by the discrete cosine transform, as
//! Skorokhodov et al. 2025 ("Improving the Diffusability of Autoencoders") hold latents against pictures.

use ndarray::{ArrayView2, ArrayView4, Axis, s};
use serde::{Deserialize, Serialize};

/// Side of a block.
const SIDE: usize = 8;
/// Sums of a block's two frequencies, 0 to 14.
const BANDS: usize = 2 * SIDE - 1;
/// The first band of the upper half.
const UPPER: usize = SIDE;
/// What all energy of a picture counts as. Sums of integers do not depend on their order.
const WHOLE: f64 = (1u64 << 40) as f64;

/// `cos(k pi / 16)`, so that no two machines have another one.
const COSINES: [f64; 8] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    std::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_27,
];

/// Shares of energy, summed over pictures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpectrumSum {
    pictures: u64,
    shares: [u64; BANDS],
}

impl SpectrumSum {
    pub const NONE: Self = Self { pictures: 0, shares: [0; BANDS] };

    /// Of one picture or its latents (1, channels, H, W), each channel without its mean. Nothing where a side has no whole
    /// block, and where all values are one.
    pub fn of(tensor: ArrayView4<f32>) -> Self {
        let matrix = matrix();
        let mut energy = [0.0; BANDS];
        for channel in tensor.index_axis(Axis(0), 0).axis_iter(Axis(0)) {
            let (height, width) = (channel.dim().0 / SIDE * SIDE, channel.dim().1 / SIDE * SIDE);
            let whole = channel.slice(s![..height, ..width]);
            let sum: f64 = whole.iter().map(|value| f64::from(*value)).sum();
            let mean = (sum / whole.len() as f64) as f32;
            for block in whole.exact_chunks((SIDE, SIDE)) {
                add(&mut energy, block, mean, &matrix);
            }
        }
        let all: f64 = energy.iter().sum();
        // NaN has none either.
        if !(all > 0.0 && all.is_finite()) {
            return Self::NONE;
        }
        Self { pictures: 1, shares: energy.map(|of| (of / all * WHOLE).round() as u64) }
    }

    /// Adds the pictures of `other`.
    pub fn add(&mut self, other: &Self) {
        self.pictures = self.pictures.saturating_add(other.pictures);
        for (sum, share) in self.shares.iter_mut().zip(&other.shares) {
            *sum = sum.saturating_add(*share);
        }
    }

    fn mean(&self) -> Option<Vec<f64>> {
        let of = |share: &u64| *share as f64 / WHOLE / self.pictures as f64;
        (self.pictures > 0).then(|| self.shares.iter().map(of).collect())
    }
}

/// The orthonormal transform, `scipy.fft.dct(numpy.eye(8), norm="ortho", axis=0)`.
fn matrix() -> [[f32; SIDE]; SIDE] {
    std::array::from_fn(|frequency| {
        std::array::from_fn(|at| {
            // The cosine of this many sixteenths of pi.
            let angle = frequency * (2 * at + 1) % (4 * SIDE);
            let (angle, sign) = match angle {
                0..8 => (angle, 1.0),
                8..16 => (2 * SIDE - angle, -1.0),
                16..24 => (angle - 2 * SIDE, -1.0),
                _ => (4 * SIDE - angle, 1.0),
            };
            let cosine = COSINES.get(angle).map_or(0.0, |cosine| sign * cosine);
            let scale = if frequency == 0 { (1.0f64 / 8.0).sqrt() } else { 0.5 };
            (scale * cosine) as f32
        })
    })
}

/// Adds a block's energy of each band.
fn add(energy: &mut [f64; BANDS], block: ArrayView2<f32>, mean: f32, matrix: &[[f32; SIDE]; SIDE]) {
    let mut values = [[0.0f32; SIDE]; SIDE];
    for (row, from) in values.iter_mut().zip(block.rows()) {
        row.iter_mut().zip(from).for_each(|(value, from)| *value = from - mean);
    }
    // Down first: sums over rows, all columns at once.
    let mut down = [[0.0f32; SIDE]; SIDE];
    for (of, factors) in down.iter_mut().zip(matrix) {
        for (row, factor) in values.iter().zip(factors) {
            of.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    for (y, row) in down.iter().enumerate() {
        for (x, factors) in matrix.iter().enumerate() {
            let coefficient: f32 = row.iter().zip(factors).map(|(a, b)| a * b).sum();
            energy[y + x] += f64::from(coefficient) * f64::from(coefficient);
        }
    }
}

/// Energy over frequency: of what went in, of what came back, and of the latents between.
///
/// Each list has 15 shares of one picture's or its latents' energy, which sum up to 1, as a mean over pictures: first of
/// the slowest, last of the fastest. Blocks of 8 x 8 values are transformed (DCT-II), and a share is of all coefficients
/// whose two frequencies sum up to its place. Latents whose last shares are far above the picture's are harder for a
/// diffusion model (Skorokhodov et al. 2025).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Spectrum {
    /// Of the pictures as the protocol prepares them.
    pub input: Vec<f64>,
    /// Of what came back.
    pub decoded: Vec<f64>,
    /// Of the latents.
    pub latents: Vec<f64>,
}

impl Spectrum {
    /// The means; `None` where one of the three has no picture.
    pub(crate) fn of([input, decoded, latents]: &[SpectrumSum; 3]) -> Option<Self> {
        Some(Self { input: input.mean()?, decoded: decoded.mean()?, latents: latents.mean()? })
    }

    /// The share of the upper half of the frequencies, of one of its lists.
    pub fn upper_half(shares: &[f64]) -> f64 {
        shares.iter().skip(UPPER).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array4;

    #[test]
    fn a_wave_lies_in_its_band() {
        for (down, right) in [(0, 1), (3, 0), (5, 7), (7, 7)] {
            let wave = |at: usize, of: usize| {
                (std::f64::consts::PI * of as f64 * (at as f64 + 0.5) / 8.0).cos()
            };
            let plane = Array4::from_shape_fn((1, 1, 16, 24), |(_, _, y, x)| {
                (wave(y, down) * wave(x, right)) as f32 + 5.0
            });
            let shares = SpectrumSum::of(plane.view()).mean().unwrap();
            assert!(shares[down + right] > 0.999_999, "{down} {right}: {shares:?}");
        }
    }

    #[test]
    fn noise_is_as_strong_at_every_frequency() {
        let mut state = 1u64;
        let noise = Array4::from_shape_simple_fn((1, 3, 256, 256), || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 24) as f32
        });
        let shares = SpectrumSum::of(noise.view()).mean().unwrap();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for (band, share) in shares.iter().enumerate() {
            let coefficients = (band + 1).min(BANDS - band) as f64;
            assert!((share * 64.0 / coefficients - 1.0).abs() < 0.1, "{band}: {share}");
        }
        let upper = Spectrum::upper_half(&shares);
        assert!((upper - 28.0 / 64.0).abs() < 0.02, "{upper}");
    }

    #[test]
    fn there_is_none_of_nothing() {
        for plane in [Array4::zeros((1, 1, 7, 64)), Array4::ones((1, 2, 8, 8))] {
            assert_eq!(SpectrumSum::of(plane.view()), SpectrumSum::NONE);
        }
        let mut broken = Array4::zeros((1, 1, 8, 8));
        broken[[0, 0, 1, 1]] = f32::NAN;
        assert_eq!(SpectrumSum::of(broken.view()), SpectrumSum::NONE);
    }
}
