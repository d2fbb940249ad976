//! What a run comes to, as files for CI systems and as a table: written once, when it ends.

use std::path::Path;

use crate::output::write_all_atomically;
use crate::{Error, Result};

use super::cases::{Cases, Subject};
use super::ci_args::CiArgs;
use super::console::Console;
use super::outcome::Outcome;
use super::table::table;
use super::{junit, sarif};

/// Runs `judge` over `subjects`, and writes what became of them where `args` says: also where it ends in
/// an error, which is then that of every subject that still waits.
pub fn recorded(
    args: &CiArgs,
    command: &'static str,
    subjects: Vec<Subject>,
    console: Console,
    judge: impl FnOnce(&mut Cases) -> Result<Outcome>,
) -> Result<Outcome> {
    let mut cases = Cases::new(command, subjects);
    let outcome = judge(&mut cases);
    if let Err(error) = &outcome {
        cases.none_judged(error, &[]);
    }
    let written = write(args, &cases, console);
    // Of two errors, the first.
    outcome.and_then(|outcome| written.map(|()| outcome))
}

fn write(args: &CiArgs, cases: &Cases, console: Console) -> Result<()> {
    let mut files: Vec<(&Path, Vec<u8>)> = Vec::new();
    if let Some(path) = &args.junit {
        let document = junit::document(cases, console);
        files.push((path, document.map_err(|error| unwritten(path, &error))?));
    }
    if let Some(path) = &args.sarif {
        let log = serde_json::to_vec_pretty(&sarif::log(cases, console));
        let log = log.map_err(|error| unwritten(path, &error))?;
        files.push((path, console.json_page(&log)));
    }
    if let Some(path) = &args.table {
        files.push((path, table(path, cases, console)?));
    }
    write_all_atomically(&files)
}

fn unwritten(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::output(path, error, "please report this as a bug")
}
