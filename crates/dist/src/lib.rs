//! Writes what a release of `vae-fidelity` holds beside the binary: completions for four shells, and
//! a man page for every command. Both come from the command line itself, so neither can lag behind it.
//!
//! ```sh
//! cargo run -p vae-fidelity-dist -- FOLDER    # FOLDER/completions, FOLDER/man
//! ```
//!
//! `scripts/dist.sh` runs it. It is no part of the release, and its dependencies are none of the
//! command's.

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::Shell;

/// The shells that completions are written for.
pub const SHELLS: [Shell; 4] = [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell];

/// Writes a script for each of [`SHELLS`] into `folder`, which is made where it is missing, under the
/// name that the shell looks for.
///
/// # Errors
///
/// When `folder` or a file in it cannot be written.
pub fn completions(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for shell in SHELLS {
        let path = clap_complete::generate_to(shell, &mut command(), "vae-fidelity", folder)?;
        if shell == Shell::Bash {
            // clap_complete 4.6.11 takes the hyphen of the command's name for the end of a command in
            // half of the places: no subcommand would be completed.
            let script = fs::read_to_string(&path)?;
            fs::write(&path, script.replace("vae__subcmd__fidelity", "vae__fidelity"))?;
        }
    }
    Ok(())
}

/// Writes `vae-fidelity.1`, and a page for every command in it (`vae-fidelity-golden-list.1`), into
/// `folder`, which is made where it is missing.
///
/// # Errors
///
/// When `folder` or a file in it cannot be written.
pub fn man_pages(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command(), folder)
}

/// Pages name the version as `-V` does: `--version` is a table, which a page has no place for.
fn command() -> clap::Command {
    vae_fidelity::cli::command().long_version(None)
}
