//! One tensor inside a file, whatever the file's format: where its bytes lie and how to read them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use half::f16;

use super::bytes::Bytes;
use super::checksum::Checksum;
use super::float8::{e4m3_to_f16, e5m2_to_f16};
use super::layout::TensorSpec;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::element_type::ElementType;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_core::stored_tensor::StoredTensor;
use vae_fidelity_files::error::Error;
use vae_fidelity_files::printable::shown_shape;

/// How the values of a tensor are written in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As floats of a type that weights come in: anything but bytes.
    Float(ElementType),
    /// As what no VAE is made of, named for the message; its bytes are never read.
    Other(String),
}

impl Encoding {
    /// What a `.safetensors` file calls `dtype`.
    pub fn of_safetensors(dtype: safetensors::Dtype) -> Self {
        match ElementType::of_safetensors(dtype) {
            None | Some(ElementType::U8) => Self::Other(format!("{dtype:?}")),
            Some(float) => Self::Float(float),
        }
    }

    /// Bytes of one value, for those that can be read.
    pub fn width(&self) -> Option<usize> {
        match self {
            Self::Float(float) => Some(float.size_bytes()),
            Self::Other(_) => None,
        }
    }

    /// Whether the values are 8-bit floats, to which a scale may belong.
    pub fn is_8_bit(&self) -> bool {
        self.width() == Some(1)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Float(float) => float.fmt(f),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Where one tensor lies. Made only with offsets that were checked against the file's size.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub encoding: Encoding,
    pub shape: Vec<usize>,
    /// Values to step over for each dimension; none when they lie in C order without gaps.
    strides: Option<Vec<usize>>,
    file: Arc<Bytes>,
    range: Range<usize>,
    /// The file's checksum of the part that holds it.
    checksum: Option<Arc<Checksum>>,
    /// What 8-bit values are multiplied by; none for values that stand for themselves.
    scale: Option<f32>,
}

impl Entry {
    /// A tensor in C order whose bytes are `range` of `file`.
    pub fn contiguous(
        file: &Arc<Bytes>,
        encoding: Encoding,
        shape: Vec<usize>,
        range: Range<usize>,
    ) -> Self {
        let file = Arc::clone(file);
        Self { encoding, shape, strides: None, file, range, checksum: None, scale: None }
    }

    /// The same, in a part of the file that has a checksum.
    pub fn with_checksum(self, checksum: Option<Arc<Checksum>>) -> Self {
        Self { checksum, ..self }
    }

    /// See [`Bytes::forget`].
    pub fn forget(&self) {
        self.file.forget(&self.range);
    }

    /// See [`Bytes::check_unchanged`].
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.file.check_unchanged()
    }

    /// The same number for tensors of one file.
    pub fn file_number(&self) -> usize {
        Arc::as_ptr(&self.file).addr()
    }

    /// Something that a file has under a tensor's name and that is not a readable tensor.
    pub fn unreadable(file: &Arc<Bytes>, what: String) -> Self {
        Self::contiguous(file, Encoding::Other(what), Vec::new(), 0..0)
    }

