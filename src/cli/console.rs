//! What goes to stdout and stderr, as text or as JSON.

use std::fmt::Display;
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::path::Path;

use super::flags;
use super::folders::Folders;
use super::objects::ErrorReport;
use crate::diagnosis::Finding;
use crate::error::io_reason;
use crate::output::wait_if_ending;
use crate::printable::{printable, printable_but, printable_json};
use crate::report::findings_text;
use crate::{Error, ErrorKind, Result};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

const ERROR: Style = AnsiColor::Red.on_default().bold();
/// How a word before what is worth knowing looks.
pub const FAINT: Style = Style::new().dimmed();

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

    /// The bytes of a page as [`Self::shown`] shows them, without what a terminal or an editor would act on.
    pub fn page(&self, page: &[u8]) -> Vec<u8> {
        let page = self.shown(&String::from_utf8_lossy(page));
        printable_but(&page, |c| matches!(c, '\n' | '\t')).into_owned().into_bytes()
    }

    /// As [`Self::page`], for JSON of several lines.
    pub fn json_page(&self, page: &[u8]) -> Vec<u8> {
        let page = self.shown(&String::from_utf8_lossy(page));
        let lines: Vec<_> = page.split('\n').map(printable_json).collect();
        lines.join("\n").into_bytes()
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
        let text = self.shown(&text);
        written(write!(stdout, "{}", tamed(&text)).and_then(|()| stdout.flush()))
    }

    /// Something worth knowing that is no error, on stderr.
    pub fn note(&self, note: impl Display) {
        if !self.quiet {
            // Nobody is left to tell when stderr is gone.
            let note = note.to_string();
            let note = self.shown(&note);
            let _ = writeln!(anstream::stderr(), "{FAINT}note:{FAINT:#} {}", printable(&note));
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
        wait_if_ending();
        let [message, next] = [message, next].map(|text| self.shown(text));
        if !self.json {
            let _ = writeln!(
                anstream::stderr(),
                "{ERROR}error:{ERROR:#} {}\n{FAINT} next:{FAINT:#} {}",
                printable(&message),
                printable(&next)
            );
            return Ok(());
        }
        self.print(&ErrorReport::new(code, message, next, input).with_findings(findings))
    }

    fn print(&self, object: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(object).map_err(|error| {
            Error::new(ErrorKind::Output, "JSON", error, "please report this as a bug")
        })?;
        let line = self.shown(&line);
        written(writeln!(io::stdout().lock(), "{}", printable_json(&line)))
    }
}

/// A report with its own colors, and nothing else that a terminal acts on: reports escape what files
/// say, and this stands behind them.
fn tamed(text: &str) -> String {
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        tamed += &printable_but(before, |c| c == '\n');
        let style = after.strip_prefix('[').and_then(|style| style.split_once('m'));
        let of_style = |c: char| c.is_ascii_digit() || c == ';';
        match style {
            Some((numbers, behind)) if numbers.chars().all(of_style) => {
                tamed.extend(["\u{1b}[", numbers, "m"]);
                rest = behind;
            }
            _ => {
                tamed += "\\u{1b}";
                rest = after;
            }
        }
    }
    tamed + &printable_but(rest, |c| c == '\n')
}

/// What writing to standard output came to; a reader that went away is no error.
pub fn written(result: io::Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind() != IoErrorKind::BrokenPipe => Err(Error::new(
            ErrorKind::Output,
            "standard output",
            format!("cannot be written: {}", io_reason(&error)),
            "redirect it to another place",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::tamed;

    #[test]
    fn only_colors_get_through() {
        let text =
            "\u{1b}[1m\u{1b}[31mbad\u{1b}[0m\n\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m\u{1b}[31";
        let expected =
            "\u{1b}[1m\u{1b}[31mbad\u{1b}[0m\n\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b}31m\\u{1b}[31";
        assert_eq!(tamed(text), expected);
    }
}
