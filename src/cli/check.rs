//! `check`: loads one VAE and sends every image through it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use crate::baseline::Baseline;
use crate::checkpoint::Checkpoint;
use crate::pixels::requested_size;
use crate::report::{CheckSummary, SCHEMA_VERSION};
use crate::tiling::{Splitting, Tiling};
use crate::verdict::Thresholds;
use crate::{Error, Result};
use serde_json::json;

use super::Outcome;
use super::check_args::CheckArgs;
use super::console::Console;
use super::images::expand;
use super::outputs::Outputs;
use super::progress::Progress;
use super::round_trip::Judge;
use super::run_args::{DtypeChoice, check_working_directory};
use super::show::Graphics;

pub fn run(args: &CheckArgs, arguments: &[OsString], console: Console) -> Result<Outcome> {
    let given: Vec<PathBuf> = args.image_flags.iter().chain(&args.images).cloned().collect();
    let images = expand(&given)?;
    if images.is_empty() {
        return Err(Error::option("IMAGE", "no picture was given", "name at least one"));
    }
    check_working_directory()?;
    let files = args.files.read()?;
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let size = requested_size(args.run.width, args.run.height)?;
    let source = args.run.about.source(&args.run.repo)?;
    let outputs = Outputs::settle(args, &images)?;
    let max_memory = args.max_memory.map(|size| size.0);
    let execution = args.run.execution()?.within(max_memory)?;
    let graphics = graphics(args, console)?;

    let progress = Progress::new(images.len(), console);
    progress.step("loading the VAE");
    let started = Instant::now();
    let options = args.run.about.options(&source, &progress)?;
    let checkpoint = Checkpoint::open_with(&source, &options)?;
    let tiling =
        args.tiling.then(|| Tiling::new(checkpoint.config(), args.tile_size)).transpose()?;
    let splitting = Splitting { tiling, slicing: args.slicing };
    let mut vae = execution.load(&checkpoint)?;
    vae.set_splitting(splitting)?;
    let judge = Judge {
        vae: vae.as_ref(),
        checkpoint: &checkpoint,
        files,
        cross_check: args.cross_check,
        forecast: args.forecast,
        show: graphics.is_some(),
        command: command_line(arguments),
        baseline,
        execution,
        model: args.run.model(&checkpoint, &execution, splitting),
        size,
        seed: args.run.seed_of_draw(),
        thresholds: Thresholds { min_psnr: args.least.min_psnr, min_ssim: args.least.min_ssim },
        notes: notes(args, args.run.notes(&checkpoint, &source, &execution)),
        load: started.elapsed(),
    };
    progress.around(|| judge.notes.iter().for_each(|note| console.note(note)));

    let mut summary = CheckSummary { images: images.len(), passed: 0, failed: 0, not_judged: 0 };
    let mut worst = Outcome::Passed;
    for (index, (image, outputs)) in images.iter().zip(&outputs).enumerate() {
        let judged = judge.image(image, outputs, |step| progress.image(index, image, step));
        let outcome = match judged {
            Ok((report, shown)) => progress.around(|| {
                let of_image = &report.notes[judge.notes.len()..];
                of_image.iter().for_each(|note| {
                    console.note(format_args!("{}: {note}", image.display()));
                });
                let gap = if index > 0 { "\n" } else { "" };
                console.result(&report, format_args!("{gap}{report}"))?;
                shown.zip(graphics).map_or(Ok(()), |(shown, how)| shown.draw(how))?;
                Ok(Outcome::from(report.verdict))
            })?,
            Err(error) if images.len() == 1 => return Err(error),
            // The others can still be judged.
            Err(error) => progress.around(|| {
                console.error(&error, json!({"input": {"path": image}}))?;
                Ok(Outcome::NotJudged)
            })?,
        };
        match outcome {
            Outcome::Passed => summary.passed += 1,
            Outcome::Failed => summary.failed += 1,
            Outcome::NotJudged => summary.not_judged += 1,
        }
        worst = worst.max(outcome);
    }
    drop(progress);
    if images.len() > 1 {
        let object = json!({"schema_version": SCHEMA_VERSION, "summary": summary});
        console.result(&object, format_args!("\n{summary}\n"))?;
    }
    Ok(worst)
}

/// How `--show` draws; `None` where it does not.
fn graphics(args: &CheckArgs, console: Console) -> Result<Option<Graphics>> {
    if !args.show {
        return Ok(None);
    }
    if console.json || console.quiet {
        let other = if console.json { "--json" } else { "--quiet" };
        let problem = format!("draws on standard output, where {other} has no place for it");
        return Err(Error::option("--show", problem, "leave one of them out, or use --montage"));
    }
    let graphics = Graphics::of_stdout();
    if graphics.is_none() {
        console
            .note("--show draws nothing: standard output is no terminal; --montage writes a file");
    }
    Ok(graphics)
}

/// The arguments as a shell takes them.
fn command_line(arguments: &[OsString]) -> String {
    let quoted = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
        match !argument.is_empty() && argument.chars().all(plain) {
            true => argument.into_owned(),
            false => format!("'{}'", argument.replace('\'', "'\\''")),
        }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What holds for every image of the run, beside `notes` of the VAE.
fn notes(args: &CheckArgs, mut notes: Vec<String>) -> Vec<String> {
    if args.run.dtype == DtypeChoice::Bf16 {
        notes.push(
            "bf16 has no picture, so nothing is written or compared: only the decoded tensor is judged"
                .to_owned(),
        );
    }
    notes
}
