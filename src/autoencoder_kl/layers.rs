//! Convolution, group norm and linear layers, named as diffusers names them.

use std::borrow::Cow;

use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::config::Activation;
use crate::error::Result;

use super::libtorch::{Attempt, kind_of};

/// Called with each module's name, class and output, in the order in which modules finish.
pub(super) type Watch<'a> = &'a mut dyn FnMut(&Module, &Tensor) -> Result<()>;

/// Name and class of a module, as `named_modules()` in diffusers gives them.
#[derive(Debug, Clone)]
pub(super) struct Module {
    pub name: String,
    pub class: &'static str,
}

/// A place in the checkpoint from which layers are loaded.
#[derive(Clone)]
pub(super) struct Weights<'a> {
    checkpoint: &'a Checkpoint,
    prefix: String,
    device: Device,
    kind: Kind,
}

impl<'a> Weights<'a> {
    pub fn new(checkpoint: &'a Checkpoint, device: Device, kind: Kind) -> Self {
        Self { checkpoint, prefix: String::new(), device, kind }
    }

    /// The same checkpoint one level down.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        let prefix = match self.prefix.as_str() {
            "" => name.to_string(),
            above => format!("{above}.{name}"),
        };
        Self { prefix, ..self.clone() }
    }

    pub fn module(&self, class: &'static str) -> Module {
        Module { name: self.prefix.clone(), class }
    }

    /// `prefix.leaf` in the device and dtype that the model runs in.
    ///
    /// f32 weights stay where they are mapped, at the file's alignment, as in diffusers: apart from
    /// sparing a copy, some kernels round differently at another alignment.
    fn tensor(&self, leaf: &str) -> Result<Tensor> {
        let name = format!("{}.{leaf}", self.prefix);
        let stored = self.checkpoint.tensor(&name)?;
        let shape: Vec<i64> = stored.shape.iter().map(|&size| size as i64).collect();
        let kind = kind_of(stored.dtype);
        let tensor = match stored.data {
            Cow::Borrowed(data) if data.as_ptr().align_offset(kind.elt_size_in_bytes()) == 0 => {
                // SAFETY: the bytes cover the shape (checked when the file was opened), are
                // aligned, never written to, and mapped for as long as the model that holds
                // `Checkpoint::mapped` beside its tensors.
                unsafe { Tensor::f_from_blob(data.as_ptr(), &shape, &[], kind, Device::Cpu) }
            }
            data => Tensor::f_from_data_size(&data, &shape, kind),
        };
        tensor
            .and_then(|tensor| tensor.f_to_kind(self.kind))
            .and_then(|tensor| tensor.f_to_device(self.device))
            .attempt(|| format!("loading {name}"))
    }
}

/// `torch.nn.Conv2d` with padding that keeps the size, or none.
#[derive(Debug)]
pub(super) struct Conv2d {
    module: Module,
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv2d {
    pub fn load(weights: &Weights, stride: i64, padding: i64) -> Result<Self> {
        Ok(Self {
            module: weights.module("Conv2d"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
            stride,
            padding,
        })
    }

    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let ys = xs
            .f_conv2d(&self.weight, Some(&self.bias), stride, padding, [1, 1], 1)
            .attempt(|| &self.module.name)?;
        watch(&self.module, &ys)?;
        Ok(ys)
    }
}

/// `torch.nn.GroupNorm`; every one in `AutoencoderKL` has an epsilon of 1e-6.
#[derive(Debug)]
pub(super) struct GroupNorm {
    module: Module,
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    const EPS: f64 = 1e-6;

    pub fn load(weights: &Weights, groups: usize) -> Result<Self> {
        Ok(Self {
            module: weights.module("GroupNorm"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
            groups: groups as i64,
        })
    }

    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let ys = xs
            .f_group_norm(self.groups, Some(&self.weight), Some(&self.bias), Self::EPS, true)
            .attempt(|| &self.module.name)?;
        watch(&self.module, &ys)?;
        Ok(ys)
    }
}

/// `torch.nn.Linear`.
#[derive(Debug)]
pub(super) struct Linear {
    module: Module,
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub fn load(weights: &Weights) -> Result<Self> {
        Ok(Self {
            module: weights.module("Linear"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
        })
    }

    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let ys = xs.f_linear(&self.weight, Some(&self.bias)).attempt(|| &self.module.name)?;
        watch(&self.module, &ys)?;
        Ok(ys)
    }
}

impl Activation {
    /// diffusers `get_activation`: the activation by its name in the config.
    pub(super) fn forward(self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => xs.f_silu(),
            Self::Mish => xs.f_mish(),
            Self::Gelu => xs.f_gelu("none"),
            Self::Relu => xs.f_relu(),
        }
        .attempt(|| "activation")
    }
}
