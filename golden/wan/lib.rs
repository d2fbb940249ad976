//! The goldens of `AutoencoderKLWan`, `AutoencoderKLQwenImage` and `AutoencoderKLQwenImage21`, of one picture each: a
//! part of those of `vae-fidelity-goldens`, in a crate of its own because of its size. Its pictures and tolerances
//! are that crate's, whose `README.md` describes the files. Data alone: `vae-fidelity-harness` judges by it with
//! the feature `wan`.

use std::path::Path;

/// The folder that holds `manifest.json`, as long as the sources of this crate are where it was built.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
