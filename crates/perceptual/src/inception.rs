//! The network of the Fréchet inception distance: InceptionV3 of 2015, as far as its last pooling.

use std::path::{Path, PathBuf};

use vae_fidelity_checkpoint::StateDict;
use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::memory::Workspace;
use vae_fidelity_kernels::shuffles::stacked;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

use crate::conv::Conv;
use crate::inception_input::{InceptionInput, SIDE, input};
use crate::inception_net::{Block, Layer, Step, network};
use crate::pooling::{average_pool_inside, max_pool, max_pool_inside};

/// How many features a picture has.
pub const FEATURES: usize = 2048;

/// Of a batch norm, as TensorFlow has it.
const EPS: f64 = 1e-3;

/// InceptionV3 with the weights of 2015-12-05, which pytorch-fid (`pytorch_fid/inception.py`) and torch-fidelity
/// (`torch_fidelity/feature_extractor_inceptionv3.py`) took over from TensorFlow: its averages leave out what pads them,
/// and its last block has a maximum where the paper has an average. On the CPU in f32.
#[derive(Debug)]
pub struct Inception {
    blocks: Vec<Block<Conv>>,
    threads: Threads,
    workspace: Workspace,
    sha256: Vec<(PathBuf, String)>,
}

impl Inception {
    /// Loads `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid or `weights-inception-2015-12-05-6726825d.pth` of
    /// torch-fidelity, whose tensors have the same names. `threads` change no bit of a feature.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or has not the tensors with their shapes.
    pub fn open(path: &Path, threads: Threads) -> Result<Self> {
        let file = StateDict::open(path)?;
        let loaded = Self::with_weights(threads, |name, shape| file.values(name, shape))?;
        Ok(Self { sha256: vec![(path.to_owned(), file.sha256()?)], ..loaded })
    }

    /// The same with weights from elsewhere: `tensor` gives the values of a tensor by its name, such as
    /// `Mixed_5b.branch1x1.bn.running_var`, and its shape.
    ///
    /// # Errors
    ///
    /// As `tensor`.
    pub fn with_weights(
        threads: Threads,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let mut loaded = |layer: Layer| folded(layer, &mut tensor);
        let blocks =
            network().into_iter().map(|block| block.try_map(&mut loaded)).collect::<Result<_>>()?;
        Ok(Self { blocks, threads, workspace: Workspace::default(), sha256: Vec::new() })
    }

    /// The same, computed on so many threads.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        Self { threads, ..self }
    }

    /// The file of the weights, if there is one, with its SHA-256 in hexadecimal.
    pub fn weights_sha256(&self) -> &[(PathBuf, String)] {
        &self.sha256
    }

    /// The features of a picture of `width` x `height` pixels, three levels each, which is brought to 299 x 299 as
    /// `how` says.
    ///
    /// # Panics
    ///
    /// When `levels` are not as many as that.
    pub fn features(
        &self,
        (width, height): (usize, usize),
        levels: &[u8],
        how: InceptionInput,
    ) -> Vec<f32> {
        assert_eq!(levels.len(), 3 * width * height);
        let memory = &self.workspace.activations;
        let planes = input((width, height), levels, how);
        let mut xs = NhwcTensor::from_chw(memory, SIDE, SIDE, 3, &planes);
        for block in &self.blocks {
            let made: Vec<NhwcTensor> =
                block.branches.iter().flat_map(|branch| self.branch(branch, &xs)).collect();
            xs = match &made[..] {
                [_] => made.into_iter().next().unwrap_or(xs),
                several => stacked(self.threads, &several.iter().collect::<Vec<_>>(), memory),
            };
        }
        means(&xs)
    }

    /// What one branch makes of `xs`: a tensor, or two where it ends in a fork.
    fn branch(&self, steps: &[Step<Conv>], xs: &NhwcTensor) -> Vec<NhwcTensor> {
        let memory = &self.workspace.activations;
        let mut made: Vec<NhwcTensor> = Vec::new();
        for step in steps {
            let xs = made.first().unwrap_or(xs);
            made = match step {
                Step::Conv(conv) => vec![self.convolved(conv, xs)],
                Step::AveragePool => vec![average_pool_inside(self.threads, xs, memory)],
                Step::MaxPool { stride: 1 } => vec![max_pool_inside(self.threads, xs, memory)],
                Step::MaxPool { .. } => vec![fits(max_pool(self.threads, xs, (3, false), memory))],
                Step::Fork(one, two) => [one, two].map(|conv| self.convolved(conv, xs)).into(),
            };
        }
        made
    }

    fn convolved(&self, conv: &Conv, xs: &NhwcTensor) -> NhwcTensor {
        fits(conv.apply(self.threads, xs, &self.workspace))
    }
}

/// Every picture is brought to one size.
fn fits(made: Option<NhwcTensor>) -> NhwcTensor {
    made.expect("299 x 299 pixels are enough for every kernel")
}

/// The mean of each channel.
fn means(xs: &NhwcTensor) -> Vec<f32> {
    let mut sums = vec![0.0; xs.channels];
    for pixel in xs.values().chunks_exact(xs.pitch) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    sums.into_iter().map(|sum: f64| (sum / xs.pixels() as f64) as f32).collect()
}

/// A convolution whose batch norm is in its weights.
fn folded(
    layer: Layer,
    tensor: &mut impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
) -> Result<Conv> {
    let Layer { name, inputs, outputs, kernel, stride, padding } = layer;
    let shape = [outputs, inputs, kernel.0, kernel.1];
    let mut weight = tensor(&format!("{name}.conv.weight"), &shape)?;
    let mut of = |part: &str| tensor(&format!("{name}.bn.{part}"), &[outputs]);
    let (scale, shift) = (of("weight")?, of("bias")?);
    let (mean, variance) = (of("running_mean")?, of("running_var")?);
    let mut bias = Vec::with_capacity(outputs);
    for (channel, kernel) in weight.chunks_exact_mut(inputs * kernel.0 * kernel.1).enumerate() {
        let factor = f64::from(scale[channel]) / (f64::from(variance[channel]) + EPS).sqrt();
        kernel.iter_mut().for_each(|value| *value = (f64::from(*value) * factor) as f32);
        bias.push((f64::from(shift[channel]) - f64::from(mean[channel]) * factor) as f32);
    }
    Ok(Conv { weight, bias, inputs, outputs, kernel, stride, padding, kept: None })
}
