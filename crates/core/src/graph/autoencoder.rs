//! An autoencoder as data: its two halves, and the tensors that a checkpoint has to hold.

use serde::Serialize;

use super::map::Load;
use super::module::{Function, Module};

/// Name and shape of one tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TensorSpec {
    /// The checkpoint key, for example `encoder.conv_in.weight`.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
}

/// An autoencoder: two halves, and convolutions between them. `W` is what stands for a tensor: nothing
/// in a graph as it is built, an engine's own tensors in one that was loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph<W = ()> {
    /// Sample (N, 3, H, W), or its patches, to moments, before `quant_conv`; to latents in a class without a posterior.
    pub encoder: Module<W>,
    /// Latents, behind `post_quant_conv`, to a sample.
    pub decoder: Module<W>,
    /// Moments to moments.
    pub quant_conv: Option<Module<W>>,
    /// Latents to latents.
    pub post_quant_conv: Option<Module<W>>,
    /// Tensors beside the modules that are run, such as statistics that latents are normalized by.
    pub buffers: Vec<TensorSpec>,
    /// Tensors of modules that run with an input alone that one picture is not, such as a mask or a clip: a
    /// checkpoint holds them, and they meet no data of a picture's.
    pub idle: Vec<TensorSpec>,
    /// What the class does to a sample outside of its modules, before the encoder.
    pub before_encoder: Vec<Function>,
    /// What it does to what its decoder makes, outside of its modules too; not to the tiles of a picture.
    pub after_decoder: Vec<Function>,
}

impl<W> Graph<W> {
    /// The modules that lie in no other, in the order of the class's state dict.
    pub fn modules(&self) -> impl Iterator<Item = &Module<W>> {
        [&self.encoder, &self.decoder]
            .into_iter()
            .chain(&self.quant_conv)
            .chain(&self.post_quant_conv)
    }

    /// The module of this name, wherever it lies.
    pub fn find(&self, name: &str) -> Option<&Module<W>> {
        self.modules().find_map(|module| module.find(name))
    }

    /// Every tensor, in the order of the class's state dict.
    pub fn tensors(&self) -> Vec<TensorSpec> {
        let mut tensors = Vec::new();
        for module in self.modules() {
            module.for_each_parameter(&mut |name, parameter| {
                tensors.push(TensorSpec { name, shape: parameter.shape.clone() });
            });
        }
        tensors.extend(self.buffers.iter().chain(&self.idle).cloned());
        tensors
    }

    /// The same graph with what `load` gives for each tensor.
    ///
    /// # Errors
    ///
    /// Returns the first error of `load`.
    pub fn try_map<V, E>(&self, load: Load<V, E>) -> Result<Graph<V>, E> {
        let (encoder, decoder) = (self.encoder.try_map(load)?, self.decoder.try_map(load)?);
        let mut map = |module: &Option<Module<W>>| -> Result<Option<Module<V>>, E> {
            module.as_ref().map(|module| module.try_map(load)).transpose()
        };
        let (quant_conv, post_quant_conv) = (map(&self.quant_conv)?, map(&self.post_quant_conv)?);
        Ok(Graph {
            encoder,
            decoder,
            quant_conv,
            post_quant_conv,
            buffers: self.buffers.clone(),
            idle: self.idle.clone(),
            before_encoder: self.before_encoder.clone(),
            after_decoder: self.after_decoder.clone(),
        })
    }
}
