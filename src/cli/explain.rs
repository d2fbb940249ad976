//! `explain`: the table of codes, or one row of it.

use std::fmt::{self, Display};

use crate::diagnosis::{Code, code, codes};
use crate::{Error, Result};
use anstyle::Style;

use super::Outcome;
use super::args::ExplainArgs;
use super::console::Console;
use super::objects::ExplainReport;

const FAINT: Style = Style::new().dimmed();
const STRONG: Style = Style::new().bold();
/// Columns of running text.
const WIDTH: usize = 84;

pub fn run(args: &ExplainArgs, console: Console) -> Result<Outcome> {
    match &args.code {
        None => {
            let rows: Vec<&Code> = codes().collect();
            console.result(&ExplainReport::new(rows.clone()), List(&rows))?;
        }
        Some(name) => {
            let row = code(name).ok_or_else(|| {
                Error::option(
                    format!("explain {name}"),
                    "is no code of a finding",
                    "list them all: vae-fidelity explain",
                )
            })?;
            console.result(&ExplainReport::new(vec![row]), Row(row))?;
        }
    }
    Ok(Outcome::Passed)
}

struct List<'a>(&'a [&'a Code]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.0.iter().map(|row| row.code.len()).max().unwrap_or(0);
        for row in self.0 {
            let severity = row.severity.to_string();
            write!(f, "{STRONG}{:<widest$}{STRONG:#}  {severity:<7}  {}", row.code, row.title)?;
            if row.decided_by.is_empty() {
                write!(f, " {FAINT}(not decided by this version){FAINT:#}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

struct Row<'a>(&'a Code);

impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(row) = self;
        writeln!(f, "{STRONG}{}{STRONG:#} ({}): {}", row.code, row.severity, row.title)?;
        let decided_by = match row.decided_by {
            [] => {
                "nothing in this version: it is named here so that you can look for it".to_owned()
            }
            commands => commands.join("; "),
        };
        let parts = [
            ("meaning", row.meaning),
            ("rule", row.rule),
            ("found by", &decided_by),
            ("remedy", row.remedy),
            ("diffusers", row.diffusers),
            ("ComfyUI", row.comfyui),
            ("ports", row.ports),
            ("sources", &row.sources.join(", ")),
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
