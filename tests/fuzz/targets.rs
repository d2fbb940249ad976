//! What is fuzzed: each target hands a file's bytes to the crate as a user's file would come to it.
//!
//! A target fails by a panic: the crate's own, or one of the checks here. `tests/fuzz_corpus.rs` runs
//! them over the corpus on stable Rust, cargo-fuzz (`scripts/fuzz.sh`) for as long as one likes.

#[path = "../suite/checkpoint/peak.rs"]
mod peak;

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vae_fidelity::checkpoint::CheckpointDifference;
use vae_fidelity::checkpoint::{Contents, LatentsFile, OpenOptions, expected_tensors};
use vae_fidelity::config::Family;
use vae_fidelity::report::InspectReport;
use vae_fidelity::verdict::Verdict;
use vae_fidelity::{Checkpoint, Dtype, Source, VaeConfig, pixels, tensor_file};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A function that takes a file's bytes.
pub type Target = fn(&[u8]);

/// Every target by the name that its corpus has.
pub const TARGETS: [(&str, Target); 7] = [
    ("safetensors", safetensors),
    ("pickle", pickle),
    ("torch_file", torch_file),
    ("index", index),
    ("config", config),
    ("npy", npy),
    ("image", image),
];

/// A VAE of some hundred values, which the corpus has in every format.
const CONFIG: &str = include_str!("config.json");
/// Two shards whose tensors are this VAE's.
const SHARDS: [&[u8]; 2] = [include_bytes!("a.safetensors"), include_bytes!("b.safetensors")];

/// The most that a reader may hold at once: a fixed amount, and so much for each byte of the file.
const BASE_BYTES: usize = 4 << 20;
const BYTES_PER_BYTE: usize = 256;
/// Pictures are compressed: what one may take depends on the pixels that it declares, not on its
/// bytes. cargo-fuzz sets `fuzzing`, under which the crate opens 1024 x 1024 pixels at most.
const PICTURE_BYTES: usize = if cfg!(fuzzing) { 64 << 20 } else { 3 << 30 };

/// `.safetensors`, as a checkpoint and as a file of tensors.
pub fn safetensors(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("model.safetensors", bytes);
    bounded(bytes, || {
        open_file(&path);
        let _ = tensor_file::read(&path);
        read_latents(&path, bytes.len());
    });
}

/// The pickle of a zip file, which is sound, around storages of 256 bytes.
pub fn pickle(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("model.pt", &zipped(bytes));
    bounded(bytes, || {
        open_file(&path);
        read_latents(&path, bytes.len() + 2048);
    });
}

/// Whole files of torch.save: zip, or the format before it.
pub fn torch_file(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("model.ckpt", bytes);
    bounded(bytes, || {
        open_file(&path);
        read_latents(&path, bytes.len());
    });
}

/// An index of shards, which must not lead out of its folder.
pub fn index(bytes: &[u8]) {
    let folder = Folder::new();
    let inside = folder.path().join("model");
    fs::create_dir_all(&inside).unwrap();
    for (name, shard) in ["a", "b"].into_iter().zip(SHARDS) {
        fs::write(inside.join(format!("{name}.safetensors")), shard).unwrap();
        fs::write(folder.path().join(format!("{name}.safetensors")), shard).unwrap();
    }
    fs::write(inside.join("config.json"), CONFIG).unwrap();
    fs::write(inside.join("diffusion_pytorch_model.safetensors.index.json"), bytes).unwrap();
    #[cfg(unix)]
    let _ = std::os::unix::fs::symlink("../a.safetensors", inside.join("link"));
    let source = Source::Folder { path: inside.clone(), subfolder: None };
    bounded(bytes, || {
        let checkpoint = Checkpoint::open(&source, None);
        inspect(&source, &OpenOptions::default(), checkpoint.is_ok());
        let Ok(checkpoint) = checkpoint else { return };
        read_all(&checkpoint);
        let root = inside.canonicalize().unwrap();
        for file in checkpoint.files() {
            assert!(file.canonicalize().unwrap().starts_with(&root), "{}", file.display());
        }
    });
}

/// `config.json`.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    bounded(bytes, || {
        let Ok(config) = VaeConfig::from_json(text, "config.json") else { return };
        if let Some(config) = config.autoencoder_kl() {
            assert!(config.scaling_factor.is_finite());
            assert!(config.unscale(1.0, Dtype::F32) != 0.0);
        }
        for tensor in expected_tensors(&config) {
            assert!(!tensor.shape.contains(&0), "{}: {:?}", tensor.name, tensor.shape);
        }
        let _ = (Family::of(&config), config.downsampling());
        let _ = serde_json::to_string(&config).unwrap();
    });
}

