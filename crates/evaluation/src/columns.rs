//! Columns of a parquet file, written and read whole.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::open_regular;

type Parquet<T> = std::result::Result<T, ParquetError>;

/// Writes the columns of a file, in the order of its schema.
pub(crate) struct ColumnWriter<'a, 'b>(&'a mut SerializedRowGroupWriter<'b, Vec<u8>>);

/// A parquet file of `schema`, whose columns `columns` writes one after the other.
pub(crate) fn written(
    schema: &str,
    columns: impl FnOnce(&mut ColumnWriter) -> Parquet<()>,
) -> Result<Vec<u8>> {
    let write = || {
        let schema = Arc::new(parse_message_type(schema)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties))?;
        let mut group = file.next_row_group()?;
        columns(&mut ColumnWriter(&mut group))?;
        group.close()?;
        file.into_inner()
    };
    write().map_err(|error: ParquetError| {
        Error::new(ErrorKind::Output, "parquet", error, "please report this as a bug")
    })
}

impl ColumnWriter<'_, '_> {
    fn typed<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Parquet<()> {
        let Some(mut column) = self.0.next_column()? else {
            return Err(ParquetError::General("more columns than the schema has".to_owned()));
        };
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }

    /// A column of whole numbers, all of them there.
    pub fn numbers(&mut self, values: impl Iterator<Item = u64>) -> Parquet<()> {
        self.typed::<Int64Type>(&values.map(|value| value as i64).collect::<Vec<_>>(), None)
    }

    /// A column of whole numbers.
    pub fn optional_numbers(&mut self, values: impl Iterator<Item = Option<u64>>) -> Parquet<()> {
        let (values, levels) = split(values.map(|value| value.map(|value| value as i64)));
        self.typed::<Int64Type>(&values, Some(&levels))
    }

    /// A column of numbers.
    pub fn doubles(&mut self, values: impl Iterator<Item = Option<f64>>) -> Parquet<()> {
        let (values, levels) = split(values);
        self.typed::<DoubleType>(&values, Some(&levels))
    }

    /// A column of truths.
    pub fn truths(&mut self, values: impl Iterator<Item = Option<bool>>) -> Parquet<()> {
        let (values, levels) = split(values);
        self.typed::<BoolType>(&values, Some(&levels))
    }

    /// A column of text.
    pub fn texts<'t>(&mut self, values: impl Iterator<Item = Option<&'t str>>) -> Parquet<()> {
        let (values, levels) = split(values.map(|text| text.map(ByteArray::from)));
        self.typed::<ByteArrayType>(&values, Some(&levels))
    }
}

/// The values that are there, and 1 for each of them, 0 for each that is not.
fn split<T>(values: impl Iterator<Item = Option<T>>) -> (Vec<T>, Vec<i16>) {
    let values: Vec<Option<T>> = values.collect();
    let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
    (values.into_iter().flatten().collect(), levels)
}

/// Reads the columns of a file, in the order of its schema.
pub(crate) struct ColumnReader {
    file: SerializedFileReader<std::fs::File>,
    next: usize,
}

/// What `columns` reads of the file at `path`, which has `schema`.
///
/// # Errors
///
/// When it cannot be read, has another schema, or is broken.
pub(crate) fn read<T>(
    path: &Path,
    schema: &str,
    columns: impl FnOnce(&mut ColumnReader) -> Parquet<T>,
) -> Result<T> {
    let broken = |problem: String| {
        let next = "remove its folder and run again";
        Error::new(ErrorKind::Output, path.display(), problem, next)
    };
    let file = open_regular(path).map_err(broken)?;
    let read = || {
        let file = SerializedFileReader::new(file)?;
        let expected = parse_message_type(schema)?;
        if file.metadata().file_metadata().schema() != &expected {
            return Err(ParquetError::General("it has other columns".to_owned()));
        }
        columns(&mut ColumnReader { file, next: 0 })
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(broken(format!("expected rows of an evaluation: {error}"))),
        Err(_) => Err(broken("expected rows of an evaluation: the reader panicked".to_owned())),
    }
}

impl ColumnReader {
    fn typed<T: DataType>(&mut self) -> Parquet<Vec<Option<T::T>>> {
        let index = self.next;
        self.next += 1;
        let schema = self.file.metadata().file_metadata().schema_descr();
        let optional = schema.column(index).max_def_level() > 0;
        let mut all = Vec::new();
        for group in 0..self.file.num_row_groups() {
            let group = self.file.get_row_group(group)?;
            let rows = group.metadata().num_rows().max(0) as usize;
            let mut reader = get_typed_column_reader::<T>(group.get_column_reader(index)?);
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let mut read = 0;
            while read < rows {
                let levels = optional.then_some(&mut levels);
                let (records, ..) = reader.read_records(rows - read, levels, None, &mut values)?;
                if records == 0 {
                    return Err(ParquetError::EOF("a column ends early".to_owned()));
                }
                read += records;
            }
            let mut values = values.into_iter();
            match optional {
                true => {
                    all.extend(
                        levels.into_iter().map(
                            |level| {
                                if level > 0 { values.next() } else { None }
                            },
                        ),
                    );
                }
                false => all.extend(values.map(Some)),
            }
        }
        Ok(all)
    }

    /// A column of whole numbers.
    pub fn numbers(&mut self) -> Parquet<Vec<Option<u64>>> {
        let values = self.typed::<Int64Type>()?.into_iter();
        Ok(values.map(|value| value.map(|value| value as u64)).collect())
    }

    /// A column of numbers.
    pub fn doubles(&mut self) -> Parquet<Vec<Option<f64>>> {
        self.typed::<DoubleType>()
    }

    /// A column of text.
    pub fn texts(&mut self) -> Parquet<Vec<Option<String>>> {
        let values = self.typed::<ByteArrayType>()?.into_iter();
        let text = |value: ByteArray| String::from_utf8_lossy(value.data()).into_owned();
        Ok(values.map(|value| value.map(text)).collect())
    }
}
