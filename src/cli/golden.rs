//! `golden`: what the reference implementation wrote, this crate and other programs judged by it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::Dtype;
use crate::autoencoder_kl::DeviceChoice;
use crate::golden::{Case, ExportSize, Suite, SuiteReport};
use crate::report::SCHEMA_VERSION;
use crate::{Error, ErrorKind, Result};

use super::args::{ExportArgs, GoldenArgs, VerifyArgs};
use super::console::Console;
use super::objects::{ExportReport, GoldenList, kind};
use super::outcome::Outcome;
use super::places::{self, ReadFiles};
use super::progress::Progress;

pub fn list(args: &GoldenArgs, console: Console) -> Result<Outcome> {
    let suite = open(args)?;
    let cases = suite.chosen()?;
    let widest = cases.iter().map(|case| case.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for case in &cases {
        let Case { name, model, image, dtype, shows, .. } = case;
        let more = case.tiling.map_or("", |_| ", tiling");
        let more = if case.slicing { format!("{more}, slicing") } else { more.to_owned() };
        let frames = 1 + case.batch.len();
        let more = if case.clip { format!("{more}, a clip of {frames} frames") } else { more };
        let on = if case.device == "cpu" { String::new() } else { format!(" on {}", case.device) };
        let what = format_args!("{model}, {image}, {}, {dtype}{on}{more}", kind(case));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<widest$}  {what}\n{:<widest$}  {shows}", "");
    }
    let _ = writeln!(text, "{} cases in {}", cases.len(), suite.folder().display());
    console.result(&GoldenList::new(suite.folder(), &cases), text)?;
    Ok(Outcome::Passed)
}

pub fn verify(args: &VerifyArgs, console: Console) -> Result<Outcome> {
    #[cfg(feature = "tch")]
    if !args.tf32 {
        // The goldens are f32's, and TF32 keeps 10 of its 23 bits. libtorch has no function for it that
        // tch wraps, and looks at this when it first uses CUDA.
        // SAFETY: no other thread of the process reads or sets variables: `cli::run` asks its caller for that in a
        // build with libtorch.
        unsafe { std::env::set_var("NVIDIA_TF32_OVERRIDE", "0") };
    }
    let suite = open(&args.suite)?;
    let progress = Progress::new(1, console);
    let suite = suite.progress(move |now| {
        progress.step(&format!("case {} of {}: {}", now.number, now.total, now.case.name));
    });
    let suite = suite.device(family_of(args.device));
    let report = match &args.candidate {
        Some(candidate) => suite.judge(candidate)?,
        None => this_crate(&suite, args)?,
    };
    drop(suite); // and the progress line with it
    console.result(&report, format_args!("{report}\n"))?;
    Ok(if report.passed { Outcome::Passed } else { Outcome::Failed })
}

fn this_crate(suite: &Suite, args: &VerifyArgs) -> Result<SuiteReport> {
    let engine = args.engine.engine();
    let wanted: Vec<_> = args.dtype.iter().filter_map(|choice| choice.dtype()).collect();
    // One that was not built in, or a device that is not there, judges no case, whatever it asks for.
    engine.execution(args.device, None, None)?;
    suite.run_in_each(|checkpoint, dtype, device| {
        if !wanted.is_empty() && !wanted.contains(&dtype) {
            let asked = wanted.iter().map(Dtype::to_string).collect::<Vec<_>>().join(", ");
            let problem = format!("left out by --dtype {asked}");
            return Err(Error::new(ErrorKind::Unsupported, dtype, problem, "leave out --dtype"));
        }
        let choice = match (device, args.device) {
            ("cuda", DeviceChoice::Cpu) => DeviceChoice::Cuda(0),
            (_, asked) => asked,
        };
        // Not every machine has every device, nor every engine every dtype.
        let lacks = |error: Error| {
            Error::new(ErrorKind::Unsupported, error.subject(), error.problem(), error.next())
        };
        let execution = engine.execution(choice, Some(dtype), None).map_err(lacks)?;
        execution.check_goldens_apply()?;
        execution.load(checkpoint)
    })
}

/// The device as `tolerances.json` names it, which has one row for all GPUs of a kind.
fn family_of(device: DeviceChoice) -> &'static str {
    match device {
        DeviceChoice::Cuda(_) => "cuda",
        DeviceChoice::Mps => "mps",
        DeviceChoice::Auto | DeviceChoice::Cpu => "cpu",
    }
}

pub fn export(args: &ExportArgs, console: Console) -> Result<Outcome> {
    places::check_folder("DIR", &args.folder, &ReadFiles::of([]))?;
    let suite = open(&args.suite)?;
    let ExportSize { cases, models, bytes } = suite.export_size(args.format)?;
    let megabytes = bytes as f64 / 1e6;
    let folder = args.folder.display();
    console
        .note(format_args!("{cases} cases of {models} models take {megabytes:.1} MB in {folder}"));
    let progress = Progress::new(1, console);
    suite.export(&args.folder, args.format, |step| progress.step(step))?;
    drop(progress);
    let object = ExportReport {
        schema_version: SCHEMA_VERSION,
        folder: folder.to_string(),
        cases,
        models,
        bytes,
    };
    let text = format!(
        "wrote {cases} cases of {models} models to {folder}; {folder}/README.md says what to compute\n"
    );
    console.result(&object, text)?;
    Ok(Outcome::Passed)
}

fn open(args: &GoldenArgs) -> Result<Suite> {
    let suite = match folder(args)? {
        folder if folder == vae_fidelity_goldens::folder() => Suite::builtin()?,
        folder => Suite::open(folder)?,
    };
    Ok(args.only.iter().fold(suite, |suite, name| suite.only(name)))
}

fn folder(args: &GoldenArgs) -> Result<PathBuf> {
    if let Some(folder) = &args.golden {
        return Ok(folder.clone());
    }
    let built_beside = vae_fidelity_goldens::folder();
    let usual = [Path::new("golden"), built_beside];
    let found = usual.iter().find(|folder| folder.join("manifest.json").is_file());
    found.map(|folder| folder.to_path_buf()).ok_or_else(|| {
        Error::new(
            ErrorKind::Golden,
            "golden/manifest.json",
            format!("not in the working directory, nor in {}", built_beside.display()),
            "name the folder of goldens with --golden DIR; it is part of this crate's sources",
        )
    })
}
