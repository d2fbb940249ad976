//! The weights of a 3x3 convolution as Winograd's algorithm multiplies with them: four to seven
//! times as many, so they are made layer by layer.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use super::image::CHANNEL_STEP;
use super::product::columns;
use super::threads::{Shared, Threads};
use super::transform::Tiling;
use super::vectors::{load, store};
use super::winograd::Convolution;

/// Values between one point of a panel and the next that nothing lies in: without them, all points
/// would fall into the same few sets of the cache.
const GAP: usize = 16;

/// Where transformed weights lie: by panel of output channels, point, input channel, column of the
/// panel.
#[derive(Debug, Clone, Copy)]
pub struct WeightLayout {
    pub panels: usize,
    pub panel_stride: usize,
    pub point_stride: usize,
}

impl WeightLayout {
    #[inline(always)]
    pub fn of<S: Simd>(of: Convolution, points: usize) -> Self {
        let point_stride = of.inputs * columns::<S>() + GAP;
        let panels = of.outputs.div_ceil(columns::<S>());
        Self { panels, panel_stride: points * points * point_stride, point_stride }
    }

    /// How many values there are.
    pub fn values(self) -> usize {
        self.panels * self.panel_stride
    }
}

/// Fills `weights`, which lie as `layout` says.
#[inline(always)]
pub fn transform_weights<S, T, const POINTS: usize, const TILE: usize>(
    simd: S,
    _: T,
    threads: Threads,
    of: Convolution,
    layout: WeightLayout,
    weights: &mut [f32],
) where
    S: Simd,
    T: Tiling<POINTS, TILE>,
{
    let shared = Shared::new(weights);
    threads.for_each(layout.panels, |panel| {
        let tiling = PhantomData::<T>;
        simd.vectorize(Panel { of, panel, layout, shared: &shared, tiling });
    });
}

/// The weights of one panel of output channels.
struct Panel<'a, T, const POINTS: usize, const TILE: usize> {
    of: Convolution<'a>,
    panel: usize,
    layout: WeightLayout,
    shared: &'a Shared<'a, f32>,
    tiling: PhantomData<T>,
}

impl<T, const POINTS: usize, const TILE: usize> WithSimd for Panel<'_, T, POINTS, TILE>
where
    T: Tiling<POINTS, TILE>,
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, panel, layout, shared, .. } = self;
        let columns = columns::<S>();
        let (first, last) = (panel * columns, of.outputs.min((panel + 1) * columns));
        // SAFETY: no two panels share a place.
        let weights = unsafe { shared.part(panel * layout.panel_stride, layout.panel_stride) };
        // By place in the 3x3 kernel, then output channel.
        let mut kernels = [0f32; 9 * CHANNEL_STEP];
        for input in 0..of.inputs {
            for (column, output) in (first..last).enumerate() {
                let kernel = &of.weight[(output * of.inputs + input) * 9..][..9];
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
                    let points = T::of_weight(simd, [at(0), at(1), at(2)]);
                    for y in 0..POINTS {
                        rows[y][x] = points[y];
                    }
                }
                let start = input * columns + half * S::F32_LANES;
                for y in 0..POINTS {
                    let points = T::of_weight(simd, rows[y]);
                    for x in 0..POINTS {
                        let point = (y * POINTS + x) * layout.point_stride;
                        store::<S>(&mut weights[point + start..], points[x]);
                    }
                }
            }
        }
    }
}
