//! Scaled dot-product attention with one head, block by block, so that the scores never exist as a
//! whole (Dao and others, "FlashAttention", 2022).

use pulp::{Simd, WithSimd};

use super::image::Image;
use super::memory::{Room, Rooms};
use super::norm::exp;
use super::product::{Shape, columns, product_by_panel};
use super::threads::{Threads, at_least, for_each_part_with};

/// Queries that a thread works on at once.
const QUERIES: usize = 48;

/// Keys that are scored at once, a multiple of the columns of any panel.
const KEYS: usize = 512;

/// Tokens that are packed before a look at how much memory is taken.
const PACKED: usize = 1024;

/// `softmax(query * key^T / sqrt(channels)) * value`, over all pixels of the three.
pub fn attend(threads: Threads, query: &Image, key: &Image, value: &Image, rooms: &Rooms) -> Image {
    threads.dispatch(Run { threads, query, key, value, rooms })
}

/// What [`attend`] does, for one instruction set.
pub struct Run<'a> {
    pub threads: Threads,
    pub query: &'a Image,
    pub key: &'a Image,
    pub value: &'a Image,
    pub rooms: &'a Rooms,
}

impl WithSimd for Run<'_> {
    type Output = Image;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Image {
        let Self { threads, query, key, value, rooms } = self;
        let mut out = Image::zeros(&rooms.activations, query.height, query.width, query.channels);
        let block = QUERIES * out.pitch;
        let (keys, values) = (packed_keys::<S>(key, rooms), packed_values::<S>(value, rooms));
        let mut scratch = vec![Vec::new(); threads.count];
        for_each_part_with(&mut scratch, out.values_mut(), block, |part, out, scores| {
            let (first, keys, values) = (part * QUERIES, keys.values(), values.values());
            simd.vectorize(Block { query, first, keys, values, scores, out });
            rooms.activations.keep_within_limit();
        });
        out
    }
}

/// By panel of tokens, channel, token of the panel. Where tokens do not fill the last one, what lies
/// there is left over: nobody reads the scores that it gives.
fn packed_keys<S: Simd>(key: &Image, rooms: &Rooms) -> Room {
    let (columns, channels) = (columns::<S>(), key.channels);
    let mut room = rooms.for_work(key.pixels().div_ceil(columns) * channels * columns);
    let packed = room.values_mut();
    for (token, pixel) in key.values().chunks_exact(key.pitch).enumerate() {
        let panel = &mut packed[token / columns * channels * columns..];
        for (channel, value) in pixel[..channels].iter().enumerate() {
            panel[channel * columns + token % columns] = *value;
        }
        if token % PACKED == 0 {
            key.keep_within_limit();
        }
    }
    room
}

/// By panel of channels, token, channel of the panel.
fn packed_values<S: Simd>(value: &Image, rooms: &Rooms) -> Room {
    let (columns, tokens) = (columns::<S>(), value.pixels());
    let mut room = rooms.for_work(value.channels.div_ceil(columns) * tokens * columns);
    let packed = room.values_mut();
    // No channel fills up the last panel.
    packed[value.channels / columns * tokens * columns..].fill(0.0);
    for (token, pixel) in value.values().chunks_exact(value.pitch).enumerate() {
        for (panel, values) in pixel[..value.channels].chunks(columns).enumerate() {
            packed[(panel * tokens + token) * columns..][..values.len()].copy_from_slice(values);
        }
        if token % PACKED == 0 {
            value.keep_within_limit();
        }
    }
    room
}

/// Queries from `first` on.
struct Block<'a> {
    query: &'a Image,
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
                panels: count.div_ceil(columns),
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
                // Sums so far were made with a smaller largest score.
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
                panels: channels.div_ceil(columns),
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

/// Values that are summed up side by side, so that compilers turn them into vectors.
const SIDE_BY_SIDE: usize = 32;

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

/// Turns each score into e to the power of `scale` times it less `most`; their sum.
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
