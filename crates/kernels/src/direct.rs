//! Convolutions that are not 3x3 with stride 1, and linear layers: one matrix product over the
//! values under each output pixel.

use pulp::{Simd, WithSimd};

use super::image::{CHANNEL_STEP, Image, filled_up};
use super::memory::{Room, Rooms};
use super::norm::Normalise;
use super::product::{Shape, columns, product};
use super::threads::{Threads, at_least, for_each_part_with};

/// Output pixels that a thread makes at once.
const BLOCK: usize = 96;

/// A convolution to run: weights (out, in, side, side) as torch stores them.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width of the kernel.
    pub side: usize,
    pub stride: usize,
    /// Zeros above and on the left; below and on the right there are as many as are read.
    pub padding: usize,
    /// What happens to the input first.
    pub normalise: Option<&'a Normalise>,
}

/// `input`, convolved to `height` x `width` pixels.
pub fn convolve(
    threads: Threads,
    of: Convolution,
    input: &Image,
    (height, width): (usize, usize),
    rooms: &Rooms,
) -> Image {
    threads.dispatch(Run { threads, of, input, height, width, rooms })
}

/// What [`convolve`] does, for one instruction set.
pub struct Run<'a> {
    pub threads: Threads,
    pub of: Convolution<'a>,
    pub input: &'a Image,
    pub height: usize,
    pub width: usize,
    pub rooms: &'a Rooms,
}

impl WithSimd for Run<'_> {
    type Output = Image;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Image {
        let Self { threads, of, input, height, width, rooms } = self;
        let mut out = Image::left_over(&rooms.activations, height, width, of.outputs);
        let depth = of.side * of.side * of.inputs;
        let weights = packed::<S>(of, depth, rooms);
        let bias = filled_up(of.bias);
        let block = BLOCK * out.pitch;
        let mut scratch = vec![Vec::new(); threads.count];
        for_each_part_with(&mut scratch, out.values_mut(), block, |part, out, left| {
            let (first, weights, bias) = (part * BLOCK, weights.values(), &*bias);
            simd.vectorize(Block { of, input, first, width, weights, bias, left, out });
            rooms.activations.keep_within_limit();
        });
        out
    }
}

/// Weights by panel, place under the kernel and input channel, column of the panel.
fn packed<S: Simd>(of: Convolution, depth: usize, rooms: &Rooms) -> Room {
    let (columns, places) = (columns::<S>(), of.side * of.side);
    let mut room = rooms.for_work(of.outputs.div_ceil(columns) * depth * columns);
    let weights = room.values_mut();
    weights.fill(0.0);
    for (output, kernels) in of.weight.chunks_exact(depth).enumerate() {
        let panel = &mut weights[output / columns * depth * columns..];
        for (input, kernel) in kernels.chunks_exact(places).enumerate() {
            for (place, value) in kernel.iter().enumerate() {
                panel[(place * of.inputs + input) * columns + output % columns] = *value;
            }
        }
    }
    room
}

/// Output pixels from `first` on.
struct Block<'a> {
    of: Convolution<'a>,
    input: &'a Image,
    first: usize,
    width: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    left: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, input, first, width, weights, bias, left, out } = self;
        let pitch = bias.len();
        let rows = out.len() / pitch;
        for pixel in out.chunks_exact_mut(pitch) {
            pixel.copy_from_slice(bias);
        }
        let depth = of.side * of.side * of.inputs;
        let as_it_lies = of.side == 1 && of.stride == 1 && of.normalise.is_none();
        let shape = Shape {
            rows,
            depth,
            panels: of.outputs.div_ceil(columns::<S>()),
            left_stride: if as_it_lies { input.pitch } else { depth },
            panel_stride: depth * columns::<S>(),
            out_stride: pitch,
            add: true,
            ahead: 0,
        };
        if as_it_lies {
            product(simd, shape, &input.values()[first * input.pitch..], weights, out);
            return;
        }
        let left = at_least(left, rows * depth);
        for (row, values) in left.chunks_exact_mut(depth).enumerate() {
            let (y, x) = ((first + row) / width, (first + row) % width);
            gather(of, input, y, x, values);
        }
        product(simd, shape, left, weights, out);
    }
}

/// The values under output pixel `x`, `y`.
#[inline(always)]
fn gather(of: Convolution, input: &Image, y: usize, x: usize, out: &mut [f32]) {
    for (place, values) in out.chunks_exact_mut(of.inputs).enumerate() {
        let row = (y * of.stride + place / of.side).wrapping_sub(of.padding);
        let column = (x * of.stride + place % of.side).wrapping_sub(of.padding);
        if row >= input.height || column >= input.width {
            values.fill(0.0);
            continue;
        }
        let pixel = &input.values()[(row * input.width + column) * input.pitch..][..of.inputs];
        match of.normalise {
            Some(normalise) => normalise.apply(0, pixel, values),
            None => values.copy_from_slice(pixel),
        }
    }
}

const _: () = assert!(CHANNEL_STEP.is_multiple_of(32), "a panel is two vectors of up to 16");
