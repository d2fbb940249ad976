//! One block of tiles of a Winograd convolution, from input to output.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use pulp::{Simd, WithSimd};

use super::problem::{Blocks, Conv2dParams};
use super::transform::Transforms;
use super::weights::WeightLayout;
use crate::memory::Buffer;
use crate::product::{Shape, columns, product};
use crate::sums::ShiftedSums;
use crate::tensor::{CHANNEL_ALIGNMENT, NhwcTensor};
use crate::threads::Shared;
use crate::vectors::{Cache, load, prefetch, store};

/// Panels of output channels that are computed at once.
const CHUNK: usize = 2;

/// Unused values after each row of a matrix, so that rows map to different sets of the cache.
const SKEW: usize = 16;

/// Pixels that are read ahead: processors follow steps of a pixel within a page only, of which a few channels are a
/// small part.
const AHEAD: usize = 16;

/// What all blocks of a layer read.
pub(super) struct Layer<'a> {
    pub params: Conv2dParams<'a>,
    pub input: &'a NhwcTensor,
    pub weights: &'a [f32],
    pub layout: WeightLayout,
    /// Zero-padded to the pitch of the output.
    pub bias: &'a [f32],
    /// Whether the output is added to the values of the target.
    pub add: bool,
    pub blocks: Blocks,
}

/// What all blocks of a layer write to.
pub(super) struct Target<'a> {
    pub values: Shared<'a, f32>,
    /// For each block, the sums of all channels and then the sums of their squares.
    pub sums: Shared<'a, f64>,
    pub pitch: usize,
    pub width: usize,
    pub height: usize,
}

/// The buffers in which a thread computes a block.
pub(super) struct Scratch {
    /// [`CHANNEL_ALIGNMENT`] channels of the input of the block with a border of one pixel.
    pub patch: Buffer,
    /// (point, tile, input channel).
    pub points: Buffer,
    /// (point, tile, output channel of a chunk).
    pub products: Buffer,
    /// Whether the products that are never computed are zero.
    pub cleared: bool,
}

impl Layer<'_> {
    /// How many values each buffer of [`Scratch`] holds for the largest block.
    pub fn scratch_lengths<const POINTS: usize, const TILE: usize>(
        &self,
        lanes: usize,
    ) -> [usize; 3] {
        let (tall, wide) = (self.blocks.rows, self.blocks.columns);
        let [points, products] = self.strides(lanes);
        let patch = (tall * TILE + 2) * (wide * TILE + 2) * CHANNEL_ALIGNMENT;
        [patch, POINTS * POINTS * points.point, POINTS * POINTS * products.point]
    }

    /// Those of points and of products.
    fn strides(&self, lanes: usize) -> [Strides; 2] {
        let tiles = self.blocks.rows * self.blocks.columns;
        let products = self.layout.vectors.min(2 * CHUNK) * lanes;
        [self.input.pitch + SKEW, products].map(|tile| Strides::new(tiles, tile))
    }
}

/// Distance in values between neighboring points and between neighboring tiles.
#[derive(Clone, Copy)]
struct Strides {
    point: usize,
    tile: usize,
}

impl Strides {
    fn new(tiles: usize, tile: usize) -> Self {
        Self { point: tiles * tile + SKEW, tile }
    }
}

/// One block of tiles, from input to output.
pub(super) struct Block<'a, T, const POINTS: usize, const TILE: usize> {
    pub layer: &'a Layer<'a>,
    pub task: usize,
    pub scratch: &'a mut Scratch,
    pub target: &'a Target<'a>,
    pub transforms: PhantomData<T>,
}

