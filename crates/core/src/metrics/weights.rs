//! What the values of a tensor of weights look like, and whether chance alone made them.

use serde::Serialize;

/// One tensor's values in numbers; statistics cover finite values, `None` where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WeightStatistics {
    /// Number of values.
    pub values: usize,
    /// NaNs and infinities.
    pub non_finite: usize,
    /// Values that are exactly 0.
    pub zeros: usize,
    /// Whether all values are one and the same finite number.
    pub constant: bool,
    /// Smallest value.
    pub min: Option<f32>,
    /// Largest value.
    pub max: Option<f32>,
    /// Mean.
    pub mean: Option<f64>,
    /// Standard deviation of the population.
    pub std: Option<f64>,
    /// Fourth central moment over the square of the variance: 1.8 for a uniform distribution, 3 for
    /// a normal one, more for one with tails, as training leaves them.
    pub kurtosis: Option<f64>,
}

impl WeightStatistics {
    /// Measures `values`.
    ///
    /// ```
    /// use vae_fidelity_core::metrics::WeightStatistics;
    /// let statistics = WeightStatistics::of([1.0, -1.0, f32::NAN, 0.0]);
    /// assert_eq!((statistics.values, statistics.non_finite, statistics.zeros), (4, 1, 1));
    /// assert_eq!((statistics.min, statistics.max), (Some(-1.0), Some(1.0)));
    /// ```
    pub fn of(values: impl IntoIterator<Item = f32>) -> Self {
        let mut moments = Moments::default();
        values.into_iter().for_each(|value| moments.add(value));
        moments.statistics()
    }

    /// Largest distance from 0 of a finite value.
    pub fn max_abs(&self) -> Option<f32> {
        Some(self.min?.abs().max(self.max?.abs()))
    }

    /// Whether every value is finite and exactly 0 (of at least one).
    pub fn is_zero(&self) -> bool {
        self.values > 0 && self.zeros == self.values
    }

    /// Whether the values are spread as one uniform draw of [-bound, bound] spreads them, for a bound
    /// that is theirs.
    ///
    /// Training gives weights tails. Uniform draws end sharply: kurtosis and largest value each lie
    /// within five standard errors of a uniform draw's. `None` under [`LEAST_VALUES`], where chance
    /// alone could do that.
    pub fn uniform_bound(&self) -> Option<f64> {
        let finite = (self.values - self.non_finite) as f64;
        if self.non_finite > 0 || self.values < LEAST_VALUES {
            return None;
        }
        let (mean, std, kurtosis) = (self.mean?, self.std?, self.kurtosis?);
        let bound = std * 3_f64.sqrt();
        let largest = f64::from(self.max_abs()?);
        // Of n draws: the mean's error is bound / sqrt(3 n), the kurtosis' 2 / sqrt(3 n) (from
        // the uniform's moments up to the eighth), and the largest falls short by bound / n.
        let five_errors = 5.0 / (3.0 * finite).sqrt();
        let fits = mean.abs() <= bound * five_errors
            && (kurtosis - 1.8).abs() <= 2.0 * five_errors
            && largest <= bound * (1.0 + five_errors)
            && largest >= bound * (1.0 - five_errors - 10.0 / finite);
        (fits && bound > 0.0).then_some(bound)
    }
}

/// Fewer values than this say nothing about their distribution.
pub const LEAST_VALUES: usize = 256;

/// How many values are added side by side.
const LANES: usize = 8;
/// After how many values lanes are put together.
const RUN: usize = 4096;

/// As [`Moments`], each lane for itself; of finite values only.
struct Lanes {
    zeros: [u32; LANES],
    min: [f32; LANES],
    max: [f32; LANES],
    sums: [[f64; LANES]; 4],
}

