//! How much memory the process may take while activations lie in a file.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where to stop mapping more of the file.
#[derive(Debug)]
pub struct Limit {
    bytes: u64,
    /// What may be mapped between two looks at what the process takes.
    margin: u64,
    /// The most that was taken in spite of all, 0 if nothing was.
    over: AtomicU64,
}

impl Limit {
    /// At most `bytes` for the whole process, of which `margin` may be taken between two looks.
    pub fn new(bytes: u64, margin: u64) -> Self {
        Self { bytes, margin, over: AtomicU64::new(0) }
    }

    /// Looks at what the process takes, and calls `let_go` where that and `more` bytes come close to
    /// the limit.
    pub fn keep(&self, more: u64, let_go: impl FnOnce()) {
        let near = |bytes: u64| bytes + more + self.margin > self.bytes;
        if resident_bytes().is_none_or(near) {
            let_go();
            let left = resident_bytes().unwrap_or(0);
            if left > self.bytes {
                self.over.fetch_max(left, Ordering::Relaxed);
            }
        }
    }

    /// What the process took although everything had been let go of, if that was too much.
    pub fn exceeded(&self) -> Option<u64> {
        Some(self.over.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// What the process takes now; `None` where the system does not say, which is everywhere but on
/// Linux.
#[cfg(target_os = "linux")]
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: takes a number and returns one.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    pages.checked_mul(page)
}

#[cfg(not(target_os = "linux"))]
pub fn resident_bytes() -> Option<u64> {
    None
}
