//! Products of small matrices, of which the right one is packed: the inner loops of convolutions,
//! attention and linear layers.

use pulp::Simd;

/// Rows of the output that are accumulated in registers at once: AVX-512 has 32 of them, others have 16, or vectors
/// half as long as AVX2's.
#[inline(always)]
const fn rows_at_once<S: Simd>() -> usize {
    if S::F32_LANES == 16 { 12 } else { 6 }
}

/// [`columns`] of the widest vectors.
pub(crate) const MOST_COLUMNS: usize = 32;

/// Columns of the output that are accumulated in registers at once: two vectors.
#[inline(always)]
pub(crate) fn columns<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// The shape of one product, `rows` x `depth` by `depth` x (`vectors` * lanes of a vector).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub rows: usize,
    pub depth: usize,
    /// Vectors of columns: each panel has two, and the last may be used by half.
    pub vectors: usize,
    /// Values from one row of the left side to the next.
    pub left_stride: usize,
    /// Values from one panel of the right side to the next.
    pub panel_stride: usize,
    /// Values from one row of the output to the next.
    pub out_stride: usize,
    /// Whether the product is added to the output.
    pub add: bool,
    /// Values from each panel to the one that the next product reads in its place, which is prefetched;
    /// zero for no prefetching.
    pub ahead: usize,
}

impl Shape {
    /// Of the right side, the last of which may be used by half.
    #[inline(always)]
    fn panels(self) -> usize {
        self.vectors.div_ceil(2)
    }
}

/// Steps of depth in which one row of the next panel is prefetched, so that four times six rows or twice twelve fetch all
/// of it.
#[inline(always)]
const fn steps_a_row<S: Simd>() -> usize {
    24 / rows_at_once::<S>()
}

/// Values of a cache line.
const LINE: usize = 16;

/// `out` = `left` * `right`, or `out` += `left` * `right`.
///
/// `right` is packed in panels of `panel_stride` values, of which the first are `depth` rows of
/// [`columns`] values.
#[inline(always)]
pub(crate) fn product<S: Simd>(
    simd: S,
    shape: Shape,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
) {
    let Shape { rows, depth, vectors, left_stride, panel_stride, out_stride, .. } = shape;
    if rows == 0 || vectors == 0 {
        return;
    }
    let (columns, panels) = (columns::<S>(), shape.panels());
    assert!(left.len() >= (rows - 1) * left_stride + depth);
    assert!(right.len() >= (panels - 1) * panel_stride + depth * columns);
    assert!(out.len() >= (rows - 1) * out_stride + vectors * S::F32_LANES);
    // Rows in the outer loop: a row is read from memory once, and from the cache for the other panels.
    let (most, steps) = (rows_at_once::<S>(), steps_a_row::<S>());
    for row in (0..rows).step_by(most) {
        let left = &left[row * left_stride..];
        for panel in 0..panels {
            let right = &right[panel * panel_stride..];
            // The first tiles of rows prefetch a share each, the others nothing new.
            let share = row / most * (depth / steps) * columns;
            let next = match shape.ahead > 0 && row < steps * most {
                true => right.as_ptr().wrapping_add(shape.ahead + share),
                false => right.as_ptr(),
            };
            let out = &mut out[row * out_stride + panel * columns..];
            let rows = most.min(rows - row);
            // SAFETY: the assertions above cover all rows, and the vectors of all panels.
            unsafe {
                match vectors - 2 * panel {
                    1 => rows_of::<S, 1>(simd, shape, rows, left, right, next, out),
                    _ => rows_of::<S, 2>(simd, shape, rows, left, right, next, out),
                }
            }
        }
    }
}

/// [`product`] with panels in the outer loop, prefetching the next: for panels that do not fit into the
/// cache together.
#[inline(always)]
pub(crate) fn product_by_panel<S: Simd>(
    simd: S,
    shape: Shape,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
) {
    for panel in 0..shape.panels() {
        let vectors = 2.min(shape.vectors - 2 * panel);
        let one = Shape { vectors, ahead: shape.panel_stride, ..shape };
        let right = &right[panel * shape.panel_stride..];
        product(simd, one, left, right, &mut out[panel * columns::<S>()..]);
    }
}

