//! The fuzz targets on stable Rust: every file of the corpus, and a burst of files made from them.
//!
//! The burst is the same each time; `FUZZ_SECONDS=600` goes on from there for as long (for each
//! target), and `FUZZ_SEED=1` takes another way. A file that fails is written to the system's folder
//! for temporary files before it is run, and named.

#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

/// Files made for each target.
const BURST: usize = 1500;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{}: {} files", folder.display(), files.len());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse().ok();
    assert!(number.is_some(), "{variable}={text} is no number");
    number
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let corpus = corpus(name);
    for file in &corpus {
        try_out(name, *target, file);
    }
    let mut random = Random(number("FUZZ_SEED").unwrap_or(0) ^ 0x9e37_79b9_7f4a_7c15);
    for _ in 0..BURST {
        try_out(name, *target, &random.file(&corpus));
    }
    let until = Instant::now() + Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(0));
    while Instant::now() < until {
        try_out(name, *target, &random.file(&corpus));
    }
}

fn try_out(name: &str, target: Target, bytes: &[u8]) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(bytes))) else { return };
    let path = std::env::temp_dir().join(format!("vae-fidelity-fuzz-{name}"));
    fs::write(&path, bytes).unwrap();
    eprintln!("{name} fails for {}", path.display());
    resume_unwind(panic);
}

/// Changes files as a fuzzer without feedback does. (xorshift64)
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end.max(1)
    }

    fn file(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[self.below(corpus.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
                2 => {
                    const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff_ffff, 1 << 63, !0];
                    let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                    let end = bytes.len().min(at + (1 << self.below(4)));
                    bytes[at..end].copy_from_slice(&number[..end - at]);
                }
                3 => bytes.truncate(at),
                4 => {
                    let end = at + self.below(bytes.len() - at);
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, copy);
                }
                5 => {
                    let end = at + self.below(bytes.len() - at).min(16);
                    bytes.drain(at..end);
                }
                _ => {
                    let other = &corpus[self.below(corpus.len())];
                    let from = self.below(other.len());
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
            }
        }
        bytes
    }
}

macro_rules! each {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run(stringify!($name));
        }
    )*};
}

each!(safetensors pickle torch_file index config npy image);

#[test]
fn every_target_and_corpus_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut folders: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names = TARGETS.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(folders, names);
}