impl<T, const POINTS: usize, const TILE: usize> WithSimd for Block<'_, T, POINTS, TILE>
where
    T: Transforms<POINTS, TILE>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, task, scratch, target, .. } = self;
        let place = Place::new::<TILE>(layer.blocks, task, target);
        let (inputs, tiles) = (layer.params.inputs, place.tall * place.wide);
        let (columns, layout) = (columns::<S>(), layer.layout);
        // Those of the largest block, so that products which are never computed stay where they are.
        let [point_strides, product_strides] = layer.strides(S::F32_LANES);
        let used = |point: usize| {
            let is_zero = [point / POINTS, point % POINTS].contains(&T::MINUS_ONE);
            !(layer.params.upsample && is_zero)
        };
        let patch = scratch.patch.values_mut();
        let points = scratch.points.values_mut();
        let products = scratch.products.values_mut();

        for first in (0..inputs).step_by(CHANNEL_ALIGNMENT) {
            fill_patch::<TILE>(layer, place, target, first, patch);
            let points = &mut points[first..];
            transform_input::<S, T, POINTS, TILE>(simd, place, patch, points, point_strides);
        }
        if !std::mem::replace(&mut scratch.cleared, true) {
            for point in (0..POINTS * POINTS).filter(|point| !used(*point)) {
                products[point * product_strides.point..][..product_strides.point].fill(0.0);
            }
        }
        for first in (0..layout.panels).step_by(CHUNK) {
            let vectors = layout.vectors.min(2 * (first + CHUNK)) - 2 * first;
            let shape = Shape {
                rows: tiles,
                depth: inputs,
                vectors,
                left_stride: point_strides.tile,
                panel_stride: layout.panel_stride,
                out_stride: product_strides.tile,
                add: false,
                ahead: layout.point_stride,
            };
            for point in (0..POINTS * POINTS).filter(|point| used(*point)) {
                let points = &points[point * point_strides.point..];
                let weights = first * layout.panel_stride + point * layout.point_stride;
                let products = &mut products[point * product_strides.point..];
                product(simd, shape, points, &layer.weights[weights..], products);
            }
            let out = Out { layer, target, place, channel: first * columns, vectors };
            let sums = transform_output::<S, T, POINTS, TILE>(simd, out, products, product_strides);
            // SAFETY: every block has its own number, so parts do not overlap.
            let all = unsafe { target.sums.part(task * 2 * target.pitch, 2 * target.pitch) };
            for (vector, sums) in sums.iter().enumerate().take(vectors) {
                let channel = first * columns + vector * S::F32_LANES;
                sums.write(&mut all[channel..], target.pitch, S::F32_LANES);
            }
        }
    }
}

/// Position and size of a block, in tiles.
#[derive(Clone, Copy)]
struct Place {
    top: usize,
    left: usize,
    tall: usize,
    wide: usize,
}

impl Place {
    fn new<const TILE: usize>(blocks: Blocks, task: usize, target: &Target) -> Self {
        let (top, left) =
            (task / blocks.across * blocks.rows, task % blocks.across * blocks.columns);
        let tall = blocks.rows.min(target.height.div_ceil(TILE) - top);
        let wide = blocks.columns.min(target.width.div_ceil(TILE) - left);
        Self { top, left, tall, wide }
    }
}

/// Reads [`CHANNEL_ALIGNMENT`] channels from `first` on of a block's input; beyond the image they are
/// zero.
#[inline(always)]
fn fill_patch<const TILE: usize>(
    layer: &Layer,
    place: Place,
    target: &Target,
    first: usize,
    patch: &mut [f32],
) {
    let (input, pitch) = (layer.input, layer.input.pitch);
    let halve = usize::from(layer.params.upsample);
    let width = place.wide * TILE + 2;
    let rows = patch.chunks_exact_mut(width * CHANNEL_ALIGNMENT).take(place.tall * TILE + 2);
    for (row, pixels) in rows.enumerate() {
        // The patch begins one row above the block.
        let y = (place.top * TILE + row).wrapping_sub(1);
        if y >= target.height {
            pixels.fill(0.0);
            continue;
        }
        let line = &input.values()[(y >> halve) * input.width * pitch..][..input.width * pitch];
        for (column, out) in pixels.chunks_exact_mut(CHANNEL_ALIGNMENT).enumerate() {
            let x = (place.left * TILE + column).wrapping_sub(1);
            if x >= target.width {
                out.fill(0.0);
                continue;
            }
            let pixel = &line[(x >> halve) * pitch + first..][..CHANNEL_ALIGNMENT];
            prefetch(Cache::First, pixel.as_ptr().wrapping_add(AHEAD * pitch));
            match layer.params.normalize {
                Some(normalize) => normalize.apply(first, pixel, out),
                None => out.copy_from_slice(pixel),
            }
        }
    }
}

/// Transforms the patch of a block to points.
#[inline(always)]
fn transform_input<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    place: Place,
    patch: &[f32],
    points: &mut [f32],
    strides: Strides,
) where
    S: Simd,
    T: Transforms<POINTS, TILE>,
{
    let width = place.wide * TILE + 2;
    let zero = simd.splat_f32s(0.0);
    for tile in 0..place.tall * place.wide {
        let (y, x) = (tile / place.wide * TILE, tile % place.wide * TILE);
        for channel in (0..CHANNEL_ALIGNMENT).step_by(S::F32_LANES) {
            let from = (y * width + x) * CHANNEL_ALIGNMENT + channel;
            // Zeros would be written for every tile, up to 4 KB.
            let mut rows = [[MaybeUninit::<S::f32s>::uninit(); POINTS]; POINTS];
            for column in 0..POINTS {
                let mut values = [zero; POINTS];
                for row in 0..POINTS {
                    let at = from + (row * width + column) * CHANNEL_ALIGNMENT;
                    values[row] = load::<S>(&patch[at..]);
                }
                let values = T::data_transform(simd, values);
                for row in 0..POINTS {
                    rows[row][column].write(values[row]);
                }
            }
            let to = tile * strides.tile + channel;
            for row in 0..POINTS {
                // SAFETY: the loop above wrote every column of every row.
                let values = T::data_transform(simd, unsafe { written(&rows[row], zero) });
                for column in 0..POINTS {
                    let point = row * POINTS + column;
                    store::<S>(&mut points[to + point * strides.point..], values[column]);
                }
            }
        }
    }
}

