//! `vae-fidelity-dist FOLDER` writes `FOLDER/completions` and `FOLDER/man`.

use std::path::Path;
use std::process::ExitCode;

use vae_fidelity_dist::{completions, man_pages};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("error: expected one argument, the folder to write into");
        return ExitCode::from(2);
    };
    let folder = Path::new(&folder);
    let written =
        completions(&folder.join("completions")).and_then(|()| man_pages(&folder.join("man")));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
