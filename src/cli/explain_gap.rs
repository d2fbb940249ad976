//! `explain-gap`: why two evaluations differ.

use std::path::Path;

use crate::evaluation::EvaluationReport;
use crate::perceptual::WeightFolders;
use crate::pipeline::{EvaluatedSide, explain_gap, gap_metrics, read_result};
use crate::{Pipeline, Result};

use super::console::Console;
use super::evaluate_args::ExplainGapArgs;
use super::outcome::Outcome;
use super::progress::Progress;
use super::run_args::check_working_directory;

pub fn run(args: &ExplainGapArgs, console: Console) -> Result<Outcome> {
    check_working_directory()?;
    let results = [read_result(&args.a)?, read_result(&args.b)?];
    let models = [args.model_a, args.model_b];
    args.execution.notes().iter().for_each(|note| console.note(note));
    let progress = Progress::new(1, console);
    let repos = [repo(args, &results[0], 0)?, repo(args, &results[1], 1)?];
    let load = |repo: &str| {
        progress.step("loading the VAE");
        args.execution.applied(Pipeline::builder().repo(repo)).build()
    };
    let first = load(repos[0])?;
    // Two protocols of one VAE, mostly.
    let second = if repos[0] == repos[1] { None } else { Some(load(repos[1])?) };
    let pipelines = [&first, second.as_ref().unwrap_or(&first)];
    let folders = WeightFolders::with_torch_hub(args.metric_weights.clone());
    let of = [(&results[0], models[0]), (&results[1], models[1])];
    let trained = gap_metrics(of, &folders, args.execution.threads_at_most())?;
    progress.step("listing the data sets");
    let data =
        [0, 1].map(|side| of_side(&args.data, side).unwrap_or(Path::new(&results[side].run.data)));
    let sides = [0, 1].map(|side| EvaluatedSide {
        result: &results[side],
        model: models[side],
        data: data[side],
        pipeline: pipelines[side],
    });
    let report = explain_gap(&sides[0], &sides[1], args.sample, &trained, &|done, total| {
        progress.of_pictures(done, 0, total);
    })?;
    drop(progress);
    report.notes.iter().for_each(|note| console.note(note));
    console.result(&report, &report)?;
    Ok(report.verdict.into())
}

/// The first of one is both sides'.
fn of_side<T: AsRef<Path>>(given: &[T], side: usize) -> Option<&Path> {
    given.get(side).or(given.first()).map(AsRef::as_ref)
}

/// The VAE of a side.
fn repo<'a>(
    args: &'a ExplainGapArgs,
    result: &'a EvaluationReport,
    side: usize,
) -> Result<&'a str> {
    let (flag, index) = [("`model_a`", args.model_a), ("`model_b`", args.model_b)][side];
    let model = result.model(index, flag)?;
    Ok(args.repo.get(side).or(args.repo.first()).unwrap_or(&model.source))
}
