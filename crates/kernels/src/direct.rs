//! Convolutions of any kernel and stride, and linear layers, as one matrix product with the gathered
//! inputs of each output pixel (im2col, a block of pixels at a time).

use pulp::{Simd, WithSimd};

use super::memory::{Buffer, Workspace};
use super::norm::Normalize;
use super::product::{Shape, columns, product};
use super::tensor::{CHANNEL_ALIGNMENT, NhwcTensor, zero_padded};
use super::threads::{Threads, at_least, for_each_part_with};

/// Output pixels that a thread computes at once.
const BLOCK: usize = 96;

/// A convolution; a linear layer is one whose kernel is a pixel.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dParams<'a> {
    /// (outputs, inputs, height, width), as `torch.nn.Conv2d` has them.
    pub weight: &'a [f32],
    /// (outputs).
    pub bias: &'a [f32],
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Input pixels between neighboring output pixels, in both directions.
    pub stride: usize,
    /// Rows of zeros above the input and columns of zeros on its left; below and on the right the
    /// input is padded with as many as the output's size needs.
    pub padding: (usize, usize),
    /// Applied to the input while it is read; padding is zero after it.
    pub normalize: Option<&'a Normalize>,
}

impl Conv2dParams<'_> {
    /// How many pixels the kernel has.
    fn places(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }
}

/// `torch.nn.functional.conv2d` of `input` to an output of `height` x `width` pixels.
pub fn convolve(
    threads: Threads,
    params: Conv2dParams,
    input: &NhwcTensor,
    (height, width): (usize, usize),
    workspace: &Workspace,
) -> NhwcTensor {
    threads.dispatch(Run { threads, params, input, height, width, workspace })
}

/// The arguments of [`convolve`], to be dispatched to one instruction set.
pub(crate) struct Run<'a> {
    pub threads: Threads,
    pub params: Conv2dParams<'a>,
    pub input: &'a NhwcTensor,
    pub height: usize,
    pub width: usize,
    pub workspace: &'a Workspace,
}

impl WithSimd for Run<'_> {
    type Output = NhwcTensor;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> NhwcTensor {
        let Self { threads, params, input, height, width, workspace } = self;
        let mut out = NhwcTensor::uninit(&workspace.activations, height, width, params.outputs);
        let depth = params.places() * params.inputs;
        let weights = packed::<S>(params, depth, workspace);
        let bias = zero_padded(params.bias);
        let block = BLOCK * out.pitch;
        let mut scratch = vec![Vec::new(); threads.count];
        for_each_part_with(&mut scratch, out.values_mut(), block, |part, out, left| {
            let (first, weights, bias) = (part * BLOCK, weights.values(), &*bias);
            simd.vectorize(Block { params, input, first, width, weights, bias, left, out });
            workspace.activations.keep_within_limit();
        });
        out
    }
}

/// Weights as (panel of output channels, place in the kernel, input channel, column of the panel).
fn packed<S: Simd>(params: Conv2dParams, depth: usize, workspace: &Workspace) -> Buffer {
    let (columns, places) = (columns::<S>(), params.places());
    let mut buffer = workspace.scratch_buffer(params.outputs.div_ceil(columns) * depth * columns);
    let weights = buffer.values_mut();
    weights.fill(0.0);
    for (output, kernels) in params.weight.chunks_exact(depth).enumerate() {
        let panel = &mut weights[output / columns * depth * columns..];
        for (input, kernel) in kernels.chunks_exact(places).enumerate() {
            for (place, value) in kernel.iter().enumerate() {
                panel[(place * params.inputs + input) * columns + output % columns] = *value;
            }
        }
    }
    buffer
}

/// Computes the output pixels from `first` on.
struct Block<'a> {
    params: Conv2dParams<'a>,
    input: &'a NhwcTensor,
    first: usize,
    width: usize,
    weights: &'a [f32],
    bias: &'a [f32],
    left: &'a mut Vec<f32>,
    out: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { params, input, first, width, weights, bias, left, out } = self;
        let pitch = bias.len();
        let rows = out.len() / pitch;
        for pixel in out.chunks_exact_mut(pitch) {
            pixel.copy_from_slice(bias);
        }
        let depth = params.places() * params.inputs;
        let contiguous = params.places() == 1 && params.stride == 1 && params.normalize.is_none();
        let shape = Shape {
            rows,
            depth,
            vectors: params.outputs.div_ceil(S::F32_LANES),
            left_stride: if contiguous { input.pitch } else { depth },
            panel_stride: depth * columns::<S>(),
            out_stride: pitch,
            add: true,
            ahead: 0,
        };
        if contiguous {
            product(simd, shape, &input.values()[first * input.pitch..], weights, out);
            return;
        }
        let left = at_least(left, rows * depth);
        for (row, values) in left.chunks_exact_mut(depth).enumerate() {
            let (y, x) = ((first + row) / width, (first + row) % width);
            gather(params, input, y, x, values);
        }
        product(simd, shape, left, weights, out);
    }
}

/// Gathers the inputs of output pixel `x`, `y`: (place in the kernel, input channel).
#[inline(always)]
fn gather(params: Conv2dParams, input: &NhwcTensor, y: usize, x: usize, out: &mut [f32]) {
    match (params.inputs, params.normalize) {
        // Of a picture: so few that copying them is cheaper than a call.
        (3, None) => gather_by(params, input, (y, x), out, |pixel, values| {
            values[..3].copy_from_slice(&pixel[..3]);
        }),
        (_, None) => {
            gather_by(params, input, (y, x), out, |pixel, values| values.copy_from_slice(pixel));
        }
        (_, Some(normalize)) => gather_by(params, input, (y, x), out, |pixel, values| {
            normalize.apply(0, pixel, values);
        }),
    }
}

#[inline(always)]
fn gather_by(
    params: Conv2dParams,
    input: &NhwcTensor,
    (y, x): (usize, usize),
    out: &mut [f32],
    copy: impl Fn(&[f32], &mut [f32]),
) {
    let (above, left) = params.padding;
    let rows = out.chunks_exact_mut(params.inputs * params.kernel.1).enumerate();
    for (kernel_row, values) in rows {
        let row = (y * params.stride + kernel_row).wrapping_sub(above);
        if row >= input.height {
            values.fill(0.0);
            continue;
        }
        let pixels = &input.values()[row * input.width * input.pitch..];
        for (kernel_column, values) in values.chunks_exact_mut(params.inputs).enumerate() {
            let column = (x * params.stride + kernel_column).wrapping_sub(left);
            match column < input.width {
                true => copy(&pixels[column * input.pitch..][..params.inputs], values),
                false => values.fill(0.0),
            }
        }
    }
}

const _: () = assert!(CHANNEL_ALIGNMENT.is_multiple_of(16), "a vector has up to 16 lanes");