impl Lanes {
    /// `None` where a value is not finite, or there is none.
    fn of(eights: &[[f32; LANES]]) -> Option<Self> {
        let first = eights.first()?;
        let mut lanes =
            Self { zeros: [0; LANES], min: *first, max: *first, sums: [[0.0; LANES]; 4] };
        // A NaN or infinity times 0 is NaN, and stays.
        let mut nothing = [0f32; LANES];
        for eight in eights {
            for (lane, &value) in eight.iter().enumerate() {
                nothing[lane] += value * 0.0;
                lanes.zeros[lane] += u32::from(value == 0.0);
                // Not `f32::min`, which also has to look for NaN.
                lanes.min[lane] = if value < lanes.min[lane] { value } else { lanes.min[lane] };
                lanes.max[lane] = if value > lanes.max[lane] { value } else { lanes.max[lane] };
            }
            for (lane, &value) in eight.iter().enumerate() {
                let value = f64::from(value);
                let square = value * value;
                lanes.sums[0][lane] += value;
                lanes.sums[1][lane] += square;
                lanes.sums[2][lane] += square * value;
                lanes.sums[3][lane] += square * square;
            }
        }
        nothing.iter().all(|nothing| *nothing == 0.0).then_some(lanes)
    }
}

/// Sums over values that are added one by one, or in runs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moments {
    values: usize,
    finite: usize,
    zeros: usize,
    min: f32,
    max: f32,
    /// Of the first four powers.
    sums: [f64; 4],
}

impl Moments {
    /// Adds one value.
    pub fn add(&mut self, value: f32) {
        self.values += 1;
        if !value.is_finite() {
            return;
        }
        if self.finite == 0 {
            (self.min, self.max) = (value, value);
        }
        self.finite += 1;
        self.zeros += usize::from(value == 0.0);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let value = f64::from(value);
        let square = value * value;
        for (sum, power) in
            self.sums.iter_mut().zip([value, square, square * value, square * square])
        {
            *sum += power;
        }
    }

    /// Adds all of `values`, as [`Self::add`] would but in lanes, which compilers turn into vectors:
    /// the sums differ by rounding alone.
    pub fn add_all(&mut self, values: &[f32]) {
        for run in values.chunks(RUN) {
            let (eights, rest) = run.as_chunks::<LANES>();
            match Lanes::of(eights) {
                Some(lanes) => self.add_lanes(&lanes, eights.len() * LANES),
                None => eights.iter().flatten().for_each(|&value| self.add(value)),
            }
            rest.iter().for_each(|&value| self.add(value));
        }
    }

    fn add_lanes(&mut self, lanes: &Lanes, values: usize) {
        let min = lanes.min.into_iter().fold(f32::INFINITY, f32::min);
        let max = lanes.max.into_iter().fold(f32::NEG_INFINITY, f32::max);
        if self.finite == 0 {
            (self.min, self.max) = (min, max);
        }
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        self.values += values;
        self.finite += values;
        self.zeros += lanes.zeros.into_iter().map(|zeros| zeros as usize).sum::<usize>();
        for (sum, lanes) in self.sums.iter_mut().zip(lanes.sums) {
            *sum += lanes.iter().sum::<f64>();
        }
    }

    /// Adds what `other` holds, each value times `factor`, which is above 0.
    pub fn merge(&mut self, other: &Self, factor: f64) {
        let scaled = |value: f32| (f64::from(value) * factor) as f32;
        if other.finite > 0 {
            let (min, max) = (scaled(other.min), scaled(other.max));
            (self.min, self.max) = match self.finite {
                0 => (min, max),
                _ => (self.min.min(min), self.max.max(max)),
            };
        }
        self.values += other.values;
        self.finite += other.finite;
        self.zeros += other.zeros;
        for (power, (sum, theirs)) in self.sums.iter_mut().zip(other.sums).enumerate() {
            *sum += theirs * factor.powi(power as i32 + 1);
        }
    }

