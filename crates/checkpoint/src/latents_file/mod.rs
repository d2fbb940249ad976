//! Tensors as pipelines and training tools leave them: `.safetensors`, ComfyUI's `.latent`, `.npy`, `.npz`
//! and what `torch.save` wrote, told apart by their bytes. Pickles are read as data and never run.

mod choice;
mod container;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use safetensors::SafeTensors;

use super::bytes::{Bytes, FETCH_AGAIN};
use super::entry::Entry;
use super::pickle;
use super::pickle::npz::{self, Array};
use super::safetensors_file;
use choice::{Kind, Listed};
pub use container::Container;
use vae_fidelity_core::tensor_file::{self, FileTensor};
use vae_fidelity_files::FileFormat;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::next_to_read;
use vae_fidelity_files::printable::shown_shape;

/// What is read here.
const READ: &str = ".safetensors, ComfyUI's .latent, .npy, .npz and .pt";

/// Latents, and whose they are.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentsFile {
    /// The tensor's name in the file; `None` where it has none.
    pub name: Option<String>,
    /// Who wrote the file, which says whether its latents are scaled.
    pub container: Container,
    /// The values, in the shape that the file gives them.
    pub values: ArrayD<f32>,
}

impl LatentsFile {
    /// Reads the latents in `path`: the tensor `name`, or the one that its writer means, or the only one.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read as any of the formats, or is broken, and a question
    /// with the names where several tensors may be meant.
    pub fn read(path: &Path, name: Option<&str>) -> Result<Self> {
        let file = Opened::open(path)?;
        let listed = file.listed();
        let (index, container) = match name {
            Some(name) => {
                let index =
                    listed.iter().position(|tensor| tensor.name == name).ok_or_else(|| {
                        Error::option(
                            format!("`latents_key` {name}"),
                            format!("{} has {}", path.display(), choice::listed(&listed)),
                            "name one of these",
                        )
                    })?;
                // The writer is known by the file as a whole, whichever of its tensors is meant.
                let alone: Vec<Listed> = listed
                    .iter()
                    .filter(|tensor| tensor.name == name || tensor.shape.len() < 3)
                    .cloned()
                    .collect();
                let chosen = choice::latents(&alone, file.kind, path, file.architecture.as_deref());
                (index, chosen.map_or(Container::Plain, |(_, container)| container))
            }
            None => choice::latents(&listed, file.kind, path, file.architecture.as_deref())
                .map_err(|problem| {
                    let first = listed.iter().find(|tensor| tensor.shape.len() >= 3);
                    let first = first.or(listed.first()).map_or("", |tensor| &tensor.name);
                    let next = format!("say which one it is, for example `latents_key` {first}");
                    Error::tensor(path.display(), problem, next)
                })?,
        };
        let mut values = file.read(path, index)?;
        if container == Container::ComfyUiOld {
            // As LoadLatent does, in f32.
            let multiplier = (1.0 / 0.18215) as f32;
            values.mapv_inplace(|value| value * multiplier);
        }
        let name = Some(listed[index].name.clone()).filter(|name| !name.is_empty());
        Ok(Self { name, container, values })
    }
}

/// The tensor `name` of `path`, or its only one whatever its name, from any of these formats.
///
/// # Errors
///
/// As [`LatentsFile::read`].
pub fn read_tensor(path: &Path, name: &str) -> Result<ArrayD<f32>> {
    let file = Opened::open(path)?;
    let index = choice::named_or_only(&file.listed(), name).map_err(|problem| {
        Error::tensor(path.display(), problem, "save the tensor alone, or under that name")
    })?;
    file.read(path, index)
}

/// A file whose tensors are listed and not yet read.
struct Opened {
    bytes: Arc<Bytes>,
    kind: Kind,
    tensors: Vec<(String, Place)>,
    /// What musubi-tuner notes in its metadata.
    architecture: Option<String>,
}

/// Where a tensor's values are.
enum Place {
    Entry(Box<Entry>),
    Array(Box<FileTensor>),
    /// Nowhere that is read: sizes and boxes, in this shape.
    WholeNumbers(Vec<usize>),
}

