//! Whether files can be written where the user wants them: no output may be an input or another
//! output under any name, and each must have a name that fits what is in it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::{HubPlaces, OpenOptions, ReadPlaces, Source};
use crate::error::io_reason;
use crate::output::{check_writable, resolve};
use crate::pixels::ImageFormat;
use crate::{Error, Result};

/// Errors for an output that is one of the files that the run reads, for outputs that meet in one
/// file, and for those that cannot be written. Each output comes with the flag that names it.
pub fn check(outputs: &[(&str, &Path)], reads: &ReadFiles) -> Result<()> {
    check_in(None, outputs, reads)
}

/// As [`check`], and creates the folder that `--out-dir` names, once no output is an input.
pub fn check_in(
    out_dir: Option<&Path>,
    outputs: &[(&str, &Path)],
    reads: &ReadFiles,
) -> Result<()> {
    refuse_overlap(outputs, reads)?;
    outputs.iter().try_for_each(|&(flag, path)| {
        refuse_dash(flag, path)?;
        match flag {
            "--save-latents" | "--save-decoded" => {
                check_ending(flag, path, "safetensors", &["safetensors"])
            }
            "--save-trace" => check_ending(flag, path, "JSON", &["json"]),
            _ => Ok(()),
        }
    })?;
    if let Some(folder) = out_dir {
        refuse_dash("--out-dir", folder)?;
        create_out_dir(folder)?;
    }
    check_each_writable(outputs)
}

/// Errors for a folder of outputs, which may not exist yet, that is `-` or lies in the hub's cache.
pub fn check_folder(flag: &str, folder: &Path, reads: &ReadFiles) -> Result<()> {
    refuse_dash(flag, folder)?;
    refuse_overlap(&[(flag, &folder.join("a file of it"))], reads).map_err(|error| {
        Error::output(folder, error.problem().to_owned(), "name a folder elsewhere")
    })
}

/// Errors for `-`, by which other programs mean standard output: there the result is printed.
pub fn refuse_dash(flag: &str, path: &Path) -> Result<()> {
    match path.as_os_str() == "-" {
        true => Err(Error::option(
            format!("{flag} -"),
            "expected a name: nothing is written to standard output but the result",
            "name it; ./- is one of that name",
        )),
        false => Ok(()),
    }
}

/// As [`check`], for places whose folders do not exist yet.
fn refuse_overlap(outputs: &[(&str, &Path)], reads: &ReadFiles) -> Result<()> {
    let inputs = reads.identities();
    let caches: Vec<PathBuf> = reads.caches.iter().filter_map(|path| location(path)).collect();
    let mut earlier: HashMap<Identity, (&str, Cow<Path>)> = HashMap::new();
    if let Some(identity) = standard_output() {
        earlier.insert(identity, ("standard output", Path::new("/dev/stdout").into()));
    }
    for &(name, path) in outputs {
        let identities = Identity::of(path);
        if let Some(input) = identities.iter().find_map(|identity| inputs.get(identity)) {
            return Err(Error::output(
                path,
                format!("{name} would replace an input, {}", input.display()),
                "name another file to write",
            ));
        }
        let inside = |cache: &&PathBuf| {
            identities.iter().any(|at| matches!(at, Identity::Place(at) if at.starts_with(cache)))
        };
        if let Some(cache) = caches.iter().find(inside) {
            return Err(Error::output(
                path,
                format!("{name} lies in the hub's cache, {}", cache.display()),
                "name a file elsewhere: other programs read what is in the cache",
            ));
        }
        if let Some((other, twin)) = identities.iter().find_map(|identity| earlier.get(identity)) {
            return Err(Error::output(
                path,
                format!("{name} and {other} ({}) are one file", twin.display()),
                "give each output a file of its own; inputs of one name need folders of their own",
            ));
        }
        earlier.extend(identities.into_iter().map(|identity| (identity, (name, path.into()))));
    }
    Ok(())
}

/// Errors for outputs that cannot be written.
fn check_each_writable(outputs: &[(&str, &Path)]) -> Result<()> {
    outputs.iter().try_for_each(|(_, path)| check_writable(path))
}

/// What a run reads, or would read if it came so far: nothing is written there.
#[derive(Debug, Default)]
pub struct ReadFiles {
    /// Files by any name that leads to them.
    pub files: Vec<PathBuf>,
    /// Folders of which no file is replaced, and in which none is made.
    pub caches: Vec<PathBuf>,
    /// Whether standard input is read.
    pub standard_input: bool,
}

impl ReadFiles {
    /// `files`, those of `source` as `options` open it, and those of a hub's user, which hold what is
    /// not to be lost even where this run does not ask for it.
    pub fn with_source(
        files: impl IntoIterator<Item = PathBuf>,
        source: &Source,
        options: &OpenOptions,
    ) -> Self {
        let mut reads = Self::of(files);
        reads.add_source(source, options);
        reads
    }

