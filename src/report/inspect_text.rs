//! `inspect` for a reader in front of a terminal.

use std::fmt::{self, Display};
use std::path::Path;

use serde_json::Value;

use super::inspect::{InspectDifference, InspectReport};
use super::lines::{BAD, FAINT, GOOD, line, number, tuple};
use super::text::{finding_lines, verdict_lines};
use crate::checkpoint::Origin;
use crate::checkpoint::TensorDifference;
use crate::config::Class;
use crate::metrics::WeightStatistics;
use crate::printable::{printable, shown};

/// How many names of a list are printed.
const SHOWN: usize = 12;

impl Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.revision.as_ref().map(|commit| format!(" at {commit}")).unwrap_or_default();
        line(f, "source", format_args!("{}{at}", printable(&self.source)))?;
        for file in &self.files {
            line(f, "file", format_args!("{} ({} bytes)", shown(file.path.display()), file.bytes))?;
            line(f, "", format_args!("{FAINT}sha256{FAINT:#} {}", file.sha256))?;
        }
        self.config_lines(f)?;
        line(f, "family", format_args!("{}: {}", self.family.name, printable(&self.family.why)))?;
        let tensors = &self.tensors;
        let count = |count: usize, what: &str| match count {
            0 => format!("0 {what}"),
            _ => format!("{BAD}{count} {what}{BAD:#}"),
        };
        line(
            f,
            "tensors",
            format_args!(
                "{} found, {} expected: {}, {}, {}; {} of other models",
                tensors.found,
                tensors.expected,
                count(tensors.missing.len(), "missing"),
                count(tensors.unexpected.len(), "unexpected"),
                count(tensors.shape_mismatches.len(), "of another shape"),
                tensors.others,
            ),
        )?;
        let missing =
            tensors.missing.iter().map(|t| format!("missing {} {}", t.name, tuple(&t.shape)));
        let unexpected = tensors.unexpected.iter();
        let unexpected =
            unexpected.map(|t| format!("unexpected {} {} {}", t.name, tuple(&t.shape), t.dtype));
        let shape_mismatches = tensors.shape_mismatches.iter().map(|t| {
            format!(
                "shape mismatch {} {}, expected {}",
                t.name,
                tuple(&t.found),
                tuple(&t.expected)
            )
        });
        listed(f, missing)?;
        listed(f, unexpected)?;
        listed(f, shape_mismatches)?;
        let dtypes: Vec<String> = self
            .dtypes
            .iter()
            .map(|(dtype, stored)| format!("{dtype} in {} tensors", stored.tensors))
            .collect();
        line(f, "weights", format_args!("{} parameters: {}", self.parameters, dtypes.join(", ")))?;
        line(f, "values", in_numbers(&self.statistics))?;
        finding_lines(f, &self.findings)?;
        verdict_lines(f, self.verdict, &self.verdict_reasons, &self.findings)
    }
}

impl InspectReport {
    /// A line for each tensor that is there (`--tensors`).
    pub fn tensor_lines(&self) -> String {
        let each = &self.tensors.each;
        let width = each.iter().map(|tensor| tensor.info.name.len()).max().unwrap_or(0);
        let shapes = each.iter().map(|tensor| tuple(&tensor.info.shape).len()).max().unwrap_or(0);
        each.iter()
            .map(|tensor| {
                let info = &tensor.info;
                let values = match &tensor.statistics {
                    Some(statistics) => in_numbers(statistics),
                    None => "not read".to_owned(),
                };
                let (name, shape) = (printable(&info.name), tuple(&info.shape));
                format!("{name:<width$}  {shape:<shapes$}  {:<5} {values}\n", info.dtype)
            })
            .collect()
    }

    fn config_lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        match (&config.path, &config.other_class) {
            (Some(path), None) => {
                // Nearly all are of the one class, which needs no word.
                let class = match config.class {
                    Some(class) if class != Class::AutoencoderKL => {
                        format!(" of the class {}", class.name())
                    }
                    _ => String::new(),
                };
                line(f, "config", format_args!("{}{class}", shown(path.display())))?;
            }
            (Some(path), Some(class)) => {
                line(
                    f,
                    "config",
                    format_args!("{} ({BAD}{}{BAD:#})", shown(path.display()), printable(class)),
                )?;
            }
            (None, _) if self.files.is_empty() => line(f, "config", "built in")?,
            (None, _) => line(f, "config", "no file")?,
        }
        for (field, value) in &config.values {
            let from = match config.from.get(field) {
                Some(Origin::File) => "",
                Some(Origin::Default) => "left out: diffusers' default",
                Some(Origin::Shapes) => "off the shapes",
                Some(Origin::Family) => "as the family published it",
                Some(Origin::Assumed) => "as every published family has it",
                None => "not settled: pass `family` or `config`",
            };
            let value = match value {
                Value::Null if !config.from.contains_key(field) => "?".to_owned(),
                Value::Array(items) => repeated(items),
                value => shown(value),
            };
            match from {
                "" => line(f, "", format_args!("{field:<24} {value}"))?,
                _ => line(f, "", format_args!("{field:<24} {value:<20} {FAINT}{from}{FAINT:#}"))?,
            }
        }
        if !config.unknown.is_empty() {
            line(
                f,
                "",
                format_args!(
                    "{FAINT}not known:{FAINT:#} {}",
                    printable(&config.unknown.join(", "))
                ),
            )?;
        }
        Ok(())
    }
}

