//! The goldens of `vae-fidelity`: what the reference script made of pictures, models and seeds, and
//! the small VAE that is built into the command. Data alone; `vae-fidelity-harness` judges by it, and
//! `README.md` beside it describes the files.

use std::path::Path;

/// `config.json` of the built-in VAE.
pub static BUILTIN_CONFIG: &str = include_str!("models/builtin/vae/config.json");

/// The weights of the built-in VAE, as safetensors (4.5 MB).
pub static BUILTIN_WEIGHTS: &[u8] =
    include_bytes!("models/builtin/vae/diffusion_pytorch_model.safetensors");

/// `tolerances.json`: how far another machine may round, by dtype, device and tensor.
pub static TOLERANCES: &str = include_str!("tolerances.json");

/// The folder that holds `manifest.json`, as long as the sources of this crate are where it was built.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
