//! The weights of a 3x3 convolution, transformed to points. They take four to seven times the space of
//! the original, so they are computed layer by layer, and kept for small models only.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pulp::{Simd, WithSimd};

use super::problem::Conv2dParams;
use super::transform::Transforms;
use crate::product::{MOST_COLUMNS, columns};
use crate::threads::{Shared, Threads};
use crate::vectors::{load, store};

/// Unused values between one point of a panel and the next: without them, all points would map to the
/// same few sets of the cache.
const GAP: usize = 16;

/// The layout of transformed weights: (panel of output channels, point, input channel, column of the
/// panel).
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightLayout {
    pub panels: usize,
    /// Vectors of output channels, of which each panel has two; the last may be used by half.
    pub vectors: usize,
    pub panel_stride: usize,
    pub point_stride: usize,
}

impl WeightLayout {
    #[inline(always)]
    pub fn new<S: Simd>(params: Conv2dParams, points: usize) -> Self {
        let point_stride = params.inputs * columns::<S>() + GAP;
        let vectors = params.outputs.div_ceil(S::F32_LANES);
        let panel_stride = points * points * point_stride;
        Self { panels: vectors.div_ceil(2), vectors, panel_stride, point_stride }
    }

    /// How many values the transformed weights take.
    pub fn values(self) -> usize {
        self.panels * self.panel_stride
    }
}

/// The transformed weights of one layer, from the second time on that it runs: most run once, and what is kept
/// takes memory of its own. For one layer, on one instruction set.
#[derive(Debug, Default)]
pub struct KeptWeights {
    f4x4: Kept,
    f6x6: Kept,
}

/// Those of one size of tiles.
#[derive(Debug, Default)]
struct Kept {
    ran: AtomicBool,
    weights: OnceLock<Vec<f32>>,
}

impl KeptWeights {
    /// Bytes that the transformed weights of all layers of a model may take at most where they are kept.
    pub const MOST_BYTES: usize = 64 << 20;

    /// Bytes that so many weights take at most once they are transformed, to tiles of 6x6.
    pub const fn bytes(weights: usize) -> usize {
        (weights / 9).saturating_mul(64 * size_of::<f32>())
    }

    /// The weights for tiles of `tile`, which `transform` fills where they are kept for the first time;
    /// `None` where they are not.
    pub(super) fn of(
        &self,
        tile: usize,
        layout: WeightLayout,
        transform: impl FnOnce(&mut [f32]),
    ) -> Option<&[f32]> {
        let kept = if tile == 4 { &self.f4x4 } else { &self.f6x6 };
        if !kept.ran.swap(true, Ordering::Relaxed) {
            return None;
        }
        let weights = kept.weights.get_or_init(|| {
            let mut weights = vec![0.0; layout.values()];
            transform(&mut weights);
            weights
        });
        (weights.len() == layout.values()).then_some(weights)
    }
}

/// Fills `weights` with the transformed weights of `params`, in `layout`.
#[inline(always)]
pub(super) fn transform_weights<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    _: T,
    threads: Threads,
    params: Conv2dParams,
    layout: WeightLayout,
    weights: &mut [f32],
) where
    S: Simd,
    T: Transforms<POINTS, TILE>,
{
    let shared = Shared::new(weights);
    threads.for_each(layout.panels, |panel| {
        let transforms = PhantomData::<T>;
        simd.vectorize(Panel { params, panel, layout, shared: &shared, transforms });
    });
}

/// The weights of one panel of output channels.
struct Panel<'a, T, const POINTS: usize, const TILE: usize> {
    params: Conv2dParams<'a>,
    panel: usize,
    layout: WeightLayout,
    shared: &'a Shared<'a, f32>,
    transforms: PhantomData<T>,
}

impl<T, const POINTS: usize, const TILE: usize> WithSimd for Panel<'_, T, POINTS, TILE>
where
    T: Transforms<POINTS, TILE>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { params, panel, layout, shared, .. } = self;
        let columns = columns::<S>();
        let (first, last) = (panel * columns, params.outputs.min((panel + 1) * columns));
        // SAFETY: panels do not overlap.
        let weights = unsafe { shared.part(panel * layout.panel_stride, layout.panel_stride) };
        // By place in the 3x3 kernel, then output channel.
        let mut kernels = [0f32; 9 * MOST_COLUMNS];
        for input in 0..params.inputs {
            for (column, output) in (first..last).enumerate() {
                let kernel = &params.weight[(output * params.inputs + input) * 9..][..9];
                for (place, value) in kernel.iter().enumerate() {
                    kernels[place * columns + column] = *value;
                }
            }
            for half in 0..2 {
                let zero = simd.splat_f32s(0.0);
                let mut rows = [[zero; 3]; POINTS];
                for x in 0..3 {
                    let at = |y: usize| {
                        load::<S>(&kernels[(3 * y + x) * columns + half * S::F32_LANES..])
                    };
                    let points = T::filter_transform(simd, [at(0), at(1), at(2)]);
                    for y in 0..POINTS {
                        rows[y][x] = points[y];
                    }
                }
                let start = input * columns + half * S::F32_LANES;
                for y in 0..POINTS {
                    let points = T::filter_transform(simd, rows[y]);
                    for x in 0..POINTS {
                        let point = (y * POINTS + x) * layout.point_stride;
                        store::<S>(&mut weights[point + start..], points[x]);
                    }
                }
            }
        }
    }
}
