//! The folder of a run: what it is about, parts that are done, and the results.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vae_fidelity_core::json_problem;
use vae_fidelity_files::error::{Error, ErrorKind, Result, io_reason};
use vae_fidelity_files::input::{read_bytes, read_text};
use vae_fidelity_files::output::{write_all_atomically, write_atomically, write_error};

use crate::channels_file::{channels_file, read_channels};
use crate::features::Features;
use crate::identity::Identity;
use crate::maps::{Maps, check_maps, read_maps};
use crate::report::{EvaluationReport, SCHEMA_VERSION};
use crate::row::Row;
use crate::rows_file::{read_rows, rows_file};
use crate::shard::Shard;
use crate::worst::{Worst, is_file_name};

const STATE: &str = "evaluation.json";
const PARTS: &str = "parts";
const WORST_FOLDER: &str = "worst";
const ROWS: &str = "rows.parquet";
const LATENTS: &str = "latents.parquet";
const MAPS: &str = "maps.json";
const FEATURES_FOLDER: &str = "features";

/// Far above any picture of the worst.
const MAX_PICTURE_BYTES: u64 = 1 << 30;

/// A folder that a run writes to, and no other run meanwhile.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held as long as the process lives.
    _lock: File,
}

/// What a folder is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    schema_version: u32,
    pub shard: Shard,
    pub identity: Identity,
}

impl State {
    /// What the folder at `path` is about.
    ///
    /// # Errors
    ///
    /// When it is no folder of an evaluation.
    pub fn read(path: &Path) -> Result<Self> {
        let file = path.join(STATE);
        let refused = |problem: String| {
            let next = "name a folder that `evaluate` wrote";
            Error::new(ErrorKind::Option, path.display(), problem, next)
        };
        let text = read_text(&file).map_err(|problem| {
            refused(format!("expected a folder of an evaluation: {STATE} {problem}"))
        })?;
        let state: Self = serde_json::from_str(&text)
            .map_err(|error| refused(format!("{STATE}: {}", json_problem::of(&error))))?;
        match state.schema_version == SCHEMA_VERSION {
            true => Ok(state),
            false => Err(refused(format!("{STATE} has version {}", state.schema_version))),
        }
    }
}

