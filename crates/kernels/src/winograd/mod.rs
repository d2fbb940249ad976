//! 3x3 convolutions of stride 1 by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for
//! Convolutional Neural Networks", <https://arxiv.org/abs/1509.09308>).
//!
//! A block of tiles is transformed to points, multiplied point by point while it stays in the cache,
//! and transformed back. Small outputs use F(4x4, 3x3), large ones F(6x6, 3x3).

mod block;
mod problem;
mod transform;
mod weights;

use std::marker::PhantomData;

use pulp::{Simd, WithSimd};

use crate::memory::{Buffer, Workspace};
use crate::sums::ChannelSums;
use crate::tensor::{NhwcTensor, zero_padded};
use crate::threads::{Shared, Threads, for_each_with};
use block::{Block, Layer, Scratch, Target};
use problem::Blocks;
use transform::{F4x4, F6x6, Transforms};
use weights::{WeightLayout, transform_weights};

pub use problem::Conv2dParams;
pub use weights::KeptWeights;

/// Outputs (height times width) from which on F(6x6, 3x3) makes up for its larger weights.
const F6X6_FROM: usize = 96 * 96;

/// `torch.nn.functional.conv2d` of `input` with a 3x3 kernel, stride 1 and padding 1; with `onto`,
/// which has the output's size, the output is added to it in place.
///
/// The result keeps the sums of its channels, which [`group_norm`](crate::norm::group_norm) then need
/// not compute. It differs from a convolution that is summed as it is defined by rounding alone, of
/// which F(6x6, 3x3) has about twice as much as F(4x4, 3x3).
pub fn convolve(
    threads: Threads,
    params: Conv2dParams,
    input: &NhwcTensor,
    onto: Option<NhwcTensor>,
    workspace: &Workspace,
) -> NhwcTensor {
    convolve_again(threads, params, input, onto, workspace, None)
}

/// [`convolve`] of a layer that runs more than once, whose transformed weights stay in `kept` if there
/// is one: the same bits.
pub fn convolve_again(
    threads: Threads,
    params: Conv2dParams,
    input: &NhwcTensor,
    onto: Option<NhwcTensor>,
    workspace: &Workspace,
    kept: Option<&KeptWeights>,
) -> NhwcTensor {
    let f6x6_from = F6X6_FROM;
    threads.dispatch(Run { threads, params, input, onto, workspace, kept, f6x6_from })
}

/// The arguments of [`convolve`], to be dispatched to one instruction set.
pub(crate) struct Run<'a> {
    pub threads: Threads,
    pub params: Conv2dParams<'a>,
    pub input: &'a NhwcTensor,
    pub onto: Option<NhwcTensor>,
    pub workspace: &'a Workspace,
    /// What is known of the weights.
    pub kept: Option<&'a KeptWeights>,
    /// Outputs (height times width) from which on tiles are 6x6.
    pub f6x6_from: usize,
}

impl WithSimd for Run<'_> {
    type Output = NhwcTensor;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> NhwcTensor {
        let (height, width) = self.params.output_size(self.input);
        match height * width >= self.f6x6_from {
            true => self.convolve(simd, F6x6),
            false => self.convolve(simd, F4x4),
        }
    }
}

impl Run<'_> {
    #[inline(always)]
    fn convolve<S, T, const POINTS: usize, const TILE: usize>(
        self,
        simd: S,
        transforms: T,
    ) -> NhwcTensor
    where
        S: Simd,
        T: Transforms<POINTS, TILE>,
    {
        let Self { threads, params, input, onto, workspace, kept, .. } = self;
        let (height, width) = params.output_size(input);
        let add = onto.is_some();
        let mut out = onto.unwrap_or_else(|| {
            NhwcTensor::uninit(&workspace.activations, height, width, params.outputs)
        });
        assert_eq!((out.height, out.width, out.channels), (height, width, params.outputs));

        let layout = WeightLayout::new::<S>(params, POINTS);
        let transform = |weights: &mut [f32]| {
            transform_weights(simd, transforms, threads, params, layout, weights);
        };
        let mut buffer = None;
        let weights = match kept.and_then(|kept| kept.of(TILE, layout, transform)) {
            Some(kept) => kept,
            None => {
                let buffer = buffer.insert(workspace.scratch_buffer(layout.values()));
                transform(buffer.values_mut());
                buffer.values()
            }
        };
        let bias = &*zero_padded(params.bias);
        let blocks = Blocks::new::<POINTS, TILE>(height, width, input.pitch);
        let layer = Layer { params, input, weights, layout, bias, add, blocks };
        let pitch = out.pitch;
        let mut sums = vec![0.0; blocks.count() * 2 * pitch];
        let mut scratch: Vec<Scratch> = (0..threads.count.min(blocks.count()))
            .map(|_| scratch::<S, POINTS, TILE>(workspace, &layer))
            .collect();
        let target = Target {
            values: Shared::new(out.values_mut()),
            sums: Shared::new(&mut sums),
            pitch,
            width,
            height,
        };
        for_each_with(&mut scratch, blocks.count(), |task, scratch| {
            let transforms = PhantomData::<T>;
            simd.vectorize(Block { layer: &layer, task, scratch, target: &target, transforms });
            workspace.activations.keep_within_limit();
        });
        out.set_sums(ChannelSums::from_parts(&sums, pitch));
        out
    }
}

/// The buffers of one thread.
fn scratch<S: Simd, const POINTS: usize, const TILE: usize>(
    workspace: &Workspace,
    layer: &Layer,
) -> Scratch {
    let [patch, points, products] = layer.scratch_lengths::<POINTS, TILE>(S::F32_LANES);
    let buffer = |len| -> Buffer { workspace.scratch_buffer(len) };
    let (patch, points, products) = (buffer(patch), buffer(points), buffer(products));
    Scratch { patch, points, products, cleared: false }
}
