//! Which mapped file an address lies in, for whoever handles the fault of a page that is gone.
//!
//! Another process may shorten a file of weights while it is mapped; reading beyond its new end is then
//! no error that a call returns, but a signal (SIGBUS). A program that handles it can name the file.

use std::path::Path;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use vae_fidelity_files::printable::shown;

/// More than the shards of any VAE.
const SLOTS: usize = 256;

static WATCHED: AtomicBool = AtomicBool::new(false);
static MAPPED: [Slot; SLOTS] = [const { Slot::empty() }; SLOTS];

/// A mapped range; empty where `end` is 0.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    /// A leaked name, which a signal handler may read at any time.
    name: AtomicPtr<String>,
}

impl Slot {
    const fn empty() -> Self {
        Self {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            name: AtomicPtr::new(null_mut()),
        }
    }
}

/// Remembers from now on which files are mapped where, for [`mapped_file_at`]. Their names are never
/// freed: for a program that opens few files and ends.
pub fn watch_mapped_files() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// The name of the checkpoint's file that is mapped at `address`. May be called from a signal handler:
/// it neither locks nor allocates.
pub fn mapped_file_at(address: usize) -> Option<&'static str> {
    let holds = |slot: &&Slot| {
        let end = slot.end.load(Ordering::Acquire);
        (slot.start.load(Ordering::Acquire)..end).contains(&address)
    };
    let name = MAPPED.iter().find(holds)?.name.load(Ordering::Acquire);
    // SAFETY: null, or a name that was leaked.
    unsafe { name.as_ref() }.map(String::as_str)
}

/// A file that is mapped as long as this lives.
#[derive(Debug)]
pub(super) struct Watched(Option<usize>);

impl Watched {
    /// The file `path`, mapped at `start` with `len` bytes.
    pub fn new(path: &Path, start: usize, len: usize) -> Self {
        if !WATCHED.load(Ordering::Relaxed) {
            return Self(None);
        }
        // The system maps whole pages, and the last one may be gone as well.
        const PAGE: usize = 1 << 16;
        let end = start + len.next_multiple_of(PAGE);
        let take = |slot: &Slot| {
            slot.end.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let free = MAPPED.iter().position(take);
        if let Some(slot) = free.map(|at| &MAPPED[at]) {
            let name: &'static mut String = Box::leak(Box::new(shown(path.display())));
            slot.name.store(name, Ordering::Release);
            slot.start.store(start, Ordering::Release);
            slot.end.store(end, Ordering::Release);
        }
        Self(free)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            MAPPED[at].start.store(0, Ordering::Release);
            MAPPED[at].end.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_is_known_by_its_addresses_while_it_is_mapped() {
        let start = 1 << 40;
        assert_eq!(mapped_file_at(start), None);
        watch_mapped_files();
        let watched = Watched::new(Path::new("a\n.safetensors"), start, 10);
        assert_eq!(mapped_file_at(start + 9), Some("a\\n.safetensors"));
        assert_eq!(mapped_file_at(start - 1), None);
        drop(watched);
        assert_eq!(mapped_file_at(start), None);
    }
}
