//! The three linear maps of Winograd's F(4x4, 3x3), interpolating at 0, 1, -1, 2, -2 and infinity
//! (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015), in one dimension.

use pulp::Simd;

/// Values of the input under one tile, and products for it, along one side.
pub const POINTS: usize = 6;

/// Outputs of one tile along one side.
pub const TILE: usize = 4;

/// Six inputs to six points.
#[inline(always)]
pub fn of_input<S: Simd>(simd: S, d: [S::f32s; POINTS]) -> [S::f32s; POINTS] {
    let times = |by: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(simd.splat_f32s(by), a, b);
    let add = |a, b| simd.add_f32s(a, b);
    let sub = |a, b| simd.sub_f32s(a, b);
    let (even, odd) = (times(-4.0, d[2], d[4]), times(-4.0, d[1], d[3]));
    let (far, step) = (sub(d[4], d[2]), sub(d[3], d[1]));
    [
        times(4.0, d[0], times(-5.0, d[2], d[4])),
        add(even, odd),
        sub(even, odd),
        times(2.0, step, far),
        times(-2.0, step, far),
        times(4.0, d[1], times(-5.0, d[3], d[5])),
    ]
}

/// Three weights to six points.
#[inline(always)]
pub fn of_weight<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; POINTS] {
    let times = |by: f32, a: S::f32s| simd.mul_f32s(simd.splat_f32s(by), a);
    let plus = |by: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(simd.splat_f32s(by), a, b);
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

/// Six products to four outputs.
#[inline(always)]
pub fn of_output<S: Simd>(simd: S, m: [S::f32s; POINTS]) -> [S::f32s; TILE] {
    let times = |by: f32, a: S::f32s, b: S::f32s| simd.mul_add_e_f32s(simd.splat_f32s(by), a, b);
    let (near, near_odd) = (simd.add_f32s(m[1], m[2]), simd.sub_f32s(m[1], m[2]));
    let (far, far_odd) = (simd.add_f32s(m[3], m[4]), simd.sub_f32s(m[3], m[4]));
    [
        simd.add_f32s(m[0], simd.add_f32s(near, far)),
        times(2.0, far_odd, near_odd),
        times(4.0, far, near),
        times(8.0, far_odd, simd.add_f32s(near_odd, m[5])),
    ]
}
