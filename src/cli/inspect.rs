//! `inspect`: what a checkpoint holds, or what differs between two.

use std::time::Instant;

use crate::checkpoint::{Contents, OpenOptions, Source};
use crate::report::{InspectDifference, InspectReport};
use crate::{Error, Result};

use super::cases::{Cases, Subject};
use super::ci_files::recorded;
use super::console::Console;
use super::inspect_args::InspectArgs;
use super::outcome::Outcome;
use super::places::{self, ReadFiles};
use super::progress::Progress;

type Named = (Source, OpenOptions);

pub fn run(args: &InspectArgs, console: Console) -> Result<Outcome> {
    let progress = Progress::new(1, console);
    let named = |name: &str, variant: Option<&String>, key: Option<&String>| -> Result<Named> {
        // Where the source is an argument, there is no flag to name.
        let source = args.about.source(name).map_err(|error| {
            let [subject, next] = [error.subject(), error.next()].map(|s| s.replace("`repo` ", ""));
            Error::new(error.kind(), subject, error.problem(), next)
        })?;
        let mut options = args.about.options(&source, progress.of_hub())?;
        options.variant = variant.cloned();
        options.key = key.cloned();
        Ok((source, options))
    };
    let (variant, key) = (args.about.variant.as_ref(), args.about.key.as_ref());
    let (of_other, key_of_other) = (args.other_variant.as_ref(), args.other_key.as_ref());
    let mut sources = vec![named(&args.source, variant, key)?];
    if let Some(other) = &args.other {
        sources.push(named(other, of_other.or(variant), key_of_other.or(key))?);
    }
    if let Some(third) = &args.third {
        sources.push(named(third, variant, key)?);
    }
    let outputs = args.ci.named()?;
    if !outputs.is_empty() {
        let mut reads = ReadFiles::of(args.about.config.clone());
        sources.iter().for_each(|(source, options)| reads.add_source(source, options));
        places::check(&outputs, &reads)?;
    }

    let names = [Some(&args.source), args.other.as_ref(), args.third.as_ref()];
    let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
    let subject = Subject { name: names.join(" and "), ..Subject::source(&args.source) };
    recorded(&args.ci, "inspect", vec![subject], console, |cases| {
        let open = |(source, options): &Named| {
            progress.step("reading the files");
            Contents::open(source, options)
        };
        let started = Instant::now();
        let contents = sources.iter().map(open).collect::<Result<Vec<_>>>()?;
        cases.lies_in(contents[0].files().first().map(|path| path.as_path()));
        match contents.as_slice() {
            [contents] => one(args, contents, progress, console, started, cases),
            several => compared(several, progress, console, started, cases),
        }
    })
}

fn one(
    args: &InspectArgs,
    contents: &Contents,
    progress: Progress,
    console: Console,
    started: Instant,
    cases: &mut Cases,
) -> Result<Outcome> {
    progress.step("measuring the weights");
    let report = InspectReport::of(contents)?;
    contents.check_unchanged()?;
    drop(progress);
    cases.judged(started.elapsed(), &report);
    report.notes.iter().for_each(|note| console.note(note));
    let each = if args.tensors { report.tensor_lines() } else { String::new() };
    console.result(&report, format_args!("{each}{report}"))?;
    Ok(report.verdict.into())
}

/// Two sources, or three: the second held against the first, beside the third.
fn compared(
    contents: &[Contents],
    progress: Progress,
    console: Console,
    started: Instant,
    cases: &mut Cases,
) -> Result<Outcome> {
    if let Some(damage) = contents.iter().flat_map(Contents::damages).next() {
        let next = "vae-fidelity inspect on it alone says more; fetch it again to compare";
        return Err(Error::checkpoint(&damage.path, &damage.problem, next));
    }
    progress.step("comparing");
    let report = InspectDifference::beside(&contents[0], &contents[1], contents.get(2));
    contents.iter().try_for_each(Contents::check_unchanged)?;
    drop(progress);
    cases.judged(started.elapsed(), &report);
    report.notes.iter().for_each(|note| console.note(note));
    console.result(&report, &report)?;
    Ok(report.verdict.into())
}
