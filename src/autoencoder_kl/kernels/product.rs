//! Small matrix products from packed weights: what convolution, attention and linear layers are
//! made of.

use pulp::Simd;

/// Rows that are summed up in registers at once.
pub const ROWS: usize = 6;

/// Columns that are summed up in registers at once: two vectors.
#[inline(always)]
pub fn columns<S: Simd>() -> usize {
    2 * S::F32_LANES
}

/// The shape of one product, `rows` x `depth` by `depth` x (`panels` * columns).
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rows: usize,
    pub depth: usize,
    pub panels: usize,
    /// Values from one row of the left side to the next.
    pub left_stride: usize,
    /// Values from one panel of the right side to the next.
    pub panel_stride: usize,
    /// Values from one row of the output to the next.
    pub out_stride: usize,
    /// Whether the product is added to what the output holds.
    pub add: bool,
}

/// `out` = `left` * `right`, or `out` += `left` * `right`.
///
/// `right` is packed in panels: `panel_stride` values each, of which the first `depth` * columns
/// are rows of [`columns`] values.
#[inline(always)]
pub fn product<S: Simd>(simd: S, shape: Shape, left: &[f32], right: &[f32], out: &mut [f32]) {
    let Shape { rows, depth, panels, left_stride, panel_stride, out_stride, .. } = shape;
    if rows == 0 || panels == 0 {
        return;
    }
    let columns = columns::<S>();
    assert!(left.len() >= (rows - 1) * left_stride + depth);
    assert!(right.len() >= (panels - 1) * panel_stride + depth * columns);
    assert!(out.len() >= (rows - 1) * out_stride + panels * columns);
    // Rows first: each is read from afar once, and then for all panels.
    for row in (0..rows).step_by(ROWS) {
        let left = &left[row * left_stride..];
        for panel in 0..panels {
            let right = &right[panel * panel_stride..];
            let out = &mut out[row * out_stride + panel * columns..];
            // SAFETY: the assertions above cover `rows` rows and `panels` panels.
            unsafe {
                match rows - row {
                    1 => tile::<S, 1>(simd, shape, left, right, out),
                    2 => tile::<S, 2>(simd, shape, left, right, out),
                    3 => tile::<S, 3>(simd, shape, left, right, out),
                    4 => tile::<S, 4>(simd, shape, left, right, out),
                    5 => tile::<S, 5>(simd, shape, left, right, out),
                    _ => tile::<S, ROWS>(simd, shape, left, right, out),
                }
            }
        }
    }
}

/// `M` rows of one panel.
///
/// # Safety
///
/// `left` holds `M` rows, `right` one panel, `out` `M` rows of one panel.
#[inline(always)]
unsafe fn tile<S: Simd, const M: usize>(
    simd: S,
    shape: Shape,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let (left, right, out) = (left.as_ptr(), right.as_ptr(), out.as_mut_ptr());
    let mut sums = [[simd.splat_f32s(0.0); 2]; M];
    // SAFETY: in bounds by the caller's promise.
    unsafe {
        if shape.add {
            for (m, sums) in sums.iter_mut().enumerate() {
                let row = out.add(m * shape.out_stride).cast::<S::f32s>();
                *sums = [row.read_unaligned(), row.add(1).read_unaligned()];
            }
        }
        let mut weights = right;
        for k in 0..shape.depth {
            let first = weights.cast::<S::f32s>().read_unaligned();
            let second = weights.add(lanes).cast::<S::f32s>().read_unaligned();
            weights = weights.add(2 * lanes);
            for (m, sums) in sums.iter_mut().enumerate() {
                let value = simd.splat_f32s(*left.add(m * shape.left_stride + k));
                sums[0] = simd.mul_add_e_f32s(value, first, sums[0]);
                sums[1] = simd.mul_add_e_f32s(value, second, sums[1]);
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let row = out.add(m * shape.out_stride).cast::<S::f32s>();
            row.write_unaligned(sums[0]);
            row.add(1).write_unaligned(sums[1]);
        }
    }
}
