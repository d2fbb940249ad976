//! A network with its weights, run on the CPU's kernels.

use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::memory::Workspace;
use vae_fidelity_kernels::shuffles::stacked;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_kernels::winograd::KeptWeights;

use crate::conv::Conv;
use crate::net::Step;
use crate::pooling::{l2_pool, max_pool};

#[derive(Debug)]
enum Layer {
    Conv(Conv),
    MaxPool {
        side: usize,
        ceil: bool,
    },
    L2Pool,
    /// Its convolutions in the order in which they run.
    Fire(Box<[Conv; 3]>),
    Tap,
}

impl Layer {
    fn convs(&self) -> &[Conv] {
        match self {
            Self::Conv(conv) => std::slice::from_ref(conv),
            Self::Fire(convs) => &**convs,
            Self::MaxPool { .. } | Self::L2Pool | Self::Tap => &[],
        }
    }

    fn convs_mut(&mut self) -> &mut [Conv] {
        match self {
            Self::Conv(conv) => std::slice::from_mut(conv),
            Self::Fire(convs) => &mut **convs,
            Self::MaxPool { .. } | Self::L2Pool | Self::Tap => &mut [],
        }
    }
}

/// torchvision's `features` of a network, as far as they are compared.
#[derive(Debug)]
pub(crate) struct Trunk {
    layers: Vec<Layer>,
    threads: Threads,
    workspace: Workspace,
}

impl Trunk {
    /// With the weights of `steps`: `tensor` gives the values of a tensor by torchvision's name and its shape.
    ///
    /// # Errors
    ///
    /// As `tensor`.
    pub fn load(
        steps: Vec<Step>,
        threads: Threads,
        tensor: &mut impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut conv = |name: String, inputs, outputs, side, stride, padding| -> Result<Conv> {
            let weight = tensor(&format!("{name}.weight"), &[outputs, inputs, side, side])?;
            let bias = tensor(&format!("{name}.bias"), &[outputs])?;
            Ok(Conv {
                weight,
                bias,
                inputs,
                outputs,
                kernel: (side, side),
                stride,
                padding: (padding, padding),
                kept: None,
            })
        };
        let mut layers = Vec::new();
        for step in steps {
            layers.push(match step {
                Step::Conv { at, inputs, outputs, side, stride, padding } => Layer::Conv(conv(
                    format!("features.{at}"),
                    inputs,
                    outputs,
                    side,
                    stride,
                    padding,
                )?),
                Step::MaxPool { side, ceil } => Layer::MaxPool { side, ceil },
                Step::L2Pool => Layer::L2Pool,
                Step::Fire { at, inputs, squeezed, expanded } => {
                    let name = |part: &str| format!("features.{at}.{part}");
                    Layer::Fire(Box::new([
                        conv(name("squeeze"), inputs, squeezed, 1, 1, 0)?,
                        conv(name("expand1x1"), squeezed, expanded, 1, 1, 0)?,
                        conv(name("expand3x3"), squeezed, expanded, 3, 1, 1)?,
                    ]))
                }
                Step::Tap => Layer::Tap,
            });
        }
        let bytes: usize = layers.iter().flat_map(Layer::convs).map(Conv::transformed_bytes).sum();
        // AlexNet's and SqueezeNet's are kept, VGG16's are not.
        if bytes <= KeptWeights::MOST_BYTES {
            let convs = layers.iter_mut().flat_map(Layer::convs_mut);
            convs.for_each(|conv| conv.kept = Some(KeptWeights::default()));
        }
        Ok(Self { layers, threads, workspace: Workspace::default() })
    }

    /// The same on so many threads.
    pub fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// A picture (3, `height`, `width`) as a tensor of its kind.
    pub fn tensor(&self, (height, width): (usize, usize), planes: &[f32]) -> NhwcTensor {
        NhwcTensor::from_chw(&self.workspace.activations, height, width, 3, planes)
    }

    /// What is compared, of a picture (3, `height`, `width`) of values as the network takes them; `None` where the
    /// picture is too small for it.
    pub fn features(&self, size: (usize, usize), planes: &[f32]) -> Option<Vec<NhwcTensor>> {
        let memory = &self.workspace.activations;
        let mut features = Vec::new();
        let mut xs = self.tensor(size, planes);
        for layer in &self.layers {
            xs = match layer {
                Layer::Conv(conv) => self.convolved(conv, &xs)?,
                &Layer::MaxPool { side, ceil } => {
                    max_pool(self.threads, &xs, (side, ceil), memory)?
                }
                Layer::L2Pool => l2_pool(self.threads, &xs, memory),
                Layer::Fire(convs) => {
                    let [squeeze, expand1x1, expand3x3] = &**convs;
                    let squeezed = self.convolved(squeeze, &xs)?;
                    let [one, three] =
                        [expand1x1, expand3x3].map(|of| self.convolved(of, &squeezed));
                    stacked(self.threads, &[&one?, &three?], memory)
                }
                Layer::Tap => {
                    features.push(xs.copied(memory));
                    continue;
                }
            };
        }
        Some(features)
    }

    fn convolved(&self, conv: &Conv, xs: &NhwcTensor) -> Option<NhwcTensor> {
        conv.apply(self.threads, xs, &self.workspace)
    }
}
