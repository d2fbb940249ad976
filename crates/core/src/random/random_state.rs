//! NumPy's legacy generator, as far as subsets are drawn by it.

use super::mersenne_twister::MersenneTwister;

/// `numpy.random.RandomState`.
///
/// ```
/// use vae_fidelity_core::random::RandomState;
/// // numpy.random.RandomState(2020).choice(10, 4, replace=False)
/// assert_eq!(RandomState::new(2020).choice(10, 4), [2, 4, 9, 1]);
/// ```
#[derive(Debug, Clone)]
pub struct RandomState {
    bits: MersenneTwister,
}

impl RandomState {
    /// Seeded by one number.
    pub fn new(seed: u32) -> Self {
        Self { bits: MersenneTwister::new(seed) }
    }

    /// `choice(count, size, replace=False)`: the first `size`, or all if there are fewer, of the numbers below `count`
    /// in random order (`RandomState.permutation` of NumPy 2, `numpy/random/mtrand.pyx`).
    pub fn choice(&mut self, count: u32, size: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..count).collect();
        for last in (1..count).rev() {
            all.swap(last as usize, self.up_to(last) as usize);
        }
        all.truncate(size);
        all
    }

    /// From 0 to `most`, which is at least 1: what of as many bits is not above it (`random_interval`).
    fn up_to(&mut self, most: u32) -> u32 {
        let mask = u32::MAX >> most.leading_zeros();
        loop {
            let drawn = self.bits.next() & mask;
            if drawn <= most {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_draws_are_numpys_too() {
        let mut state = RandomState::new(2020);
        let drawn: Vec<Vec<u32>> = (0..3).map(|_| state.choice(1100, 3)).collect();
        assert_eq!(drawn, [[135, 352, 759], [491, 1036, 806], [865, 464, 194]]);
    }
}
