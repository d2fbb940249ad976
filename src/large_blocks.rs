//! Memory of large tensors: on huge pages, and kept for the tensor that comes next.
//!
//! A tensor of the full Stable Diffusion graph is up to 268 MB, which glibc gives back to the kernel
//! when it is dropped. The next one then costs a page fault for each 4 KiB, and clearing all pages:
//! an eighth of the reference engine's time. So freed blocks are kept, but never more than were in
//! use at once before: the process's peak stays what it is without.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What transparent huge pages measure on x86-64 and on aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;

/// From how many bytes on a block is large.
const LARGE: usize = 2 * HUGE_PAGE;

/// How many freed blocks can be kept.
const SLOTS: usize = 64;

static BLOCKS: Mutex<Blocks> = Mutex::new(Blocks::NONE);

unsafe extern "C" {
    /// glibc's own `free`, which [`free`] overrides.
    fn __libc_free(memory: *mut c_void);
}

/// Overrides glibc's `posix_memalign`, with which libtorch allocates every tensor.
#[unsafe(no_mangle)]
extern "C" fn posix_memalign(out: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*const c_void>()) {
        return libc::EINVAL;
    }
    let large = size >= LARGE && alignment <= HUGE_PAGE;
    let memory = match large {
        true => large_block(size),
        // SAFETY: `memalign` takes any power of two and any size.
        false => unsafe { libc::memalign(alignment, size) },
    };
    if memory.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller hands over a place for the pointer, as POSIX asks.
    unsafe { *out = memory };
    0
}

/// Overrides glibc's `free`: large blocks are kept.
///
/// # Safety
///
/// As of C's `free`.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(memory: *mut c_void) {
    let mut old = memory;
    // Only large blocks are known to start here, and what else does and is large can serve as one.
    if !memory.is_null() && memory.addr().is_multiple_of(HUGE_PAGE) {
        // SAFETY: what is freed is a block of glibc's.
        let size = unsafe { libc::malloc_usable_size(memory) };
        if size >= LARGE {
            let dropped = blocks().give(Block { address: memory.expose_provenance(), size });
            old = dropped.map_or(std::ptr::null_mut(), Block::memory);
        }
    }
    // SAFETY: a block of glibc's, which nobody else holds, or null.
    unsafe { __libc_free(old) };
}

/// A kept block of at least `size` bytes, or a new one.
fn large_block(size: usize) -> *mut c_void {
    if let Some(block) = blocks().take(size) {
        return block.memory();
    }
    while let Some(block) = blocks().too_much_beside(size) {
        // SAFETY: a block of glibc's, which was freed and kept.
        unsafe { __libc_free(block.memory()) };
    }
    // SAFETY: `memalign` takes any power of two and any size.
    let memory = unsafe { libc::memalign(HUGE_PAGE, size) };
    if memory.is_null() {
        return memory;
    }
    // SAFETY: the range lies in the block that was just allocated, and the advice changes no
    // byte of it. It may be refused, which costs speed alone.
    unsafe { libc::madvise(memory, size & !(HUGE_PAGE - 1), libc::MADV_HUGEPAGE) };
    // SAFETY: a block of glibc's.
    blocks().made(unsafe { libc::malloc_usable_size(memory) });
    memory
}

fn blocks() -> MutexGuard<'static, Blocks> {
    BLOCKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A block of glibc's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    address: usize,
    size: usize,
}

impl Block {
    fn memory(self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(self.address)
    }
}

/// The freed blocks that are kept. It allocates nothing, since it is what allocates.
struct Blocks {
    /// Kept for the longest first; the rest is `None`.
    kept: [Option<Block>; SLOTS],
    /// Bytes of all kept blocks.
    kept_bytes: usize,
    /// Bytes of all large blocks that are not kept.
    used_bytes: usize,
    /// The most that these have been.
    most_used_bytes: usize,
}

impl Blocks {
    const NONE: Self =
        Self { kept: [None; SLOTS], kept_bytes: 0, used_bytes: 0, most_used_bytes: 0 };

    /// Takes the smallest block that holds `size` bytes and is not much larger, or about twice as
    /// large where that makes no new peak.
    fn take(&mut self, size: usize) -> Option<Block> {
        let spare = self.most_used_bytes.saturating_sub(self.used_bytes);
        let most = (size + size / 8).max(spare.min(2 * size + HUGE_PAGE));
        let kept = self.kept.iter().enumerate();
        let fitting = kept.filter_map(|(slot, block)| Some((slot, block.as_ref()?.size)));
        let fitting = fitting.filter(|(_, found)| (size..=most).contains(found));
        let (slot, _) = fitting.min_by_key(|(_, found)| *found)?;
        let block = self.remove(slot)?;
        self.made(block.size);
        Some(block)
    }

