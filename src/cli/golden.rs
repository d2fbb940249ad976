//! `golden`: what the reference implementation wrote, and this crate judged by it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::json;
#[cfg(feature = "tch")]
use vae_fidelity::autoencoder_kl::{AutoencoderKL, Device};
use vae_fidelity::golden::{Case, PosteriorKind, Suite};
use vae_fidelity::report::SCHEMA_VERSION;
#[cfg(feature = "tch")]
use vae_fidelity::{Dtype, Vae};
use vae_fidelity::{Error, ErrorKind, Result};

use super::Outcome;
use super::args::GoldenArgs;
use super::console::Console;
#[cfg(feature = "tch")]
use super::progress::Progress;

/// Where the suite lay when this binary was built.
const BUILT_BESIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");

pub fn list(args: &GoldenArgs, console: Console) -> Result<Outcome> {
    let suite = open(args)?;
    let cases = suite.chosen()?;
    let rows: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "name": case.name, "model": case.model, "image": case.image,
                "width": case.width, "height": case.height,
                "posterior": {"kind": kind(case), "seed": case.posterior.seed},
                "dtype": case.dtype, "device": case.device, "shows": case.shows,
            })
        })
        .collect();
    let object = json!({"schema_version": SCHEMA_VERSION, "suite": suite.folder(), "cases": rows});
    let widest = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for case in &cases {
        let Case { name, model, image, dtype, shows, .. } = case;
        let what = format_args!("{model}, {image}, {}, {dtype}", kind(case));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<widest$}  {what}\n{:<widest$}  {shows}", "");
    }
    let _ = writeln!(text, "{} cases in {}", cases.len(), suite.folder().display());
    console.result(&object, text)?;
    Ok(Outcome::Passed)
}

#[cfg(feature = "tch")]
pub fn verify(args: &GoldenArgs, console: Console) -> Result<Outcome> {
    let suite = open(args)?;
    let progress = Progress::new(1, console);
    let suite = suite.progress(move |now| {
        progress.step(&format!("case {} of {}: {}", now.number, now.total, now.case.name));
    });
    let report = suite.run(|checkpoint| {
        let vae = AutoencoderKL::load(checkpoint, Device::CPU, Dtype::F32)?;
        Ok(Box::new(vae) as Box<dyn Vae>)
    })?;
    drop(suite); // and the progress line with it
    console.result(&report, format_args!("{report}\n"))?;
    Ok(if report.passed { Outcome::Passed } else { Outcome::Failed })
}

fn open(args: &GoldenArgs) -> Result<Suite> {
    let suite = Suite::open(folder(args)?)?;
    Ok(args.only.iter().fold(suite, |suite, name| suite.only(name)))
}

fn folder(args: &GoldenArgs) -> Result<PathBuf> {
    if let Some(folder) = &args.golden {
        return Ok(folder.clone());
    }
    let usual = [Path::new("golden"), Path::new(BUILT_BESIDE)];
    let found = usual.iter().find(|folder| folder.join("manifest.json").is_file());
    found.map(|folder| folder.to_path_buf()).ok_or_else(|| {
        Error::new(
            ErrorKind::Golden,
            "golden/manifest.json",
            format!("not in the working directory, nor in {BUILT_BESIDE}"),
            "name the folder of goldens with --golden DIR; it is part of this crate's sources",
        )
    })
}

fn kind(case: &Case) -> &'static str {
    match case.posterior.kind {
        PosteriorKind::Mode => "mode",
        PosteriorKind::Sample => "sample",
    }
}
