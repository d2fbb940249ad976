//! The three linear maps of Winograd's convolutions (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015), in one dimension.

use pulp::Simd;

/// One way to make `TILE` outputs of a kernel of three from `POINTS` products, along one side.
pub trait Tiling<const POINTS: usize, const TILE: usize>: Copy + Send + Sync {
    /// Which of the points is -1. What it sees of an input are differences, each between the two
    /// values of a pair that begins at an even place of the output: nothing, where every value
    /// stands twice.
    const MINUS_ONE: usize = 2;

    /// The input under one tile, to points.
    fn of_input<S: Simd>(simd: S, d: [S::f32s; POINTS]) -> [S::f32s; POINTS];

    /// Three weights to points.
    fn of_weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; POINTS];

    /// Products to outputs.
    fn of_output<S: Simd>(simd: S, m: [S::f32s; POINTS]) -> [S::f32s; TILE];
}

/// F(4x4, 3x3), interpolating at 0, 1, -1, 2, -2 and infinity: a quarter of the products.
#[derive(Debug, Clone, Copy)]
pub struct FourByFour;

/// F(6x6, 3x3), interpolating at 1/2 and -1/2 as well: a fifth of the products, and twice the
/// rounding error.
#[derive(Debug, Clone, Copy)]
pub struct SixBySix;

/// `by` * `a` + `b`
#[inline(always)]
fn plus<S: Simd>(simd: S, by: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(by), a, b)
}

#[inline(always)]
fn times<S: Simd>(simd: S, by: f32, a: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(by), a)
}

impl Tiling<6, 4> for FourByFour {
    #[inline(always)]
    fn of_input<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
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
    fn of_weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
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
    fn of_output<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
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

impl Tiling<8, 6> for SixBySix {
    #[inline(always)]
    fn of_input<S: Simd>(simd: S, d: [S::f32s; 8]) -> [S::f32s; 8] {
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
    fn of_weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 8] {
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
    fn of_output<S: Simd>(simd: S, m: [S::f32s; 8]) -> [S::f32s; 6] {
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
