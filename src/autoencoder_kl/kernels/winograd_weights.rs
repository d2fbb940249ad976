//! The weights of a 3x3 convolution as Winograd's F(4x4, 3x3) multiplies with them: four times as
//! many, so they are made layer by layer.

#![allow(clippy::needless_range_loop, reason = "rows and columns are both counted")]

use pulp::{Simd, WithSimd};

use super::image::CHANNEL_STEP;
use super::product::columns;
use super::threads::{Shared, Threads};
use super::transform::{POINTS, of_weight};
use super::vectors::{load, store};
use super::winograd::Convolution;

/// Weights by point, panel, input channel, column of the panel.
#[inline(always)]
pub fn transform_weights<S: Simd>(
    simd: S,
    threads: Threads,
    of: Convolution,
    panels: usize,
    weights: &mut [f32],
) {
    let shared = Shared::new(weights);
    threads.for_each(panels, |panel| {
        simd.vectorize(Panel { of, panel, panels, shared: &shared });
    });
}

/// The weights of one panel of output channels.
struct Panel<'a> {
    of: Convolution<'a>,
    panel: usize,
    panels: usize,
    shared: &'a Shared<'a, f32>,
}

impl WithSimd for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { of, panel, panels, shared } = self;
        let columns = columns::<S>();
        let (first, last) = (panel * columns, of.outputs.min((panel + 1) * columns));
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
                    let points = of_weight(simd, [at(0), at(1), at(2)]);
                    for y in 0..POINTS {
                        rows[y][x] = points[y];
                    }
                }
                for y in 0..POINTS {
                    let points = of_weight(simd, rows[y]);
                    for x in 0..POINTS {
                        let start = ((y * POINTS + x) * panels + panel) * of.inputs + input;
                        let start = start * columns + half * S::F32_LANES;
                        // SAFETY: no two panels share a place.
                        let out = unsafe { shared.part(start, S::F32_LANES) };
                        store::<S>(out, points[x]);
                    }
                }
            }
        }
    }
}
