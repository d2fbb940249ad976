//! `explain-gap`: why two evaluations differ.

use std::path::Path;

use crate::evaluation::{EvaluationReport, GapVerdict};
use crate::pipeline::{EvaluatedSide, explain_gap, read_result};
use crate::{Error, Pipeline, Result};

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
    let load = |side: usize| loaded(args, &results[side], side, &progress);
    let pipelines = [load(0)?, load(1)?];
    progress.step("listing the data sets");
    let data =
        [0, 1].map(|side| of_side(&args.data, side).unwrap_or(Path::new(&results[side].run.data)));
    let sides = [0, 1].map(|side| EvaluatedSide {
        result: &results[side],
        model: models[side],
        data: data[side],
        pipeline: &pipelines[side],
    });
    let report = explain_gap(&sides[0], &sides[1], args.sample, &|done, total| {
        progress.of_pictures(done, 0, total);
    })?;
    drop(progress);
    report.notes.iter().for_each(|note| console.note(note));
    console.result(&report, &report)?;
    Ok(match report.verdict {
        GapVerdict::Pass => Outcome::Passed,
        GapVerdict::Fail => Outcome::Failed,
    })
}

/// The first of one is both sides'.
fn of_side<T: AsRef<Path>>(given: &[T], side: usize) -> Option<&Path> {
    given.get(side).or(given.first()).map(AsRef::as_ref)
}

fn loaded(
    args: &ExplainGapArgs,
    result: &EvaluationReport,
    side: usize,
    progress: &Progress,
) -> Result<Pipeline> {
    let (flag, index) = [("`model_a`", args.model_a), ("`model_b`", args.model_b)][side];
    let Some(model) = result.models.get(index) else {
        let problem = format!("expected below {}, found {index}", result.models.len());
        return Err(Error::option(flag, problem, "count the result's models from 0"));
    };
    let given = args.repo.get(side).or(args.repo.first());
    let repo = given.unwrap_or(&model.source);
    progress.step("loading the VAE");
    args.execution.applied(Pipeline::builder().repo(repo)).build()
}
