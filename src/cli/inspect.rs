//! `inspect`: what a checkpoint holds, or what differs between two.

use vae_fidelity::Result;
use vae_fidelity::checkpoint::Contents;
use vae_fidelity::report::{InspectDifference, InspectReport};

use super::Outcome;
use super::console::Console;
use super::inspect_args::InspectArgs;
use super::progress::Progress;

pub fn run(args: &InspectArgs, console: Console) -> Result<Outcome> {
    let progress = Progress::new(1, console);
    let open = |name: &str| {
        progress.step("reading the files");
        let source = args.about.source(name)?;
        Contents::open(&source, &args.about.options(&source, &progress)?)
    };
    let contents = open(&args.source)?;
    if let Some(other) = &args.other {
        let other = open(other)?;
        progress.step("comparing");
        let report = InspectDifference::of(&contents, &other);
        drop(progress);
        report.notes.iter().for_each(|note| console.note(note));
        console.result(&report, &report)?;
        return Ok(report.verdict.into());
    }
    progress.step("measuring the weights");
    let report = InspectReport::of(&contents)?;
    drop(progress);
    report.notes.iter().for_each(|note| console.note(note));
    let each = if args.tensors { report.tensor_lines() } else { String::new() };
    console.result(&report, format_args!("{each}{report}"))?;
    Ok(report.verdict.into())
}
