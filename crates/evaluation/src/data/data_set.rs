//! A data set: every picture's name and place.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use vae_fidelity_files::error::{Error, Result};

use super::entry::{Cell, Container, Entry, Location, ending};
use super::listing::listed;
use super::{parquet_file, tar_archive};
use crate::sha256::finished;

/// The pictures of a data set, in a fixed order: files by name, bytewise, or as a list has them; inside
/// a file as they lie there.
#[derive(Debug, Clone)]
pub struct DataSet {
    entries: Vec<Entry>,
    containers: Vec<Container>,
    sha256: String,
}

impl DataSet {
    /// Lists the pictures at `path`: a folder with all below it, a list of paths (`.txt`), a tar archive,
    /// a parquet file, or one picture. No picture is read.
    ///
    /// In folders and archives the endings of names tell pictures; a parquet file has them in columns that
    /// are structs of `bytes` and `path`.
    ///
    /// # Errors
    ///
    /// When something cannot be listed, when there is no picture, and when two have one name.
    pub fn open(path: &Path) -> Result<Self> {
        let mut entries = Vec::new();
        let mut containers = Vec::new();
        for (id, path) in listed(path)? {
            // What cannot be read is found out when it is the picture's turn.
            let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            let container = containers.len();
            match ending(&path).as_deref() {
                Some("tar") => {
                    let members = tar_archive::members(&path)?.into_iter();
                    entries.extend(members.map(|member| Entry {
                        id: format!("{id}/{}", member.name),
                        location: Location::Member {
                            container,
                            offset: member.offset,
                            bytes: member.bytes,
                        },
                    }));
                    containers.push(Container { path, id, bytes });
                }
                Some("parquet") => {
                    entries.extend(cells(&id, container, &parquet_file::pictures(&path)?));
                    containers.push(Container { path, id, bytes });
                }
                _ => entries.push(Entry { id, location: Location::File { path, bytes } }),
            }
        }
        if entries.is_empty() {
            return Err(Error::image(path, "holds no picture", "name another data set"));
        }
        let mut ids = HashSet::with_capacity(entries.len());
        if let Some(twice) = entries.iter().find(|entry| !ids.insert(entry.id.as_str())) {
            let problem = format!("two of its pictures have the name {}", twice.id);
            return Err(Error::image(path, problem, "leave one of them out"));
        }
        let sha256 = hash(&entries, &containers);
        Ok(Self { entries, containers, sha256 })
    }

    /// The pictures.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// SHA-256 of all names and lengths: of the pictures, and of the files that hold several. What is in
    /// a picture is not part of it: each row has that.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(super) fn container(&self, index: usize) -> &Container {
        &self.containers[index]
    }
}

/// One picture for each row and column.
fn cells(id: &str, container: usize, pictures: &parquet_file::Pictures) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut number = 0;
    for (row_group, &rows) in pictures.rows.iter().enumerate() {
        for row in 0..rows {
            entries.extend(pictures.columns.iter().map(|column| Entry {
                id: format!("{id}/{number}/{}", column.name),
                location: Location::Cell(Cell { container, row_group, row, leaf: column.leaf }),
            }));
            number += 1;
        }
    }
    entries
}

fn hash(entries: &[Entry], containers: &[Container]) -> String {
    let mut hash = Sha256::new();
    for entry in entries {
        let bytes = match &entry.location {
            Location::File { bytes, .. } | Location::Member { bytes, .. } => *bytes,
            Location::Cell(_) => 0,
        };
        hash.update(format!("{}\0{bytes}\n", entry.id));
    }
    for container in containers {
        hash.update(format!("{}\0{}\n", container.id, container.bytes));
    }
    finished(hash)
}