impl Folder {
    /// Opens the folder at `path` for a run about `shard` of `identity`: a new or empty one, or one that
    /// such a run was stopped in.
    ///
    /// # Errors
    ///
    /// When the folder has other files, is about something else, cannot be written, or another run is
    /// writing to it.
    pub fn open(path: &Path, identity: &Identity, shard: Shard) -> Result<Self> {
        let failed = |error: std::io::Error| write_error(path, &error);
        fs::create_dir_all(path).map_err(failed)?;
        refuse_links(path)?;
        let begun = path.join(STATE).exists();
        if !begun {
            let other = fs::read_dir(path).map_err(failed)?.filter_map(|entry| entry.ok());
            // What a run leaves that was killed before it had begun.
            let ours = |name: &str| name.starts_with('.') || name == "protocol.toml";
            let other = other.map(|entry| entry.file_name().to_string_lossy().into_owned());
            if let Some(name) = other.into_iter().find(|name| !ours(name)) {
                return Err(Error::output(
                    path,
                    format!("expected a new folder, or one of an evaluation; found {name} in it"),
                    "name a new folder",
                ));
            }
        }
        let lock = File::create(path.join(".lock")).map_err(failed)?;
        if fs4::FileExt::try_lock(&lock).is_err() {
            let problem = "another run is writing to it";
            return Err(Error::output(path, problem, "wait for it, or name another folder"));
        }
        if begun {
            check_same(path, &State::read(path)?, identity, shard)?;
        } else {
            let state = State { schema_version: SCHEMA_VERSION, shard, identity: identity.clone() };
            let state = serde_json::to_vec_pretty(&state).map_err(bug)?;
            let protocol = identity.protocol.to_toml()?;
            write_all_atomically(&[
                (&path.join("protocol.toml"), protocol.into_bytes()),
                (&path.join(STATE), state),
            ])?;
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        let parts = (!folder.is_finished()).then_some(PARTS);
        for name in parts.into_iter().chain([WORST_FOLDER]) {
            fs::create_dir_all(path.join(name)).map_err(failed)?;
        }
        Ok(folder)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether all of its rows are there.
    pub fn is_finished(&self) -> bool {
        self.path.join(ROWS).exists()
    }

    /// The rows of part `part`, if it is done.
    pub(crate) fn part(&self, part: usize) -> Result<Option<Vec<Row>>> {
        let [rows, channels] = self.part_files(part);
        if !rows.exists() {
            return Ok(None);
        }
        let mut rows = read_rows(&rows)?;
        read_channels(&channels, &mut rows)?;
        Ok(Some(rows))
    }

    fn part_files(&self, part: usize) -> [PathBuf; 2] {
        ["rows", "latents"]
            .map(|what| self.path.join(PARTS).join(format!("{part:07}.{what}.parquet")))
    }

    /// The features of part `part`, which is done, of as many models.
    pub(crate) fn part_features(&self, part: usize, models: usize) -> Result<Features> {
        Features::read(&self.features_file(part), models)
    }

    fn features_file(&self, part: usize) -> PathBuf {
        self.path.join(PARTS).join(format!("{part:07}.features.npy"))
    }

    /// The maps of part `part`, which is done, of as many models.
    pub(crate) fn part_maps(&self, part: usize, models: usize) -> Result<Vec<Maps>> {
        read_maps(&self.maps_file(part), models)
    }

    fn maps_file(&self, part: usize) -> PathBuf {
        self.path.join(PARTS).join(format!("{part:07}.{MAPS}"))
    }

    /// Puts `rows`, `features` and `maps` on the disk as part `part`, with the pictures of `worst` that are new. After a
    /// stop it is there as a whole or not at all: its rows come last.
    pub(crate) fn commit(
        &self,
        part: usize,
        rows: &[Row],
        features: Option<&Features>,
        maps: &[Maps],
        worst: &mut Worst,
    ) -> Result<()> {
        for (name, png) in worst.files() {
            if let Some(png) = png {
                write_atomically(&self.worst_file(&name), png)?;
            }
        }
        let [rows_path, channels_path] = self.part_files(part);
        if let Some(features) = features {
            write_atomically(&self.features_file(part), &features.npy()?)?;
        }
        write_atomically(&self.maps_file(part), &serde_json::to_vec(maps).map_err(bug)?)?;
        write_atomically(&channels_path, &channels_file(rows)?)?;
        write_atomically(&rows_path, &rows_file(rows)?)?;
        worst.written();
        self.remove_others(worst)
    }

    fn worst_file(&self, name: &str) -> PathBuf {
        self.path.join(WORST_FOLDER).join(name)
    }

    /// Removes pictures that are no longer among the worst.
    fn remove_others(&self, worst: &Worst) -> Result<()> {
        let kept: Vec<String> = worst.files().map(|(name, _)| name).collect();
        let folder = self.path.join(WORST_FOLDER);
        let failed = |error: std::io::Error| write_error(&folder, &error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_file_name(&name) && !kept.contains(&name) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Its rows, once they are all there.
    pub(crate) fn rows(&self) -> Result<Vec<Row>> {
        finished_rows(&self.path)
    }

    /// Writes all rows, features and maps.
    pub(crate) fn write_rows(
        &self,
        rows: &[Row],
        features: Option<&Features>,
        maps: &[Maps],
    ) -> Result<()> {
        if let Some(features) = features {
            let folder = self.path.join(FEATURES_FOLDER);
            fs::create_dir_all(&folder).map_err(|error| write_error(&folder, &error))?;
            for (name, bytes) in features.files()? {
                write_atomically(&folder.join(name), &bytes)?;
            }
        }
        write_atomically(&self.path.join(MAPS), &serde_json::to_vec(maps).map_err(bug)?)?;
        write_atomically(&self.path.join(LATENTS), &channels_file(rows)?)?;
        write_atomically(&self.path.join(ROWS), &rows_file(rows)?)
    }

    /// Removes what is of no use any more once all rows are there: the parts that they were in, and what
    /// a stop left of pictures that are not among the worst.
    pub(crate) fn tidy(&self, worst: &Worst) -> Result<()> {
        self.remove_others(worst)?;
        let parts = self.path.join(PARTS);
        match parts.exists() {
            true => fs::remove_dir_all(&parts).map_err(|error| write_error(&parts, &error)),
            false => Ok(()),
        }
    }

    /// Writes `result.json`.
    pub(crate) fn write_report(&self, report: &EvaluationReport) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(report).map_err(bug)?;
        json.push(b'\n');
        write_atomically(&self.path.join("result.json"), &json)
    }

    /// A picture of the worst.
    pub(crate) fn worst_picture(&self, name: &str) -> Result<Vec<u8>> {
        worst_picture(&self.path, name)
    }

    /// Puts a picture of the worst there.
    pub(crate) fn write_worst_picture(&self, name: &str, png: &[u8]) -> Result<()> {
        write_atomically(&self.worst_file(name), png)
    }
}

/// The rows of the folder at `path`.
///
/// # Errors
///
/// When they are not all there, or cannot be read.
pub(crate) fn finished_rows(path: &Path) -> Result<Vec<Row>> {
    let mut rows = read_rows(&path.join(ROWS))?;
    read_channels(&path.join(LATENTS), &mut rows)?;
    Ok(rows)
}

/// The features of the folder at `path`, of as many models.
///
/// # Errors
///
/// When they are not all there, or cannot be read.
pub(crate) fn finished_features(path: &Path, models: usize) -> Result<Features> {
    Features::read_files(&path.join(FEATURES_FOLDER), models)
}

/// The maps of the folder at `path`, of as many models, whose rows are `rows`.
///
/// # Errors
///
/// When they are not there, cannot be read, or are not of the pictures of these rows.
pub(crate) fn finished_maps(path: &Path, models: usize, rows: &[Row]) -> Result<Vec<Maps>> {
    let file = path.join(MAPS);
    let maps = read_maps(&file, models)?;
    check_maps(&file, &maps, rows)?;
    Ok(maps)
}

/// Whether all rows of the folder at `path` are there.
pub(crate) fn is_finished(path: &Path) -> bool {
    path.join(ROWS).exists()
}

/// The file `name` of a picture of the worst in the folder at `path`.
pub(crate) fn worst_picture(path: &Path, name: &str) -> Result<Vec<u8>> {
    let file = path.join(WORST_FOLDER).join(name);
    read_bytes(&file, MAX_PICTURE_BYTES).map_err(|problem| {
        let next = "remove its folder and run again";
        Error::new(ErrorKind::Output, file.display(), problem, next)
    })
}

/// Whether `path`, which may not exist yet, is or lies in `folder`, by whatever names.
pub fn lies_in(path: &Path, folder: &Path) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_default();
    let there = absolute.ancestors().find_map(|above| above.canonicalize().ok());
    let folder = folder.canonicalize().ok();
    folder.zip(there).is_some_and(|(folder, there)| there.starts_with(folder))
}

/// Refuses links among what a run writes and removes in the folder at `path`: it would write and remove what they
/// lead to.
fn refuse_links(path: &Path) -> Result<()> {
    for folder in ["", PARTS, WORST_FOLDER, FEATURES_FOLDER] {
        let folder = path.join(folder);
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(|entry| entry.ok()) {
            if entry.file_type().is_ok_and(|of| of.is_symlink()) {
                return Err(Error::output(
                    &entry.path(),
                    "expected a file or folder of an evaluation, found a symbolic link",
                    "remove the link, or name another folder",
                ));
            }
        }
    }
    Ok(())
}

fn check_same(path: &Path, state: &State, identity: &Identity, shard: Shard) -> Result<()> {
    let difference = match state.identity.difference(identity) {
        None if state.shard != shard => Some(("shard", state.shard.to_string(), shard.to_string())),
        difference => difference,
    };
    match difference {
        None => Ok(()),
        Some((what, there, here)) => Err(Error::output(
            path,
            format!("it was begun with another {what}: {there}; now it would be {here}"),
            "name another folder, or give what it was begun with",
        )),
    }
}

fn bug(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Output,
        "JSON",
        io_reason(&std::io::Error::other(error)),
        "please report this as a bug",
    )
}