    /// Keeps a block that was freed; gives back the one that has no place any more.
    fn give(&mut self, block: Block) -> Option<Block> {
        // What `realloc` made large was never counted.
        self.used_bytes = self.used_bytes.saturating_sub(block.size);
        let dropped = self.kept[SLOTS - 1].and_then(|_| self.remove(0));
        let place = self.kept.iter().position(Option::is_none).unwrap_or(SLOTS - 1);
        self.kept[place] = Some(block);
        self.kept_bytes += block.size;
        dropped
    }

    /// Counts a block of `size` bytes as used.
    fn made(&mut self, size: usize) {
        self.used_bytes += size;
        self.most_used_bytes = self.most_used_bytes.max(self.used_bytes);
    }

    /// A block that cannot be kept beside a new one of `size` bytes without a new peak.
    fn too_much_beside(&mut self, size: usize) -> Option<Block> {
        let used = self.used_bytes + size;
        let most = self.most_used_bytes.max(used);
        (used + self.kept_bytes > most).then(|| self.remove(0)).flatten()
    }

    fn remove(&mut self, slot: usize) -> Option<Block> {
        let block = self.kept[slot].take()?;
        self.kept[slot..].rotate_left(1);
        self.kept_bytes -= block.size;
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is asked for and freed: no block is handed out twice, and kept blocks never
        /// raise the peak.
        #[test]
        fn what_is_kept_fits_below_what_was_used(
            steps in prop::collection::vec((prop::bool::ANY, 4usize..40, 0usize..8), 1..400)
        ) {
            let mut blocks = Blocks::NONE;
            let (mut used, mut next, mut most) = (Vec::<Block>::new(), 1, 0);
            for (allocate, size, which) in steps {
                if allocate {
                    let size = size << 20;
                    let block = blocks.take(size).unwrap_or_else(|| {
                        while blocks.too_much_beside(size).is_some() {}
                        blocks.made(size);
                        next += 1;
                        Block { address: next, size }
                    });
                    prop_assert!((size..=2 * size + HUGE_PAGE).contains(&block.size));
                    prop_assert!(used.iter().all(|other| other.address != block.address));
                    used.push(block);
                } else if !used.is_empty() {
                    blocks.give(used.swap_remove(which % used.len()));
                }
                let sum: usize = used.iter().map(|block| block.size).sum();
                most = most.max(sum);
                let kept: usize = blocks.kept.iter().flatten().map(|block| block.size).sum();
                prop_assert_eq!((blocks.used_bytes, blocks.kept_bytes), (sum, kept));
                prop_assert!(sum + kept <= most, "{} used, {} kept, at most {}", sum, kept, most);
            }
        }
    }

    #[test]
    fn the_oldest_block_makes_way() {
        let mut blocks = Blocks::NONE;
        let block = |address| Block { address, size: 8 };
        for address in 1..=SLOTS {
            assert_eq!(blocks.give(block(address)), None);
        }
        assert_eq!(blocks.give(block(SLOTS + 1)), Some(block(1)));
        assert_eq!(blocks.take(8), Some(block(2)));
        assert_eq!(blocks.take(9), None);
    }

    #[test]
    fn a_much_larger_block_is_taken_where_it_makes_no_new_peak() {
        let mut blocks = Blocks::NONE;
        let large = Block { address: 1, size: 64 << 20 };
        blocks.made(large.size);
        blocks.give(large);
        assert_eq!(blocks.take(16 << 20), None);
        assert_eq!(blocks.take(32 << 20), Some(large));
        blocks.give(large);
        blocks.made(1 << 20);
        assert_eq!(blocks.take(32 << 20), None);
    }

    /// Through the functions that libtorch calls: this test is linked as the tool is.
    #[test]
    fn a_freed_block_is_handed_out_again() {
        let size = 37 << 20;
        let mut memory = std::ptr::null_mut();
        assert_eq!(posix_memalign(&mut memory, 64, size), 0);
        let first = memory.addr();
        assert!(first.is_multiple_of(HUGE_PAGE));
        // SAFETY: the block was just allocated, and is used no more.
        unsafe {
            memory.cast::<u8>().add(size - 1).write(1);
            free(memory);
        }
        assert_eq!(posix_memalign(&mut memory, 64, size - 4096), 0);
        assert_eq!(memory.addr(), first);
        // SAFETY: as above.
        unsafe { free(memory) };
        assert_eq!(posix_memalign(&mut memory, 3, size), libc::EINVAL);
    }
}
