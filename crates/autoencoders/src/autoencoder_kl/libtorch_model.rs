//! The model on libtorch, by either of its engines: tensors in, tensors out.

use ndarray::{ArrayD, ArrayView4, ArrayViewD};
use tch::{Device, Kind, Tensor};

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::cancellation::Cancellation;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::tiling::Part;
use vae_fidelity_core::trace::{Stage, Trace};
use vae_fidelity_files::error::Result;

use super::cuda::{Fused, Passes};
use super::forward::no_hook;
use super::libtorch::to_tensor;
use super::model::Model;
use super::reference::Reference;
use super::watch::Watch;

/// What the two engines share: images (N, C, H, W) on one device, in one dtype.
#[derive(Debug)]
pub(super) struct LibtorchModel {
    pub device: Device,
    pub kind: Kind,
    engine: Either,
    watch: Watch,
}

#[derive(Debug)]
enum Either {
    Reference(Box<Model<Reference>>),
    Fused(Box<Model<Fused>>, Passes),
}

impl LibtorchModel {
    /// With diffusers' operations in diffusers' order.
    pub fn reference(checkpoint: &Checkpoint, device: Device, kind: Kind) -> Result<Self> {
        let model = Model::load(checkpoint, Reference { device, kind })?;
        Ok(Self {
            device,
            kind,
            engine: Either::Reference(Box::new(model)),
            watch: Watch::default(),
        })
    }

    /// With everything between two convolutions in as few passes as it takes.
    pub fn fused(checkpoint: &Checkpoint, device: Device, kind: Kind) -> Result<Self> {
        let model = tch::no_grad(|| Model::load(checkpoint, Fused::new(device, kind)))?;
        let engine = Either::Fused(Box::new(model), Passes::default());
        Ok(Self { device, kind, engine, watch: Watch::default() })
    }

    pub fn config(&self) -> &VaeConfig {
        match &self.engine {
            Either::Reference(model) => &model.config,
            Either::Fused(model, _) => &model.config,
        }
    }

    /// Ends a pass of the reference engine, and a trace of either. A pass on CUDA is queued in less time
    /// than it takes to notice.
    pub fn set_cancellation(&mut self, cancellation: Cancellation) {
        match &mut self.engine {
            Either::Reference(model) => model.cancellation = cancellation,
            Either::Fused(model, _) => model.cancellation = cancellation,
        }
    }

    /// Why the fused engine has no kernels of its own, where it has none.
    pub fn without_kernels(&self) -> Option<&str> {
        match &self.engine {
            Either::Reference(_) => None,
            Either::Fused(model, _) => model.engine.without_kernels.as_deref(),
        }
    }

    /// [`Model::check_input`].
    pub fn check_input(&self, stage: Stage, input: &ArrayView4<f32>) -> Result<()> {
        match &self.engine {
            Either::Reference(model) => model.check_input(stage, input),
            Either::Fused(model, _) => model.check_input(stage, input),
        }
    }

    /// `array` on the device.
    pub fn tensor(&self, array: ArrayView4<f32>) -> Result<Tensor> {
        to_tensor(array, self.device, self.kind)
    }

    /// [`Model::moments`] or [`Model::decoded`]; on CUDA the work is queued, not awaited.
    pub fn forward(&self, stage: Stage, input: &Tensor) -> Result<Tensor> {
        self.forward_part(stage, Part::Whole, input, None)
    }

    /// The same of a part of the input; `clip` has the number of its frames where it is one.
    pub fn forward_part(
        &self,
        stage: Stage,
        part: Part,
        input: &Tensor,
        clip: Option<usize>,
    ) -> Result<Tensor> {
        tch::no_grad(|| match (&self.engine, stage) {
            (Either::Reference(model), Stage::Encode) => self
                .watch
                .part(stage, |seen| model.moments_as(clip, input, &mut model.watched(seen))),
            (Either::Reference(model), Stage::Decode) => self
                .watch
                .part(stage, |seen| model.decoded_as(clip, input, part, &mut model.watched(seen))),
            (Either::Fused(model, passes), stage) => {
                let pass = |input: &Tensor| {
                    let input = model.engine.lift(input)?;
                    let output = match stage {
                        Stage::Encode => model.moments_as(clip, &input, &mut no_hook)?,
                        Stage::Decode => model.decoded_as(clip, &input, part, &mut no_hook)?,
                    };
                    model.engine.lower(&output)
                };
                // What was recorded of whole pictures would do too much to a tile of their size.
                match part == Part::Tile && !model.graph.after_decoder.is_empty() {
                    true => pass(input),
                    false => passes.run(stage, input, pass),
                }
            }
        })
    }

    /// What values are beyond f16 in the passes since `begin`; the fused engine is not watched.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The outputs of all modules of `stage`.
    pub fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Result<Trace> {
        self.check_input(stage, &input)?;
        let input = self.tensor(input)?;
        tch::no_grad(|| match &self.engine {
            Either::Reference(model) => model.trace(stage, &input),
            Either::Fused(model, _) => model.trace(stage, &model.engine.lift(&input)?),
        })
    }

    /// [`Model::forward_module`].
    pub fn forward_module(
        &self,
        name: &str,
        input: ArrayViewD<f32>,
    ) -> Option<Result<ArrayD<f32>>> {
        tch::no_grad(|| match &self.engine {
            Either::Reference(model) => {
                model.forward_module(name, input, |image| self.tensor(image))
            }
            Either::Fused(model, _) => {
                model.forward_module(name, input, |image| model.engine.lift(&self.tensor(image)?))
            }
        })
    }
}
