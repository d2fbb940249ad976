//! The largest absolute value of a tensor, which in half precision must not pass 65504.

use pulp::{Simd, WithSimd};

use super::tensor::NhwcTensor;
use super::threads::Threads;

/// Values that one thread looks at in one go.
const BAND: usize = 1 << 18;

/// The largest absolute value of `tensor`, where it is more than `limit`; `None` where it is not, or where
/// a value is NaN or infinite.
///
/// The sums that a tensor keeps of its channels bound it: most tensors are not read at all.
pub fn beyond(threads: Threads, tensor: &NhwcTensor, limit: f32) -> Option<f32> {
    if let Some(sums) = tensor.sums() {
        let squares = sums.per_channel().iter().map(|(_, squares)| *squares);
        // A tenth more, since the sums of a part of a tensor are f32.
        let bound = squares.fold(0.0, f64::max).sqrt() * 1.1;
        if bound <= f64::from(limit) {
            return None;
        }
    }
    let tasks = tensor.values().len().div_ceil(BAND);
    let mut largest = vec![0f32; tasks];
    threads.for_each_part(&mut largest, 1, |task, out| {
        let values = tensor.values().chunks(BAND).nth(task).unwrap_or_default();
        out[0] = threads.dispatch(Largest(values));
        tensor.keep_within_limit();
    });
    let largest = largest.into_iter().fold(0.0, largest_of);
    (largest > limit && largest.is_finite()).then_some(largest)
}

/// The larger of both, and NaN where one is.
fn largest_of(a: f32, b: f32) -> f32 {
    if b > a || b.is_nan() { b } else { a }
}

struct Largest<'a>(&'a [f32]);

impl WithSimd for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        const LANES: usize = 32;
        let mut largest = [0f32; LANES];
        // The bits of absolute values are in the order of the values, NaN above infinity.
        let (runs, rest) = self.0.as_chunks::<LANES>();
        for run in runs {
            for (largest, value) in largest.iter_mut().zip(run) {
                let value = value.abs();
                *largest = if value.to_bits() > largest.to_bits() { value } else { *largest };
            }
        }
        let rest = rest.iter().map(|value| value.abs());
        largest.into_iter().chain(rest).fold(0.0, largest_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Workspace;

    fn image(value: impl Fn(usize) -> f32) -> NhwcTensor {
        let values: Vec<f32> = (0..40 * 96 * 96).map(value).collect();
        NhwcTensor::from_chw(&Workspace::default().activations, 96, 96, 40, &values)
    }

    #[test]
    fn one_value_beyond_the_limit_is_found() {
        let threads = Threads::new(2);
        let at = |place: usize, large: f32| image(move |i| if i == place { large } else { 1.0 });
        assert_eq!(beyond(threads, &at(0, 32768.0), 32768.0), None);
        for place in [0, 12_345, 40 * 96 * 96 - 1] {
            assert_eq!(beyond(threads, &at(place, -70_000.0), 32768.0), Some(70_000.0));
            // What is not finite is another rule's.
            assert_eq!(beyond(threads, &at(place, f32::NAN), 32768.0), None);
            assert_eq!(beyond(threads, &at(place, f32::INFINITY), 32768.0), None);
        }
    }
}