/// A row whose vectors were all written.
///
/// # Safety
///
/// They were.
#[inline(always)]
unsafe fn written<V: Copy, const POINTS: usize>(
    row: &[MaybeUninit<V>; POINTS],
    any: V,
) -> [V; POINTS] {
    let mut values = [any; POINTS];
    for column in 0..POINTS {
        // SAFETY: by the caller's promise.
        values[column] = unsafe { row[column].assume_init() };
    }
    values
}

/// The output channels of a block: `vectors` vectors from `channel` on.
#[derive(Clone, Copy)]
struct Out<'a> {
    layer: &'a Layer<'a>,
    target: &'a Target<'a>,
    place: Place,
    channel: usize,
    vectors: usize,
}

/// Writes the outputs of each tile, and adds them to the sums of their vector of channels.
#[inline(always)]
fn transform_output<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    out: Out,
    products: &[f32],
    strides: Strides,
) -> [ShiftedSums; 2 * CHUNK]
where
    S: Simd,
    T: Transforms<POINTS, TILE>,
{
    let mut sums: [ShiftedSums; 2 * CHUNK] = Default::default();
    // Tile by tile, since the vectors of one tile share cache lines.
    for tile in 0..out.place.tall * out.place.wide {
        for (vector, sums) in sums.iter_mut().enumerate().take(out.vectors) {
            let first = vector * S::F32_LANES;
            let out = Out { channel: out.channel + first, ..out };
            transform_tile::<S, T, POINTS, TILE>(
                simd,
                out,
                tile,
                &products[first..],
                strides,
                sums,
            );
        }
    }
    sums
}

/// Transforms one vector of channels of one tile back and writes it.
#[inline(always)]
fn transform_tile<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    out: Out,
    tile: usize,
    products: &[f32],
    strides: Strides,
    sums: &mut ShiftedSums,
) where
    S: Simd,
    T: Transforms<POINTS, TILE>,
{
    let Out { layer, target, place, channel, .. } = out;
    let zero = simd.splat_f32s(0.0);
    let bias = load::<S>(&layer.bias[channel..]);
    let from = tile * strides.tile;
    let mut rows = [[MaybeUninit::<S::f32s>::uninit(); POINTS]; TILE];
    for column in 0..POINTS {
        let mut values = [zero; POINTS];
        for row in 0..POINTS {
            let at = from + (row * POINTS + column) * strides.point;
            values[row] = load::<S>(&products[at..]);
        }
        let values = T::inverse_transform(simd, values);
        for row in 0..TILE {
            rows[row][column].write(values[row]);
        }
    }
    let y = (place.top + tile / place.wide) * TILE;
    let x = (place.left + tile % place.wide) * TILE;
    let (tall, wide) = (TILE.min(target.height - y), TILE.min(target.width - x));
    let mut shift = load::<S>(&sums.shift);
    let (mut sum, mut squares) = (zero, zero);
    for row in 0..tall {
        // SAFETY: the loop above wrote every column of every row.
        let values = T::inverse_transform(simd, unsafe { written(&rows[row], zero) });
        let start = ((y + row) * target.width + x) * target.pitch + channel;
        for column in 0..TILE {
            if column < wide {
                // SAFETY: tiles do not share pixels, so parts do not overlap.
                let out =
                    unsafe { target.values.part(start + column * target.pitch, S::F32_LANES) };
                let mut value = simd.add_f32s(values[column], bias);
                if layer.add {
                    value = simd.add_f32s(load::<S>(out), value);
                }
                store::<S>(out, value);
                if tile == 0 && row == 0 && column == 0 {
                    shift = value;
                    store::<S>(&mut sums.shift, value);
                }
                let off = simd.sub_f32s(value, shift);
                sum = simd.add_f32s(sum, off);
                squares = simd.mul_add_f32s(off, off, squares);
            }
        }
    }
    let mut lanes = [[0f32; ShiftedSums::LANES]; 2];
    store::<S>(&mut lanes[0], sum);
    store::<S>(&mut lanes[1], squares);
    sums.add(tall * wide, &lanes[0][..S::F32_LANES], &lanes[1][..S::F32_LANES]);
}
