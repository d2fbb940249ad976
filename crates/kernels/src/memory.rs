//! Memory that layers use one after another. It is kept until the run ends: the system has to clear
//! fresh pages, which took an eighth of a run's time.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use memmap2::{MmapOptions, MmapRaw};

use super::limit::Limit;

/// Bytes of reserved address space, of which the system backs the pages that are written to. Tests, which
/// make many, also run under emulators that keep a record of each reserved page.
const RESERVED: usize = 1 << if cfg!(test) { 30 } else { usize::BITS / 8 * 5 };

/// Blocks begin at multiples of so many bytes. The system backs all of them together by huge pages.
const STEP: usize = 64 << 10;

/// Bytes that are kept from one run to the next, in which a small model's runs take place: what is given back
/// has to be cleared again.
const KEPT: usize = 64 << 20;

/// Buffers of fewer bytes come from the allocator, and are filled with zeros.
const LARGE: usize = STEP;

/// What [`Buffer`]s are allocated from: a handle, whose clones share the memory.
#[derive(Debug, Clone)]
pub struct Memory {
    arena: Arc<Arena>,
    /// Bytes of the smallest buffer that comes from the arena.
    least: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { arena: Arc::default(), least: LARGE }
    }
}

/// The memory that layers run in; one workspace serves all layers of a model.
#[derive(Debug, Default)]
pub struct Workspace {
    /// For inputs and outputs of layers.
    pub activations: Memory,
    /// For intermediate values of a layer, such as packed weights.
    pub scratch: Memory,
}

impl Workspace {
    /// A buffer of `len` unspecified values in [`Self::scratch`]. Where memory is limited, activations
    /// are unmapped first as far as needed.
    pub(crate) fn scratch_buffer(&self, len: usize) -> Buffer {
        self.activations.arena.keep_within_limit(len * size_of::<f32>());
        self.scratch.buffer(len)
    }
}

/// A range of addresses and its free parts.
#[derive(Debug, Default)]
struct Arena {
    /// `None` where the system refuses.
    map: OnceLock<Option<MmapRaw>>,
    /// Start and end in bytes, ascending; neighbors are merged.
    free: Mutex<Vec<(usize, usize)>>,
    /// Only where a file is mapped.
    limit: Option<Arc<Limit>>,
}

impl Memory {
    /// Memory in `file`, all of whose bytes may be used. No more of it is mapped at once than `limit`
    /// allows.
    ///
    /// # Errors
    ///
    /// When `file` cannot be mapped.
    pub fn in_file(file: &File, limit: Arc<Limit>) -> std::io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        let free = Mutex::new(vec![(0, map.len() / STEP * STEP)]);
        let arena = Arena { map: OnceLock::from(Some(map)), free, limit: Some(limit) };
        Ok(Self { arena: Arc::new(arena), least: LARGE })
    }

    /// Keeps the process within its memory limit, if there is one, by unmapping the file where
    /// necessary. No value is lost: pages are mapped again when they are read. Kernels call it after
    /// each piece of work.
    pub fn keep_within_limit(&self) {
        self.arena.keep_within_limit(0);
    }

    /// A buffer of `len` unspecified values.
    pub fn buffer(&self, len: usize) -> Buffer {
        let bytes = len * size_of::<f32>();
        let block = (bytes >= self.least).then(|| self.arena.take(bytes)).flatten();
        Buffer(match block {
            Some(start) => Storage::Arena(Block { arena: self.arena.clone(), start, len }),
            None => Storage::Heap(vec![0.0; len]),
        })
    }

    /// Returns the pages of free blocks to the system, but for the first 64 MiB.
    pub fn release(&self) {
        let free = self.arena.free();
        let beyond = free.iter().map(|(start, end)| (*start.max(&KEPT), *end));
        beyond
            .filter(|(start, end)| start < end)
            .for_each(|(start, end)| self.arena.discard(start, end));
    }

    /// Memory in which even the smallest buffer holds `value` at first.
    #[cfg(test)]
    pub(crate) fn filled_with(value: f32) -> Self {
        let memory = Self { least: 0, ..Self::default() };
        memory.buffer(16 << 20).values_mut().fill(value);
        memory
    }
}

