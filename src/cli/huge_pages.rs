//! Large tensors on huge pages: fewer page faults, and no memory kept that is no longer used.

use std::ffi::{c_int, c_void};

/// What transparent huge pages measure on x86-64 and on aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// Stands before glibc's function of this name, from which libtorch takes every tensor.
///
/// A tensor of the full Stable Diffusion graph is up to 268 MB, which glibc gives back to the
/// kernel when it is dropped; the next one then costs a page fault for each 4 KiB. On huge pages it
/// is one for each 2 MiB. Keeping freed memory would spare those too, but takes a third more.
#[unsafe(no_mangle)]
extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*const c_void>()) {
        return libc::EINVAL;
    }
    let large = size >= 2 * HUGE_PAGE;
    let alignment = if large { alignment.max(HUGE_PAGE) } else { alignment };
    // SAFETY: `memalign` takes any power of two and any size; glibc's `free` takes what it gives.
    let memory = unsafe { libc::memalign(alignment, size) };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    if large {
        // SAFETY: the range lies in the block that was just allocated, and the advice changes no
        // byte of it. It may be refused, which costs speed alone.
        unsafe { libc::madvise(memory, size & !(HUGE_PAGE - 1), libc::MADV_HUGEPAGE) };
    }
    // SAFETY: the caller hands over a place for the pointer, as POSIX asks.
    unsafe { *out = memory };
    0
}
