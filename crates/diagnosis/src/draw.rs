//! Draws from the posterior: one of our own to measure by.

use ndarray::Array4;

use super::evidence::Evidence;
use vae_fidelity_files::error::Result;

/// Raw latents drawn from the posterior with fixed noise, (1, C, h, w); `None` where the model does
/// not tell its spread.
pub(super) fn another_draw(evidence: &Evidence) -> Result<Option<Array4<f32>>> {
    let (Some(mean), Some(std)) = (evidence.mean(), &evidence.encoded.std) else { return Ok(None) };
    let mut noise = Noise(0x5eed);
    let drawn = ndarray::Zip::from(&mean)
        .and(std)
        .map_collect(|&mean, &std| mean + std * noise.next() as f32);
    Ok(drawn.iter().all(|value| value.is_finite()).then_some(drawn))
}

/// Standard normal numbers, the same on every machine: how far a draw lies from the mode does not
/// depend on whose generator they come from.
struct Noise(u64);

impl Noise {
    fn unit(&mut self) -> f64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn next(&mut self) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_standard_normal() {
        let mut noise = Noise(1);
        let numbers: Vec<f64> = (0..10_000).map(|_| noise.next()).collect();
        let mean = numbers.iter().sum::<f64>() / 1e4;
        let square = numbers.iter().map(|x| x * x).sum::<f64>() / 1e4;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
    }
}