impl Arena {
    fn free(&self) -> MutexGuard<'_, Vec<(usize, usize)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Memory::keep_within_limit`] when `more` bytes are about to be used.
    fn keep_within_limit(&self, more: usize) {
        if let (Some(limit), Some(Some(map))) = (&self.limit, self.map.get()) {
            limit.keep(more as u64, || self.discard(0, map.len()));
        }
    }

    /// Discards pages from memory. Those of a file keep their values there; others have to be free.
    fn discard(&self, start: usize, end: usize) {
        #[cfg(unix)]
        if let Some(Some(map)) = self.map.get() {
            // SAFETY: the range is free, or lies in a file that is mapped shared.
            // A refusal costs memory only.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
            };
        }
    }

    /// Takes the first free range of `bytes` bytes; its start.
    fn take(&self, bytes: usize) -> Option<usize> {
        let reserve = || {
            let map = MmapOptions::new().len(RESERVED).no_reserve_swap().map_anon().ok()?;
            // A refusal costs speed only.
            #[cfg(target_os = "linux")]
            let _ = map.advise(memmap2::Advice::HugePage);
            self.free().push((0, RESERVED));
            Some(MmapRaw::from(map))
        };
        self.map.get_or_init(reserve).as_ref()?;
        let bytes = bytes.next_multiple_of(STEP);
        let mut free = self.free();
        let place = free.iter().position(|(start, end)| end - start >= bytes)?;
        let start = free[place].0;
        free[place].0 += bytes;
        if free[place].0 == free[place].1 {
            free.remove(place);
        }
        Some(start)
    }

    /// Frees a range that [`Self::take`] gave.
    fn give(&self, start: usize, bytes: usize) {
        let (mut start, mut end) = (start, start + bytes.next_multiple_of(STEP));
        let mut free = self.free();
        let place = free.partition_point(|range| range.0 < start);
        if free.get(place).is_some_and(|range| range.0 == end) {
            end = free.remove(place).1;
        }
        if place > 0 && free[place - 1].1 == start {
            start = free.remove(place - 1).0;
        }
        let place = free.partition_point(|range| range.0 < start);
        free.insert(place, (start, end));
    }

    /// The address of a block.
    fn at(&self, start: usize) -> *mut f32 {
        let map = self.map.get().and_then(Option::as_ref);
        let map = map.expect("a block was taken from it");
        // SAFETY: blocks lie inside of the map.
        unsafe { map.as_mut_ptr().add(start).cast() }
    }
}

/// Values in a [`Memory`], returned to it when dropped.
#[derive(Debug)]
pub struct Buffer(Storage);

#[derive(Debug)]
enum Storage {
    Heap(Vec<f32>),
    Arena(Block),
}

/// A range of an arena that belongs to one buffer.
#[derive(Debug)]
struct Block {
    arena: Arc<Arena>,
    start: usize,
    len: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.arena.give(self.start, self.len * size_of::<f32>());
    }
}

impl Buffer {
    /// The values.
    pub fn values(&self) -> &[f32] {
        match &self.0 {
            Storage::Heap(values) => values,
            // SAFETY: the block belongs to this buffer alone, and any bits are values.
            Storage::Arena(block) => unsafe {
                std::slice::from_raw_parts(block.arena.at(block.start), block.len)
            },
        }
    }

    /// [`Memory::keep_within_limit`] of the memory that holds the values.
    pub fn keep_within_limit(&self) {
        if let Storage::Arena(block) = &self.0 {
            block.arena.keep_within_limit(0);
        }
    }

    /// The values.
    pub fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.0 {
            Storage::Heap(values) => values,
            // SAFETY: the block belongs to this buffer alone, and any bits are values.
            Storage::Arena(block) => unsafe {
                std::slice::from_raw_parts_mut(block.arena.at(block.start), block.len)
            },
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_a_small_model_takes_is_kept_and_the_rest_is_given_back() {
        let memory = Memory::default();
        let len = (KEPT + STEP) / size_of::<f32>();
        memory.buffer(len).values_mut().fill(1.0);
        memory.release();
        let buffer = memory.buffer(len);
        let inside = KEPT / size_of::<f32>();
        assert_eq!(buffer.values()[inside - 1..=inside], [1.0, 0.0]);
        // What is in use is not given back.
        memory.release();
        assert_eq!(buffer.values()[0], 1.0);
    }
}
