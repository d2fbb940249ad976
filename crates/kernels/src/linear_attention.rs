//! Attention without a softmax, whose sum over pixels is taken once for all queries:
//! `SanaMultiscaleLinearAttention` of diffusers between its projections.

use pulp::{Simd, WithSimd};

use super::memory::Memory;
use super::tensor::NhwcTensor;
use super::threads::Threads;

/// What diffusers adds to what it divides by.
const EPS: f32 = 1e-15;

/// Attention of heads of `head_dim` channels over `scales`, images of one size whose channels are queries,
/// keys and values of one head after another; `head_dim` channels for each head.
///
/// diffusers weighs all pairs where there are no more pixels than `head_dim`, which is the same sum in
/// another order.
pub fn attend(
    threads: Threads,
    scales: &[&NhwcTensor],
    head_dim: usize,
    memory: &Memory,
) -> NhwcTensor {
    let first = scales[0];
    let heads: Vec<Head> = scales
        .iter()
        .flat_map(|tensor| {
            (0..tensor.channels / (3 * head_dim))
                .map(|head| Head { tensor, first: 3 * head_dim * head })
        })
        .collect();
    let len = head_dim * (head_dim + 1);
    let mut sums = vec![0.0; heads.len() * len];
    threads.for_each_part(&mut sums, len, |head, sums| {
        threads.dispatch(Sum { head: heads[head], head_dim, sums });
    });
    let mut out = NhwcTensor::uninit(memory, first.height, first.width, heads.len() * head_dim);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), first.width * pitch, |y, out| {
        threads.dispatch(Attend { heads: &heads, sums: &sums, head_dim, y, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Where the queries of a head begin; its keys and values lie behind them.
#[derive(Clone, Copy)]
struct Head<'a> {
    tensor: &'a NhwcTensor,
    first: usize,
}

/// For each channel of the keys the values, and a one behind them, weighed by it: (key, value).
struct Sum<'a> {
    head: Head<'a>,
    head_dim: usize,
    sums: &'a mut [f32],
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { head: Head { tensor, first }, head_dim, sums } = self;
        let mut of_row = vec![0.0; sums.len()];
        // Row by row, so that small values are not added to a large sum.
        for row in tensor.values().chunks_exact(tensor.width * tensor.pitch) {
            of_row.fill(0.0);
            for pixel in row.chunks_exact(tensor.pitch) {
                let keys = &pixel[first + head_dim..][..head_dim];
                let values = &pixel[first + 2 * head_dim..][..head_dim];
                for (&key, sum) in keys.iter().zip(of_row.chunks_exact_mut(head_dim + 1)) {
                    let key = relu(key);
                    for (sum, value) in sum.iter_mut().zip(values) {
                        *sum += key * value;
                    }
                    sum[head_dim] += key;
                }
            }
            for (sum, of_row) in sums.iter_mut().zip(&of_row) {
                *sum += of_row;
            }
        }
    }
}

/// What the queries of one row attend to.
struct Attend<'a> {
    heads: &'a [Head<'a>],
    sums: &'a [f32],
    head_dim: usize,
    y: usize,
    out: &'a mut [f32],
    pitch: usize,
}

impl WithSimd for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { heads, sums, head_dim, y, out, pitch } = self;
        let mut attended = vec![0.0; head_dim + 1];
        for (number, (head, sums)) in
            heads.iter().zip(sums.chunks_exact(head_dim * (head_dim + 1))).enumerate()
        {
            let tensor = head.tensor;
            let row = &tensor.values()[y * tensor.width * tensor.pitch..];
            for (pixel, out) in row.chunks_exact(tensor.pitch).zip(out.chunks_exact_mut(pitch)) {
                attended.fill(0.0);
                let queries = &pixel[head.first..][..head_dim];
                for (&query, sum) in queries.iter().zip(sums.chunks_exact(head_dim + 1)) {
                    let query = relu(query);
                    for (attended, sum) in attended.iter_mut().zip(sum) {
                        *attended += query * sum;
                    }
                }
                let weight = attended[head_dim] + EPS;
                let out = &mut out[number * head_dim..][..head_dim];
                for (out, attended) in out.iter_mut().zip(&attended) {
                    *out = attended / weight;
                }
            }
        }
    }
}

/// Not `max`, which makes 0 of NaN.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_has_the_mean_of_values_weighed_by_its_keys() {
        let (threads, memory) = (Threads::new(2), Memory::default());
        // One head of two channels, two pixels: queries, keys, values.
        let planes = [1.0, -1.0, 0.0, 2.0, 1.0, 3.0, -5.0, 1.0, 10.0, 20.0, 0.5, 1.5];
        let tensor = NhwcTensor::from_chw(&memory, 1, 2, 6, &planes);
        let attended = attend(threads, &[&tensor, &tensor], 2, &memory);
        let mut found = vec![0.0; 8];
        attended.write_chw(&memory, &mut found);
        // Pixel 0 asks by the first key alone: (1 * 10 + 3 * 20) / 4; pixel 1 by the second, which pixel 1 has.
        let head = [17.5, 20.0, 1.25, 1.5];
        assert_eq!(found, [head, head].concat());
    }
}
