//! Whether pictures are still what they were when they were judged.

use std::path::Path;

use vae_fidelity_files::error::{Error, Result};

use crate::data::{DataSet, Reader};
use crate::row::Row;
use crate::sha256::sha256;

/// Reads the pictures of `rows`, which an earlier run wrote into the folder at `path`, and compares their
/// SHA-256: names and lengths, which tell data sets from each other, are the same after a picture was
/// painted over.
///
/// # Errors
///
/// When a picture has other bytes, can no longer be read, or can be read now and could not then.
pub(crate) fn check_unchanged(path: &Path, data: &DataSet, rows: &[Row]) -> Result<()> {
    let mut reader = Reader::new(data);
    for row in rows.iter().filter(|row| row.model == 0) {
        let Some(entry) = data.entries().get(row.picture as usize) else { continue };
        let now = reader.read(entry).map(|bytes| sha256(&bytes));
        let what = match (&row.sha256, &now) {
            (Some(then), Ok(now)) if then == now => continue,
            (None, Err(_)) => continue,
            (Some(_), Ok(_)) => "has other bytes now".to_owned(),
            (None, Ok(_)) => "could not be read then, and can now".to_owned(),
            (Some(_), Err(error)) => format!("cannot be read any more: {}", error.problem()),
        };
        return Err(Error::output(
            path,
            format!("the data set changed since: {}, which it has judged, {what}", row.id),
            "name a new folder, or bring the pictures back that it was begun with",
        ));
    }
    Ok(())
}
