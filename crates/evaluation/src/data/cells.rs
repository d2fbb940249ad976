//! Values of a parquet column, one after the other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::ByteArrayType;
use parquet::file::reader::FileReader;

use super::entry::Cell;
use super::parquet_file;

/// A column of one row group, at the row that is read next. A page at a time is in memory.
pub(super) struct Cells {
    path: PathBuf,
    at: Cell,
    optional: bool,
    reader: ColumnReaderImpl<ByteArrayType>,
}

impl Cells {
    /// Opens the column that `cell` lies in, at its first row.
    pub fn open(path: &Path, cell: Cell) -> Result<Self, String> {
        let file = parquet_file::open(path).map_err(|error| error.to_string())?;
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let group = file.get_row_group(cell.row_group)?;
            group.get_column_reader(cell.leaf)
        }));
        let column = caught.map_err(|_| "the reader panicked")?.map_err(|error| said(&error))?;
        let schema = file.metadata().file_metadata().schema_descr();
        let optional = schema.column(cell.leaf).max_def_level() > 0;
        match column {
            ColumnReader::ByteArrayColumnReader(reader) => {
                Ok(Self { path: path.to_owned(), at: Cell { row: 0, ..cell }, optional, reader })
            }
            _ => Err("expected a column of bytes".to_owned()),
        }
    }

    /// Whether `cell` is in this column, and not behind where it is.
    pub fn reaches(&self, path: &Path, cell: Cell) -> bool {
        self.path == path && cell.row >= self.at.row && Cell { row: self.at.row, ..cell } == self.at
    }

    /// Whether this is another column of the row group that `cell` is in.
    pub fn lies_beside(&self, path: &Path, cell: Cell) -> bool {
        self.path == path && self.at.row_group == cell.row_group && self.at.leaf != cell.leaf
    }

    /// The bytes at `row`, which lies where the reader is or after; `None` for a null.
    pub fn read(&mut self, row: usize) -> Result<Option<Vec<u8>>, String> {
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let skipped = row - self.at.row;
            if self.reader.skip_records(skipped)? < skipped {
                return Ok(None);
            }
            let (mut levels, mut values) = (Vec::new(), Vec::new());
            let levels = self.optional.then_some(&mut levels);
            let (records, ..) = self.reader.read_records(1, levels, None, &mut values)?;
            Ok((records == 1).then(|| values.pop()))
        }));
        let value = caught.map_err(|_| "the reader panicked")?;
        let value: Option<Option<parquet::data_type::ByteArray>> =
            value.map_err(|error: parquet::errors::ParquetError| said(&error))?;
        self.at.row = row + 1;
        match value {
            None => Err("the column ends before this row".to_owned()),
            Some(bytes) => Ok(bytes.map(|bytes| bytes.data().to_vec())),
        }
    }
}

/// What went wrong, and for a codec that is not built in what to do.
fn said(error: &parquet::errors::ParquetError) -> String {
    let text = error.to_string();
    match text.contains("Disabled feature") {
        true => format!("{text}; only Snappy and no compression are read: write the file again so"),
        false => text,
    }
}
