//! A convolution with ReLU behind it.

use vae_fidelity_core::config::Activation;
use vae_fidelity_kernels::direct;
use vae_fidelity_kernels::memory::Workspace;
use vae_fidelity_kernels::norm::{Normalize, normalize};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_kernels::winograd::{self, KeptWeights};

/// A convolution with ReLU behind it, as `torch.nn.Conv2d` has it.
#[derive(Debug)]
pub(crate) struct Conv {
    /// (outputs, inputs, height, width).
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width.
    pub kernel: (usize, usize),
    pub stride: usize,
    /// Rows of zeros above and below, columns on the left and on the right.
    pub padding: (usize, usize),
    /// The transformed weights, where they are kept for the next picture.
    pub kept: Option<KeptWeights>,
}

impl Conv {
    /// Whether it is computed by Winograd's algorithm.
    fn is_winograd(&self) -> bool {
        (self.kernel, self.stride, self.padding) == ((3, 3), 1, (1, 1))
    }

    /// Bytes that its transformed weights take at most.
    pub fn transformed_bytes(&self) -> usize {
        match self.is_winograd() {
            true => KeptWeights::bytes(self.weight.len()),
            false => 0,
        }
    }

    /// `None` where the kernel does not fit into `xs`.
    pub fn apply(
        &self,
        threads: Threads,
        xs: &NhwcTensor,
        workspace: &Workspace,
    ) -> Option<NhwcTensor> {
        let Self { weight, bias, inputs, outputs, kernel, stride, padding, kept } = self;
        let (inputs, outputs, stride) = (*inputs, *outputs, *stride);
        let made = if self.is_winograd() {
            let params = winograd::Conv2dParams {
                weight,
                bias,
                inputs,
                outputs,
                normalize: None,
                upsample: false,
            };
            winograd::convolve_again(threads, params, xs, None, workspace, kept.as_ref())
        } else {
            let steps = |length: usize, kernel: usize, padding: usize| {
                Some((length + 2 * padding).checked_sub(kernel)? / stride + 1)
            };
            let size =
                (steps(xs.height, kernel.0, padding.0)?, steps(xs.width, kernel.1, padding.1)?);
            let params = direct::Conv2dParams {
                weight,
                bias,
                inputs,
                outputs,
                kernel: *kernel,
                stride,
                padding: *padding,
                normalize: None,
            };
            direct::convolve(threads, params, xs, size, workspace)
        };
        let relu = Normalize { activation: Some(Activation::Relu), ..Normalize::identity(&made) };
        Some(normalize(threads, &made, &relu, &workspace.activations))
    }
}
