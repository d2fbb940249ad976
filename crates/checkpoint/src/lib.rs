//! A source of weights, opened, named and checked against its config before anything runs.
//!
//! Nothing here trusts a file: sizes and offsets are checked before they are used, pickles are
//! read without running them, names in an index stay inside the checkpoint, and
//! memory is bounded by the size of the files.
//!
//! Begin with [`Checkpoint::open`] for a VAE that is to run, and with [`Contents::open`] to see what is
//! in files that may be broken:
//!
//! ```no_run
//! use vae_fidelity_checkpoint::{Checkpoint, Source};
//!
//! // A folder in diffusers' layout, a file (.safetensors, .bin, .pt, .ckpt), or with the feature `hub`
//! // the id of a repository.
//! let source = Source::parse("path/to/stable-diffusion", None)?;
//! let checkpoint = Checkpoint::open(&source, None)?;
//! let weight = checkpoint.tensor("decoder.conv_in.weight")?; // under diffusers' name, whatever the file's
//! println!("{:?}, scaled by {}", weight.shape, checkpoint.config().scaling_factor().unwrap_or(1.0));
//! # Ok::<(), vae_fidelity_files::Error>(())
//! ```
//!
//! Features: `hub` downloads from the Hugging Face Hub, `builtin` has the small VAE of vae-fidelity.

// A module uses only those above it.
mod in_memory;
mod mapped_files;
mod bytes;
mod checksum;
mod layout;
mod float8;
mod entry;
mod pickle;
mod damage;
mod safetensors_file;
mod wan_names;
mod prefixes;
mod tensor_files;
mod dc_names;
mod dc_shapes;
mod hunyuan_image_names;
mod hunyuan_image_shapes;
mod tiny_shapes;
mod wan_shapes;
mod halves;
mod scaled;
mod weight_files;
mod source;
mod builtin;
#[cfg(feature = "hub")]
mod hub;
mod open_options;
mod read_places;
mod fit;
mod class;
mod names;
mod shapes;
mod find;
mod checkpoint;
mod weights_sha256;
mod state_dict;
mod resolved_config;
mod contents;
mod by_values;
mod relation;
mod arithmetic;
mod relate;
mod mixture;
mod difference;
mod latents_file;

pub use checkpoint::Checkpoint;
pub use contents::{Contents, TensorInfo};
pub use damage::{Damage, DamageKind};
pub use difference::{CheckpointDifference, FieldDifference, TensorDifference};
#[cfg(feature = "hub")]
pub use hub::{HubOptions, HubPlaces, HubProgress, HubStep, Token};
pub use in_memory::InMemory;
pub use latents_file::{Container, LatentsFile, read_tensor};
pub use layout::{ONE_FRAME, TensorSpec, expected_tensors};
pub use mapped_files::{mapped_file_at, watch_mapped_files};
pub use mixture::Mixture;
pub use open_options::OpenOptions;
pub use read_places::ReadPlaces;
pub use relation::{Related, Relation};
pub use resolved_config::{Origin, ResolvedConfig};
pub use source::Source;
pub use state_dict::StateDict;
pub use vae_fidelity_core::StoredTensor;
pub use vae_fidelity_core::metrics::{Grid, ValueDifference};
pub use weights_sha256::stream_sha256;
