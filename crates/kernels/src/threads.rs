//! The threads and the instruction set that kernels use.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use pulp::{Simd, WithSimd};

/// How many threads kernels use, and which instructions. Results depend on neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    /// At least 1.
    pub count: usize,
    /// The instructions of all threads.
    pub instructions: Instructions,
}

/// The instructions that kernels compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// The widest vectors that [`pulp`] finds in this processor at run time: AVX-512, or AVX2 with FMA, on
    /// x86-64, NEON on aarch64. Without any as [`Self::Plain`].
    Vectors,
    /// One value at a time, in portable Rust: the reference for vectors, whose bits it has.
    Plain,
}

impl Instructions {
    /// What [`Self::Vectors`] is on this processor: `avx512`, `avx2-fma`, `neon` or `plain`.
    pub fn detected() -> &'static str {
        #[cfg(target_arch = "x86_64")]
        match pulp::Arch::new() {
            pulp::Arch::V4(_) => return "avx512",
            pulp::Arch::V3(_) => return "avx2-fma",
            _ => {}
        }
        match cfg!(target_arch = "aarch64") {
            true => "neon",
            false => "plain",
        }
    }
}

impl Threads {
    /// `count` threads, at least 1, with [`Instructions::Vectors`].
    pub const fn new(count: usize) -> Self {
        Self { count, instructions: Instructions::Vectors }
    }

    /// As many threads as the process may run at once.
    pub fn available() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// Runs `work` with these instructions.
    #[inline(always)]
    pub(crate) fn dispatch<W: WithSimd>(self, work: W) -> W::Output {
        match self.instructions {
            Instructions::Vectors => pulp::Arch::new().dispatch(work),
            Instructions::Plain => pulp::Scalar.vectorize(work),
        }
    }

    /// Runs `work` for each number below `tasks`, in any order.
    pub(crate) fn for_each(self, tasks: usize, work: impl Fn(usize) + Sync) {
        let mut nothing = vec![(); self.count];
        for_each_with(&mut nothing, tasks, |task, ()| work(task));
    }

    /// Runs `work` for each chunk of `len` values of `slice`, the last of which may be shorter, in any
    /// order; its first argument is the number of the chunk.
    pub fn for_each_part<T: Send>(
        self,
        slice: &mut [T],
        len: usize,
        work: impl Fn(usize, &mut [T]) + Sync,
    ) {
        let mut nothing = vec![(); self.count];
        for_each_part_with(&mut nothing, slice, len, |part, values, ()| work(part, values));
    }
}

/// Runs `work` for each number below `tasks`, in any order, with one thread for each value of `scratch`.
pub(crate) fn for_each_with<T: Send>(
    scratch: &mut [T],
    tasks: usize,
    work: impl Fn(usize, &mut T) + Sync,
) {
    let next = AtomicUsize::new(0);
    let run = |own: &mut T| {
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            work(task, own);
        }
    };
    let Some((first, others)) = scratch.split_first_mut() else { return };
    std::thread::scope(|scope| {
        for own in others.iter_mut().take(tasks.saturating_sub(1)) {
            // The system may have no more threads, or no memory for one: those that run do the work.
            if Builder::new().spawn_scoped(scope, || run(own)).is_err() {
                break;
            }
        }
        run(first);
    });
}

/// [`Threads::for_each_part`] with one thread for each value of `scratch`.
pub(crate) fn for_each_part_with<T: Send, W: Send>(
    scratch: &mut [W],
    slice: &mut [T],
    len: usize,
    work: impl Fn(usize, &mut [T], &mut W) + Sync,
) {
    let all = slice.len();
    let shared = Shared::new(slice);
    for_each_with(scratch, all.div_ceil(len), |part, own| {
        let start = part * len;
        // SAFETY: every task has its own number, so parts do not overlap.
        let values = unsafe { shared.part(start, len.min(all - start)) };
        work(part, values, own);
    });
}

/// The first `len` values of `scratch`, which grows when necessary; their values are unspecified.
pub(crate) fn at_least(scratch: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if scratch.len() < len {
        scratch.resize(len, 0.0);
    }
    &mut scratch[..len]
}

/// A slice that several threads write to, each to parts of its own.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `Shared::part`, whose caller promises that parts held at the same time
// do not overlap.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Borrows `slice` for as long as parts of it may be held.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrowed: PhantomData }
    }

    /// `len` values from `start` on.
    ///
    /// # Safety
    ///
    /// No other part held at the same time may overlap this one.
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    #[inline(always)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part outside of the slice");
        // SAFETY: in bounds, and not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
