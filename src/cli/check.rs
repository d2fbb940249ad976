//! `check`: loads one VAE and sends every image through it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use crate::baseline::Baseline;
use crate::pipeline::CheckOptions;
use crate::pixels::requested_size;
use crate::report::CheckSummary;
use crate::{Error, Result};

use super::cases::Subject;
use super::check_args::CheckArgs;
use super::ci_files::recorded;
use super::console::Console;
use super::images::expand;
use super::loading::loaded;
use super::objects::SummaryReport;
use super::outcome::Outcome;
use super::outputs::Outputs;
use super::places::ReadFiles;
use super::progress::Progress;
use super::results;
use super::run_args::check_working_directory;
use super::show::{Graphics, Shown};
use super::table;

pub fn run(args: &CheckArgs, arguments: &[OsString], console: Console) -> Result<Outcome> {
    let given: Vec<PathBuf> = args.image_flags.iter().chain(&args.images).cloned().collect();
    // A folder is one clip, or as many pictures as it holds.
    let images = if args.frames.is_some() { given.clone() } else { expand(&given)? };
    if images.is_empty() {
        return Err(Error::option("IMAGE", "no picture was given", "name at least one"));
    }
    check_working_directory()?;
    let (mut files, mut latents_file) = args.files.read()?;
    let baseline = args.baseline.as_deref().map(Baseline::read).transpose()?;
    let size = requested_size(args.run.width, args.run.height)?;
    let builder = args.splitting.applied(args.run.model.pipeline().slicing(args.slicing));
    let source = builder.source()?;
    let progress = Progress::new(images.len(), console);
    let options = args.run.model.about.options(&source, progress.of_hub())?;
    let of_run = images.iter().chain(&args.baseline).cloned();
    let of_user = args.files.given().map(|(_, path)| path.to_owned());
    let mut reads = ReadFiles::with_source(of_run.chain(of_user), &source, &options);
    reads.standard_input = given.iter().any(|path| path.as_os_str() == "-");
    let outputs = Outputs::settle(args, &images, &reads)?;
    let subjects = images.iter().map(|image| Subject::file(image)).collect();
    recorded(&args.ci, "check", subjects, console, |cases| {
        builder.execution()?;
        let graphics = graphics(args, console)?;

        let builder = builder.opened_with(options);
        let Some((pipeline, progress)) = loaded(builder, progress, console, cases)? else {
            return Ok(Outcome::NotJudged);
        };
        let mut notes = args.run.notes();
        if let Some(source) = &mut latents_file {
            files.latents_scale = source.settle(pipeline.model().family);
            notes.extend(source.note());
        }
        let mut check = CheckOptions {
            size,
            frames: args.frames,
            exif: args.run.exif,
            seed: args.run.seed_of_draw(),
            thresholds: args.least.thresholds(),
            baseline,
            files,
            latents_file,
            cross_check: args.cross_check,
            forecast: args.forecast,
            notes,
            ..CheckOptions::default()
        };
        let command = command_line(arguments);
        let of_all = pipeline.notes_with(&check);
        progress.around(|| of_all.iter().for_each(|note| console.note(note)));

        let mut summary =
            CheckSummary { images: images.len(), passed: 0, failed: 0, not_judged: 0 };
        let mut worst = Outcome::Passed;
        for (index, (image, outputs)) in images.iter().zip(&outputs).enumerate() {
            let started = Instant::now();
            let step = |step: &str| progress.image(index, image, step);
            check.decoded_path = outputs.picture.clone();
            check.saved = outputs.saved();
            check.trace = outputs.trace.is_some() || outputs.report.is_some();
            check.visibility = outputs.show_differences() || graphics.is_some();
            let judged = pipeline.check_with(image, &check, |now| step(&now.to_string()));
            let written = judged.and_then(|mut checked| {
                step("writing");
                let yours = check.files.decoded_image.as_ref().map(|yours| &yours.pixels);
                results::write(&checked, outputs, &command, yours, console)?;
                checked.report.timings_ms.set_total(started.elapsed());
                Ok(checked)
            });
            match &written {
                Ok(checked) => cases.judged(started.elapsed(), &checked.report),
                Err(error) => cases.not_judged(started.elapsed(), error, &[]),
            }
            let outcome = match written {
                Ok(checked) => progress.around(|| {
                    let report = &checked.report;
                    report.notes[of_all.len()..].iter().for_each(|note| {
                        console.note(format_args!("{}: {note}", image.display()));
                    });
                    let gap = if index > 0 { "\n" } else { "" };
                    console.result(report, format_args!("{gap}{report}"))?;
                    if let Some(how) = graphics {
                        Shown::of(&checked).map_or(Ok(()), |shown| shown.draw(how))?;
                    }
                    Ok(Outcome::from(report.verdict))
                })?,
                Err(error) if images.len() == 1 => return Err(error),
                // The others can still be judged.
                Err(error) => progress.around(|| {
                    console.error(&error, Some(image))?;
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
            let table = table::text(cases);
            console.result(&SummaryReport::new(summary), format_args!("\n{table}{summary}\n"))?;
        }
        Ok(worst)
    })
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
pub fn command_line(arguments: &[OsString]) -> String {
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
