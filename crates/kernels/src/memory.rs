//! Memory that one layer after the other works in. It is kept until the run ends: fresh pages have
//! to be cleared by the system first, which took an eighth of all time.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use memmap2::{MmapOptions, MmapRaw};

use super::limit::Limit;

/// Addresses set aside, of which the system backs those that are written to.
const RESERVED: usize = 1 << (usize::BITS / 8 * 5);

/// Blocks start at multiples of this, so that huge pages can back them.
const STEP: usize = 2 << 20;

/// Fewer bytes than this come from the allocator.
const LARGE: usize = 1 << 20;

/// Where [`Room`]s come from; a handle, whose copies share the memory.
#[derive(Debug, Clone)]
pub struct Memory {
    arena: Arc<Arena>,
    least: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { arena: Arc::default(), least: LARGE }
    }
}

/// Memories that layers work in.
#[derive(Debug, Default)]
pub struct Rooms {
    /// For what layers hand to each other.
    pub activations: Memory,
    /// For what a layer needs while it runs.
    pub scratch: Memory,
}

impl Rooms {
    /// Room of [`Self::scratch`] for `len` values, for which activations make way where memory is
    /// limited.
    pub fn for_work(&self, len: usize) -> Room {
        self.activations.arena.keep_within_limit(len * size_of::<f32>());
        self.scratch.room(len)
    }
}

/// One range of addresses and the parts of it that are free.
#[derive(Debug, Default)]
struct Arena {
    /// `None` where the system refuses.
    map: OnceLock<Option<MmapRaw>>,
    /// From start to end, in order; no two touch.
    free: Mutex<Vec<(usize, usize)>>,
    /// Only where the map is one of a file.
    limit: Option<Arc<Limit>>,
}

impl Memory {
    /// In `file`, of which no more is mapped at once than `limit` allows.
    pub fn in_file(file: &File, limit: Arc<Limit>) -> std::io::Result<Self> {
        let map = MmapRaw::map_raw(file)?;
        let free = Mutex::new(vec![(0, map.len() / STEP * STEP)]);
        let arena = Arena { map: OnceLock::from(Some(map)), free, limit: Some(limit) };
        Ok(Self { arena: Arc::new(arena), least: LARGE })
    }

    /// To be called after each piece of work: stays within the limit, if there is one, by letting
    /// go of all that is mapped. What lies there is in the file, and is mapped again when it is read.
    pub fn keep_within_limit(&self) {
        self.arena.keep_within_limit(0);
    }

    /// Room for `len` values. What they hold is left over.
    pub fn room(&self, len: usize) -> Room {
        let bytes = len * size_of::<f32>();
        let block = (bytes >= self.least).then(|| self.arena.take(bytes)).flatten();
        match block {
            Some(start) => Room::Block(Block { arena: self.arena.clone(), start, len }),
            None => Room::Own(vec![0.0; len]),
        }
    }

    /// Gives back to the system what no room lies in.
    pub fn release(&self) {
        let free = self.arena.free();
        free.iter().for_each(|(start, end)| self.arena.let_go(*start, *end));
    }

    /// Even the smallest room holds what another left there: `value`.
    #[cfg(test)]
    pub fn full_of(value: f32) -> Self {
        let memory = Self { least: 0, ..Self::default() };
        memory.room(16 << 20).values_mut().fill(value);
        memory
    }
}

impl Arena {
    fn free(&self) -> MutexGuard<'_, Vec<(usize, usize)>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `more` bytes are about to be taken.
    fn keep_within_limit(&self, more: usize) {
        if let (Some(limit), Some(Some(map))) = (&self.limit, self.map.get()) {
            limit.keep(more as u64, || self.let_go(0, map.len()));
        }
    }

    /// Takes pages out of memory: those of a file lose nothing, others must hold nothing.
    fn let_go(&self, start: usize, end: usize) {
        #[cfg(unix)]
        if let Some(Some(map)) = self.map.get() {
            // SAFETY: the caller's ranges hold nothing, or lie in a file that is mapped shared.
            // A refusal costs memory alone.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, end - start)
            };
        }
    }

    /// The first free place of that many bytes.
    fn take(&self, bytes: usize) -> Option<usize> {
        let reserve = || {
            let map = MmapOptions::new().len(RESERVED).no_reserve_swap().map_anon().ok()?;
            // A refusal costs speed alone.
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

    fn give(&self, start: usize, bytes: usize) {
        let (mut start, mut end) = (start, start + bytes.next_multiple_of(STEP));
        let mut free = self.free();
        let place = free.partition_point(|of| of.0 < start);
        if free.get(place).is_some_and(|of| of.0 == end) {
            end = free.remove(place).1;
        }
        if place > 0 && free[place - 1].1 == start {
            start = free.remove(place - 1).0;
        }
        let place = free.partition_point(|of| of.0 < start);
        free.insert(place, (start, end));
    }

    /// Where a block starts.
    fn at(&self, start: usize) -> *mut f32 {
        let map = self.map.get().and_then(Option::as_ref);
        let map = map.expect("a block was taken from it");
        // SAFETY: blocks lie inside of the map.
        unsafe { map.as_mut_ptr().add(start).cast() }
    }
}

/// Values of one owner.
#[derive(Debug)]
pub enum Room {
    /// On their own.
    Own(Vec<f32>),
    /// In a [`Memory`].
    Block(Block),
}

/// Part of an arena that nothing else lies in.
#[derive(Debug)]
pub struct Block {
    arena: Arc<Arena>,
    start: usize,
    len: usize,
}

impl Drop for Block {
    fn drop(&mut self) {
        self.arena.give(self.start, self.len * size_of::<f32>());
    }
}

impl Room {
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Own(values) => values,
            // SAFETY: the block is this room's alone, and any bits are values.
            Self::Block(block) => unsafe {
                std::slice::from_raw_parts(block.arena.at(block.start), block.len)
            },
        }
    }

    /// [`Memory::keep_within_limit`] of the memory that this lies in.
    pub fn keep_within_limit(&self) {
        if let Self::Block(block) = self {
            block.arena.keep_within_limit(0);
        }
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Own(values) => values,
            // SAFETY: the block is this room's alone, and any bits are values.
            Self::Block(block) => unsafe {
                std::slice::from_raw_parts_mut(block.arena.at(block.start), block.len)
            },
        }
    }
}
