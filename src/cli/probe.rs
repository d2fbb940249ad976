//! `probe`: synthetic charts through one VAE.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use crate::output::write_all_atomically;
use crate::pictures::sheet;
use crate::pipeline::{ProbeOptions, ProbeRun};
use crate::pixels::encode_png;
use crate::probe::check_side;
use crate::report::SavedFile;
use crate::{Result, Rgb8};

use super::cases::Subject;
use super::check::command_line;
use super::ci_files::recorded;
use super::console::Console;
use super::loading::loaded;
use super::outcome::Outcome;
use super::places::{self, ReadFiles, check_ending, check_png_name};
use super::probe_args::ProbeArgs;
use super::progress::Progress;
use super::run_args::check_working_directory;

pub fn run(args: &ProbeArgs, arguments: &[OsString], console: Console) -> Result<Outcome> {
    check_working_directory()?;
    args.size.map_or(Ok(()), check_side)?;
    let builder = args.model.pipeline();
    let source = builder.source()?;
    let progress = Progress::new(1, console);
    let options = args.model.about.options(&source, progress.of_hub())?;
    args.out.as_deref().map_or(Ok(()), |path| check_png_name("--out", path))?;
    args.report
        .as_deref()
        .map_or(Ok(()), |path| check_ending("--report", path, "HTML", &["html", "htm"]))?;
    let outputs: Vec<(&str, &Path)> = [("--out", &args.out), ("--report", &args.report)]
        .into_iter()
        .filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
        .collect();
    let named = [&outputs[..], &args.ci.named()?].concat();
    places::check(&named, &ReadFiles::with_source([], &source, &options))?;
    let subjects = vec![Subject::source(&args.model.repo)];
    recorded(&args.ci, "probe", subjects, console, |cases| {
        builder.execution()?;

        let builder = builder.opened_with(options);
        let Some((pipeline, progress)) = loaded(builder, progress, console, cases)? else {
            return Ok(Outcome::NotJudged);
        };
        let what = |flag: &str| if flag == "--out" { "charts" } else { "report" }.to_owned();
        let saved =
            |&(flag, path): &(&str, &Path)| SavedFile { what: what(flag), path: path.to_owned() };
        let options = ProbeOptions {
            size: args.size,
            notes: args.model.execution.notes(),
            saved: outputs.iter().map(saved).collect(),
        };
        let started = Instant::now();
        let run = pipeline.probe_with(&options, |step| progress.step(&step.to_string()))?;
        progress.step("writing");
        write(args, &run, &command_line(arguments), console)?;
        drop(progress);
        let report = &run.report;
        cases.judged(started.elapsed(), report);
        report.notes.iter().for_each(|note| console.note(note));
        console.result(report, report)?;
        Ok(report.verdict.into())
    })
}

fn write(args: &ProbeArgs, run: &ProbeRun, command: &str, console: Console) -> Result<()> {
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    if let Some(path) = &args.out {
        let name = |chart: &str, trips: usize| match trips {
            1 => chart.to_owned(),
            trips => format!("{chart}, {trips} trips"),
        };
        let pairs: Vec<(String, &Rgb8, &Rgb8)> = run
            .shown
            .iter()
            .map(|shown| (name(shown.chart.name(), shown.trips), &shown.drawn, &shown.decoded))
            .collect();
        files.push((path, encode_png(&sheet(&pairs)?)?));
    }
    if let Some(path) = &args.report {
        let page = run.report.to_html(&run.shown, command)?;
        files.push((path, console.page(&page)));
    }
    write_all_atomically(&files)
}
