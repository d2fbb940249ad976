//! Loading vectors from slices, storing them, and fetching what is loaded later.

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

/// A cache of a core.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cache {
    First,
    Second,
}

/// Prefetches a cache line. The address need not be valid.
#[inline(always)]
pub(crate) fn prefetch(cache: Cache, line: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults, and that every x86-64 processor has.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match cache {
            Cache::First => _mm_prefetch::<_MM_HINT_T0>(line.cast()),
            Cache::Second => _mm_prefetch::<_MM_HINT_T1>(line.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (cache, line);
}