    /// What has been added, in numbers.
    pub fn statistics(&self) -> WeightStatistics {
        let counts = WeightStatistics {
            values: self.values,
            non_finite: self.values - self.finite,
            zeros: self.zeros,
            ..WeightStatistics::default()
        };
        if self.finite == 0 {
            return counts;
        }
        let [mean, square, cube, fourth] = self.sums.map(|sum| sum / self.finite as f64);
        let variance = (square - mean * mean).max(0.0);
        let central = fourth - 4.0 * mean * cube + 6.0 * mean * mean * square - 3.0 * mean.powi(4);
        let constant = self.min == self.max;
        WeightStatistics {
            constant: constant && counts.non_finite == 0,
            min: Some(self.min),
            max: Some(self.max),
            mean: Some(mean),
            std: Some(if constant { 0.0 } else { variance.sqrt() }),
            kurtosis: (!constant && variance > 0.0).then(|| central / (variance * variance)),
            ..counts
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without a pattern, in [-1, 1].
    fn draws(count: usize, mut state: u64) -> Vec<f32> {
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .take(count)
        .collect()
    }

    #[test]
    fn moments_are_those_of_the_values() {
        let statistics = WeightStatistics::of([1.0, 2.0, 3.0, 6.0]);
        assert_eq!((statistics.mean, statistics.std), (Some(3.0), Some(3.5_f64.sqrt())));
        // Central fourth powers: 16, 1, 0, 81.
        assert!((statistics.kurtosis.unwrap() - 24.5 / 12.25).abs() < 1e-12);
        let constant = WeightStatistics::of([0.1; 1000]);
        assert!(constant.constant && constant.std == Some(0.0) && constant.kurtosis.is_none());
        assert!(!WeightStatistics::of([1.0, f32::NAN]).constant);
        assert_eq!(WeightStatistics::of([f32::INFINITY]).max, None);
        assert!(!WeightStatistics::of([]).is_zero() && WeightStatistics::of([0.0, -0.0]).is_zero());
    }

    #[test]
    fn runs_add_what_single_values_do() {
        for (count, seed) in [(0, 1), (7, 2), (8, 3), (4097, 4), (20_000, 5)] {
            let mut values = draws(count, seed);
            let both = |values: &[f32]| {
                let mut run = Moments::default();
                run.add_all(values);
                (run.statistics(), WeightStatistics::of(values.iter().copied()))
            };
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(1e-3),
                (a, b) => a == b,
            };
            for broken in [None, Some(f32::NAN), Some(f32::NEG_INFINITY), Some(0.0)] {
                if let (Some(broken), Some(value)) = (broken, values.last_mut()) {
                    *value = broken;
                }
                if let (Some(broken), Some(value)) = (broken, values.get_mut(count / 3)) {
                    *value = broken;
                }
                let (run, single) = both(&values);
                let counts = |s: &WeightStatistics| {
                    (s.values, s.non_finite, s.zeros, s.constant, s.min, s.max)
                };
                assert_eq!(counts(&run), counts(&single));
                assert!(near(run.mean, single.mean) && near(run.std, single.std), "{run:?}");
                assert!(near(run.kurtosis, single.kurtosis), "{run:?} {single:?}");
            }
        }
    }

    #[test]
    fn merged_moments_are_those_of_all_values() {
        let (mut a, mut b) = (Moments::default(), Moments::default());
        let mut both = Moments::default();
        for value in [0.5, -3.0, f32::NAN] {
            a.add(value);
            both.add(value);
        }
        for value in [2.0, 0.0] {
            b.add(value);
            both.add(value * 4.0);
        }
        a.merge(&b, 4.0);
        assert_eq!(a, both);
    }

    #[test]
    fn uniform_draws_are_recognised_and_others_are_not() {
        for seed in 1..200 {
            let uniform = draws(LEAST_VALUES << (seed % 5), seed * 77);
            let statistics = WeightStatistics::of(uniform.iter().map(|value| value * 0.3));
            let bound = statistics.uniform_bound().unwrap_or_else(|| panic!("{statistics:?}"));
            assert!((bound / 0.3 - 1.0).abs() < 0.15, "{bound}");
            // The sum of three draws is nearly normal.
            let normal = uniform.chunks(3).map(|three| three.iter().sum());
            let normal: Vec<f32> = normal.collect();
            if normal.len() >= LEAST_VALUES {
                assert_eq!(WeightStatistics::of(normal).uniform_bound(), None);
            }
            // One outlier is enough: no draw lies beyond its bound.
            let outlier = uniform.iter().copied().chain([1.6]);
            assert_eq!(WeightStatistics::of(outlier).uniform_bound(), None);
        }
    }
}
