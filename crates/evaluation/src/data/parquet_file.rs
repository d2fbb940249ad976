//! Pictures in a parquet file, in columns as Python's `datasets` writes them.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::Type;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::input::open_regular;

/// A column of pictures: a struct of `bytes` and `path`.
pub(super) struct ImageColumn {
    /// Its name; inside other structs with `.` between.
    pub name: String,
    /// The leaf that has the bytes.
    pub leaf: usize,
}

/// What of a parquet file is read.
pub(super) struct Pictures {
    pub columns: Vec<ImageColumn>,
    /// Rows of each row group.
    pub rows: Vec<usize>,
}

/// Where the pictures of the file at `path` lie.
///
/// # Errors
///
/// When it is no parquet file, and when no column is a struct of `bytes` and `path`.
pub(super) fn pictures(path: &Path) -> Result<Pictures> {
    let reader = open(path)?;
    let metadata = reader.metadata();
    let columns = image_columns(metadata.file_metadata().schema_descr());
    if columns.is_empty() {
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<&str> = schema.root_schema().get_fields().iter().map(|f| f.name()).collect();
        return Err(Error::image(
            path,
            format!(
                "expected a column of pictures, a struct of bytes and path; found {}",
                names.join(", ")
            ),
            "write it with Python's `datasets` and the feature Image(), or leave it out",
        ));
    }
    let rows = metadata.row_groups().iter().map(|group| group.num_rows().max(0) as usize).collect();
    Ok(Pictures { columns, rows })
}

fn image_columns(schema: &SchemaDescriptor) -> Vec<ImageColumn> {
    let leaf_of = |parts: &[String], name: &str| {
        schema.columns().iter().position(|column| {
            let path = column.path().parts();
            column.physical_type() == Type::BYTE_ARRAY
                && column.max_rep_level() == 0
                && path.split_last().is_some_and(|(last, above)| last == name && above == parts)
        })
    };
    let of = |(leaf, column): (usize, &parquet::schema::types::ColumnDescPtr)| {
        let (last, above) = column.path().parts().split_last()?;
        let of_picture = last == "bytes"
            && !above.is_empty()
            && leaf_of(above, "bytes") == Some(leaf)
            && leaf_of(above, "path").is_some();
        of_picture.then(|| ImageColumn { name: above.join("."), leaf })
    };
    schema.columns().iter().enumerate().filter_map(of).collect()
}

/// The file at `path`, its metadata read.
///
/// # Errors
///
/// When it cannot be read, or is no parquet file.
pub(super) fn open(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = open_regular(path)
        .map_err(|problem| Error::image(path, problem, "make the file readable"))?;
    let opened = catch_unwind(AssertUnwindSafe(|| SerializedFileReader::new(file)));
    let problem = match opened {
        Ok(Ok(reader)) => return Ok(reader),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the reader panicked".to_owned(),
    };
    Err(Error::image(
        path,
        format!("expected a parquet file: {problem}"),
        "write the file again, or leave it out of the data set",
    ))
}
