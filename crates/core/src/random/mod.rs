//! torch's random numbers on the CPU, without torch: the generator, and the way in which `torch.randn`
//! fills a tensor from it.
//!
//! Follows torch 2.13 (`ATen/core/MT19937RNGEngine.h`, `ATen/core/DistributionsHelper.h`,
//! `ATen/native/cpu/DistributionTemplates.h`) as it runs on x86-64 with AVX2, which AVX-512 machines
//! take too: there all bits of two million draws in each dtype were equal, and of all tensors of 1 to
//! 300 values from seven seeds. On other processors torch takes the logarithm and the sine of the C
//! library: then 38 % of the f32 draws differ, by at most 2.3e-6, and in one step 0.08 % of those in
//! f16 and 0.02 % in bf16. Tensors of fewer than 16 values take the C library's everywhere.
//! `vae_fidelity_tools.conformance.random_numbers` measures it anew.
//!
//! And NumPy's [`RandomState`], from the same bits.

mod box_muller;
mod mersenne_twister;
mod random_state;

use crate::dtype::Dtype;

use box_muller::fill_16;
use mersenne_twister::MersenneTwister;

pub use random_state::RandomState;

/// Values that are drawn together.
const BLOCK: usize = 16;

/// `torch.Generator("cpu")`.
///
/// ```
/// use vae_fidelity_core::Dtype;
/// use vae_fidelity_core::random::Generator;
/// let drawn = Generator::manual_seed(42).randn(4, Dtype::F32);
/// // torch.randn(4, generator=torch.Generator().manual_seed(42))
/// assert_eq!(drawn, [0.33669037, 0.12880941, 0.23446237, 0.23033303]);
/// ```
#[derive(Debug, Clone)]
pub struct Generator {
    bits: MersenneTwister,
    /// The other number of a pair that was drawn one by one.
    second: Option<f64>,
}

impl Generator {
    /// As `torch.Generator.manual_seed` leaves it. Negative seeds are 2^64 more, as in torch; it reads
    /// the lowest 32 bits.
    pub fn manual_seed(seed: u64) -> Self {
        Self { bits: MersenneTwister::new(seed as u32), second: None }
    }

    /// The `len` values, in C order, of `torch.randn(shape, generator=self, dtype=dtype)`: standard
    /// normal, rounded to `dtype`.
    pub fn randn(&mut self, len: usize, dtype: Dtype) -> Vec<f32> {
        let mut values: Vec<f32> = match (len, dtype) {
            (0..BLOCK, _) => (0..len).map(|_| self.normal() as f32).collect(),
            (_, Dtype::F32) => self.filled(len),
            (_, Dtype::F16 | Dtype::Bf16) => self.filled_by_block(len),
        };
        values.iter_mut().for_each(|value| *value = dtype.round(*value));
        values
    }

    /// Uniform numbers for the whole tensor, and then each 16 of them made normal. Where they do not
    /// come out even, the last 16 values are drawn once more.
    fn filled(&mut self, len: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..len).map(|_| self.uniform()).collect();
        values.as_chunks_mut().0.iter_mut().for_each(fill_16);
        if !len.is_multiple_of(BLOCK) {
            values[len - BLOCK..].copy_from_slice(&self.block());
        }
        values
    }

    /// The same for half precision, where torch draws uniform numbers as each 16 values need them:
    /// other ones at the end.
    fn filled_by_block(&mut self, len: usize) -> Vec<f32> {
        let mut values: Vec<f32> = (0..len / BLOCK).flat_map(|_| self.block()).collect();
        if !len.is_multiple_of(BLOCK) {
            values.resize(len, 0.0);
            values[len - BLOCK..].copy_from_slice(&self.block());
        }
        values
    }

    fn block(&mut self) -> [f32; BLOCK] {
        let mut block = std::array::from_fn(|_| self.uniform());
        fill_16(&mut block);
        block
    }

    /// In [0, 1), of 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.bits.next() & 0xff_ffff) as f32 / (1 << 24) as f32
    }

    /// In [0, 1), of 53 bits.
    fn wide_uniform(&mut self) -> f64 {
        let (high, low) = (u64::from(self.bits.next()), u64::from(self.bits.next()));
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// One number of its own, of pairs drawn in f64: what small tensors are made of.
    fn normal(&mut self) -> f64 {
        if let Some(second) = self.second.take() {
            return second;
        }
        let (angle, length) = (self.wide_uniform(), self.wide_uniform());
        let radius = (-2.0 * (-length).ln_1p()).sqrt();
        let angle = std::f64::consts::TAU * angle;
        self.second = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What torch 2.13.0 draws, as bits: `vae_fidelity_tools.conformance.random_numbers --print` prints them.
    const DRAWS: &str = include_str!("torch_draws.txt");

    #[test]
    fn draws_are_torchs_to_the_bit() {
        let mut rows = 0;
        for row in DRAWS.lines().filter(|row| !row.starts_with('#')) {
            let mut words = row.split_whitespace();
            let mut word = || words.next().unwrap_or_else(|| panic!("{row}"));
            let dtype = match word() {
                "float32" => Dtype::F32,
                "float16" => Dtype::F16,
                "bfloat16" => Dtype::Bf16,
                other => panic!("{other}"),
            };
            let (len, seed) = (word().parse().unwrap(), word().parse::<i128>().unwrap());
            let expected: Vec<u32> =
                words.map(|word| u32::from_str_radix(word, 16).unwrap()).collect();
            let drawn = Generator::manual_seed(seed as u64).randn(len, dtype);
            assert_eq!(drawn.len(), len);
            // Rows end with the last 20 values; where blocks do not come out even, they are there.
            let found: Vec<u32> =
                drawn[len.saturating_sub(20)..].iter().map(|v| v.to_bits()).collect();
            assert_eq!(found, expected, "{dtype}, {len} values, seed {seed}");
            rows += 1;
        }
        assert!(rows >= 90, "{rows} rows");
    }

    #[test]
    fn a_second_draw_goes_on_where_the_first_ended() {
        let mut generator = Generator::manual_seed(7);
        let (first, second) = (generator.randn(3, Dtype::F32), generator.randn(3, Dtype::F32));
        let together = Generator::manual_seed(7).randn(6, Dtype::F32);
        assert_eq!([first, second].concat(), together);
    }

    #[test]
    fn numbers_are_standard_normal() {
        let drawn = Generator::manual_seed(1).randn(1 << 18, Dtype::F32);
        let count = drawn.len() as f64;
        let mean = drawn.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let square = drawn.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.01 && (square - 1.0).abs() < 0.01, "{mean} {square}");
    }
}
