//! The `vae-fidelity` command.

#[cfg(all(feature = "tch", target_os = "linux", target_env = "gnu"))]
mod large_blocks;

#[cfg(unix)]
mod interruption;
#[cfg(unix)]
mod last_words;

use std::ffi::OsString;
use std::process::ExitCode;

#[cfg(unix)]
#[global_allocator]
static ALLOCATOR: last_words::Allocator = last_words::Allocator;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    #[cfg(unix)]
    last_words::prepare(&arguments);
    #[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "tch")))]
    keep_freed_memory();
    #[cfg(unix)]
    interruption::watch();
    leave(run(arguments))
}

/// On the first thread, which takes the least memory and time; where the system keeps its stack small (ulimit -s), on
/// one with a stack of its own.
fn run(arguments: Vec<OsString>) -> u8 {
    #[cfg(unix)]
    if !last_words::has_wide_stack() {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let Ok(running) = thread.spawn(move || vae_fidelity::cli::run(arguments)) else {
            last_words::no_stack();
        };
        // It catches its own panics.
        return running.join().unwrap_or(2);
    }
    vae_fidelity::cli::run(arguments)
}

/// What most systems give the first thread.
#[cfg(unix)]
const STACK_BYTES: usize = 8 << 20;

/// Keeps up to 64 MiB of what is freed, as libraries for Python are told to by those who tune them: clearing
/// pages anew takes a fifteenth of a small VAE's time. With libtorch, `large_blocks` does it for tensors.
#[cfg(all(target_os = "linux", target_env = "gnu", not(feature = "tch")))]
fn keep_freed_memory() {
    // SAFETY: no other thread runs yet, and a refusal costs speed alone.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 << 20);
        // As large as glibc lets it grow by itself, block after block.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
    }
}

/// Ends the process, on Unix without what libtorch would tidy up at exit, which takes 0.1 s.
fn leave(code: u8) -> ExitCode {
    #[cfg(all(unix, feature = "tch"))]
    // SAFETY: what other threads there are wait for work, and every file is closed or flushed.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(all(unix, feature = "tch")))]
    ExitCode::from(code)
}
