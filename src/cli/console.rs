//! What goes to stdout and stderr, as text or as JSON.

use std::fmt::Display;
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::path::Path;

use super::flags;
use super::folders::Folders;
use super::objects::ErrorReport;
use crate::diagnosis::Finding;
use crate::report::findings_text;
use crate::{Error, ErrorKind, Result};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const FAINT: Style = Style::new().dimmed();

/// How to print; parsed from the command line.
#[derive(Debug, Clone, Copy)]
pub struct Console<'a> {
    pub json: bool,
    pub quiet: bool,
    /// Folders that are left out of what is printed.
    pub strip: Option<&'a Folders>,
}

impl Console<'_> {
    /// `text` as the user is to see it: flags in place of parameters, folders left out on request.
    pub fn shown(&self, text: &str) -> String {
        let text = flags::named(text);
        match self.strip {
            Some(folders) => folders.left_out(&text).into_owned(),
            None => text.into_owned(),
        }
    }

    /// A result: one line of JSON, or `text` unless quiet.
    ///
    /// Errors when stdout cannot be written; a reader that went away is no error.
    pub fn result(&self, object: &impl Serialize, text: impl Display) -> Result<()> {
        if self.json {
            return self.print(object);
        }
        if self.quiet {
            return Ok(());
        }
        let text = text.to_string();
        let mut stdout = anstream::stdout().lock();
        written(write!(stdout, "{}", self.shown(&text)).and_then(|()| stdout.flush()))
    }

    /// Something worth knowing that is no error, on stderr.
    pub fn note(&self, note: impl Display) {
        if !self.quiet {
            // Nobody is left to tell when stderr is gone.
            let note = note.to_string();
            let _ = writeln!(anstream::stderr(), "{FAINT}note:{FAINT:#} {}", self.shown(&note));
        }
    }

    /// Why a run could not be judged, or the picture `input` of several: JSON on stdout, text on
    /// stderr.
    pub fn error(&self, error: &Error, input: Option<&Path>) -> Result<()> {
        self.problem(error.kind().code(), &error.to_string(), error.next(), input, &[])
    }

    /// Why a checkpoint could not be loaded, beside what was found in it.
    pub fn unloaded(&self, error: &Error, findings: &[Finding]) -> Result<()> {
        self.problem(error.kind().code(), &error.to_string(), error.next(), None, findings)?;
        if !self.json && !self.quiet && !findings.is_empty() {
            let text = findings_text(findings);
            let _ = write!(anstream::stderr(), "{}", self.shown(&text));
        }
        Ok(())
    }

    /// As [`Console::error`], for what is no [`Error`] of the library.
    pub fn failure(&self, code: &str, message: &str, next: &str) -> Result<()> {
        self.problem(code, message, next, None, &[])
    }

    fn problem(
        &self,
        code: &str,
        message: &str,
        next: &str,
        input: Option<&Path>,
        findings: &[Finding],
    ) -> Result<()> {
        let [message, next] = [message, next].map(|text| self.shown(text));
        if !self.json {
            let _ = writeln!(
                anstream::stderr(),
                "{ERROR}error:{ERROR:#} {message}\n{FAINT} next:{FAINT:#} {next}"
            );
            return Ok(());
        }
        self.print(&ErrorReport::new(code, message, next, input).with_findings(findings))
    }

    fn print(&self, object: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(object).map_err(|error| {
            Error::new(ErrorKind::Output, "JSON", error, "please report this as a bug")
        })?;
        written(writeln!(io::stdout().lock(), "{}", self.shown(&line)))
    }
}

fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != IoErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Output,
            "standard output",
            format!("cannot be written: {error}"),
            "redirect it to another place",
        )),
        _ => Ok(()),
    }
}
