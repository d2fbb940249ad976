//! Reading the pictures of a data set, best in their order.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::read_bytes;
use vae_fidelity_files::memory::reserve;

use super::cells::Cells;
use super::data_set::DataSet;
use super::entry::{Cell, Entry, Location};
use super::tar_archive;

/// Far above any picture's file.
const MAX_BYTES: u64 = 4 << 30;

/// Reads pictures of a data set. The file that was read from last stays open.
pub struct Reader<'a> {
    data: &'a DataSet,
    archive: Option<(usize, File)>,
    /// One for each column of a row group.
    cells: Vec<Cells>,
}

impl<'a> Reader<'a> {
    /// A reader of `data`; nothing is opened.
    pub fn new(data: &'a DataSet) -> Self {
        Self { data, archive: None, cells: Vec::new() }
    }

    /// The bytes of `entry`'s file. In memory are these, and of a parquet file one page.
    ///
    /// # Errors
    ///
    /// When they cannot be read; the error calls the picture by its [`Entry::id`], wherever the data set
    /// lies.
    pub fn read(&mut self, entry: &Entry) -> Result<Vec<u8>> {
        let read = match &entry.location {
            Location::File { path, .. } => read_bytes(path, MAX_BYTES),
            Location::Member { container, offset, bytes } => {
                self.member(*container, *offset, *bytes)
            }
            Location::Cell(cell) => self.cell(*cell),
        };
        read.map_err(|problem| {
            Error::image(Path::new(&entry.id), problem, "mend the data set, or leave it out")
        })
    }

    fn member(
        &mut self,
        container: usize,
        offset: u64,
        bytes: u64,
    ) -> std::result::Result<Vec<u8>, String> {
        if bytes > MAX_BYTES {
            return Err(format!("expected at most {MAX_BYTES} bytes, found {bytes}"));
        }
        if self.archive.as_ref().is_none_or(|(open, _)| *open != container) {
            let path = &self.data.container(container).path;
            let file = tar_archive::open(path).map_err(|error| error.problem().to_owned())?;
            self.archive = Some((container, file));
        }
        let Some((_, file)) = &mut self.archive else { return Ok(Vec::new()) };
        let failed = |error: std::io::Error| io_reason(&error);
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut data = Vec::new();
        // A header may promise more than there is.
        let there = file.metadata().map_err(failed)?.len().saturating_sub(offset);
        if bytes > there {
            return Err(format!(
                "the archive ends {} bytes before the picture does",
                bytes - there
            ));
        }
        reserve(&mut data, bytes as usize).map_err(|_| "no memory for it".to_owned())?;
        file.take(bytes).read_to_end(&mut data).map_err(failed)?;
        Ok(data)
    }

    fn cell(&mut self, cell: Cell) -> std::result::Result<Vec<u8>, String> {
        let path = &self.data.container(cell.container).path;
        let open = self.cells.iter().position(|cells| cells.reaches(path, cell));
        let mut cells = match open {
            Some(index) => self.cells.swap_remove(index),
            None => {
                self.cells.retain(|cells| cells.lies_beside(path, cell));
                Cells::open(path, cell)?
            }
        };
        // After a fault it is opened anew.
        let bytes = cells.read(cell.row)?;
        self.cells.push(cells);
        bytes.ok_or_else(|| "the row has no picture in it: its bytes are null".to_owned())
    }
}
