//! How much memory and disk a run of the fast engine takes, before it begins.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vae_fidelity_core::config::AutoencoderKLConfig;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::memory::available_bytes;

use vae_fidelity_kernels::limit::{Limit, resident_bytes};
use vae_fidelity_kernels::tensor::pitch_of;
use vae_fidelity_kernels::threads::Threads;

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// What each thread works in, apart from activations.
const THREAD: u64 = 16 << 20;

/// What each thread may map of the activations between two looks at the process's memory: a block
/// and what the system maps around it.
const MARGIN: u64 = 24 << 20;

/// What activations take more since they are handed out in blocks.
const ROUNDING: u64 = 64 << 20;

/// What all that is not counted one by one takes at most.
const SLACK: u64 = 48 << 20;

/// Bytes that one run takes, encoding or decoding, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Activations, which may lie in a file.
    pub activations: u64,
    /// Everything else but the caller's own arrays.
    pub rest: u64,
}

impl Footprint {
    /// Of `n` pictures of `height` x `width` pixels.
    pub fn of(
        config: &AutoencoderKLConfig,
        threads: Threads,
        (n, height, width): (usize, usize, usize),
    ) -> Self {
        let widths: Vec<u64> =
            config.block_out_channels.iter().map(|&width| pitch_of(width) as u64).collect();
        let pixels = |level: usize| (n * (height >> level).max(1) * (width >> level).max(1)) as u64;
        // A residual block holds its input, what is between its convolutions, and its shortcut.
        let block = |level: usize| {
            let next =
                widths[level.saturating_sub(1)].max(widths[(level + 1).min(widths.len() - 1)]);
            pixels(level) * VALUE * (next.max(widths[level]) + 2 * widths[level])
        };
        let last = widths.len() - 1;
        let widest = widths.iter().max().copied().unwrap_or(0);
        let attends = u64::from(config.mid_block_add_attention);
        let tokens = attends * pixels(last) * VALUE * widths[last];
        // Attention holds its input and output, queries, keys and values, and room to spare.
        let largest = (0..widths.len()).map(block).chain([8 * tokens]).max().unwrap_or(0);
        // A quarter more, since blocks of other sizes leave gaps; and the picture itself.
        let picture =
            pixels(0) * VALUE * pitch_of(config.in_channels.max(config.out_channels)) as u64;
        let activations = largest + largest / 4 + picture + ROUNDING;
        let weights = 64 * widest * widest * VALUE;
        let arrays = pixels(0) * VALUE * (config.in_channels + config.out_channels) as u64;
        let rest = weights + 2 * tokens + arrays + threads.count as u64 * THREAD + SLACK;
        Self { activations, rest }
    }

    /// Errors where `size` certainly takes more memory than the system can give: half of what it takes
    /// at most, without what is only allowed for.
    pub fn check_fits(self, threads: Threads, size: &str) -> Result<()> {
        let allowed = ROUNDING + SLACK + threads.count as u64 * THREAD;
        let least = (self.activations + self.rest).saturating_sub(allowed) / 2;
        match available_bytes() {
            Some(available) if available < least => Err(Error::new(
                ErrorKind::Memory,
                size,
                format!(
                    "takes {} of memory or more, and the system can give {}",
                    in_mib(least),
                    in_mib(available)
                ),
                "take a smaller picture, or keep activations in a file with `max_memory`",
            )),
            _ => Ok(()),
        }
    }

    /// A file for the activations, and a limit for the process of `bytes`.
    ///
    /// Fails if the limit is too small, if the system does not say how much memory the process takes,
    /// or if the disk is too full.
    pub fn limited(self, bytes: u64, threads: Threads, size: &str) -> Result<(File, Arc<Limit>)> {
        let option = || format!("`max_memory` {}", in_mib(bytes));
        let Some(taken) = resident_bytes() else {
            return Err(Error::option(
                option(),
                "this system does not say how much memory a process takes",
                "leave it out; it needs Linux",
            ));
        };
        let margin = MARGIN * threads.count as u64;
        let needed = taken + self.rest + margin;
        if bytes < needed {
            // What is asked for holds for decoding too, when the caller keeps what encoding gave.
            let least = needed + margin;
            return Err(Error::option(
                option(),
                format!("expected at least {} for {size}", in_mib(least)),
                "raise it, lower `threads`, or leave it out",
            ));
        }
        Ok((self.file()?, Arc::new(Limit::new(bytes, margin))))
    }

    /// A file without a name, which is gone when the process is, however that ends.
    fn file(self) -> Result<File> {
        let folder = scratch_folder();
        let error = |problem: String| {
            Error::new(
                ErrorKind::Output,
                folder.display(),
                problem,
                "free some room, or name a folder on another disk in TMPDIR",
            )
        };
        let wanted = self.activations;
        if in_memory(&folder) {
            return Err(error("activations cannot lie there: it is a folder in memory".into()));
        }
        if let Ok(free) = fs4::available_space(&folder)
            && free < wanted
        {
            let (wanted, free) = (in_mib(wanted), in_mib(free));
            return Err(error(format!("expected {wanted} free for activations, found {free}")));
        }
        let file = tempfile::tempfile_in(&folder)
            .map_err(|found| error(format!("activations cannot be kept there: {found}")))?;
        // Some file systems cannot set room aside; there the check above has to do.
        match fs4::FileExt::allocate(&file, wanted) {
            Err(found) if found.kind() == std::io::ErrorKind::StorageFull => {
                Err(error(format!("no room for {} of activations", in_mib(wanted))))
            }
            Err(_) => file
                .set_len(wanted)
                .map(|()| file)
                .map_err(|found| error(format!("activations cannot be kept there: {found}"))),
            Ok(()) => Ok(file),
        }
    }
}

/// Errors where one picture certainly takes more memory on the CPU than the system can give; both
/// engines take at least what the fast one does.
pub(crate) fn check_picture_fits(
    config: &AutoencoderKLConfig,
    threads: Option<usize>,
    (width, height): (usize, usize),
) -> Result<()> {
    let threads = threads.map_or_else(Threads::available, Threads::new);
    let footprint = Footprint::of(config, threads, (1, height, width));
    footprint.check_fits(threads, &format!("{width} x {height} pixels"))
}

/// `TMPDIR`, else `/var/tmp`, which unlike `/tmp` is meant for large files.
fn scratch_folder() -> PathBuf {
    let set = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    set.map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// Whether what is written there stays in memory.
#[cfg(target_os = "linux")]
fn in_memory(folder: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path ends in a zero, and there is room for the answer, which is read only if the
    // call says that it was written.
    unsafe {
        libc::statfs(path.as_ptr(), found.as_mut_ptr()) == 0
            && found.assume_init().f_type == libc::TMPFS_MAGIC
    }
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_: &Path) -> bool {
    false
}

/// As people write it.
pub(super) fn in_mib(bytes: u64) -> String {
    format!("{}M", bytes.div_ceil(1 << 20))
}
