//! `inspect`: what a checkpoint holds, or what differs between two.

use crate::checkpoint::Contents;
use crate::report::{InspectDifference, InspectReport};
use crate::{Error, Result};

use super::console::Console;
use super::inspect_args::InspectArgs;
use super::outcome::Outcome;
use super::progress::Progress;

pub fn run(args: &InspectArgs, console: Console) -> Result<Outcome> {
    let progress = Progress::new(1, console);
    let open = |name: &str, variant: Option<&String>, key: Option<&String>| {
        progress.step("reading the files");
        // Where the source is an argument, there is no flag to name.
        let source = args.about.source(name).map_err(|error| {
            let [subject, next] = [error.subject(), error.next()].map(|s| s.replace("`repo` ", ""));
            Error::new(error.kind(), subject, error.problem(), next)
        })?;
        let mut options = args.about.options(&source, progress.of_hub())?;
        options.variant = variant.cloned();
        options.key = key.cloned();
        Contents::open(&source, &options)
    };
    let (variant, key) = (args.about.variant.as_ref(), args.about.key.as_ref());
    let contents = open(&args.source, variant, key)?;
    if let Some(other) = &args.other {
        let (of_other, key_of_other) = (args.other_variant.as_ref(), args.other_key.as_ref());
        let other = open(other, of_other.or(variant), key_of_other.or(key))?;
        let third = args.third.as_deref().map(|third| open(third, variant, key)).transpose()?;
        let all = [Some(&contents), Some(&other), third.as_ref()];
        if let Some(damage) = all.into_iter().flatten().flat_map(Contents::damages).next() {
            let next = "vae-fidelity inspect on it alone says more; fetch it again to compare";
            return Err(Error::checkpoint(&damage.path, &damage.problem, next));
        }
        progress.step("comparing");
        let report = InspectDifference::beside(&contents, &other, third.as_ref());
        let all = [Some(&contents), Some(&other), third.as_ref()];
        all.into_iter().flatten().try_for_each(Contents::check_unchanged)?;
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
