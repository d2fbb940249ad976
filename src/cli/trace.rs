//! `trace`: every layer of one VAE for one picture, and where it parts from another trace.

use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::output::write_atomically;
use crate::pipeline::{Expected, TraceOptions};
use crate::pixels::requested_size;

use super::cases::Subject;
use super::ci_files::recorded;
use super::console::Console;
use super::outcome::Outcome;
use super::places::{self, ReadFiles};
use super::progress::Progress;
use super::run_args::check_working_directory;
use super::trace_args::TraceArgs;

pub fn run(args: &TraceArgs, console: Console) -> Result<Outcome> {
    check_working_directory()?;
    let requested = requested_size(args.run.width, args.run.height)?;
    let builder = args.run.model.pipeline();
    let source = builder.source()?;
    let progress = Progress::new(1, console);
    let options = args.run.model.about.options(&source, progress.of_hub())?;
    let of_ci = args.ci.named()?;
    let saved = args.save_trace.as_deref().map(|path| ("--save-trace", path));
    let named: Vec<(&str, &Path)> = saved.into_iter().chain(of_ci).collect();
    if !named.is_empty() {
        let given = [args.image.clone()].into_iter().chain(args.against.clone());
        // Whole tensors beside a golden's trace are read where layers differ.
        let of_suite = args.against.as_deref().map(Expected::golden_files).unwrap_or_default();
        let reads = ReadFiles::with_source(given.chain(of_suite), &source, &options);
        places::check(&named, &reads)?;
    }
    let subjects = vec![Subject::file(&args.image)];
    recorded(&args.ci, "trace", subjects, console, |cases| {
        let execution = builder.execution()?;
        let read = |path: &Path| Expected::read(path, (args.atol, args.rtol), &execution);
        let expected = args.against.as_deref().map(read).transpose()?;

        progress.step("loading the VAE");
        let pipeline = builder.opened_with(options).cancellation(progress.layers()).build()?;
        cases.judged_by(pipeline.model());
        let seed = args.run.seed_of_draw();
        let options = TraceOptions { size: requested, exif: args.run.exif, seed };
        let started = Instant::now();
        let traced =
            pipeline.trace(&args.image, &options, |step| progress.step(&step.to_string()))?;
        if let Some(path) = &args.save_trace {
            write_atomically(path, &traced.trace.to_json())?;
        }
        drop(progress);

        let notes = args.run.notes().into_iter().collect();
        let mut report = pipeline.trace_report(traced, seed, expected.as_ref(), notes)?;
        report.saved = args.save_trace.clone();
        cases.judged(started.elapsed(), &report);
        report.notes.iter().for_each(|note| console.note(note));
        console.result(&report, &report)?;
        Ok(report.verdict.into())
    })
}
