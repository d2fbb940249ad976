//! Scaled dot-product attention with one head, block by block, so that the matrix of scores is never
//! stored (Dao et al., "FlashAttention", <https://arxiv.org/abs/2205.14135>).

use pulp::{Simd, WithSimd};

use super::exp::exp;
use super::memory::{Buffer, Workspace};
use super::product::{Shape, columns, product_by_panel};
use super::sums::SIDE_BY_SIDE;
use super::tensor::NhwcTensor;
use super::threads::{Threads, at_least, for_each_part_with};

/// Queries that a thread works on at once.
const QUERIES: usize = 48;

/// Keys that are scored at once; whole panels of any width divide it.
const KEYS: usize = 512;

/// Tokens that are packed between two checks of the memory limit.
const PACKED: usize = 1024;

/// `torch.nn.functional.scaled_dot_product_attention` with one head, in which every pixel is a token:
/// `softmax(query * key^T / sqrt(channels)) * value`.
///
/// The three tensors have one shape, which is that of the result.
pub fn scaled_dot_product_attention(
    threads: Threads,
    query: &NhwcTensor,
    key: &NhwcTensor,
    value: &NhwcTensor,
    workspace: &Workspace,
) -> NhwcTensor {
    threads.dispatch(Run { threads, query, key, value, workspace })
}

/// The arguments of [`scaled_dot_product_attention`], to be dispatched to one instruction set.
pub(crate) struct Run<'a> {
    pub threads: Threads,
    pub query: &'a NhwcTensor,
    pub key: &'a NhwcTensor,
    pub value: &'a NhwcTensor,
    pub workspace: &'a Workspace,
}

impl WithSimd for Run<'_> {
    type Output = NhwcTensor;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> NhwcTensor {
        let Self { threads, query, key, value, workspace } = self;
        let mut out =
            NhwcTensor::zeros(&workspace.activations, query.height, query.width, query.channels);
        let block = QUERIES * out.pitch;
        let (keys, values) =
            (packed_keys::<S>(key, workspace), packed_values::<S>(value, workspace));
        let mut scratch = vec![Vec::new(); threads.count];
        for_each_part_with(&mut scratch, out.values_mut(), block, |part, out, scores| {
            let (first, keys, values) = (part * QUERIES, keys.values(), values.values());
            simd.vectorize(Block { query, first, keys, values, scores, out });
            workspace.activations.keep_within_limit();
        });
        out
    }
}

/// Keys as (panel of tokens, channel, token of the panel). Values after the last token are
/// unspecified: the scores they give are not read.
fn packed_keys<S: Simd>(key: &NhwcTensor, workspace: &Workspace) -> Buffer {
    let (columns, channels) = (columns::<S>(), key.channels);
    let mut buffer = workspace.scratch_buffer(key.pixels().div_ceil(columns) * channels * columns);
    let packed = buffer.values_mut();
    for (token, pixel) in key.values().chunks_exact(key.pitch).enumerate() {
        let panel = &mut packed[token / columns * channels * columns..];
        for (channel, value) in pixel[..channels].iter().enumerate() {
            panel[channel * columns + token % columns] = *value;
        }
        if token % PACKED == 0 {
            key.keep_within_limit();
        }
    }
    buffer
}

/// Values as (panel of channels, token, channel of the panel).
fn packed_values<S: Simd>(value: &NhwcTensor, workspace: &Workspace) -> Buffer {
    let (columns, tokens) = (columns::<S>(), value.pixels());
    let mut buffer = workspace.scratch_buffer(value.channels.div_ceil(columns) * tokens * columns);
    let packed = buffer.values_mut();
    // Where channels do not fill the last panel.
    packed[value.channels / columns * tokens * columns..].fill(0.0);
    for (token, pixel) in value.values().chunks_exact(value.pitch).enumerate() {
        for (panel, values) in pixel[..value.channels].chunks(columns).enumerate() {
            packed[(panel * tokens + token) * columns..][..values.len()].copy_from_slice(values);
        }
        if token % PACKED == 0 {
            value.keep_within_limit();
        }
    }
    buffer
}

/// Computes the outputs of the queries from `first` on.
struct Block<'a> {
    query: &'a NhwcTensor,
    first: usize,
    keys: &'a [f32],
    values: &'a [f32],
    scores: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { query, first, keys, values, scores, out } = self;
        let (columns, channels, pitch) = (columns::<S>(), query.channels, query.pitch);
        let (tokens, rows) = (query.pixels(), out.len() / pitch);
        let scale = 1.0 / (channels as f32).sqrt();
        let scores = at_least(scores, QUERIES * KEYS);
        let mut largest = [f32::NEG_INFINITY; QUERIES];
        let mut sums = [0f32; QUERIES];
        for start in (0..tokens).step_by(KEYS) {
            let count = KEYS.min(tokens - start);
            let scored = Shape {
                rows,
                depth: channels,
                vectors: count.div_ceil(S::F32_LANES),
                left_stride: pitch,
                panel_stride: channels * columns,
                out_stride: KEYS,
                add: false,
                ahead: 0,
            };
            let (queries, keys) = (&query.values()[first * pitch..], &keys[start * channels..]);
            product_by_panel(simd, scored, queries, keys, scores);
            for row in 0..rows {
                let scores = &mut scores[row * KEYS..][..count];
                let before = largest[row];
                let most = before.max(largest_of(scores) * scale);
                // The sums so far are relative to a smaller maximum.
                let shrink = exp(before - most);
                largest[row] = most;
                sums[row] = sums[row] * shrink + to_weights(scores, scale, most);
                if shrink != 1.0 {
                    for value in &mut out[row * pitch..][..pitch] {
                        *value *= shrink;
                    }
                }
            }
            let weighted = Shape {
                rows,
                depth: count,
                vectors: channels.div_ceil(S::F32_LANES),
                left_stride: KEYS,
                panel_stride: tokens * columns,
                out_stride: pitch,
                add: true,
                ahead: 0,
            };
            product_by_panel(simd, weighted, scores, &values[start * columns..], out);
        }
        for (pixel, sum) in out.chunks_exact_mut(pitch).zip(sums) {
            for value in pixel {
                *value /= sum;
            }
        }
    }
}

#[inline(always)]
fn largest_of(scores: &[f32]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; SIDE_BY_SIDE];
    let chunks = scores.chunks_exact(SIDE_BY_SIDE);
    let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |most, score| most.max(*score));
    for chunk in chunks {
        for (most, score) in largest.iter_mut().zip(chunk) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    largest.iter().fold(rest, |most, score| most.max(*score))
}

/// Replaces each score by exp(`scale` * score - `most`), and returns their sum.
#[inline(always)]
fn to_weights(scores: &mut [f32], scale: f32, most: f32) -> f32 {
    let mut sums = [0f32; SIDE_BY_SIDE];
    let mut chunks = scores.chunks_exact_mut(SIDE_BY_SIDE);
    for chunk in &mut chunks {
        for (sum, score) in sums.iter_mut().zip(chunk) {
            *score = exp(*score * scale - most);
            *sum += *score;
        }
    }
    for (sum, score) in sums.iter_mut().zip(chunks.into_remainder()) {
        *score = exp(*score * scale - most);
        *sum += *score;
    }
    sums.iter().sum()
}
