//! A source of weights, opened, named and checked against its config before anything runs.
//!
//! Nothing here trusts a file: sizes and offsets are checked before they are used, pickles are
//! read without running them, names in an index stay inside the checkpoint, and
//! memory is bounded by the size of the files.

// A module uses only those above it.
mod bytes;
mod checksum;
mod layout;
mod entry;
mod pickle;
mod damage;
mod safetensors_file;
mod tensor_files;
mod scaled;
mod weight_files;
mod source;
mod builtin;
#[cfg(feature = "hub")]
mod hub;
mod open_options;
mod fit;
mod names;
mod shapes;
mod find;
mod checkpoint;
mod contents;
mod difference;

pub use checkpoint::Checkpoint;
pub use contents::{Contents, Origin, ResolvedConfig, TensorInfo};
pub use damage::{Damage, DamageKind};
pub use difference::{CheckpointDifference, FieldDifference, TensorDifference, ValueDifference};
pub use entry::StoredTensor;
#[cfg(feature = "hub")]
pub use hub::{HubOptions, HubProgress, HubStep, Token};
pub use layout::{TensorSpec, expected_tensors};
pub use open_options::OpenOptions;
pub use source::Source;
