//! A convolution with ReLU behind it.

use vae_fidelity_core::config::Activation;
use vae_fidelity_kernels::direct;
use vae_fidelity_kernels::memory::Workspace;
use vae_fidelity_kernels::norm::{Normalize, normalize};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_kernels::winograd;

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
}

impl Conv {
    /// `None` where the kernel does not fit into `xs`.
    pub fn apply(
        &self,
        threads: Threads,
        xs: &NhwcTensor,
        workspace: &Workspace,
    ) -> Option<NhwcTensor> {
        let Self { weight, bias, inputs, outputs, kernel, stride, padding } = self;
        let (inputs, outputs, stride) = (*inputs, *outputs, *stride);
        let made = if (*kernel, stride, *padding) == ((3, 3), 1, (1, 1)) {
            let params = winograd::Conv2dParams {
                weight,
                bias,
                inputs,
                outputs,
                normalize: None,
                upsample: false,
            };
            winograd::convolve(threads, params, xs, None, workspace)
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
