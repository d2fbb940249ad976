//! Writes the generated pages of the book, or with `--check` says which are stale.
//!
//! ```text
//! cargo run -p vae-fidelity-book              writes docs/src/reference
//! cargo run -p vae-fidelity-book -- --check   writes nothing; exit code 1 if a page is stale
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => {
            eprintln!("error: expected no argument, or --check");
            return ExitCode::from(2);
        }
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference");
    let mut stale = false;
    for (name, text) in vae_fidelity_book::pages() {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if check {
            eprintln!("error: docs/src/reference/{name}: is not what the code says now");
            stale = true;
        } else if let Err(error) = fs::write(&path, text) {
            eprintln!("error: {}: cannot be written: {error}", path.display());
            return ExitCode::from(2);
        } else {
            println!("docs/src/reference/{name}");
        }
    }
    if stale {
        eprintln!(" next: cargo run -p vae-fidelity-book, and commit what it writes");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
