//! How much memory there is, and large buffers whose lack is an error.

use std::cell::Cell;
use std::collections::TryReserveError;

thread_local! {
    static FALLIBLE: Cell<bool> = const { Cell::new(false) };
}

/// Room for `more` values behind those of `buffer`, or an error where there is no memory: in the
/// command, whose allocator ends the process otherwise, only what is reserved here can fail.
///
/// # Errors
///
/// As [`Vec::try_reserve_exact`].
pub fn reserve<T>(buffer: &mut Vec<T>, more: usize) -> Result<(), TryReserveError> {
    let before = FALLIBLE.replace(true);
    let reserved = buffer.try_reserve_exact(more);
    FALLIBLE.set(before);
    reserved
}

/// Whether this thread is in [`reserve`]: an allocator then says no, and does not give up.
pub fn is_fallible() -> bool {
    FALLIBLE.try_with(Cell::get).unwrap_or(false)
}

/// How many bytes more the process may use: the least of what the machine, the process's container and
/// its limits (`ulimit -v`) leave. `None` where the system does not say, which is everywhere but on Linux.
pub fn available_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let meminfo = read("/proc/meminfo")?;
    let status = read("/proc/self/status")?;
    let machine = kibibytes(&meminfo, "MemAvailable:")? + kibibytes(&meminfo, "SwapFree:")?;
    let mapped = kibibytes(&status, "VmSize:")?;
    let resident = kibibytes(&status, "VmRSS:")?;
    let limit = read("/proc/self/limits").and_then(|limits| address_space(&limits));
    let container = read("/proc/self/cgroup").and_then(|text| {
        let folder = text.lines().find_map(|line| line.strip_prefix("0::"))?.trim();
        read(&format!("/sys/fs/cgroup{}/memory.max", folder.trim_end_matches('/')))?
            .trim()
            .parse::<u64>()
            .ok()
    });
    let left = [
        Some(machine),
        limit.map(|limit| limit.saturating_sub(mapped)),
        container.map(|most| most.saturating_sub(resident)),
    ];
    left.into_iter().flatten().min()
}

/// The bytes that a line of `/proc` gives in kB.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of `/proc/self/limits`; `None` for no limit.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_reserved_is_an_error() {
        let mut buffer: Vec<u8> = Vec::new();
        assert!(reserve(&mut buffer, isize::MAX as usize).is_err());
        assert!(reserve(&mut buffer, 16).is_ok());
        assert!(!is_fallible());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_machine_has_memory() {
        assert!(available_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn limits_are_read_where_there_are_any() {
        let line = "Max address space         ";
        assert_eq!(address_space(&format!("{line}1048576  unlimited  bytes")), Some(1_048_576));
        assert_eq!(address_space(&format!("{line}unlimited  unlimited  bytes")), None);
        assert_eq!(
            kibibytes("MemFree: 7 kB\nMemAvailable:   12 kB\n", "MemAvailable:"),
            Some(12_288)
        );
    }
}