    /// Those of one more source.
    pub fn add_source(&mut self, source: &Source, options: &OpenOptions) {
        let ReadPlaces { files, caches } = ReadPlaces::of(source, options);
        self.files.extend(files);
        self.caches.extend(caches);
    }

    /// `files`, and those of a hub's user.
    pub fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        let HubPlaces { cache, token } = HubPlaces::from_environment();
        // What `hf auth login` keeps beside the token in use.
        let tokens = token.with_file_name("stored_tokens");
        let files = files.into_iter().chain([token, tokens]).collect();
        Self { files, caches: vec![cache], standard_input: false }
    }

    fn identities(&self) -> HashMap<Identity, Cow<'_, Path>> {
        let mut known = HashMap::new();
        for path in &self.files {
            let identities = Identity::of(path).into_iter();
            known.extend(identities.map(|identity| (identity, Cow::Borrowed(path.as_path()))));
        }
        if self.standard_input {
            known.extend(standard_input().map(|at| (at, Path::new("/dev/stdin").into())));
        }
        known
    }
}

/// Creates what `--out-dir` names, where it is missing.
fn create_out_dir(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let problem = match folder.ancestors().find(|above| above.exists() && !above.is_dir()) {
            Some(file) => format!("expected a folder, found the file {}", file.display()),
            None => format!("the folder cannot be made: {}", io_reason(&error)),
        };
        Error::output(folder, problem, "name another folder with --out-dir")
    })
}

/// Errors where `path` has a name of another format than the PNG that `flag` writes.
pub fn check_png_name(flag: &str, path: &Path) -> Result<()> {
    match other_format(path) {
        None => Ok(()),
        Some(extension) => Err(Error::output(
            path,
            format!("{flag} writes PNG, and the name ends in .{extension}"),
            format!("name it {}", path.with_extension("png").display()),
        )),
    }
}

/// Errors where `path` has a name of another format than the one that `flag` writes, whose files end in
/// one of `endings`: the first by preference.
pub fn check_ending(flag: &str, path: &Path, format: &str, endings: &[&str]) -> Result<()> {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match extension {
        Some(extension) if !endings.contains(&&*extension) => Err(Error::output(
            path,
            format!("{flag} writes {format}, and the name ends in .{extension}"),
            format!("name it {}", path.with_extension(endings[0]).display()),
        )),
        _ => Ok(()),
    }
}

/// The ending of a name that promises another format than PNG.
fn other_format(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let other = match ImageFormat::by_extension(path) {
        Some(format) => format != ImageFormat::Png,
        // Pillow writes these, and they are not read here.
        None => ["avif", "jp2", "ico"].contains(&extension.as_str()),
    };
    other.then_some(extension)
}

/// What tells that two paths lead to one file. A path has up to two of them, and one in common is
/// enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Identity {
    /// Device and inode: the same through links of both kinds.
    #[cfg(unix)]
    Inode(u64, u64),
    /// The one name of a file that may not exist yet.
    Place(PathBuf),
}

impl Identity {
    /// Those of `path`; none for devices and pipes, which can be written twice. (None of them is
    /// opened: that can wait for ever.)
    fn of(path: &Path) -> Vec<Self> {
        let found = fs::metadata(path).ok();
        if found.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            return Vec::new();
        }
        let inode = found.as_ref().and_then(Self::of_metadata);
        inode.into_iter().chain(location(path).map(Self::Place)).collect()
    }

    #[cfg(unix)]
    fn of_metadata(metadata: &fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        metadata.is_file().then(|| Self::Inode(metadata.dev(), metadata.ino()))
    }

    /// Elsewhere hard links have names of their own.
    #[cfg(not(unix))]
    fn of_metadata(_: &fs::Metadata) -> Option<Self> {
        None
    }
}

/// The file that standard input is redirected from.
#[cfg(unix)]
fn standard_input() -> Option<Identity> {
    of_descriptor(std::io::stdin())
}

/// The file that standard output is redirected to: what is printed there would be lost.
#[cfg(unix)]
fn standard_output() -> Option<Identity> {
    of_descriptor(std::io::stdout())
}

#[cfg(unix)]
fn of_descriptor(stream: impl std::os::fd::AsFd) -> Option<Identity> {
    let file = fs::File::from(stream.as_fd().try_clone_to_owned().ok()?);
    Identity::of_metadata(&file.metadata().ok()?)
}

#[cfg(not(unix))]
fn standard_input() -> Option<Identity> {
    None
}

#[cfg(not(unix))]
fn standard_output() -> Option<Identity> {
    None
}

/// The one name of a file that may not exist yet, nor its folder.
fn location(path: &Path) -> Option<PathBuf> {
    let target = std::path::absolute(resolve(path).ok()?).ok()?;
    let there = target.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let (above, canonical) = there?;
    Some(canonical.join(target.strip_prefix(above).ok()?))
}
