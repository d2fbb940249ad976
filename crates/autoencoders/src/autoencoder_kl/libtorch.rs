//! The border to libtorch: dtypes, arrays, and C++ exceptions turned into errors.

use std::fmt::Display;

use ndarray::{Array4, ArrayView4};
use tch::{Device, Kind, TchError, Tensor};

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

pub(super) fn kind_of(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::Bf16 => Kind::BFloat16,
    }
}

/// Turns what libtorch throws into an [`Error`] that says where it happened.
pub(super) trait Attempt<T> {
    fn attempt<S: Display>(self, at: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Attempt<T> for std::result::Result<T, TchError> {
    fn attempt<S: Display>(self, at: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| {
            let text = error.to_string();
            let next = if text.contains("out of memory") || text.contains("can't allocate memory") {
                "use a smaller picture with `width` and `height`, or a machine with more memory"
            } else if first_sentence(&text).starts_with("could not ") {
                "oneDNN leaves out why, most often for want of memory: use a smaller picture with \
                 `width` and `height`, or a machine with more memory; else report this"
            } else {
                "report this with the command that shows it: shapes are checked before libtorch runs"
            };
            Error::new(ErrorKind::Libtorch, at(), first_sentence(&text), next)
        })
    }
}

/// libtorch's reason without the C++ stack trace that follows it.
fn first_sentence(text: &str) -> &str {
    let text = text.strip_prefix("Internal torch error: ").unwrap_or(text);
    let end = text.find("\nException raised from").unwrap_or(text.len());
    text[..end].lines().next().unwrap_or("libtorch gave no reason").trim()
}

/// An NCHW array as a tensor of `kind` on `device`.
pub(super) fn to_tensor(array: ArrayView4<f32>, device: Device, kind: Kind) -> Result<Tensor> {
    let shape: Vec<i64> = array.shape().iter().map(|&size| size as i64).collect();
    let values = array.as_standard_layout();
    let values = values.as_slice().unwrap_or_default();
    Tensor::f_from_slice(values)
        .and_then(|tensor| tensor.f_reshape(&shape))
        .and_then(|tensor| tensor.f_to_kind(kind))
        .and_then(|tensor| tensor.f_to_device(device))
        .attempt(|| "copying the input to libtorch")
}

/// A tensor of four dimensions as an NCHW array of f32.
pub(super) fn to_array(tensor: &Tensor) -> Result<Array4<f32>> {
    let at = || "copying a result from libtorch";
    let (n, c, h, w) = tensor.size4().attempt(at)?;
    let shape = (n as usize, c as usize, h as usize, w as usize);
    let values = to_values(tensor)?;
    Array4::from_shape_vec(shape, values).map_err(|error| {
        Error::new(ErrorKind::Libtorch, at(), error, "report this with the command that shows it")
    })
}

/// The values of any tensor as f32, in C order.
pub(super) fn to_values(tensor: &Tensor) -> Result<Vec<f32>> {
    let mut values = vec![0f32; tensor.numel()];
    tensor
        .f_to_device(Device::Cpu)
        .and_then(|tensor| tensor.f_to_kind(Kind::Float))
        .and_then(|tensor| tensor.f_contiguous())
        .and_then(|tensor| {
            let len = values.len();
            tensor.f_copy_data(&mut values, len)
        })
        .attempt(|| "copying a result from libtorch")?;
    Ok(values)
}

/// The same values in memory of their own, laid out alike.
pub(super) fn copied(tensor: &Tensor) -> std::result::Result<Tensor, TchError> {
    let mut copy = tensor.f_empty_like()?;
    copy.f_copy_(tensor)?;
    Ok(copy)
}
