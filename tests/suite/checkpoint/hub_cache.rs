//! A loopback hub, and a cache in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use vae_fidelity::checkpoint::{HubOptions, OpenOptions, Token, expected_tensors};
use vae_fidelity::{Checkpoint, Error, Source};

use crate::hub_server::{HubServer, Repository, files_of};

pub const ID: &str = "somebody/a-model";

/// A committed checkpoint of diffusers', whose VAE lies in `vae/`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints").join(name)
}

/// Its files, and others that nobody needs.
pub fn files(name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = files_of(&fixture(name));
    files.insert("README.md".to_owned(), b"# A model".to_vec());
    files.insert("model_index.json".to_owned(), b"{}".to_vec());
    files.insert("unet/diffusion_pytorch_model.safetensors".to_owned(), vec![7; 100_000]);
    files
}

/// A hub that has one repository, and an empty cache.
pub struct World {
    pub hub: HubServer,
    pub folder: TempDir,
    pub options: HubOptions,
    pub revision: Option<String>,
    pub subfolder: Option<String>,
    pub variant: Option<String>,
}

impl World {
    /// With the fixture `name` on `main`.
    pub fn new(name: &str) -> Self {
        Self::with(Repository::new(ID, files(name)))
    }

    pub fn with(repository: Repository) -> Self {
        let hub = HubServer::start(vec![repository]);
        let folder = tempfile::tempdir().unwrap();
        let variable = |name: &str| match name {
            "HF_ENDPOINT" => Some(hub.endpoint().into()),
            "HF_HUB_CACHE" => Some(folder.path().join("hub").into()),
            _ => None,
        };
        let mut options = HubOptions::from_variables(&variable, None, None).unwrap();
        options.retry_wait = Duration::from_millis(5);
        options.download_timeout = Duration::from_millis(400);
        options.metadata_timeout = Duration::from_millis(400);
        Self { hub, folder, options, revision: None, subfolder: None, variant: None }
    }

    pub fn token(&mut self, secret: &str) {
        self.options.token = Token::new(secret, "HF_TOKEN").unwrap();
    }

    pub fn open(&self) -> Result<Checkpoint, Error> {
        self.open_with(self.options.clone())
    }

    /// From the cache alone.
    pub fn open_offline(&self) -> Result<Checkpoint, Error> {
        self.open_with(HubOptions { offline: true, ..self.options.clone() })
    }

    fn open_with(&self, hub: HubOptions) -> Result<Checkpoint, Error> {
        let options =
            OpenOptions { hub: Some(hub), variant: self.variant.clone(), ..OpenOptions::default() };
        let source = Source::Hub {
            id: ID.to_owned(),
            revision: self.revision.clone(),
            subfolder: self.subfolder.clone(),
        };
        Checkpoint::open_with(&source, &options)
    }

    /// Opens it, and holds every tensor against those of the fixture `name`.
    #[track_caller]
    pub fn opens_as(&self, name: &str) -> Checkpoint {
        let found = self.open().unwrap_or_else(|error| panic!("{error}\n next: {}", error.next()));
        let source = Source::parse(fixture(name).to_str().unwrap(), None).unwrap();
        let options = OpenOptions { variant: self.variant.clone(), ..OpenOptions::default() };
        let expected = Checkpoint::open_with(&source, &options).unwrap();
        assert_eq!(found.config(), expected.config());
        for spec in expected_tensors(expected.config()) {
            let tensors = [&found, &expected].map(|c| c.tensor(&spec.name).unwrap());
            assert_eq!(tensors[0].data, tensors[1].data, "{}", spec.name);
        }
        found
    }

    /// Fails to open it, with an error that has `parts` and shows no secret.
    #[track_caller]
    pub fn refuses(&self, parts: &[&str]) -> Error {
        let error = self.open().expect_err("expected an error");
        let text = format!("{error}\n next: {}", error.next());
        for part in parts {
            assert!(text.contains(part), "expected {part:?} in: {text}");
        }
        for secret in ["hf_", "Signature", "badc0ffee"] {
            assert!(!text.contains(secret), "{secret:?} is shown: {text}");
        }
        assert!(!error.next().is_empty(), "expected what to do next: {text}");
        error
    }

    /// The cache's folder of the repository.
    pub fn repository(&self) -> PathBuf {
        self.options.cache.join("models--somebody--a-model")
    }

    /// Names in a folder of the repository's cache, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.repository().join(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The files of all snapshots, by their path after the commit.
    pub fn snapshot_files(&self) -> Vec<String> {
        let commits = self.names("snapshots");
        let folders = commits.iter().map(|c| self.repository().join("snapshots").join(c));
        folders.flat_map(|folder| files_of(&folder).into_keys()).collect()
    }
}

pub fn contains(notes: &[String], part: &str) -> bool {
    notes.iter().any(|note| note.contains(part))
}
