//! 3x3 convolutions by Winograd's minimal filtering: blocks of tiles are transformed into points,
//! multiplied point by point while they stay in the cache, and transformed back.

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::image::{Image, filled_up};
use super::memory::{Room, Rooms};
use super::norm::{Normalise, Sums};
use super::product::columns;
use super::threads::{Shared, Threads, for_each_with};
use super::transform::{FourByFour, SixBySix, Tiling};
use super::winograd_block::{Block, Layer, Scratch, Target};
use super::winograd_weights::{WeightLayout, transform_weights};

/// Bytes of transformed input that a thread works on at once.
const BLOCK_BYTES: usize = 5 << 20;

/// From as many outputs on, F(6x6, 3x3) pays for its larger weights.
const SIX_FROM: usize = 96 * 96;

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

impl Convolution<'_> {
    /// Height and width of the output.
    pub fn size(&self, input: &Image) -> (usize, usize) {
        let times = 1 + usize::from(self.doubled);
        (input.height * times, input.width * times)
    }
}

/// `input`, convolved; added to `onto` if there is one, which lies where the result will.
pub fn convolve(
    threads: Threads,
    of: Convolution,
    input: &Image,
    onto: Option<Image>,
    rooms: &Rooms,
) -> Image {
    threads.dispatch(Run { threads, of, input, onto, rooms, six_from: SIX_FROM })
}

/// What [`convolve`] does, for one instruction set.
pub struct Run<'a> {
    pub threads: Threads,
    pub of: Convolution<'a>,
    pub input: &'a Image,
    pub onto: Option<Image>,
    pub rooms: &'a Rooms,
    /// From how many outputs on tiles are 6x6.
    pub six_from: usize,
}

impl WithSimd for Run<'_> {
    type Output = Image;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Image {
        let (height, width) = self.of.size(self.input);
        match height * width >= self.six_from {
            true => self.tiled(simd, SixBySix),
            false => self.tiled(simd, FourByFour),
        }
    }
}

impl Run<'_> {
    #[inline(always)]
    fn tiled<S, T, const POINTS: usize, const TILE: usize>(self, simd: S, tiling: T) -> Image
    where
        S: Simd,
        T: Tiling<POINTS, TILE>,
    {
        let Self { threads, of, input, onto, rooms, .. } = self;
        let (height, width) = of.size(input);
        let add = onto.is_some();
        let mut out =
            onto.unwrap_or_else(|| Image::left_over(&rooms.activations, height, width, of.outputs));
        assert_eq!((out.height, out.width, out.channels), (height, width, of.outputs));

        let layout = WeightLayout::of::<S>(of, POINTS);
        let mut weights = rooms.for_work(layout.values());
        transform_weights(simd, tiling, threads, of, layout, weights.values_mut());
        let (weights, bias) = (weights.values(), &*filled_up(of.bias));
        let blocks = Blocks::of::<POINTS, TILE>(height, width, input.pitch);
        let layer = Layer { of, input, weights, layout, bias, add, blocks };
        let pitch = out.pitch;
        let mut sums = vec![0.0; blocks.count() * 2 * pitch];
        let mut scratch: Vec<Scratch> = (0..threads.count.min(blocks.count()))
            .map(|_| scratch::<S, POINTS, TILE>(rooms, &layer))
            .collect();
        let target = Target {
            values: Shared::new(out.values_mut()),
            sums: Shared::new(&mut sums),
            pitch,
            width,
            height,
        };
        for_each_with(&mut scratch, blocks.count(), |task, scratch| {
            let tiling = PhantomData::<T>;
            simd.vectorize(Block { layer: &layer, task, scratch, target: &target, tiling });
            rooms.activations.keep_within_limit();
        });
        out.set_sums(Sums::of_parts(&sums, pitch));
        out
    }
}

/// What one thread works in.
fn scratch<S: Simd, const POINTS: usize, const TILE: usize>(
    rooms: &Rooms,
    layer: &Layer,
) -> Scratch {
    let [patch, points, products] = layer.scratch_lengths::<POINTS, TILE>(columns::<S>());
    let room = |len| -> Room { rooms.for_work(len) };
    Scratch { patch: room(patch), points: room(points), products: room(products) }
}

/// How the output is cut: `across` x `down` blocks of at most `columns` x `rows` tiles.
#[derive(Debug, Clone, Copy)]
pub struct Blocks {
    pub rows: usize,
    pub columns: usize,
    pub across: usize,
    down: usize,
}

impl Blocks {
    fn of<const POINTS: usize, const TILE: usize>(
        height: usize,
        width: usize,
        pitch: usize,
    ) -> Self {
        let (tall, wide) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let bytes_per_tile = POINTS * POINTS * pitch * size_of::<f32>();
        let tiles = (BLOCK_BYTES / bytes_per_tile).clamp(12, 192);
        // Nearly square blocks read the least twice; rows and columns are shared out evenly.
        let across = wide.div_ceil(((tiles as f64).sqrt() * 1.5) as usize);
        let columns = wide.div_ceil(across);
        let down = tall.div_ceil((tiles / columns).max(1));
        Self { rows: tall.div_ceil(down), columns, across, down }
    }

    fn count(&self) -> usize {
        self.across * self.down
    }
}
