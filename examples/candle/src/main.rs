//! Judges candle-transformers' `AutoEncoderKL` with the goldens of vae-fidelity.
//!
//! Arguments are names of models or cases; without any, the whole suite runs. Exit code 0: all that
//! was judged passed; 1: something failed; 2: could not judge.

mod candle_vae;

use std::process::ExitCode;

use candle_vae::CandleVae;
use vae_fidelity_harness::{Error, Suite, Vae};

fn main() -> ExitCode {
    match judge(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}\n next: {}", error.next());
            ExitCode::from(2)
        }
    }
}

fn judge(only: impl Iterator<Item = String>) -> Result<bool, Error> {
    let suite = only.fold(Suite::builtin()?, |suite, name| suite.only(name));
    let suite = suite.progress(|at| eprintln!("[{}/{}] {}", at.number, at.total, at.case.name));
    let report =
        suite.run(|checkpoint| Ok(Box::new(CandleVae::load(checkpoint)?) as Box<dyn Vae>))?;
    println!("{report}");
    Ok(report.passed)
}
