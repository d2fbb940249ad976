//! `trace`: every layer of one VAE for one picture, and where it parts from another trace.

use std::path::Path;

use crate::golden::{Suite, Tolerance, layer_rounding};
use crate::output::write_atomically;
use crate::pipeline::TraceOptions;
use crate::pixels::requested_size;
use crate::report::{Against, Layer, Posterior, SCHEMA_VERSION, TraceReport, non_finite_reasons};
use crate::trace::TraceFile;
use crate::verdict::Verdict;
use crate::{Error, Execution, Result};

use super::console::Console;
use super::outcome::Outcome;
use super::places::{self, ReadFiles};
use super::progress::Progress;
use super::run_args::check_working_directory;
use super::trace_args::TraceArgs;

pub fn run(args: &TraceArgs, console: Console) -> Result<Outcome> {
    check_working_directory()?;
    let expected = args.against.as_deref().map(TraceFile::read).transpose()?;
    let requested = requested_size(args.run.width, args.run.height)?;
    let builder = args.run.model.pipeline();
    let source = builder.source()?;
    let progress = Progress::new(1, console);
    let options = args.run.model.about.options(&source, progress.of_hub())?;
    if let Some(path) = &args.save_trace {
        let given = [args.image.clone()].into_iter().chain(args.against.clone());
        // Whole tensors beside a golden's trace are read where layers differ.
        let suite = args.against.as_deref().and_then(golden_of);
        let of_suite = suite.map(|(suite, _)| suite.files()).unwrap_or_default();
        let reads = ReadFiles::with_source(given.chain(of_suite), &source, &options);
        places::check(&[("--save-trace", path)], &reads)?;
    }
    let execution = builder.execution()?;
    let tolerance = args.against.as_ref().map(|_| rounding(args, &execution)).transpose()?;

    progress.step("loading the VAE");
    let pipeline = builder.opened_with(options).cancellation(progress.layers()).build()?;
    let seed = args.run.seed_of_draw();
    let options = TraceOptions { size: requested, exif: args.run.exif, seed };
    let traced = pipeline.trace(&args.image, &options, |step| progress.step(&step.to_string()))?;
    let found = traced.trace;
    let notes: Vec<String> =
        pipeline.notes().iter().cloned().chain(args.run.notes()).chain(traced.notes).collect();
    if let Some(path) = &args.save_trace {
        write_atomically(path, &found.to_json())?;
    }
    drop(progress);

    let mut verdict_reasons = non_finite_reasons(&found);
    let given = args.against.clone().zip(expected.as_ref()).zip(tolerance);
    let mut against =
        given.map(|((path, expected), tolerance)| Against::new(path, expected, &found, tolerance));
    if let Some(against) = &mut against {
        if against.compared() == 0 {
            return Err(Error::tensor(
                against.path.display(),
                "names no layer that this VAE has",
                "name layers as diffusers does, for example encoder.conv_in, or give the VAE it is of",
            ));
        }
        if let (Some(module), Some((suite, case))) =
            (against.first_beyond(), golden_of(&against.path))
        {
            against.fault = Some(suite.fault(&case, module, pipeline.vae())?);
        }
        verdict_reasons.extend(against.reasons());
    }
    let verdict = Verdict::from_reasons(&verdict_reasons);
    let report = TraceReport {
        schema_version: SCHEMA_VERSION,
        verdict,
        verdict_reasons,
        input: traced.input,
        // Layers are those of the whole picture.
        model: pipeline.model().clone(),
        posterior: Posterior::of(pipeline.vae().config(), seed),
        saved: args.save_trace.clone(),
        encode: Layer::of(&found.encode),
        decode: Layer::of(&found.decode),
        against,
        notes,
    };
    report.notes.iter().for_each(|note| console.note(note));
    console.result(&report, &report)?;
    Ok(verdict.into())
}

/// The suite and the case whose trace lies at `path`: there may be whole tensors beside it.
fn golden_of(path: &Path) -> Option<(Suite, String)> {
    let folder = path.parent()?;
    let case = folder.file_name()?.to_str()?;
    let cases = folder.parent().filter(|cases| cases.ends_with("cases"))?;
    // The case may be of a part of the suite, which lies in its folder.
    let folder = cases.parent()?;
    let suite = [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .find_map(|folder| Suite::open(folder).ok())?;
    let known = suite.cases().iter().any(|row| row.name == case && row.trace.is_some());
    known.then(|| (suite, case.to_owned()))
}

/// What counts as rounding: what was asked for, else what was measured.
fn rounding(args: &TraceArgs, execution: &Execution) -> Result<Tolerance> {
    if args.atol.or(args.rtol).is_some() {
        return Tolerance::new(args.atol.unwrap_or(0.0), args.rtol.unwrap_or(0.0));
    }
    let (device, dtype) = (execution.device().to_string(), execution.dtype());
    let kind = device.split(':').next().unwrap_or_default();
    layer_rounding(dtype, kind)?.ok_or_else(|| {
        Error::option(
            "--against",
            format!("how {dtype} rounds on {device} was not measured"),
            "say what counts as rounding with --atol and --rtol, or run with --device cpu --dtype f32",
        )
    })
}
