//! The transforms of Winograd's minimal filtering algorithms in one dimension, as Lavin and Gray name
//! them: of the data, of the filter, and the inverse transform.

use pulp::Simd;

/// F(`TILE`, 3): `TILE` outputs of a filter of three weights from `POINTS` products.
pub(super) trait Transforms<const POINTS: usize, const TILE: usize>:
    Copy + Send + Sync
{
    /// The index of the interpolation point -1. Its data transform is a sum of differences between
    /// values 2k and 2k + 1 of the output's grid, so it is zero for an input that was upsampled by
    /// repeating each value.
    const MINUS_ONE: usize = 2;

    /// The inputs of one tile to points.
    fn data_transform<S: Simd>(simd: S, d: [S::f32s; POINTS]) -> [S::f32s; POINTS];

    /// The three weights of the filter to points.
    fn filter_transform<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; POINTS];

    /// Products to the outputs of one tile.
    fn inverse_transform<S: Simd>(simd: S, m: [S::f32s; POINTS]) -> [S::f32s; TILE];
}

/// F(4x4, 3x3), with interpolation points 0, 1, -1, 2, -2 and infinity: a quarter of the
/// multiplications.
#[derive(Debug, Clone, Copy)]
pub(super) struct F4x4;

/// F(6x6, 3x3), with interpolation points 1/2 and -1/2 as well: a fifth of the multiplications, and
/// twice the rounding error.
#[derive(Debug, Clone, Copy)]
pub(super) struct F6x6;

/// `by` * `a` + `b`
#[inline(always)]
fn plus<S: Simd>(simd: S, by: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_f32s(simd.splat_f32s(by), a, b)
}

#[inline(always)]
fn times<S: Simd>(simd: S, by: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(by), a)
}

impl Transforms<6, 4> for F4x4 {
    #[inline(always)]
    fn data_transform<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let (even, odd) = (plus(-4.0, d[2], d[4]), plus(-4.0, d[1], d[3]));
        let (far, step) = (simd.sub_f32s(d[4], d[2]), simd.sub_f32s(d[3], d[1]));
        [
            plus(4.0, d[0], plus(-5.0, d[2], d[4])),
            simd.add_f32s(even, odd),
            simd.sub_f32s(even, odd),
            plus(2.0, step, far),
            plus(-2.0, step, far),
            plus(4.0, d[1], plus(-5.0, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn filter_transform<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
        let times = |by: f32, a: S::f32s| times(simd, by, a);
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let ends = times(-1.0 / 6.0, simd.add_f32s(g[0], g[2]));
        let slope = plus(1.0 / 24.0, g[0], times(1.0 / 6.0, g[2]));
        [
            times(0.25, g[0]),
            plus(-1.0 / 6.0, g[1], ends),
            plus(1.0 / 6.0, g[1], ends),
            plus(1.0 / 12.0, g[1], slope),
            plus(-1.0 / 12.0, g[1], slope),
            g[2],
        ]
    }

    #[inline(always)]
    fn inverse_transform<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let (near, near_odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
        let (far, far_odd) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
        [
            simd.add_f32s(m[0], simd.add_f32s(near, far)),
            plus(2.0, far_odd, near_odd),
            plus(4.0, far, near),
            plus(8.0, far_odd, simd.add_f32s(near_odd, m[5])),
        ]
    }
}

impl Transforms<8, 6> for F6x6 {
    #[inline(always)]
    fn data_transform<S: Simd>(simd: S, d: [S::f32s; 8]) -> [S::f32s; 8] {
        let times = |by: f32, a: S::f32s| times(simd, by, a);
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
        let even = plus(-4.25, d[4], add(d[2], d[6]));
        let odd = plus(-4.25, d[3], add(d[1], d[5]));
        let far_even = plus(-1.25, d[4], plus(0.25, d[2], d[6]));
        let far_odd = plus(2.0, d[5], plus(-2.5, d[3], times(0.5, d[1])));
        let near_even = plus(4.0, plus(-1.25, d[4], d[2]), d[6]);
        let near_odd = plus(0.5, d[5], plus(-2.5, d[3], times(2.0, d[1])));
        [
            plus(5.25, sub(d[4], d[2]), sub(d[0], d[6])),
            add(even, odd),
            sub(even, odd),
            add(far_even, far_odd),
            sub(far_even, far_odd),
            add(near_even, near_odd),
            sub(near_even, near_odd),
            plus(5.25, sub(d[3], d[5]), sub(d[7], d[1])),
        ]
    }

    #[inline(always)]
    fn filter_transform<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 8] {
        let times = |by: f32, a: S::f32s| times(simd, by, a);
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let ends = times(-2.0 / 9.0, simd.add_f32s(g[0], g[2]));
        let far = plus(1.0 / 90.0, g[0], times(2.0 / 45.0, g[2]));
        let near = plus(32.0 / 45.0, g[0], times(8.0 / 45.0, g[2]));
        [
            g[0],
            plus(-2.0 / 9.0, g[1], ends),
            plus(2.0 / 9.0, g[1], ends),
            plus(1.0 / 45.0, g[1], far),
            plus(-1.0 / 45.0, g[1], far),
            plus(16.0 / 45.0, g[1], near),
            plus(-16.0 / 45.0, g[1], near),
            g[2],
        ]
    }

    #[inline(always)]
    fn inverse_transform<S: Simd>(simd: S, m: [S::f32s; 8]) -> [S::f32s; 6] {
        let plus = |by: f32, a: S::f32s, b: S::f32s| plus(simd, by, a, b);
        let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
        let (one, one_odd) = (add(m[1], m[2]), sub(m[1], m[2]));
        let (far, far_odd) = (add(m[3], m[4]), sub(m[3], m[4]));
        let (near, near_odd) = (add(m[5], m[6]), sub(m[5], m[6]));
        [
            add(m[0], add(one, add(far, near))),
            plus(0.5, near_odd, plus(2.0, far_odd, one_odd)),
            plus(0.25, near, plus(4.0, far, one)),
            plus(0.125, near_odd, plus(8.0, far_odd, one_odd)),
            plus(1.0 / 16.0, near, plus(16.0, far, one)),
            plus(1.0 / 32.0, near_odd, plus(32.0, far_odd, add(one_odd, m[7]))),
        ]
    }
}
