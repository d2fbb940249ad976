//! 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3): a quarter of the products.
//!
//! A task is a block of 4x4 output tiles. The input under it is read once (and normalised,
//! activated, doubled while it is read), each 6x6 patch is transformed to 36 points, each point is
//! one matrix product over the channels, and what comes out is transformed back. All of it stays in
//! the cache.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use pulp::{Simd, WithSimd};

use super::image::{Image, Spare, filled_up};
use super::norm::Normalise;
use super::product::{Shape, columns, product};
use super::threads::{Shared, Threads, at_least, for_each_with};
use super::transform::{POINTS, TILE, of_input, of_output};
use super::vectors::{load, store};
use super::winograd_weights::transform_weights;

/// Products of one tile.
const ALL: usize = POINTS * POINTS;

/// Bytes of transformed input that a thread works on at once.
const BLOCK_BYTES: usize = 3 << 20;

/// Panels of output channels that are made at once.
const CHUNK: usize = 2;

/// Spreads rows of a matrix over the sets of the cache.
const SKEW: usize = 16;

/// A convolution to run: weights (out, in, 3, 3) as torch stores them.
#[derive(Debug, Clone, Copy)]
pub struct Convolution<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    pub inputs: usize,
    pub outputs: usize,
    /// What happens to the input first.
    pub normalise: Option<&'a Normalise>,
    /// Whether each pixel of the input becomes a 2x2 square first.
    pub doubled: bool,
}

/// Memory that one layer after the other works in.
#[derive(Debug, Default)]
pub struct Workspace {
    weights: Vec<f32>,
    scratch: Vec<Scratch>,
    pub spare: Spare,
}

#[cfg(test)]
impl Workspace {
    /// As another layer might leave it.
    pub fn full_of(value: f32) -> Self {
        let room = || vec![value; 1 << 20];
        let scratch = || Scratch { patch: room(), points: room(), products: room() };
        Self {
            weights: room(),
            scratch: vec![scratch(), scratch(), scratch()],
            spare: Spare::default(),
        }
    }
}

/// [`Run`] with a workspace of its own.
#[cfg(test)]
pub struct Owned<'a> {
    pub threads: Threads,
    pub of: Convolution<'a>,
    pub input: &'a Image,
}

#[cfg(test)]
impl WithSimd for Owned<'_> {
    type Output = Image;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Image {
        let Self { threads, of, input } = self;
        Run { threads, of, input, workspace: &mut Workspace::default() }.with_simd(simd)
    }
}

/// `input`, convolved.
pub fn convolve(
    threads: Threads,
    of: Convolution,
    input: &Image,
    workspace: &mut Workspace,
) -> Image {
    pulp::Arch::new().dispatch(Run { threads, of, input, workspace })
}

/// What [`convolve`] does, for one instruction set.
pub struct Run<'a> {
    pub threads: Threads,
    pub of: Convolution<'a>,
    pub input: &'a Image,
    pub workspace: &'a mut Workspace,
}

impl WithSimd for Run<'_> {
    type Output = Image;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Image {
        let Self { threads, of, input, workspace } = self;
        let times = 1 + usize::from(of.doubled);
        let (height, width) = (input.height * times, input.width * times);
        let mut out = Image::left_over(height, width, of.outputs, &workspace.spare);

        let panels = of.outputs.div_ceil(columns::<S>());
        let weights = at_least(&mut workspace.weights, ALL * panels * of.inputs * columns::<S>());
        transform_weights(simd, threads, of, panels, weights);
        let bias = filled_up(of.bias);
        let blocks = Blocks::of(height, width, input.pitch);
        let layer = Layer { of, input, panels, weights, bias: &bias, blocks };
        let pitch = out.pitch;
        let target = Target { shared: Shared::new(out.values_mut()), pitch, width, height };
        workspace.scratch.resize_with(threads.0, Scratch::default);
        for_each_with(&mut workspace.scratch, blocks.count(), |task, scratch| {
            simd.vectorize(Block { layer: &layer, task, scratch, target: &target });
        });
        out
    }
}

