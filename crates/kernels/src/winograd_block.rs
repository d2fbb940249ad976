//! One block of tiles of a Winograd convolution, from input to output.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::image::{CHANNEL_STEP, Image};
use super::memory::Room;
use super::norm::ShiftedSums;
use super::product::{Shape, columns, product};
use super::threads::Shared;
use super::transform::Tiling;
use super::vectors::{load, store};
use super::winograd::{Blocks, Convolution};
use super::winograd_weights::WeightLayout;

/// Panels of output channels that are made at once.
const CHUNK: usize = 2;

/// Spreads rows of a matrix over the sets of the cache.
const SKEW: usize = 16;

/// What all blocks of a layer read.
pub struct Layer<'a> {
    pub of: Convolution<'a>,
    pub input: &'a Image,
    pub weights: &'a [f32],
    pub layout: WeightLayout,
    pub bias: &'a [f32],
    /// Whether the output is added to what lies there.
    pub add: bool,
    pub blocks: Blocks,
}

/// What all blocks of a layer write to.
pub struct Target<'a> {
    pub values: Shared<'a, f32>,
    /// By block: sums of all channels, then of their squares.
    pub sums: Shared<'a, f64>,
    pub pitch: usize,
    pub width: usize,
    pub height: usize,
}

/// What one thread needs for a block.
pub struct Scratch {
    /// Pixels under the block, a border of one on each side; some channels of them.
    pub patch: Room,
    /// By point, tile, input channel.
    pub points: Room,
    /// By point, tile, output channel of a chunk.
    pub products: Room,
}

impl Layer<'_> {
    /// How many values [`Scratch`] holds for the largest block.
    pub fn scratch_lengths<const POINTS: usize, const TILE: usize>(
        &self,
        columns: usize,
    ) -> [usize; 3] {
        let (tall, wide) = (self.blocks.rows, self.blocks.columns);
        let points = Strides::of(tall * wide, self.input.pitch + SKEW);
        let products = Strides::of(tall * wide, CHUNK * columns);
        let patch = (tall * TILE + 2) * (wide * TILE + 2) * CHANNEL_STEP;
        [patch, POINTS * POINTS * points.point, POINTS * POINTS * products.point]
    }
}

/// Values from one point, and from one tile, to the next.
#[derive(Clone, Copy)]
struct Strides {
    point: usize,
    tile: usize,
}

impl Strides {
    fn of(tiles: usize, tile: usize) -> Self {
        Self { point: tiles * tile + SKEW, tile }
    }
}

/// One block of tiles, from input to output.
pub struct Block<'a, T, const POINTS: usize, const TILE: usize> {
    pub layer: &'a Layer<'a>,
    pub task: usize,
    pub scratch: &'a mut Scratch,
    pub target: &'a Target<'a>,
    pub tiling: PhantomData<T>,
}

impl<T, const POINTS: usize, const TILE: usize> WithSimd for Block<'_, T, POINTS, TILE>
where
    T: Tiling<POINTS, TILE>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, task, scratch, target, .. } = self;
        let place = Place::of::<TILE>(layer.blocks, task, target);
        let (inputs, tiles) = (layer.of.inputs, place.tall * place.wide);
        let (columns, layout) = (columns::<S>(), layer.layout);
        let of_points = Strides::of(tiles, layer.input.pitch + SKEW);
        let of_products = Strides::of(tiles, CHUNK * columns);
        let used = |point: usize| {
            let sees_nothing = [point / POINTS, point % POINTS].contains(&T::MINUS_ONE);
            !(layer.of.doubled && sees_nothing)
        };
        let patch = scratch.patch.values_mut();
        let points = scratch.points.values_mut();
        let products = scratch.products.values_mut();

        for first in (0..inputs).step_by(CHANNEL_STEP) {
            fill_patch::<TILE>(layer, place, target, first, patch);
            let points = &mut points[first..];
            transform_input::<S, T, POINTS, TILE>(simd, place, patch, points, of_points);
        }
        for point in (0..POINTS * POINTS).filter(|point| !used(*point)) {
            products[point * of_products.point..][..of_products.point].fill(0.0);
        }
        for first in (0..layout.panels).step_by(CHUNK) {
            let panels = CHUNK.min(layout.panels - first);
            let shape = Shape {
                rows: tiles,
                depth: inputs,
                panels,
                left_stride: of_points.tile,
                panel_stride: layout.panel_stride,
                out_stride: of_products.tile,
                add: false,
                ahead: layout.point_stride,
            };
            for point in (0..POINTS * POINTS).filter(|point| used(*point)) {
                let points = &points[point * of_points.point..];
                let weights = first * layout.panel_stride + point * layout.point_stride;
                let products = &mut products[point * of_products.point..];
                product(simd, shape, points, &layer.weights[weights..], products);
            }
            let out = Out { layer, target, place, channel: first * columns, vectors: 2 * panels };
            let sums = transform_output::<S, T, POINTS, TILE>(simd, out, products, of_products);
            // SAFETY: no two blocks have the same number.
            let all = unsafe { target.sums.part(task * 2 * target.pitch, 2 * target.pitch) };
            for (vector, sums) in sums.iter().enumerate().take(2 * panels) {
                let channel = first * columns + vector * S::F32_LANES;
                sums.write(&mut all[channel..], target.pitch, S::F32_LANES);
            }
        }
    }
}

/// Where a block lies, in tiles.
#[derive(Clone, Copy)]
struct Place {
    top: usize,
    left: usize,
    tall: usize,
    wide: usize,
}

