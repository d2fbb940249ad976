//! What opening a source reads or would read, so that nothing is written there.

use std::fs;
use std::path::{Path, PathBuf};

use super::open_options::OpenOptions;
use super::source::Source;
use super::weight_files::{STEM, is_index, shard_names};

/// Files and folders that belong to a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadPlaces {
    /// Files by any name that leads to them; not all of them have to exist.
    pub files: Vec<PathBuf>,
    /// Folders all of whose content belongs to a cache of a hub.
    pub caches: Vec<PathBuf>,
}

impl ReadPlaces {
    /// Those of `source`, opened as `options` say. Nothing is asked of a hub, and what cannot be read
    /// is left out: opening it says so.
    pub fn of(source: &Source, options: &OpenOptions) -> Self {
        let mut places =
            Self { files: options.config.iter().cloned().collect(), ..Self::default() };
        match source {
            Source::Builtin | Source::InMemory { .. } => {}
            Source::Folder { path, subfolder } => {
                let below = path.join(subfolder.as_deref().unwrap_or("vae"));
                places
                    .files
                    .extend([path, &below].into_iter().flat_map(|folder| model_files(folder)));
                places.caches.extend(repository_around(path));
                places.caches.extend(repository_around(&below));
            }
            Source::File { path } => {
                places.files.extend([path.clone(), path.with_file_name("config.json")]);
                places.caches.extend(repository_around(path));
            }
            Source::Hub { .. } => {}
        }
        #[cfg(feature = "hub")]
        if let Some(hub) = &options.hub {
            if let Source::Hub { id, .. } = source {
                let repository = format!("models--{}", id.replace('/', "--"));
                places.files.extend(blobs(&hub.cache.join(repository)));
            }
            places.caches.push(hub.cache.clone());
        }
        let repositories = places.caches.iter().flat_map(|repository| blobs(repository));
        places.files.extend(repositories.collect::<Vec<_>>());
        places
    }
}

/// The files of `folder` that a VAE or its pipeline is read from, shards by any name included.
fn model_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let ours = |name: &String| {
        let known = ["config.json", "model_index.json", "recipe.json"];
        known.contains(&name.as_str()) || name.starts_with(STEM)
    };
    let mut files = Vec::new();
    for name in names.filter(ours) {
        let file = folder.join(&name);
        if name.starts_with(STEM) && is_index(&name) {
            let shards = shard_names(&file).unwrap_or_default();
            files.extend(shards.iter().map(|shard| folder.join(shard)));
        }
        files.push(file);
    }
    files
}

/// The files of a cached `repository`, of which links may lie elsewhere.
fn blobs(repository: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(repository.join("blobs")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The repository of a hub's cache that `path` lies in, links followed or not.
fn repository_around(path: &Path) -> Option<PathBuf> {
    let around = |path: PathBuf| {
        let is_repository = |folder: &&Path| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("models--") && folder.join("snapshots").is_dir()
        };
        path.ancestors().find(is_repository).map(Path::to_owned)
    };
    let named = std::path::absolute(path).ok().and_then(around);
    named.or_else(|| path.canonicalize().ok().and_then(around))
}

// tempfile comes with the feature.
#[cfg(feature = "hub")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_by_any_name_and_the_pipelines_index_belong_to_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("vae")).unwrap();
        let index = r#"{"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.bin"}}"#;
        let files = [
            ("model_index.json", "{}"),
            ("vae/config.json", "{}"),
            ("vae/diffusion_pytorch_model.safetensors.index.json", index),
            ("vae/one.safetensors", ""),
            ("vae/decoded.png", ""),
        ];
        for (name, text) in files {
            fs::write(at(name), text).unwrap();
        }
        let source = Source::Folder { path: folder.path().to_owned(), subfolder: None };
        let mut found = ReadPlaces::of(&source, &OpenOptions::default()).files;
        found.sort();
        let expected = [
            "model_index.json",
            "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors.index.json",
            "vae/one.safetensors",
            "vae/two.bin",
        ];
        assert_eq!(found, expected.map(at));
    }

    #[test]
    fn a_snapshot_lies_in_its_repository() {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--a--b");
        let snapshot = repository.join("snapshots/0123/vae");
        fs::create_dir_all(&snapshot).unwrap();
        let source = Source::Folder { path: snapshot, subfolder: None };
        let found = ReadPlaces::of(&source, &OpenOptions::default());
        assert!(found.caches.iter().all(|folder| *folder == repository), "{found:?}");
        assert!(!found.caches.is_empty());
    }
}
