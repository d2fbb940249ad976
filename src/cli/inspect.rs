//! `inspect`: what a checkpoint holds, or what differs between two.

use crate::checkpoint::Contents;
use crate::report::{InspectDifference, InspectReport};
use crate::{Error, Result};

use super::Outcome;
use super::console::Console;
use super::inspect_args::InspectArgs;
use super::progress::Progress;

pub fn run(args: &InspectArgs, console: Console) -> Result<Outcome> {
    let progress = Progress::new(1, console);
    let open = |name: &str| {
        progress.step("reading the files");
        // Where the source is an argument, there is no flag to name.
        let source = args.about.source(name).map_err(|error| {
            let [subject, next] = [error.subject(), error.next()].map(|s| s.replace("`repo` ", ""));
            Error::new(error.kind(), subject, error.problem(), next)
        })?;
        Contents::open(&source, &args.about.options(&source, progress.of_hub())?)
    };
    let contents = open(&args.source)?;
    if let Some(other) = &args.other {
        let other = open(other)?;
        if let Some(damage) = contents.damages().iter().chain(other.damages()).next() {
            let next = "vae-fidelity inspect on it alone says more; fetch it again to compare";
            return Err(Error::checkpoint(&damage.path, &damage.problem, next));
        }
        progress.step("comparing");
        let report = InspectDifference::of(&contents, &other);
        contents.check_unchanged().and_then(|()| other.check_unchanged())?;
        drop(progress);
        report.notes.iter().for_each(|note| console.note(note));
        console.result(&report, &report)?;
        return Ok(report.verdict.into());
    }
    progress.step("measuring the weights");
    let report = InspectReport::of(&contents)?;
    contents.check_unchanged()?;
    drop(progress);
    report.notes.iter().for_each(|note| console.note(note));
    let each = if args.tensors { report.tensor_lines() } else { String::new() };
    console.result(&report, format_args!("{each}{report}"))?;
    Ok(report.verdict.into())
}