impl Display for InspectDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let difference = &self.difference;
        for (name, source, files) in [("a", &self.a, &self.files_a), ("b", &self.b, &self.files_b)]
        {
            line(f, name, printable(source))?;
            // A file that is the source itself is named already.
            for file in files.iter().filter(|file| *file != Path::new(source)) {
                line(f, "", printable(&file.display().to_string()))?;
            }
        }
        if let Some(c) = &self.c {
            line(f, "c", printable(c))?;
        }
        for field in &difference.config {
            line(
                f,
                "config",
                format_args!(
                    "{}: {} in A, {} in B",
                    printable(&field.field),
                    shown(&field.a),
                    shown(&field.b)
                ),
            )?;
        }
        line(
            f,
            "tensors",
            format_args!(
                "{} compared: {} equal to the bit, {} in value; {} only in A, {} only in B, {} of \
                 other shapes",
                difference.compared,
                difference.bit_equal,
                difference.equal,
                difference.only_in_a.len(),
                difference.only_in_b.len(),
                difference.other_shapes.len(),
            ),
        )?;
        // The farthest first.
        let mut differing: Vec<&TensorDifference> =
            difference.tensors.iter().filter(|t| t.values.is_none_or(|v| !v.bit_equal)).collect();
        differing.sort_by(|a, b| farness(b).total_cmp(&farness(a)));
        listed(f, differing.into_iter().map(of_tensor))?;
        let style = if difference.identical { GOOD } else { BAD };
        line(f, "verdict", format_args!("{style}{}{style:#}", difference.conclusion))
    }
}

/// How far apart a tensor's values lie; those that cannot be compared come first.
fn farness(tensor: &TensorDifference) -> f64 {
    tensor.values.and_then(|values| values.max_abs_diff).unwrap_or(f64::INFINITY)
}

fn of_tensor(tensor: &TensorDifference) -> String {
    let side = |which: usize| match (&tensor.shapes[which], &tensor.dtypes[which]) {
        (Some(shape), Some(dtype)) => format!("{} {dtype}", tuple(shape)),
        _ => "missing".to_owned(),
    };
    let name = &tensor.name;
    let Some(values) = &tensor.values else {
        return format!("{name}: {} beside {}", side(0), side(1));
    };
    let what = match (values.equal, values.b_rounds_a, values.a_rounds_b) {
        (true, ..) => "the same values".to_owned(),
        (_, true, _) => "B is A rounded".to_owned(),
        (_, _, true) => "A is B rounded".to_owned(),
        _ => match &tensor.relation {
            Some(relation) => format!("{} values differ: B is A {relation}", values.differing),
            None => format!("{} values differ", values.differing),
        },
    };
    let most = number(values.max_abs_diff);
    format!("{name} {}: {what}, by {most} at most", side(0))
}

/// A list; the names of blocks, which are all alike, once.
fn repeated(items: &[Value]) -> String {
    match items {
        [first @ Value::String(name), rest @ ..] if rest.iter().all(|item| item == first) => {
            format!("{} x {}", items.len(), printable(name))
        }
        _ => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, lines: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let more = lines.len().saturating_sub(SHOWN);
    for text in lines.take(SHOWN) {
        line(f, "", printable(&text))?;
    }
    match more {
        0 => Ok(()),
        more => line(f, "", format_args!("{FAINT}and {more} more; `json` has all{FAINT:#}")),
    }
}

fn in_numbers(statistics: &WeightStatistics) -> String {
    let mut text = format!(
        "mean {}, std {}, range [{}, {}]",
        number(statistics.mean),
        number(statistics.std),
        number(statistics.min),
        number(statistics.max),
    );
    if let Some(kurtosis) = statistics.kurtosis {
        text += &format!(", kurtosis {kurtosis:.2}");
    }
    if statistics.is_zero() {
        text += ", all zero";
    } else if statistics.constant {
        text += ", constant";
    }
    if statistics.non_finite > 0 {
        text += &format!(", {BAD}{} NaN or infinite{BAD:#}", statistics.non_finite);
    }
    text
}