    /// A tensor that picks values out of `storage` (a range of bytes of `file`), as torch writes
    /// them: `strides` and `offset` count values.
    ///
    /// Errors, in words, when it would reach outside the storage, and when it repeats the values of its storage
    /// (an expanded tensor) to more than `expanded` bytes, which costs a file nothing.
    pub fn strided(
        file: &Arc<Bytes>,
        encoding: Encoding,
        storage: Range<usize>,
        offset: usize,
        shape: Vec<usize>,
        strides: Vec<usize>,
        expanded: usize,
    ) -> Result<Self, String> {
        let Some(width) = encoding.width() else {
            return Ok(Self::contiguous(file, encoding, shape, 0..0));
        };
        if strides.len() != shape.len() {
            return Err(format!("shape {shape:?} has other dimensions than strides {strides:?}"));
        }
        let held = storage.len() / width;
        let said = |what: &str| {
            let [shape, strides] = [&shape, &strides].map(|numbers| shown_shape(numbers));
            format!(
                "shape {shape}, strides {strides} and offset {offset} {what} a storage of {held} values"
            )
        };
        let outside = || said("reach outside");
        let count = product(&shape).ok_or_else(outside)?;
        if count == 0 {
            return Ok(Self::contiguous(file, encoding, shape, storage.start..storage.start));
        }
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (&size, &stride)| {
            last.checked_add((size - 1).checked_mul(stride)?)
        });
        if last.is_none_or(|last| last >= held) {
            return Err(outside());
        }
        if count > held && count.checked_mul(width).is_none_or(|bytes| bytes > expanded) {
            return Err(said("would, without repeating values, reach outside"));
        }
        let start = storage.start + offset * width;
        if in_c_order(&shape, &strides) {
            return Ok(Self::contiguous(file, encoding, shape, start..start + count * width));
        }
        // A dimension of size 1 is never stepped along, whatever stride the file gives it.
        let strides = shape.iter().zip(strides).map(|(&size, stride)| match size {
            1 => 0,
            _ => stride,
        });
        let (strides, range) = (Some(strides.collect()), start..storage.end);
        Ok(Self { strides, ..Self::contiguous(file, encoding, shape, range) })
    }

    /// Drops the trailing dimensions of a 1x1 convolution that stands for a linear layer.
    pub fn squeeze_kernel(&mut self) {
        while self.shape.len() > 2 && self.shape.last() == Some(&1) {
            self.shape.pop();
            if let Some(strides) = &mut self.strides {
                strides.pop();
            }
        }
    }

    /// Drops the dimension of time of a kernel over one frame (out, in, 1, kernel, kernel).
    pub fn squeeze_frame(&mut self) {
        const TIME: usize = 2;
        if self.shape.len() == 5 && self.shape[TIME] == 1 {
            self.shape.remove(TIME);
            if let Some(strides) = &mut self.strides {
                strides.remove(TIME);
            }
        }
    }

    /// One of three equal parts along the first dimension; `None` where there are none that lie together.
    pub fn third(&self, part: usize) -> Option<Self> {
        let (rows, bytes) = (*self.shape.first()?, self.range.len());
        if self.strides.is_some() || !rows.is_multiple_of(3) || !bytes.is_multiple_of(3) {
            return None;
        }
        let mut third = self.clone();
        third.shape[0] = rows / 3;
        let start = self.range.start + part * (bytes / 3);
        third.range = start..start + bytes / 3;
        Some(third)
    }

    /// Multiplies what is read from now on by `scale`.
    ///
    /// Errors, in words, when the values are none that are stored scaled.
    pub fn set_scale(&mut self, scale: f32) -> Result<(), String> {
        if !self.encoding.is_8_bit() {
            return Err(format!("expected 8-bit floats, found {}", self.encoding));
        }
        self.scale = Some(scale);
        Ok(())
    }

    /// Whether its values are multiplied by a scale when they are read.
    pub fn is_scaled(&self) -> bool {
        self.scale.is_some()
    }

    /// Verifies the checksum that the file stores of these values, unless it is in `checked`; the error
    /// says what differs.
    pub fn verify_checksum(&self, checked: &mut HashSet<*const Checksum>) -> Result<(), String> {
        match &self.checksum {
            Some(checksum) if checked.insert(Arc::as_ptr(checksum)) => checksum.check(&self.file),
            _ => Ok(()),
        }
    }

    /// 8-bit values times their scale, in f32.
    fn scaled(&self, data: &[u8]) -> Vec<u8> {
        let e4m3 = self.encoding == Encoding::Float(ElementType::Float8E4m3);
        let to_f16 = if e4m3 { e4m3_to_f16 } else { e5m2_to_f16 };
        let scale = self.scale.unwrap_or(1.0);
        let values = (0..=255).map(|byte| f16::from_bits(to_f16(byte)).to_f32() * scale);
        let of_byte: Vec<f32> = values.collect();
        little_endian(data.iter().map(|&byte| of_byte[usize::from(byte)]).collect())
    }

    /// The values; borrowed from the file where it holds them as they are.
    ///
    /// None for an encoding that is not read.
    pub fn read(&self) -> Option<StoredTensor<'_>> {
        let stored = &self.file.as_slice()[self.range.clone()];
        let data = match &self.strides {
            None => Cow::Borrowed(stored),
            Some(strides) => {
                Cow::Owned(gathered(stored, self.encoding.width()?, &self.shape, strides))
            }
        };
        let Encoding::Float(float) = self.encoding else { return None };
        let (dtype, data) = match float {
            _ if self.scale.is_some() => (Dtype::F32, Cow::Owned(self.scaled(&data))),
            ElementType::F32 => (Dtype::F32, data),
            ElementType::F16 => (Dtype::F16, data),
            ElementType::Bf16 => (Dtype::Bf16, data),
            ElementType::F64 => (Dtype::F32, Cow::Owned(rounded(&data))),
            ElementType::Float8E4m3 => (Dtype::F16, Cow::Owned(widened(&data, e4m3_to_f16))),
            ElementType::Float8E5m2 => (Dtype::F16, Cow::Owned(widened(&data, e5m2_to_f16))),
            _ => return None,
        };
        Some(StoredTensor { dtype, shape: self.shape.clone(), data })
    }
}

/// The tensor that `recipe` makes for `spec`.
pub(super) fn made_by(recipe: &Recipe, spec: &TensorSpec) -> StoredTensor<'static> {
    let data = little_endian(recipe.values(&spec.name, &spec.shape));
    StoredTensor { dtype: Dtype::F32, shape: spec.shape.clone(), data: Cow::Owned(data) }
}

/// The bytes of `values`, as a file has them.
fn little_endian(mut values: Vec<f32>) -> Vec<u8> {
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().swap_bytes()));
    }
    bytemuck::cast_slice(&values).to_vec()
}

/// Number of values of a shape, if a `usize` holds it. (A dimension of 0 beside huge ones is 0.)
pub(super) fn product(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))
}

/// Whether values lie as C order has them; strides of dimensions of size 1 mean nothing.
fn in_c_order(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == expected;
        expected *= size;
        fits
    })
}

/// The values of a strided tensor, one after the other in C order.
fn gathered(stored: &[u8], width: usize, shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let mut data = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    for _ in 0..count {
        data.extend_from_slice(&stored[at * width..(at + 1) * width]);
        // Count up as an odometer does: the last dimension first.
        for dimension in (0..shape.len()).rev() {
            index[dimension] += 1;
            at += strides[dimension];
            if index[dimension] < shape[dimension] {
                break;
            }
            at -= strides[dimension] * shape[dimension];
            index[dimension] = 0;
        }
    }
    data
}

/// f64 to f32, to nearest, ties to even, as torch rounds.
fn rounded(data: &[u8]) -> Vec<u8> {
    data.chunks_exact(8)
        .flat_map(|eight| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(eight);
            (f64::from_le_bytes(bytes) as f32).to_le_bytes()
        })
        .collect()
}

fn widened(data: &[u8], to_f16: fn(u8) -> u16) -> Vec<u8> {
    let of_byte: Vec<u16> = (0..=255).map(|byte| to_f16(byte).to_le()).collect();
    let words: Vec<u16> = data.iter().map(|&byte| of_byte[usize::from(byte)]).collect();
    bytemuck::cast_slice(&words).to_vec()
}
