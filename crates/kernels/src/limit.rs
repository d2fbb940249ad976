//! The memory limit of the process while activations are in a file.

use std::sync::atomic::{AtomicU64, Ordering};

/// A limit on the resident memory of the process.
#[derive(Debug)]
pub struct Limit {
    bytes: u64,
    /// Bytes that may be mapped between two checks.
    margin: u64,
    /// The most that was resident above the limit, 0 if it was kept.
    over: AtomicU64,
}

impl Limit {
    /// At most `bytes` of resident memory, of which `margin` bytes may be mapped between two checks.
    pub fn new(bytes: u64, margin: u64) -> Self {
        Self { bytes, margin, over: AtomicU64::new(0) }
    }

    /// Calls `unmap` where the resident memory and `more` bytes come within the margin of the limit, or
    /// where the system does not say how much is resident.
    pub(crate) fn keep(&self, more: u64, unmap: impl FnOnce()) {
        let near = |bytes: u64| bytes + more + self.margin > self.bytes;
        if resident_bytes().is_none_or(near) {
            unmap();
            let left = resident_bytes().unwrap_or(0);
            if left > self.bytes {
                self.over.fetch_max(left, Ordering::Relaxed);
            }
        }
    }

    /// The most bytes that were resident after unmapping, if that was over the limit.
    pub fn exceeded(&self) -> Option<u64> {
        Some(self.over.load(Ordering::Relaxed)).filter(|bytes| *bytes > 0)
    }
}

/// The resident memory of the process in bytes; `None` where the system does not say, which is
/// everywhere but on Linux.
#[cfg(target_os = "linux")]
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    // SAFETY: no pointers are passed.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    pages.checked_mul(page)
}

/// `None`: only Linux says how much memory of the process is resident.
#[cfg(not(target_os = "linux"))]
pub fn resident_bytes() -> Option<u64> {
    None
}
