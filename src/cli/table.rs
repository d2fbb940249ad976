//! What a run comes to, as a table: a row for each picture or checkpoint.

use std::path::Path;

use serde_json::{Map, Value};

use crate::output::write_error;
use crate::printable::{printable, printable_json};
use crate::{Error, Result};

use super::cases::{Case, Cases, End};
use super::console::Console;

/// Longer names push what stands beside them to the right.
const LONGEST_NAME: usize = 60;

/// A row's columns by name, in order.
type Row = Vec<(String, Value)>;

/// The table of `cases`, in the format that the ending of `path` names.
pub fn table(path: &Path, cases: &Cases, console: Console) -> Result<Vec<u8>> {
    let rows: Vec<Row> = cases.cases.iter().map(|case| row(case, console)).collect();
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match ending.to_ascii_lowercase().as_str() {
        "jsonl" => lines(&rows).map_err(|error| Error::output(path, error, "report this as a bug")),
        #[cfg(feature = "evaluate")]
        "parquet" => parquet(&rows),
        _ => csv(&rows).map_err(|error| write_error(path, &error)),
    }
}

/// The table as a person reads it: verdict, PSNR and SSIM.
pub fn text(cases: &Cases) -> String {
    let names: Vec<String> =
        cases.cases.iter().map(|case| printable(&case.subject.name).into_owned()).collect();
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let width = longest.clamp("picture".len(), LONGEST_NAME);
    let mut text =
        format!("{:width$}  {:10}  {:>9}  {:>6}\n", "picture", "verdict", "PSNR", "SSIM");
    for (case, name) in cases.cases.iter().zip(&names) {
        let verdict = match &case.end {
            End::Judged(reasons) if reasons.is_empty() => "pass",
            End::Judged(_) => "fail",
            End::NotJudged(_) => "not judged",
        };
        let number = |name: &str| case.numbers.get(name).and_then(Value::as_f64);
        let psnr_db = number("psnr_db").map_or(String::new(), |db| format!("{db:.2} dB"));
        let ssim = number("ssim").map_or(String::new(), |ssim| format!("{ssim:.4}"));
        let row = format!("{name:width$}  {verdict:10}  {psnr_db:>9}  {ssim:>6}");
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn row(case: &Case, console: Console) -> Row {
    let (verdict, reasons, error) = match &case.end {
        End::Judged(reasons) if reasons.is_empty() => ("pass".into(), Value::Null, Value::Null),
        End::Judged(reasons) => ("fail".into(), reasons.join("; ").into(), Value::Null),
        End::NotJudged(error) => (Value::Null, Value::Null, error.to_string().into()),
    };
    let codes: Vec<&str> = case.findings.iter().map(|finding| finding.code.as_str()).collect();
    let said = [
        ("id", case.subject.name.clone().into()),
        ("verdict", verdict),
        ("error", error),
        ("reasons", reasons),
        ("findings", codes.join(" ").into()),
    ];
    let shown = |value: Value| match value {
        Value::String(text) => console.shown(&text).into(),
        other => other,
    };
    let said = said.into_iter().map(|(name, value)| (name.to_owned(), shown(value)));
    said.chain(case.numbers.clone()).collect()
}

/// The names of all columns: a picture without SSIM lacks that one.
fn names(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn value<'a>(row: &'a Row, name: &str) -> &'a Value {
    row.iter().find(|(of, _)| of == name).map_or(&Value::Null, |(_, value)| value)
}

/// As RFC 4180 has it; what is not there is an empty field.
fn csv(rows: &[Row]) -> std::io::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = names(rows);
    writer.write_record(&names)?;
    for row in rows {
        writer.write_record(names.iter().map(|name| match value(row, name) {
            Value::Null => String::new(),
            // A spreadsheet shows it, and a terminal.
            Value::String(text) => printable(text).into_owned(),
            other => other.to_string(),
        }))?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// An object a line.
fn lines(rows: &[Row]) -> serde_json::Result<Vec<u8>> {
    let names = names(rows);
    let mut lines = Vec::new();
    for row in rows {
        let cells = names.iter().map(|name| (name.clone(), value(row, name).clone()));
        let line = serde_json::to_string(&cells.collect::<Map<String, Value>>())?;
        lines.extend(printable_json(&line).as_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(feature = "evaluate")]
fn parquet(rows: &[Row]) -> Result<Vec<u8>> {
    use crate::evaluation::{Column, table_file};

    let columns = names(rows).into_iter().map(|name| {
        let values = || rows.iter().map(|row| value(row, &name));
        let all = |is: fn(&Value) -> bool| values().all(|value| value.is_null() || is(value));
        let column = match () {
            () if all(Value::is_boolean) && !all(Value::is_null) => {
                Column::Truths(values().map(Value::as_bool).collect())
            }
            () if all(Value::is_u64) && !all(Value::is_null) => {
                Column::Whole(values().map(Value::as_u64).collect())
            }
            () if all(Value::is_number) && !all(Value::is_null) => {
                Column::Numbers(values().map(Value::as_f64).collect())
            }
            () => Column::Texts(values().map(|text| text.as_str().map(str::to_owned)).collect()),
        };
        (name, column)
    });
    table_file(&columns.collect::<Vec<_>>())
}
