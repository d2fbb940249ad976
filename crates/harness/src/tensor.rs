//! One golden tensor: all of its values, or its SHA-256 and a fixed sample of them.

use std::path::Path;

use ndarray::Array4;
use safetensors::SafeTensors;
use sha2::{Digest, Sha256};

use super::manifest::{Stored, TensorRow, broken};
use vae_fidelity_core::ElementType;
use vae_fidelity_core::trace::{sample_indices, sha256_of};
use vae_fidelity_files::error::Result;
use vae_fidelity_files::input;
use vae_fidelity_pixels::Rgb8;

/// Values that a hashed golden keeps, at [`sample_indices`].
const SAMPLES: usize = 4096;

/// A golden tensor. Pixels are one too: their 8-bit values travel as `f32` and are hashed as bytes.
#[derive(Debug, Clone)]
pub struct Golden {
    name: String,
    shape: Vec<usize>,
    element_type: ElementType,
    sha256: String,
    expected: Expected,
}

/// What there is to compare with.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// Every value, C order.
    Values(Vec<f32>),
    /// Those at [`sample_indices`].
    Hashed { samples: Vec<f32> },
}

impl Golden {
    /// Reads tensor `name` of the case in `folder`.
    ///
    /// Fails if the file is missing or broken, differs from the manifest, or has a NaN or an infinity,
    /// of which nothing could be within tolerance.
    pub(super) fn read(folder: &Path, name: &str, row: &TensorRow) -> Result<Self> {
        let path = folder.join(&row.file);
        let len: usize = row.shape.iter().product();
        let (key, stored_shape) = match row.stored {
            Stored::Full => (name.to_owned(), row.shape.clone()),
            Stored::Samples => (format!("{name}.samples"), vec![SAMPLES]),
        };
        let values = match path.extension().is_some_and(|extension| extension == "png") {
            true => read_png(&path, &row.shape)?,
            false => read_safetensors(&path, &key, row.dtype, &stored_shape)?,
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(broken(&path, format!("{key}: value {at} is {}", values[at])));
        }
        let expected = match row.stored {
            Stored::Full => Expected::Values(values),
            Stored::Samples => Expected::Hashed { samples: values },
        };
        let golden = Self {
            name: name.to_owned(),
            shape: row.shape.clone(),
            element_type: row.dtype,
            sha256: row.sha256.clone(),
            expected,
        };
        if let Expected::Values(values) = &golden.expected
            && (values.len() != len || !golden.has_hash_of(values))
        {
            return Err(broken(&path, format!("{name}: not the tensor that the manifest hashed")));
        }
        Ok(golden)
    }

    /// What follows from goldens by arithmetic.
    pub(super) fn derived(name: &str, tensor: &Array4<f32>) -> Self {
        let values = tensor.iter().copied().collect();
        Self::of(name, tensor.shape(), ElementType::F32, values)
    }

    /// Pixels that follow from a decoded sample.
    pub(super) fn pixels(name: &str, pixels: &Rgb8) -> Self {
        let shape = [pixels.height(), pixels.width(), 3];
        let levels = pixels.data().iter().copied().map(f32::from).collect();
        Self::of(name, &shape, ElementType::U8, levels)
    }

    fn of(name: &str, shape: &[usize], element_type: ElementType, values: Vec<f32>) -> Self {
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            element_type,
            sha256: sha256(element_type, &values),
            expected: Expected::Values(values),
        }
    }

    /// The tensor's name in the manifest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sizes of its dimensions; (height, width, 3) for pixels.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values in C order, where the golden keeps them.
    pub fn values(&self) -> Option<&[f32]> {
        match &self.expected {
            Expected::Values(values) => Some(values),
            Expected::Hashed { .. } => None,
        }
    }

    /// All values as NCHW, where the golden keeps them and has four dimensions.
    pub(super) fn array(&self) -> Option<Array4<f32>> {
        let shape: [usize; 4] = self.shape.as_slice().try_into().ok()?;
        Array4::from_shape_vec(shape, self.values()?.to_vec()).ok()
    }

    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Flat index and value of every sample; empty where all values are kept.
    pub(super) fn samples(&self) -> Vec<(usize, f32)> {
        match &self.expected {
            Expected::Values(_) => Vec::new(),
            Expected::Hashed { samples } => {
                let len = self.shape.iter().product();
                sample_indices(len, SAMPLES).zip(samples.iter().copied()).collect()
            }
        }
    }

    /// Whether `values`, in the golden's type, are the very bytes that the manifest hashed.
    pub(super) fn has_hash_of(&self, values: &[f32]) -> bool {
        sha256(self.element_type, values) == self.sha256
    }
}

/// Of pixels as bytes, of everything else as f32: a manifest has no other types.
fn sha256(element_type: ElementType, values: &[f32]) -> String {
    if element_type != ElementType::U8 {
        return sha256_of(values);
    }
    let levels: Vec<u8> = values.iter().map(|&level| level as u8).collect();
    Sha256::digest(&levels).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_png(path: &Path, shape: &[usize]) -> Result<Vec<f32>> {
    let picture = vae_fidelity_pixels::open(path)
        .map_err(|error| broken(path, error.problem().to_owned()))?;
    let pixels = picture.pixels;
    if shape != [pixels.height(), pixels.width(), 3] {
        let found = (pixels.height(), pixels.width(), 3);
        return Err(broken(path, format!("expected shape {shape:?}, found {found:?}")));
    }
    Ok(pixels.data().iter().copied().map(f32::from).collect())
}

fn read_safetensors(
    path: &Path,
    key: &str,
    element_type: ElementType,
    shape: &[usize],
) -> Result<Vec<f32>> {
    let bytes = input::read_bytes(path, input::MAX_TENSOR_BYTES)
        .map_err(|problem| broken(path, problem))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| broken(path, error.to_string()))?;
    let tensor = file.tensor(key).map_err(|error| broken(path, format!("{key}: {error}")))?;
    let found = ElementType::of_safetensors(tensor.dtype());
    if found != Some(element_type) || tensor.shape() != shape {
        let found = found.map_or_else(|| tensor.dtype().to_string(), |found| found.to_string());
        let sides = tensor.shape();
        return Err(broken(
            path,
            format!("{key}: expected {element_type} {shape:?}, found {found} {sides:?}"),
        ));
    }
    Ok(match element_type {
        ElementType::U8 => tensor.data().iter().copied().map(f32::from).collect(),
        _ => tensor.data().as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
    })
}
