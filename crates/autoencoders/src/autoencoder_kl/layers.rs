//! Convolution, group norm and linear layers, named as diffusers names them.

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_files::error::Result;

use super::engine::{Engine, Layer};

/// Called with each module and its output, in the order in which modules finish: PyTorch's
/// `register_forward_hook`, for all modules.
pub(super) type ForwardHook<'a, T> = &'a mut dyn FnMut(&Module, &T) -> Result<()>;

/// Name and class of a module, as `named_modules()` in diffusers gives them.
#[derive(Debug, Clone)]
pub(super) struct Module {
    pub name: String,
    pub class: &'static str,
}

/// The [`ForwardHook`] that does nothing.
pub(super) fn no_hook<T>(_: &Module, _: &T) -> Result<()> {
    Ok(())
}

/// A module as a part of the tree that the model is, to be found by its name and run alone.
pub(super) trait Node<E: Engine> {
    fn module(&self) -> &Module;

    /// The modules inside it; the first is given what this one is given.
    fn children(&self) -> Vec<&dyn Node<E>> {
        Vec::new()
    }

    /// The smallest height and width of an image that it can be given.
    fn least_side(&self) -> usize {
        self.children().iter().map(|child| child.least_side()).max().unwrap_or(1)
    }

    /// What the module makes of `xs`.
    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor>;
}

/// The module of this name among `nodes` and what is inside them.
pub(super) fn find<'a, E: Engine>(
    nodes: Vec<&'a dyn Node<E>>,
    name: &str,
) -> Option<&'a dyn Node<E>> {
    nodes.into_iter().find_map(|node| match node.module().name == name {
        true => Some(node),
        false => find(node.children(), name),
    })
}

/// A place in the checkpoint from which layers are loaded.
#[derive(Debug)]
pub(super) struct Weights<'a, E> {
    checkpoint: &'a Checkpoint,
    engine: &'a E,
    prefix: String,
}

impl<'a, E: Engine> Weights<'a, E> {
    pub fn new(checkpoint: &'a Checkpoint, engine: &'a E) -> Self {
        Self { checkpoint, engine, prefix: String::new() }
    }

    /// The same checkpoint one level down.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        let prefix = match self.prefix.as_str() {
            "" => name.to_string(),
            above => format!("{above}.{name}"),
        };
        Self { prefix, ..*self }
    }

    pub fn module(&self, class: &'static str) -> Module {
        Module { name: self.prefix.clone(), class }
    }

    /// `prefix.leaf`
    fn tensor(&self, leaf: &str) -> Result<E::Weight> {
        self.engine.weight(self.checkpoint, &format!("{}.{leaf}", self.prefix))
    }
}

/// `torch.nn.Conv2d` with padding that keeps the size, or none.
#[derive(Debug)]
pub(super) struct Conv2d<E: Engine> {
    module: Module,
    weight: E::Weight,
    bias: E::Weight,
    stride: usize,
    padding: usize,
}

impl<E: Engine> Conv2d<E> {
    pub fn load(weights: &Weights<E>, stride: usize, padding: usize) -> Result<Self> {
        Ok(Self {
            module: weights.module("Conv2d"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
            stride,
            padding,
        })
    }

    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let layer = Layer { weight: &self.weight, bias: &self.bias };
        let ys = engine.conv2d(xs, layer, self.stride, self.padding, &self.module.name)?;
        hook(&self.module, &ys)?;
        Ok(ys)
    }
}

impl<E: Engine> Node<E> for Conv2d<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn least_side(&self) -> usize {
        // Without padding, which is the module's around it, a downsampler's kernel has to fit.
        if self.stride == 2 { 3 } else { 1 }
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}

/// `torch.nn.GroupNorm`; every one in `AutoencoderKL` has an epsilon of 1e-6.
#[derive(Debug)]
pub(super) struct GroupNorm<E: Engine> {
    module: Module,
    weight: E::Weight,
    bias: E::Weight,
    groups: usize,
}

impl<E: Engine> GroupNorm<E> {
    const EPS: f64 = 1e-6;

    pub fn load(weights: &Weights<E>, groups: usize) -> Result<Self> {
        Ok(Self {
            module: weights.module("GroupNorm"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
            groups,
        })
    }

    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let layer = Layer { weight: &self.weight, bias: &self.bias };
        let ys = engine.group_norm(xs, layer, self.groups, Self::EPS, &self.module.name)?;
        hook(&self.module, &ys)?;
        Ok(ys)
    }
}

impl<E: Engine> Node<E> for GroupNorm<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}

/// `torch.nn.Linear`.
#[derive(Debug)]
pub(super) struct Linear<E: Engine> {
    module: Module,
    weight: E::Weight,
    bias: E::Weight,
}

impl<E: Engine> Linear<E> {
    pub fn load(weights: &Weights<E>) -> Result<Self> {
        Ok(Self {
            module: weights.module("Linear"),
            weight: weights.tensor("weight")?,
            bias: weights.tensor("bias")?,
        })
    }

    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let layer = Layer { weight: &self.weight, bias: &self.bias };
        let ys = engine.linear(xs, layer, &self.module.name)?;
        hook(&self.module, &ys)?;
        Ok(ys)
    }
}

impl<E: Engine> Node<E> for Linear<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}
