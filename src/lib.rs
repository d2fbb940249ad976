//! Says whether a latent-diffusion VAE works, and when it does not, what is wrong.
//!
//! A picture is encoded to latents, decoded back, and compared with what went in. Models are
//! diffusers' `AutoencoderKL`, from a folder, a file or the Hugging Face Hub; they run on kernels of
//! this project, or with the feature `tch` on libtorch, to the bit of what diffusers does.
//!
//! Begin with [`Pipeline`], which loads a VAE and judges pictures:
//!
//! ```
//! use vae_fidelity::{Pipeline, verdict::Verdict};
//!
//! let pipeline = Pipeline::builder().repo("builtin").build()?;
//! let report = pipeline.check("golden/images/astronaut.png")?;
//! assert_eq!(report.verdict, Verdict::Pass);
//! println!("{report}"); // as text; the report also serializes to the JSON of `check --json`
//! # Ok::<(), vae_fidelity::Error>(())
//! ```
//!
//! | to do this | begin with |
//! |---|---|
//! | judge pictures, and files that another pipeline made | [`Pipeline::check`], [`Pipeline::check_with`] |
//! | decode latents, and judge them without an original | [`Pipeline::decode`] |
//! | judge a VAE without a picture, by synthetic charts | [`Pipeline::probe`], [`probe::probe`] |
//! | judge VAEs by a data set | `pipeline::evaluate` |
//! | say why two such results differ | `pipeline::explain_gap` |
//! | record every layer | [`Pipeline::trace`] |
//! | encode and decode only | [`Pipeline::vae`], [`Vae`] |
//! | look into a checkpoint | [`report::InspectReport`], [`Checkpoint`] |
//! | compare two pictures or files of tensors | [`compare::compare`] |
//! | judge an implementation of your own | [`golden::Suite`], in the crate `vae-fidelity-harness` |
//! | look up what a finding means | [`diagnosis`] |
#![cfg_attr(feature = "cli", doc = "| run the command in this process | [`cli::run`] |")]
//!
//! # Features
//!
//! - `cli` (default): the command `vae-fidelity`, as `cli::run`.
//! - `evaluate` (default): data sets, as `evaluation`, LPIPS and DISTS, as `perceptual`, and the commands `evaluate`,
//!   `merge` and `explain-gap`.
//! - `tch`: the model on libtorch 2.13, and CUDA.
//!
//! # Stability
//!
//! Semantic versioning covers this API, the command's flags and exit codes, the JSON (fields are added,
//! never renamed), codes of findings and the goldens' layout; before 1.0 a minor version may break them.
//! Options and enums that will grow are `#[non_exhaustive]`. The oldest Rust that builds it is
//! `rust-version` in `Cargo.toml`, raised only by a minor version. Messages and text reports are for
//! people and may change at any time.

// What the crates below this one offer, under one roof.
pub use vae_fidelity_autoencoders::{autoencoder_kl, engine};
pub use vae_fidelity_checkpoint as checkpoint;
pub use vae_fidelity_core::{
    config, dtype, graph, image_processor, metrics, random, recipe, scaling, tensor_file, tiling,
    trace, vae,
};
pub use vae_fidelity_diagnosis as diagnosis;
#[cfg(feature = "evaluate")]
pub use vae_fidelity_evaluation as evaluation;
pub use vae_fidelity_files::{error, input, memory, output, printable};
pub use vae_fidelity_harness as golden;
#[cfg(feature = "evaluate")]
pub use vae_fidelity_perceptual as perceptual;
pub use vae_fidelity_pixels as pixels;
pub use vae_fidelity_probe as probe;

// In the order in which data flows: a module uses only those above it.
pub mod pictures;
pub mod verdict;
mod inspection;
pub mod baseline;
pub mod report;
pub mod forecast;
pub mod pipeline;
pub mod compare;
#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "tch")]
pub use autoencoder_kl::AutoencoderKL;
pub use autoencoder_kl::FastAutoencoderKL;
pub use checkpoint::{Checkpoint, Source};
pub use config::{AutoencoderKLConfig, VaeConfig};
pub use dtype::Dtype;
pub use engine::{Engine, Execution};
pub use error::{Error, ErrorKind, Result};
pub use pipeline::Pipeline;
pub use pixels::Rgb8;
pub use vae::{Encoded, RoundTrip, Vae, round_trip};
pub use vae_fidelity_core::{Cancellation, ElementType};