/// [`tile`] of so many `rows`.
///
/// # Safety
///
/// As of [`tile`].
#[inline(always)]
unsafe fn rows_of<S: Simd, const V: usize>(
    simd: S,
    shape: Shape,
    rows: usize,
    left: &[f32],
    right: &[f32],
    next: *const f32,
    out: &mut [f32],
) {
    // SAFETY: by the caller's promise.
    unsafe {
        match rows {
            1 => tile::<S, 1, V>(simd, shape, left, right, next, out),
            2 => tile::<S, 2, V>(simd, shape, left, right, next, out),
            3 => tile::<S, 3, V>(simd, shape, left, right, next, out),
            4 => tile::<S, 4, V>(simd, shape, left, right, next, out),
            5 => tile::<S, 5, V>(simd, shape, left, right, next, out),
            6 => tile::<S, 6, V>(simd, shape, left, right, next, out),
            7 => tile::<S, 7, V>(simd, shape, left, right, next, out),
            8 => tile::<S, 8, V>(simd, shape, left, right, next, out),
            9 => tile::<S, 9, V>(simd, shape, left, right, next, out),
            10 => tile::<S, 10, V>(simd, shape, left, right, next, out),
            11 => tile::<S, 11, V>(simd, shape, left, right, next, out),
            _ => tile::<S, 12, V>(simd, shape, left, right, next, out),
        }
    }
}

/// `M` rows of the first `V` vectors of one panel; cache lines from `next` on are prefetched.
///
/// # Safety
///
/// `left` has `M` rows, `right` one panel, and `out` `M` rows of `V` vectors.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize, const V: usize>(
    simd: S,
    shape: Shape,
    left: &[f32],
    right: &[f32],
    next: *const f32,
    out: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let (left, right, out) = (left.as_ptr(), right.as_ptr(), out.as_mut_ptr());
    let mut sums = [[simd.splat_f32s(0.0); V]; M];
    // SAFETY: in bounds by the caller's promise.
    unsafe {
        if shape.add {
            for (m, sums) in sums.iter_mut().enumerate() {
                let row = out.add(m * shape.out_stride).cast::<S::f32s>();
                for (v, sum) in sums.iter_mut().enumerate() {
                    *sum = row.add(v).read_unaligned();
                }
            }
        }
        let mut next = next;
        let steps = steps_a_row::<S>();
        let whole = shape.depth / steps * steps;
        for start in (0..whole).step_by(steps) {
            for line in (0..2 * lanes).step_by(LINE) {
                prefetch(next.wrapping_add(line));
            }
            next = next.wrapping_add(2 * lanes);
            for k in start..start + steps {
                add_products(
                    simd,
                    left.add(k),
                    shape.left_stride,
                    right.add(2 * lanes * k),
                    &mut sums,
                );
            }
        }
        for k in whole..shape.depth {
            add_products(simd, left.add(k), shape.left_stride, right.add(2 * lanes * k), &mut sums);
        }
        for (m, sums) in sums.iter().enumerate() {
            let row = out.add(m * shape.out_stride).cast::<S::f32s>();
            for (v, sum) in sums.iter().enumerate() {
                row.add(v).write_unaligned(*sum);
            }
        }
    }
}

/// Adds the products of one value of each of `M` rows, `stride` values apart, and the first `V` vectors of one row of
/// the panel.
///
/// # Safety
///
/// `left` has `M` values `stride` apart, and `right` `V` vectors.
#[inline(always)]
unsafe fn add_products<S: Simd, const M: usize, const V: usize>(
    simd: S,
    left: *const f32,
    stride: usize,
    right: *const f32,
    sums: &mut [[S::f32s; V]; M],
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let vectors: [S::f32s; V] =
            std::array::from_fn(|v| right.add(v * S::F32_LANES).cast::<S::f32s>().read_unaligned());
        for (m, sums) in sums.iter_mut().enumerate() {
            let value = simd.splat_f32s(*left.add(m * stride));
            for (sum, vector) in sums.iter_mut().zip(vectors) {
                *sum = simd.mul_add_f32s(value, vector, *sum);
            }
        }
    }
}

/// Prefetches a cache line. The address need not be valid.
#[inline(always)]
fn prefetch(line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults, and that every x86-64 processor has.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}
