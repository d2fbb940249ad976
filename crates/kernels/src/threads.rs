//! Work split over threads, each with scratch memory of its own.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use pulp::{Simd, WithSimd};

/// How many threads the kernels use, and which instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads {
    pub count: usize,
    pub instructions: Instructions,
}

/// What kernels compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// The widest vectors that this processor has, found out at run time.
    Vectors,
    /// One value at a time, in plain Rust: what vectors are held against.
    Plain,
}

impl Threads {
    pub const fn new(count: usize) -> Self {
        Self { count, instructions: Instructions::Vectors }
    }

    /// As many as the process may use at once.
    pub fn available() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }

    /// Does `work` with these instructions.
    #[inline(always)]
    pub fn dispatch<W: WithSimd>(self, work: W) -> W::Output {
        match self.instructions {
            Instructions::Vectors => pulp::Arch::new().dispatch(work),
            Instructions::Plain => pulp::Scalar.vectorize(work),
        }
    }

    /// Runs `work` for each of `tasks`, in any order.
    pub fn for_each(self, tasks: usize, work: impl Fn(usize) + Sync) {
        let mut nothing = vec![(); self.count];
        for_each_with(&mut nothing, tasks, |task, ()| work(task));
    }

    /// Runs `work` for each `len` values of `slice`, of which the last may be fewer, in any order.
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

/// Runs `work` for each of `tasks`, in any order, in as many threads as there is scratch memory for.
pub fn for_each_with<T: Send>(
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
            scope.spawn(|| run(own));
        }
        run(first);
    });
}

/// Runs `work` for each `len` values of `slice`, of which the last may be fewer, in any order, in as
/// many threads as there is scratch memory for.
pub fn for_each_part_with<T: Send, W: Send>(
    scratch: &mut [W],
    slice: &mut [T],
    len: usize,
    work: impl Fn(usize, &mut [T], &mut W) + Sync,
) {
    let all = slice.len();
    let shared = Shared::new(slice);
    for_each_with(scratch, all.div_ceil(len), |part, own| {
        let start = part * len;
        // SAFETY: no two tasks have the same number, so no two parts overlap.
        let values = unsafe { shared.part(start, len.min(all - start)) };
        work(part, values, own);
    });
}

/// The first `len` values of `room`, which grows when it has to; what they hold is left over.
pub fn at_least(room: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if room.len() < len {
        room.resize(len, 0.0);
    }
    &mut room[..len]
}

/// A slice that several threads write to, each in places of its own.
pub struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrowed: PhantomData<&'a mut [T]>,
}

// SAFETY: the only way in is `Shared::part`, whose caller promises that no two threads hold
// overlapping parts at once.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrowed: PhantomData }
    }

    /// `len` values from `start` on.
    ///
    /// # Safety
    ///
    /// No other part that is held at the same time may overlap this one.
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    #[inline(always)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start, "part outside of the slice");
        // SAFETY: in bounds, and not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }
}
