//! Products of small matrices, of which the right one is packed: the inner loops of convolutions,
//! attention and linear layers.

use pulp::{Simd, WithSimd};

use super::vectors::{Cache, prefetch};

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

/// Tiles of rows that prefetch the next panel, a share each: four of six rows, or two of twelve.
#[inline(always)]
const fn shares<S: Simd>() -> usize {
    24 / rows_at_once::<S>()
}

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
    let Shape { rows, depth, vectors, left_stride, panel_stride, out_stride, add, ahead } = shape;
    if rows == 0 || vectors == 0 {
        return;
    }
    let (columns, panels) = (columns::<S>(), shape.panels());
    assert!(left.len() >= (rows - 1) * left_stride + depth);
    assert!(right.len() >= (panels - 1) * panel_stride + depth * columns);
    assert!(out.len() >= (rows - 1) * out_stride + vectors * S::F32_LANES);
    // Rows in the outer loop: a row is read from memory once, and from the cache for the other panels.
    let (most, shares) = (rows_at_once::<S>(), shares::<S>());
    for row in (0..rows).step_by(most) {
        let left = &left[row * left_stride..];
        for panel in 0..panels {
            let right = &right[panel * panel_stride..];
            // The first tiles of rows prefetch a share each, the others nothing new.
            let share = row / most * (depth * columns / shares);
            let next = match ahead > 0 && row < shares * most {
                true => right.as_ptr().wrapping_add(ahead + share),
                false => right.as_ptr(),
            };
            let (left, right) = (left.as_ptr(), right.as_ptr());
            let out = out[row * out_stride + panel * columns..].as_mut_ptr();
            let tile = Tile { left, right, next, out, depth, left_stride, out_stride, add };
            let run = match vectors - 2 * panel {
                1 => tiles::<S, 1>(),
                _ => tiles::<S, 2>(),
            };
            // SAFETY: the assertions above cover all rows, and the vectors of all panels.
            unsafe { run[most.min(rows - row) - 1](simd, tile) };
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

/// Some rows of one panel.
#[derive(Clone, Copy)]
struct Tile {
    left: *const f32,
    right: *const f32,
    /// From where on cache lines are prefetched.
    next: *const f32,
    out: *mut f32,
    depth: usize,
    left_stride: usize,
    out_stride: usize,
    add: bool,
}

/// [`compute`] for 1 to 12 rows of `V` vectors.
#[inline(always)]
fn tiles<S: Simd, const V: usize>() -> [unsafe fn(S, Tile); 12] {
    [
        compute::<S, 1, V>,
        compute::<S, 2, V>,
        compute::<S, 3, V>,
        compute::<S, 4, V>,
        compute::<S, 5, V>,
        compute::<S, 6, V>,
        compute::<S, 7, V>,
        compute::<S, 8, V>,
        compute::<S, 9, V>,
        compute::<S, 10, V>,
        compute::<S, 11, V>,
        compute::<S, 12, V>,
    ]
}

/// Computes `M` rows of the first `V` vectors of one panel. Called through [`tiles`], so that it is not inlined: among
/// other code, compilers load the values of all rows at once, for which there are no registers.
///
/// # Safety
///
/// `left` has `M` rows, `right` one panel, and `out` `M` rows of `V` vectors.
unsafe fn compute<S: Simd, const M: usize, const V: usize>(simd: S, tile: Tile) {
    simd.vectorize(Rows::<M, V>(tile));
}

/// What [`compute`] does, on one instruction set.
struct Rows<const M: usize, const V: usize>(Tile);

impl<const M: usize, const V: usize> WithSimd for Rows<M, V> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Tile { left, right, next, out, depth, left_stride, out_stride, add } = self.0;
        let mut sums = [[simd.splat_f32s(0.0); V]; M];
        // SAFETY: in bounds by the promise of who called [`compute`].
        unsafe {
            if add {
                for (m, sums) in sums.iter_mut().enumerate() {
                    let row = out.add(m * out_stride).cast::<S::f32s>();
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = row.add(v).read_unaligned();
                    }
                }
            }
            for k in 0..depth {
                prefetch(Cache::Second, next.wrapping_add(k * columns::<S>() / shares::<S>()));
                let right = right.add(k * columns::<S>());
                add_products(simd, left.add(k), left_stride, right, &mut sums);
            }
            for (m, sums) in sums.iter().enumerate() {
                let row = out.add(m * out_stride).cast::<S::f32s>();
                for (v, sum) in sums.iter().enumerate() {
                    row.add(v).write_unaligned(*sum);
                }
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