impl Place {
    fn of<const TILE: usize>(blocks: Blocks, task: usize, target: &Target) -> Self {
        let (top, left) =
            (task / blocks.across * blocks.rows, task % blocks.across * blocks.columns);
        let tall = blocks.rows.min(target.height.div_ceil(TILE) - top);
        let wide = blocks.columns.min(target.width.div_ceil(TILE) - left);
        Self { top, left, tall, wide }
    }
}

/// Reads channels from `first` on of the input under a block, with zeros beyond the picture.
#[inline(always)]
fn fill_patch<const TILE: usize>(
    layer: &Layer,
    place: Place,
    target: &Target,
    first: usize,
    patch: &mut [f32],
) {
    let (input, pitch) = (layer.input, layer.input.pitch);
    let halve = usize::from(layer.of.doubled);
    let width = place.wide * TILE + 2;
    let rows = patch.chunks_exact_mut(width * CHANNEL_STEP).take(place.tall * TILE + 2);
    for (row, pixels) in rows.enumerate() {
        // One less, for the border above.
        let y = (place.top * TILE + row).wrapping_sub(1);
        if y >= target.height {
            pixels.fill(0.0);
            continue;
        }
        let line = &input.values()[(y >> halve) * input.width * pitch..][..input.width * pitch];
        for (column, out) in pixels.chunks_exact_mut(CHANNEL_STEP).enumerate() {
            let x = (place.left * TILE + column).wrapping_sub(1);
            if x >= target.width {
                out.fill(0.0);
                continue;
            }
            let pixel = &line[(x >> halve) * pitch + first..][..CHANNEL_STEP];
            match layer.of.normalise {
                Some(normalise) => normalise.apply(first, pixel, out),
                None => out.copy_from_slice(pixel),
            }
        }
    }
}

#[inline(always)]
fn transform_input<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    place: Place,
    patch: &[f32],
    points: &mut [f32],
    strides: Strides,
) where
    S: Simd,
    T: Tiling<POINTS, TILE>,
{
    let width = place.wide * TILE + 2;
    let zero = simd.splat_f32s(0.0);
    for tile in 0..place.tall * place.wide {
        let (y, x) = (tile / place.wide * TILE, tile % place.wide * TILE);
        for channel in (0..CHANNEL_STEP).step_by(S::F32_LANES) {
            let from = (y * width + x) * CHANNEL_STEP + channel;
            let mut rows = [[zero; POINTS]; POINTS];
            for column in 0..POINTS {
                let mut values = [zero; POINTS];
                for row in 0..POINTS {
                    let at = from + (row * width + column) * CHANNEL_STEP;
                    values[row] = load::<S>(&patch[at..]);
                }
                let values = T::of_input(simd, values);
                for row in 0..POINTS {
                    rows[row][column] = values[row];
                }
            }
            let to = tile * strides.tile + channel;
            for row in 0..POINTS {
                let values = T::of_input(simd, rows[row]);
                for column in 0..POINTS {
                    let point = row * POINTS + column;
                    store::<S>(&mut points[to + point * strides.point..], values[column]);
                }
            }
        }
    }
}

/// Output channels of a block: `vectors` of them from `channel` on.
#[derive(Clone, Copy)]
struct Out<'a> {
    layer: &'a Layer<'a>,
    target: &'a Target<'a>,
    place: Place,
    channel: usize,
    vectors: usize,
}

/// Writes the outputs of each tile, and sums them up by vector of channels.
#[inline(always)]
fn transform_output<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    out: Out,
    products: &[f32],
    strides: Strides,
) -> [ShiftedSums; 2 * CHUNK]
where
    S: Simd,
    T: Tiling<POINTS, TILE>,
{
    let mut sums: [ShiftedSums; 2 * CHUNK] = Default::default();
    // Tile by tile: the vectors of one share their lines of the cache.
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

/// One vector of channels of one tile.
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
    T: Tiling<POINTS, TILE>,
{
    let Out { layer, target, place, channel, .. } = out;
    let zero = simd.splat_f32s(0.0);
    let bias = load::<S>(&layer.bias[channel..]);
    let from = tile * strides.tile;
    let mut rows = [[zero; POINTS]; TILE];
    for column in 0..POINTS {
        let mut values = [zero; POINTS];
        for row in 0..POINTS {
            let at = from + (row * POINTS + column) * strides.point;
            values[row] = load::<S>(&products[at..]);
        }
        let values = T::of_output(simd, values);
        for row in 0..TILE {
            rows[row][column] = values[row];
        }
    }
    let y = (place.top + tile / place.wide) * TILE;
    let x = (place.left + tile % place.wide) * TILE;
    let (tall, wide) = (TILE.min(target.height - y), TILE.min(target.width - x));
    let mut shift = load::<S>(&sums.shift);
    let (mut sum, mut squares) = (zero, zero);
    for row in 0..tall {
        let values = T::of_output(simd, rows[row]);
        let start = ((y + row) * target.width + x) * target.pitch + channel;
        for column in 0..TILE {
            if column < wide {
                // SAFETY: no two tiles share a pixel.
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
                squares = simd.mul_add_e_f32s(off, off, squares);
            }
        }
    }
    let mut lanes = [[0f32; ShiftedSums::LANES]; 2];
    store::<S>(&mut lanes[0], sum);
    store::<S>(&mut lanes[1], squares);
    sums.add(tall * wide, &lanes[0][..S::F32_LANES], &lanes[1][..S::F32_LANES]);
}
