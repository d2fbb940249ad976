//! Loading vectors from slices, and storing them.

use pulp::Simd;

/// A vector of the first [`Simd::F32_LANES`] values.
#[inline(always)]
pub(crate) fn load<S: Simd>(values: &[f32]) -> S::f32s {
    let values = &values[..S::F32_LANES];
    // SAFETY: the slice has that many values, and any bits are a vector.
    unsafe { values.as_ptr().cast::<S::f32s>().read_unaligned() }
}

/// Writes `vector` over the first [`Simd::F32_LANES`] values.
#[inline(always)]
pub(crate) fn store<S: Simd>(values: &mut [f32], vector: S::f32s) {
    let values = &mut values[..S::F32_LANES];
    // SAFETY: the slice has that many values.
    unsafe { values.as_mut_ptr().cast::<S::f32s>().write_unaligned(vector) }
}
