//! `evaluate` and `merge`: VAEs judged by a data set.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use crate::checkpoint::HubProgress;
use crate::evaluation::{
    self, EvaluateOptions, Evaluated, EvaluationReport, Least, Protocol, TrainedMetrics,
};
use crate::output::write_atomically;
use crate::perceptual::WeightFolders;
use crate::pipeline::{Evaluation, evaluate};
use crate::report::evaluation_page;
use crate::{Pipeline, Result};

use super::check::command_line;
use super::console::Console;
use super::evaluate_args::{EvaluateArgs, MergeArgs};
use super::outcome::Outcome;
use super::places::{self, ReadFiles};
use super::progress::Progress;
use super::run_args::check_working_directory;
use super::shared_args::LeastArgs;

pub fn run(args: &EvaluateArgs, arguments: &[OsString], console: Console) -> Result<Outcome> {
    check_working_directory()?;
    places::check_folder("--out", &args.out, &ReadFiles::of([]))?;
    let protocol = Protocol::named(&args.protocol)?;
    args.execution.notes().iter().for_each(|note| console.note(note));
    let progress = Progress::new(1, console);
    // Before what takes long to load, or to fetch.
    let trained = trained(args, &protocol, &progress, console)?;
    let pipelines = args
        .repo
        .iter()
        .map(|repo| loaded(args, repo, &progress, progress.of_hub()))
        .collect::<Result<Vec<_>>>()?;
    for pipeline in &pipelines {
        pipeline.notes().iter().for_each(|note| {
            progress.around(|| console.note(format!("{}: {note}", pipeline.model().source)));
        });
    }
    progress.step("listing the data set");
    let evaluated = evaluate(
        Evaluation {
            data: &args.data,
            protocol: &protocol,
            pipelines: &pipelines.iter().collect::<Vec<_>>(),
            out: &args.out,
            options: EvaluateOptions {
                shard: args.shard,
                least: least(args.least),
                trained,
                ..EvaluateOptions::default()
            },
        },
        &|at| progress.of_pictures(at.done, at.before, at.total),
    )?;
    drop(progress);
    finished(&evaluated, &args.out, &command_line(arguments), console)
}

/// The metrics by trained networks, and a note of those that are left out.
fn trained(
    args: &EvaluateArgs,
    protocol: &Protocol,
    progress: &Progress,
    console: Console,
) -> Result<TrainedMetrics> {
    let folders = WeightFolders::with_torch_hub(args.metric_weights.clone());
    let threads = args.execution.threads_at_most();
    let (mut there, left_out) = TrainedMetrics::of_protocol(&folders, protocol, threads)?;
    if let Some(path) = &args.reference {
        progress.step("reading the reference");
        there = there.against(path, protocol)?;
    }
    let downloaded = there.files().filter(|file| folders.is_downloaded(file));
    let names: BTreeSet<String> = downloaded.map(|file| file.display().to_string()).collect();
    if !names.is_empty() {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        progress.around(|| console.note(format!("weights that torch has downloaded: {names}")));
    }
    if !left_out.is_empty() {
        let left_out = left_out.join(", ");
        let note = match folders.own {
            Some(folder) => {
                format!("left out, no weights of it in {}: {left_out}", folder.display())
            }
            None => format!("left out without --metric-weights: {left_out}"),
        };
        progress.around(|| console.note(note));
    }
    Ok(there)
}

pub fn merge(args: &MergeArgs, arguments: &[OsString], console: Console) -> Result<Outcome> {
    check_working_directory()?;
    places::check_folder("--out", &args.out, &ReadFiles::of([]))?;
    let (least, version) = (least(args.least), env!("CARGO_PKG_VERSION"));
    let reference = args.reference.as_deref();
    let evaluated = evaluation::merge(&args.folders, &args.out, &least, reference, version)?;
    finished(&evaluated, &args.out, &command_line(arguments), console)
}

fn loaded(
    args: &EvaluateArgs,
    repo: &str,
    progress: &Progress,
    of_hub: HubProgress,
) -> Result<Pipeline> {
    let mut builder = Pipeline::builder().repo(repo);
    // Beside others the built-in VAE, which has neither folders nor revisions, is not meant.
    if !(args.repo.len() > 1 && repo == "builtin") {
        builder = args.about.applied(builder);
    }
    let builder = args.execution.applied(builder);
    progress.step("loading the VAE");
    let options = args.about.options(&builder.source()?, of_hub)?;
    builder.opened_with(options).build()
}

fn least(args: LeastArgs) -> Least {
    Least { psnr_db: args.min_psnr, ssim: args.min_ssim, ms_ssim: args.min_ms_ssim }
}

fn finished(evaluated: &Evaluated, out: &Path, command: &str, console: Console) -> Result<Outcome> {
    let page = evaluation_page(evaluated, command)?;
    // The folder has no links: an evaluation refuses them.
    write_atomically(&out.join("report.html"), &console.page(&page))?;
    let report = &evaluated.report;
    console.result(report, report)?;
    if report.errors > 0 && !console.json {
        let first = report.failures.first();
        let first = first.map_or(String::new(), |failure| format!(": {}", failure.error));
        console.failure(
            "image",
            &format!(
                "{} of {} pictures could not be judged{first}",
                report.errors, report.pictures
            ),
            &format!("mend them or leave them out, and run it again; {} names them", out.display()),
        )?;
    }
    Ok(outcome(report))
}

fn outcome(report: &EvaluationReport) -> Outcome {
    match report.errors {
        0 => report.verdict.into(),
        _ => Outcome::NotJudged,
    }
}