/// How the output is cut: `across` x `down` blocks of at most `columns` x `rows` tiles.
#[derive(Debug, Clone, Copy)]
struct Blocks {
    rows: usize,
    columns: usize,
    across: usize,
    down: usize,
}

impl Blocks {
    fn of(height: usize, width: usize, pitch: usize) -> Self {
        let (tall, wide) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let tiles = (BLOCK_BYTES / (ALL * pitch * size_of::<f32>())).clamp(12, 192);
        // Nearly square blocks read the least twice; the columns are shared out evenly.
        let across = wide.div_ceil(((tiles as f64).sqrt() * 1.5) as usize);
        let columns = wide.div_ceil(across);
        let rows = (tiles / columns).clamp(1, tall);
        Self { rows, columns, across, down: tall.div_ceil(rows) }
    }

    fn count(&self) -> usize {
        self.across * self.down
    }
}

struct Layer<'a> {
    of: Convolution<'a>,
    input: &'a Image,
    panels: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    blocks: Blocks,
}

struct Target<'a> {
    shared: Shared<'a, f32>,
    pitch: usize,
    width: usize,
    height: usize,
}

/// What one thread needs for a block.
#[derive(Debug, Default)]
struct Scratch {
    /// Pixels under the block, a border of one on each side.
    patch: Vec<f32>,
    /// By point, tile, input channel.
    points: Vec<f32>,
    /// By point, tile, output channel of a chunk.
    products: Vec<f32>,
}

/// Values from one point, and from one tile, to the next.
#[derive(Clone, Copy)]
struct Strides {
    point: usize,
    tile: usize,
}

/// One block of tiles, from input to output.
struct Block<'a> {
    layer: &'a Layer<'a>,
    task: usize,
    scratch: &'a mut Scratch,
    target: &'a Target<'a>,
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, task, scratch, target } = self;
        let Blocks { rows, columns: across, .. } = layer.blocks;
        let (top, left) = (task / layer.blocks.across * rows, task % layer.blocks.across * across);
        let tall = rows.min(target.height.div_ceil(TILE) - top);
        let wide = across.min(target.width.div_ceil(TILE) - left);
        let place = Place { top, left, tall, wide };
        let (input, inputs, tiles) = (layer.input, layer.of.inputs, tall * wide);
        let columns = columns::<S>();
        let of_points = strides(tiles, input.pitch + SKEW);
        let of_products = strides(tiles, CHUNK * columns);
        let patch = (tall * TILE + 2) * (wide * TILE + 2) * input.pitch;
        let patch = at_least(&mut scratch.patch, patch);
        let points = at_least(&mut scratch.points, ALL * of_points.point);
        let products = at_least(&mut scratch.products, ALL * of_products.point);

        fill_patch(layer, place, target, patch);
        transform_input(simd, input, place, patch, points, of_points);
        for first in (0..layer.panels).step_by(CHUNK) {
            let panels = CHUNK.min(layer.panels - first);
            let shape = Shape {
                rows: tiles,
                depth: inputs,
                panels,
                left_stride: of_points.tile,
                panel_stride: inputs * columns,
                out_stride: of_products.tile,
                add: false,
            };
            for point in 0..ALL {
                let points = &points[point * of_points.point..];
                let weights = &layer.weights[(point * layer.panels + first) * inputs * columns..];
                let products = &mut products[point * of_products.point..];
                product(simd, shape, points, weights, products);
            }
            for vector in 0..2 * panels {
                let channel = first * columns + vector * S::F32_LANES;
                let products = &products[vector * S::F32_LANES..];
                transform_output(simd, layer, place, channel, products, of_products, target);
            }
        }
    }
}

fn strides(tiles: usize, tile: usize) -> Strides {
    Strides { point: tiles * tile + SKEW, tile }
}

/// Where a block lies, in tiles.
#[derive(Clone, Copy)]
struct Place {
    top: usize,
    left: usize,
    tall: usize,
    wide: usize,
}

