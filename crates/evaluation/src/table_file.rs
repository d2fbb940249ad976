//! Any table as a parquet file.

use vae_fidelity_files::error::Result;

use crate::columns::written;

/// A column's values, row by row; `None` where a row has none.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Text.
    Texts(Vec<Option<String>>),
    /// Whole numbers.
    Whole(Vec<Option<u64>>),
    /// Numbers.
    Numbers(Vec<Option<f64>>),
    /// Truths.
    Truths(Vec<Option<bool>>),
}

/// The bytes of a parquet file with `columns`, each under its name.
///
/// # Errors
///
/// When columns are of different lengths, or a name is none that a schema can have.
pub fn table_file(columns: &[(String, Column)]) -> Result<Vec<u8>> {
    let fields = columns.iter().map(|(name, column)| {
        let kind = match column {
            Column::Texts(_) => return format!("optional binary {name} (STRING);"),
            Column::Whole(_) => "int64",
            Column::Numbers(_) => "double",
            Column::Truths(_) => "boolean",
        };
        format!("optional {kind} {name};")
    });
    let schema = format!("message table {{ {} }}", fields.collect::<Vec<_>>().join(" "));
    written(&schema, |writer| {
        columns.iter().try_for_each(|(_, column)| match column {
            Column::Texts(texts) => writer.texts(texts.iter().map(Option::as_deref)),
            Column::Whole(numbers) => writer.optional_numbers(numbers.iter().copied()),
            Column::Numbers(numbers) => writer.doubles(numbers.iter().copied()),
            Column::Truths(truths) => writer.truths(truths.iter().copied()),
        })
    })
}
