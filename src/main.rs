//! The `vae-fidelity` command.

#[cfg(all(feature = "tch", target_os = "linux", target_env = "gnu"))]
mod large_blocks;

use std::process::ExitCode;

fn main() -> ExitCode {
    leave(vae_fidelity::cli::run(std::env::args_os()))
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
