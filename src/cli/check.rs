//! `check`: loads one VAE and sends every image through it.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use vae_fidelity::baseline::Baseline;
use vae_fidelity::checkpoint::{Checkpoint, Source};
use vae_fidelity::pixels::requested_size;
use vae_fidelity::report::{CheckSummary, Model, SCHEMA_VERSION};
use vae_fidelity::verdict::Thresholds;
use vae_fidelity::{Error, Result};

use super::Outcome;
use super::check_args::{CheckArgs, DtypeChoice};
use super::console::Console;
use super::engine::Settled;
use super::images::expand;
use super::outputs::Outputs;
use super::progress::Progress;
use super::round_trip::Judge;

pub fn run(args: &CheckArgs, console: Console) -> Result<Outcome> {
    let given: Vec<PathBuf> = args.image_flags.iter().chain(&args.images).cloned().collect();
    let images = expand(&given)?;
    if images.is_empty() {
        return Err(Error::option("IMAGE", "no picture was given", "name at least one"));
    }
    // libtorch would say it in C++.
    if std::env::current_dir().is_err() {
        return Err(Error::option(
            "the working directory",
            "is gone, or may not be read",
            "change to another one: cd",
        ));
    }
    let files = args.files.read()?;
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let size = requested_size(args.width, args.height)?;
    let source = args.about.source(&args.repo)?;
    let outputs = Outputs::settle(args, &images)?;
    let threads = args.threads.map(|threads| threads as usize);
    let settled =
        args.engine.settle(args.device, args.dtype.dtype(), threads)?.within(args.max_memory)?;

    let progress = Progress::new(images.len(), console);
    progress.step("loading the VAE");
    let started = Instant::now();
    let options = args.about.options(&source, &progress)?;
    let checkpoint = Checkpoint::open_with(&source, &options)?;
    let vae = settled.load(&checkpoint)?;
    let judge = Judge {
        vae: vae.as_ref(),
        checkpoint: &checkpoint,
        files,
        cross_check: args.cross_check,
        forecast: args.forecast,
        baseline,
        settled,
        model: Model {
            source: checkpoint.source().to_string(),
            revision: checkpoint.revision().map(str::to_owned),
            family: checkpoint.family(),
            config: checkpoint.config().clone(),
            parameters: checkpoint.parameters(),
            device: settled.device.to_string(),
            dtype: settled.dtype,
            engine: args.engine.name().to_owned(),
        },
        size,
        seed: args.sample.then(|| args.seed.unwrap_or_else(draw_seed)),
        thresholds: Thresholds { min_psnr: args.least.min_psnr, min_ssim: args.least.min_ssim },
        notes: notes(args, settled, &source, &checkpoint),
        load: started.elapsed(),
    };
    progress.around(|| judge.notes.iter().for_each(|note| console.note(note)));

    let mut summary = CheckSummary { images: images.len(), passed: 0, failed: 0, not_judged: 0 };
    let mut worst = Outcome::Passed;
    for (index, (image, outputs)) in images.iter().zip(&outputs).enumerate() {
        let judged = judge.image(image, outputs, |step| progress.image(index, image, step));
        let outcome = match judged {
            Ok(report) => progress.around(|| {
                let of_image = &report.notes[judge.notes.len()..];
                of_image.iter().for_each(|note| {
                    console.note(format_args!("{}: {note}", image.display()));
                });
                let gap = if index > 0 { "\n" } else { "" };
                console.result(&report, format_args!("{gap}{report}"))?;
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

/// What holds for every image of the run.
fn notes(
    args: &CheckArgs,
    settled: Settled,
    source: &Source,
    checkpoint: &Checkpoint,
) -> Vec<String> {
    let mut notes = checkpoint.notes().to_vec();
    notes.extend(settled.note().map(str::to_owned));
    if *source == Source::Builtin {
        notes.push(
            "the built-in VAE is used, which is small; name the one to judge with --repo"
                .to_owned(),
        );
    }
    if let (Some(seed), false) = (args.seed, args.sample) {
        notes.push(format!("--seed {seed} has no effect without --sample, as in the gist"));
    }
    if args.dtype == DtypeChoice::Bf16 {
        notes.push(
            "bf16 has no picture, so nothing is written or compared: only the decoded tensor is judged"
                .to_owned(),
        );
    }
    notes
}

/// A seed short enough to type again.
fn draw_seed() -> i128 {
    // The standard library's hash keys are random, and cost no dependency.
    i128::from(RandomState::new().hash_one(std::process::id()) as u32)
}
