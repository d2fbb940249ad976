//! The command line: parse, run, print, exit code. The only place where exit codes are chosen.

mod args;
mod byte_size;
mod cases;
mod check;
mod check_args;
mod ci_args;
mod ci_files;
mod compare;
mod console;
mod decode;
mod decode_args;
mod engine;
#[cfg(feature = "evaluate")]
mod evaluate;
#[cfg(feature = "evaluate")]
mod evaluate_args;
mod explain;
#[cfg(feature = "evaluate")]
mod explain_gap;
mod flags;
mod folders;
mod golden;
mod images;
mod inspect;
mod inspect_args;
mod junit;
mod loading;
mod objects;
mod outcome;
mod outputs;
mod panic;
mod places;
mod probe;
mod probe_args;
mod progress;
mod results;
mod run_args;
mod sarif;
#[cfg(feature = "schema")]
mod schema;
mod shared_args;
mod show;
mod source_args;
mod table;
mod trace;
mod trace_args;
mod usage;
mod user_files;
mod version;

#[cfg(feature = "schema")]
pub use schema::json_schema;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

pub use args::command;
use args::{Cli, Command, GoldenCommand};
use console::Console;
pub use flags::named as with_flags;
use folders::Folders;
use outcome::Outcome;

/// Runs the command `vae-fidelity` as if it was called with `arguments`, the first of which is the
/// program's name, and returns its exit code: 0 pass, 1 judged and failed, 2 could not judge.
///
/// Prints to standard output and standard error, and shows progress where the latter is a terminal.
/// A wrong command line, an error and a bug each become a message and an exit code: nothing
/// panics or exits the process. Replaces the process's panic hook. In a build with the feature `tch`,
/// `golden verify` sets an environment variable: there no other thread may read or set one.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Whoever asked for JSON gets it for a wrong command line and for a bug, too.
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|a| a == "--json");
    let console = Console { json, quiet: false, strip: None };
    let outcome = panic::caught(|| match Cli::try_parse_from(&arguments) {
        Ok(cli) => dispatch(cli, json, &arguments),
        Err(usage) => usage::explain(&usage, &arguments, console),
    });
    let outcome = outcome.unwrap_or_else(|place| {
        // Nothing more can be done if stdout is gone as well.
        let message = format!("internal error{place}");
        let _ = console.failure("internal", &message, panic::NEXT);
        Outcome::NotJudged
    });
    // Nothing more can be done if stdout is gone.
    let _ = std::io::stdout().flush();
    outcome as u8
}

fn dispatch(cli: Cli, json: bool, arguments: &[OsString]) -> Outcome {
    let folders = cli.style.strip_paths.then(|| Folders::of(arguments));
    let strip = folders.as_ref();
    let console = Console { json: json || cli.style.json, quiet: cli.style.quiet, strip };
    let outcome = match cli.command {
        Command::Check(args) => check::run(&args, arguments, console),
        Command::Trace(args) => trace::run(&args, console),
        Command::Decode(args) => decode::run(&args, console),
        Command::Probe(args) => probe::run(&args, arguments, console),
        #[cfg(feature = "evaluate")]
        Command::Evaluate(args) => evaluate::run(&args, arguments, console),
        #[cfg(feature = "evaluate")]
        Command::Merge(args) => evaluate::merge(&args, arguments, console),
        #[cfg(feature = "evaluate")]
        Command::ExplainGap(args) => explain_gap::run(&args, console),
        Command::Compare(args) => compare::run(&args, console),
        Command::Inspect(args) => inspect::run(&args, console),
        Command::Explain(args) => explain::run(&args, console),
        Command::Golden(GoldenCommand::List(args)) => golden::list(&args, console),
        Command::Golden(GoldenCommand::Verify(args)) => golden::verify(&args, console),
        Command::Golden(GoldenCommand::Export(args)) => golden::export(&args, console),
    };
    outcome.unwrap_or_else(|error| not_judged(&error, console))
}

fn not_judged(error: &crate::Error, console: Console) -> Outcome {
    if let Err(error) = console.error(error, None) {
        // stdout is full or closed: stderr is what is left.
        let _ = Console { json: false, ..console }.error(&error, None);
    }
    Outcome::NotJudged
}
