//! `explain`: every code, or what is known of one.

use std::fmt::{self, Display};

use crate::diagnosis::{Cause, Code};
use crate::{Error, Result};
use anstyle::Style;

use super::args::ExplainArgs;
use super::console::Console;
use super::objects::ExplainReport;
use super::outcome::Outcome;

const FAINT: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();
/// Columns of running text.
const WIDTH: usize = 84;

pub fn run(args: &ExplainArgs, console: Console) -> Result<Outcome> {
    match &args.code {
        None => {
            let causes: Vec<&'static Cause> = Code::ALL.iter().map(|code| code.cause()).collect();
            console.result(&ExplainReport::new(causes.clone()), List(&causes))?;
        }
        Some(name) => {
            let code = Code::from_name(name).ok_or_else(|| {
                Error::option(
                    format!("explain {name}"),
                    "is no code of a finding",
                    "list them all: vae-fidelity explain",
                )
            })?;
            let cause = code.cause();
            console.result(&ExplainReport::new(vec![cause]), Explained(cause))?;
        }
    }
    Ok(Outcome::Passed)
}

struct List<'a>(&'a [&'a Cause]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.0.iter().map(|cause| cause.code.as_str().len()).max().unwrap_or(0);
        for cause in self.0 {
            let severity = cause.severity.to_string();
            let Cause { code, title, .. } = cause;
            writeln!(f, "{STRONG}{code:<widest$}{STRONG:#}  {severity:<7}  {title}")?;
        }
        Ok(())
    }
}

struct Explained(&'static Cause);

impl Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(cause) = self;
        writeln!(f, "{STRONG}{}{STRONG:#} ({}): {}", cause.code, cause.severity, cause.title)?;
        let decided_by: Vec<String> = cause.decided_by.iter().map(ToString::to_string).collect();
        let parts = [
            ("meaning", cause.meaning),
            ("rule", cause.rule),
            ("found by", &decided_by.join("; ")),
            ("remedy", cause.remedy),
            ("diffusers", cause.diffusers),
            ("ComfyUI", cause.comfyui),
            ("ports", cause.ports),
            ("sources", &cause.sources.join(", ")),
        ];
        for (name, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            for (at, line) in wrapped(text).iter().enumerate() {
                let name = if at == 0 { name } else { "" };
                writeln!(f, "{FAINT}{name:<9}{FAINT:#} {line}")?;
            }
        }
        Ok(())
    }
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
