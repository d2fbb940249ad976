//! The `vae-fidelity` command.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
