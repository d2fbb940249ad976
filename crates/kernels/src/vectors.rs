//! Vectors from and to slices.

use pulp::Simd;

/// The first [`Simd::F32_LANES`] values.
#[inline(always)]
pub fn load<S: Simd>(values: &[f32]) -> S::f32s {
    let values = &values[..S::F32_LANES];
    // SAFETY: that many values were just taken, and every pattern of bits is a vector.
    unsafe { values.as_ptr().cast::<S::f32s>().read_unaligned() }
}

/// Writes `vector` over the first [`Simd::F32_LANES`] values.
#[inline(always)]
pub fn store<S: Simd>(values: &mut [f32], vector: S::f32s) {
    let values = &mut values[..S::F32_LANES];
    // SAFETY: that many values were just taken.
    unsafe { values.as_mut_ptr().cast::<S::f32s>().write_unaligned(vector) }
}