/// Reads the input under a block, with zeros beyond the picture.
#[inline(always)]
fn fill_patch(layer: &Layer, place: Place, target: &Target, patch: &mut [f32]) {
    let (input, pitch) = (layer.input, layer.input.pitch);
    let halve = usize::from(layer.of.doubled);
    let width = place.wide * TILE + 2;
    for (row, pixels) in
        patch.chunks_exact_mut(width * pitch).take(place.tall * TILE + 2).enumerate()
    {
        // One less, for the border above.
        let y = (place.top * TILE + row).wrapping_sub(1);
        if y >= target.height {
            pixels.fill(0.0);
            continue;
        }
        let line = &input.values()[(y >> halve) * input.width * pitch..][..input.width * pitch];
        for (column, out) in pixels.chunks_exact_mut(pitch).enumerate() {
            let x = (place.left * TILE + column).wrapping_sub(1);
            if x >= target.width {
                out.fill(0.0);
                continue;
            }
            let pixel = &line[(x >> halve) * pitch..][..pitch];
            match layer.of.normalise {
                Some(normalise) => normalise.apply(pixel, out),
                None => out.copy_from_slice(pixel),
            }
        }
    }
}

#[inline(always)]
fn transform_input<S: Simd>(
    simd: S,
    input: &Image,
    place: Place,
    patch: &[f32],
    points: &mut [f32],
    strides: Strides,
) {
    let (width, pitch) = (place.wide * TILE + 2, input.pitch);
    let zero = simd.splat_f32s(0.0);
    for tile in 0..place.tall * place.wide {
        let (y, x) = (tile / place.wide * TILE, tile % place.wide * TILE);
        for channel in (0..input.channels).step_by(S::F32_LANES) {
            let from = (y * width + x) * pitch + channel;
            let mut rows = [[zero; POINTS]; POINTS];
            for column in 0..POINTS {
                let at = |row: usize| load::<S>(&patch[from + (row * width + column) * pitch..]);
                let values = of_input(simd, [at(0), at(1), at(2), at(3), at(4), at(5)]);
                for row in 0..POINTS {
                    rows[row][column] = values[row];
                }
            }
            let to = tile * strides.tile + channel;
            for row in 0..POINTS {
                let values = of_input(simd, rows[row]);
                for column in 0..POINTS {
                    let point = row * POINTS + column;
                    store::<S>(&mut points[to + point * strides.point..], values[column]);
                }
            }
        }
    }
}

/// One vector of output channels of each tile.
#[inline(always)]
fn transform_output<S: Simd>(
    simd: S,
    layer: &Layer,
    place: Place,
    channel: usize,
    products: &[f32],
    strides: Strides,
    target: &Target,
) {
    let zero = simd.splat_f32s(0.0);
    let bias = load::<S>(&layer.bias[channel..]);
    for tile in 0..place.tall * place.wide {
        let from = tile * strides.tile;
        let mut rows = [[zero; POINTS]; TILE];
        for column in 0..POINTS {
            let at =
                |row: usize| load::<S>(&products[from + (row * POINTS + column) * strides.point..]);
            let values = of_output(simd, [at(0), at(1), at(2), at(3), at(4), at(5)]);
            for row in 0..TILE {
                rows[row][column] = values[row];
            }
        }
        let y = (place.top + tile / place.wide) * TILE;
        let x = (place.left + tile % place.wide) * TILE;
        let (tall, wide) = (target.height - y, target.width - x);
        for row in 0..TILE {
            let values = of_output(simd, rows[row]);
            for column in 0..TILE {
                if row < tall && column < wide {
                    let at = ((y + row) * target.width + x + column) * target.pitch + channel;
                    // SAFETY: no two tiles share a pixel.
                    let out = unsafe { target.shared.part(at, S::F32_LANES) };
                    store::<S>(out, simd.add_f32s(values[column], bias));
                }
            }
        }
    }
}