/// `.npy`, and an `.npz` with it.
pub fn npy(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("latents.npy", bytes);
    let archive = folder.file("latents.npz", &archive(&[("latents.npy", bytes)]));
    bounded(bytes, || {
        read_latents(&path, bytes.len());
        read_latents(&archive, bytes.len());
        if let Ok(tensors) = tensor_file::read(&path) {
            assert!(tensors[0].values.len() <= bytes.len());
        }
    });
}

/// A picture in any format, and its way to the VAE.
pub fn image(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.file("picture", bytes);
    let ((), held) = peak::peak(|| {
        let Ok(opened) = pixels::open(&path) else { return };
        let picture = opened.pixels;
        assert_eq!(picture.data().len(), picture.width() * picture.height() * 3);
        let (width, height) =
            pixels::target_size(picture.width(), picture.height(), None, 8).unwrap();
        // One pixel wide and all the rest high is a picture that grows eightfold.
        let sizes =
            if width * height > 16 << 20 { vec![(7, 5)] } else { vec![(width, height), (7, 5)] };
        for (width, height) in sizes {
            let resized = pixels::resize_bicubic(&picture, width, height).unwrap();
            assert_eq!((resized.width(), resized.height()), (width, height));
        }
    });
    assert!(held <= PICTURE_BYTES, "{held} bytes held for a picture of {} bytes", bytes.len());
    let Ok(frames) = pixels::open_frames(&path, 3) else { return };
    let first = &frames[0].pixels;
    // Which reads an animation to its end, and may find damage there.
    if let Ok(opened) = pixels::open(&path) {
        assert!(opened.pixels == *first);
    }
    let size = (first.width(), first.height());
    assert!(frames.iter().all(|frame| (frame.pixels.width(), frame.pixels.height()) == size));
}

/// Opens a checkpoint file in each of the ways that a user can ask for, and reads all of it.
fn open_file(path: &Path) {
    let config = path.with_file_name("config.json");
    fs::write(&config, CONFIG).unwrap();
    let source = Source::File { path: path.to_owned() };
    let ways = [
        OpenOptions::default(),
        OpenOptions { config: Some(config), ..OpenOptions::default() },
        OpenOptions { family: Some(Family::Sdxl), ..OpenOptions::default() },
    ];
    for options in ways {
        let checkpoint = Checkpoint::open_with(&source, &options);
        if let Ok(checkpoint) = &checkpoint {
            read_all(checkpoint);
        }
        inspect(&source, &options, checkpoint.is_ok());
    }
}

/// Looks into a source; what can be opened has to pass there, or be found fault with.
fn inspect(source: &Source, options: &OpenOptions, opens: bool) {
    let contents = match Contents::open(source, options) {
        Ok(contents) => contents,
        Err(error) => {
            assert!(!opens, "opened, and not inspected: {error}");
            return;
        }
    };
    let report = InspectReport::of(&contents).unwrap();
    assert!(opens || report.verdict == Verdict::Fail || contents.config_file().is_none());
    assert!(serde_json::to_string(&report).is_ok() && !report.to_string().is_empty());
    let _ = report.tensor_lines();
    let itself = CheckpointDifference::of(&contents, &contents);
    assert!(
        itself.identical || itself.compared < itself.tensors.len() || itself.tensors.is_empty()
    );
}

/// Reads the latents of a file: no more values than it has bytes.
fn read_latents(path: &Path, bytes: usize) {
    if let Ok(latents) = LatentsFile::read(path, None) {
        assert!(latents.values.len() <= bytes);
    }
}

fn read_all(checkpoint: &Checkpoint) {
    for spec in expected_tensors(checkpoint.config()) {
        let tensor = checkpoint.tensor(&spec.name).unwrap();
        assert_eq!(tensor.shape, spec.shape);
        assert_eq!(tensor.to_f32().len(), spec.shape.iter().product::<usize>());
    }
}

/// The archive that torch.save would have made of this pickle.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let storages: Vec<[u8; 256]> = (0..4).map(|key| [key; 256]).collect();
    let names: Vec<String> = (0..4).map(|key| format!("archive/data/{key}")).collect();
    let mut members: Vec<(&str, &[u8])> = vec![("archive/data.pkl", pickle)];
    members.extend(names.iter().zip(&storages).map(|(name, bytes)| (name.as_str(), &bytes[..])));
    archive(&members)
}

/// A zip archive of these files, stored as they are.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in members {
        archive.start_file(*name, stored).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Fails when `run` holds more than a file of these bytes explains.
fn bounded(bytes: &[u8], run: impl FnOnce()) {
    let ((), held) = peak::peak(run);
    let most = BASE_BYTES + BYTES_PER_BYTE * bytes.len();
    assert!(held <= most, "{held} bytes held for a file of {} bytes", bytes.len());
}

/// A folder in memory where there is one, that goes when this does.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let within = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self(tempfile::tempdir_in(within).unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}