impl Opened {
    fn open(path: &Path) -> Result<Self> {
        let bytes = Arc::new(Bytes::map(path).map_err(|error| {
            let next = match next_to_read(path) {
                Some(next) => next.to_owned(),
                None => format!("give the path of a file that can be read: {READ}"),
            };
            Error::new(ErrorKind::Tensor, path.display(), error.problem(), next)
        })?);
        let slice = bytes.as_slice();
        let broken = |problem: String, next: &str| {
            Error::new(ErrorKind::Tensor, path.display(), problem, next)
        };
        if slice.is_empty() {
            return Err(broken("is empty (0 bytes)".to_owned(), "write it again"));
        }
        let format = FileFormat::of(slice);
        let as_tensor = |error: Error| broken(error.problem().to_owned(), error.next());
        let (kind, tensors) = match format {
            Some(FileFormat::Npy) => {
                let tensor = tensor_file::from_npy(path, slice)?;
                (Kind::Npy, vec![(String::new(), Place::Array(Box::new(tensor)))])
            }
            Some(format) => {
                let next = match format {
                    FileFormat::Picture(_) => {
                        "give a picture with `decoded_image`, and latents here"
                    }
                    _ => "save the tensor alone: numpy.save, torch.save or safetensors",
                };
                return Err(broken(format!("is {format}; tensors are read from {READ}"), next));
            }
            None if npz::is_npz(&bytes) => {
                let place = |(name, array)| match array {
                    Array::Read(tensor) => (name, Place::Array(tensor)),
                    Array::Whole(shape) => (name, Place::WholeNumbers(shape)),
                };
                (Kind::Npz, npz::arrays(&bytes, path)?.into_iter().map(place).collect())
            }
            None if pickle::is_pickled(slice) => {
                let found = pickle::read_tensors(&bytes, path).map_err(as_tensor)?;
                (Kind::Pickle, found.entries.into_iter().map(of_entry).collect())
            }
            None if slice.get(8) != Some(&b'{') => {
                return Err(broken(
                    format!("begins as none of the files that tensors are read from: {READ}"),
                    "save the tensor alone: numpy.save, torch.save or safetensors",
                ));
            }
            None => {
                let entries = safetensors_file::entries(&bytes, path).map_err(as_tensor)?;
                let mut entries: Vec<(String, Place)> = entries.into_iter().map(of_entry).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                (Kind::Safetensors, entries)
            }
        };
        if tensors.is_empty() {
            return Err(broken("holds no tensor".to_owned(), "write it again"));
        }
        let architecture = match kind {
            Kind::Safetensors => {
                SafeTensors::read_metadata(slice).ok().and_then(|(_, metadata)| {
                    metadata.metadata().as_ref()?.get("architecture").cloned()
                })
            }
            _ => None,
        };
        Ok(Self { bytes, kind, tensors, architecture })
    }

    fn listed(&self) -> Vec<Listed> {
        let one = |(name, place): &(String, Place)| Listed {
            name: name.clone(),
            shape: match place {
                Place::Entry(entry) => entry.shape.clone(),
                Place::Array(array) => array.values.shape().to_vec(),
                Place::WholeNumbers(shape) => shape.clone(),
            },
        };
        self.tensors.iter().map(one).collect()
    }

    fn read(&self, path: &Path, index: usize) -> Result<ArrayD<f32>> {
        let (name, place) = &self.tensors[index];
        let broken = |problem: String, next: &str| {
            let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
            Error::new(ErrorKind::Tensor, path.display(), format!("{name}{problem}"), next)
        };
        let entry = match place {
            Place::Array(array) => return Ok(array.values.clone()),
            Place::WholeNumbers(_) => {
                let problem = "expected values of a tensor, found whole numbers".to_owned();
                return Err(broken(problem, "convert it first: array.astype(\"float32\")"));
            }
            Place::Entry(entry) => entry,
        };
        entry
            .verify_checksum(&mut HashSet::new())
            .map_err(|problem| broken(problem, FETCH_AGAIN))?;
        let Some(stored) = entry.read() else {
            // Levels and other integers are no weights; the reader of tensors knows some of them.
            if self.kind == Kind::Safetensors {
                let tensors = tensor_file::from_safetensors(path, self.bytes.as_slice())?;
                let found = tensors.into_iter().find(|tensor| tensor.name.as_ref() == Some(name));
                if let Some(found) = found {
                    return Ok(found.values);
                }
            }
            return Err(broken(
                format!("expected f64, f32, f16 or bf16, found {}", entry.encoding),
                "convert it first, for example with tensor.float()",
            ));
        };
        let (shape, values) = (stored.shape.clone(), stored.to_f32());
        ArrayD::from_shape_vec(IxDyn(&shape), values).map_err(|_| {
            let problem = format!("{} is no shape that memory holds", shown_shape(&shape));
            broken(problem, FETCH_AGAIN)
        })
    }
}

fn of_entry((name, entry): (String, Entry)) -> (String, Place) {
    (name, Place::Entry(Box::new(entry)))
}
