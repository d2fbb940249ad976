//! How far a statistic of pictures moves where they are drawn anew.

use serde::{Deserialize, Serialize};

use crate::protocol::Confidence;

/// Draws pictures anew, with replacement, and sees what a statistic becomes (Efron 1979): percentile
/// intervals. The same seed gives the same draws for the same number of pictures.
#[derive(Debug, Clone, Copy)]
pub struct Bootstrap(pub Confidence);

/// Between which two numbers a statistic lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Bootstrap {
    /// The interval of the mean of `values`; `None` where there are under two.
    pub fn mean(&self, values: &[f64]) -> Option<Interval> {
        self.statistic(values.len(), |drawn| {
            let sum: f64 = drawn.map(|index| values[index]).sum();
            sum / values.len() as f64
        })
    }

    /// The interval of `statistic`, which is given the indices drawn of `count` pictures; `None` where
    /// there are under two, and where it is not finite.
    pub fn statistic(
        &self,
        count: usize,
        mut statistic: impl FnMut(&mut dyn Iterator<Item = usize>) -> f64,
    ) -> Option<Interval> {
        if count < 2 {
            return None;
        }
        let mut random = SplitMix64(self.0.seed);
        let mut found: Vec<f64> = (0..self.0.resamples)
            .map(|_| statistic(&mut (0..count).map(|_| random.below(count))))
            .collect();
        if found.iter().any(|value| !value.is_finite()) {
            return None;
        }
        found.sort_by(f64::total_cmp);
        let outside = (1.0 - self.0.level) / 2.0;
        Some(Interval { low: quantile(&found, outside), high: quantile(&found, 1.0 - outside) })
    }
}

/// The value below which `share` of `sorted` lies, between its neighbours in a straight line, as numpy's
/// `quantile` has it by default.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = share * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * part
}

/// Steele, Lea, Flood 2014: one addition and three mixings a number, and enough for drawing indices.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `count`; off from even by less than `count` in 2^64.
    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIDENCE: Confidence = Confidence { resamples: 4000, seed: 1, level: 0.95 };

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = SplitMix64(1_234_567);
        let first = [random.next(), random.next()];
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn the_interval_of_a_mean_is_as_wide_as_theory_has_it() {
        // Uniform on [0, 1): the standard error of the mean of 400 is 0.0144.
        let mut random = SplitMix64(7);
        let values: Vec<f64> = (0..400).map(|_| random.next() as f64 / 2f64.powi(64)).collect();
        let Interval { low, high } = Bootstrap(CONFIDENCE).mean(&values).unwrap();
        let expected = 2.0 * 1.96 / (12.0 * 400f64).sqrt();
        assert!((high - low - expected).abs() < 0.1 * expected, "{low} {high}");
        let mean = values.iter().sum::<f64>() / 400.0;
        assert!(low < mean && mean < high);
    }

    #[test]
    fn one_picture_has_no_interval() {
        assert_eq!(Bootstrap(CONFIDENCE).mean(&[1.0]), None);
    }

    #[test]
    fn quantiles_are_numpys() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.25, 0.5, 1.0].map(|q| quantile(&sorted, q)), [1.0, 1.75, 3.0, 8.0]);
    }
}
