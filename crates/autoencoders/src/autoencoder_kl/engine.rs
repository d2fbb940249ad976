//! An engine: an implementation of the operations that the model is made of.

use std::fmt::Debug;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D, Elementwise, Sampling};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// The operations that the classes are made of, on the tensors of one implementation.
pub(super) trait Engine: Debug {
    /// An activation: an image (N, C, H, W), tokens, or the frames of a clip, which are images to what looks
    /// at one of them at a time.
    type Tensor;
    /// One tensor of the checkpoint.
    type Weight: Debug;

    /// The tensor `name`, as this engine keeps it.
    fn weight(&self, checkpoint: &Checkpoint, name: &str) -> Result<Self::Weight>;

    /// `torch.nn.functional.conv2d`; here and below, `at` names the module in errors.
    fn conv2d(
        &self,
        xs: &Self::Tensor,
        kernel: Kernel<Self::Weight>,
        stride: usize,
        padding: usize,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `torch.nn.functional.group_norm`.
    fn group_norm(
        &self,
        xs: &Self::Tensor,
        layer: Layer<Self::Weight>,
        groups: usize,
        eps: f64,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `torch.nn.functional.linear` over tokens (N, H * W, C), or over pixels (N, H, W, C).
    fn linear(
        &self,
        xs: &Self::Tensor,
        layer: Kernel<Self::Weight>,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `activation` of a tensor that nothing else needs.
    fn activation(&self, xs: Self::Tensor, activation: Activation) -> Result<Self::Tensor>;

    /// `torch.nn.functional.pad` with (0, 1, 0, 1): a zero column on the right and a zero row at the bottom.
    fn pad(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// `torch.nn.functional.interpolate` by 2, mode "nearest".
    fn upsample_nearest_2x(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// A copy that an operation may write over.
    fn copied(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// `function` of each value of a tensor that nothing else needs.
    fn elementwise(
        &self,
        xs: Self::Tensor,
        function: Elementwise,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `input + hidden`, or `hidden + input`: the end of a residual block, after which neither is needed.
    fn add_to_input(
        &self,
        input: Self::Tensor,
        hidden: Self::Tensor,
        first: First,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `hidden + residual`: the end of an attention block.
    fn add_residual(
        &self,
        hidden: Self::Tensor,
        residual: &Self::Tensor,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// Image (N, C, H, W) to (N, C, H * W).
    fn flatten(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// (N, C, H * W) to tokens (N, H * W, C).
    fn to_tokens(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// `torch.nn.functional.scaled_dot_product_attention` with one head over tokens (N, H * W, C).
    fn scaled_dot_product_attention(
        &self,
        query: Self::Tensor,
        key: Self::Tensor,
        value: Self::Tensor,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// Tokens (N, H * W, C) to an image of the size of `like` (N, C, H, W).
    fn to_image(
        &self,
        tokens: &Self::Tensor,
        like: &Self::Tensor,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `torch.nn.functional.conv3d` of clips of one frame, images (N, C, H, W) here, before which there are
    /// `2 * padding` frames of zeros; `padding` zeros stand on each side of it. A kernel may be over one frame
    /// alone, (out, in, kernel, kernel).
    fn causal_conv3d(
        &self,
        xs: &Self::Tensor,
        kernel: Kernel<Self::Weight>,
        padding: usize,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// The channels of each pixel over their length, times the root of their number and `gamma`.
    fn rms_norm(&self, xs: &Self::Tensor, gamma: &Self::Weight, at: &str) -> Result<Self::Tensor>;

    /// Attention with one head over the pixels of (N, 3C, H, W), queries, keys and values one after another:
    /// (N, C, H, W).
    fn qkv_attention(&self, qkv: Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// Attention with one head over the pixels of queries, keys and values, each (N, C, H, W): (N, C, H, W).
    fn attention_of_images(&self, qkv: [Self::Tensor; 3], at: &str) -> Result<Self::Tensor>;

    /// Images (T, C, H, W), the frames of one clip, as what the operations over frames take.
    fn to_clip(&self, images: Self::Tensor) -> Result<Self::Tensor> {
        let _ = images;
        Err(no_clips())
    }

    /// Back.
    fn to_images(&self, clip: Self::Tensor) -> Result<Self::Tensor> {
        let _ = clip;
        Err(no_clips())
    }

    /// `count` frames of a clip from frame `first` on.
    fn frames(&self, clip: &Self::Tensor, first: usize, count: usize) -> Result<Self::Tensor> {
        let _ = (clip, first, count);
        Err(no_clips())
    }

    /// Parts of one clip, one after another.
    fn joined(&self, parts: Vec<Self::Tensor>) -> Result<Self::Tensor> {
        let _ = parts;
        Err(no_clips())
    }

    /// The last two frames of `xs` and what was `before` it, or the only one.
    fn last_frames(
        &self,
        before: Option<&Self::Tensor>,
        xs: &Self::Tensor,
    ) -> Result<Self::Tensor> {
        let _ = (before, xs);
        Err(no_clips())
    }

    /// [`Self::causal_conv3d`] of the frames of a clip, of which those `before`, one or two, are looked back at.
    fn conv_over_frames(
        &self,
        xs: &Self::Tensor,
        before: Option<&Self::Tensor>,
        kernel: Kernel<Self::Weight>,
        padding: usize,
        at: &str,
    ) -> Result<Self::Tensor> {
        let _ = (xs, before, kernel, padding, at);
        Err(no_clips())
    }

    /// `time_conv` of a sampler: half as many frames, of which the first looks back at the last one `before`,
    /// or twice as many.
    fn time_conv(
        &self,
        xs: &Self::Tensor,
        before: Option<&Self::Tensor>,
        kernel: Kernel<Self::Weight>,
        sampling: Sampling,
        at: &str,
    ) -> Result<Self::Tensor> {
        let _ = (xs, before, kernel, sampling, at);
        Err(no_clips())
    }

    /// Wan 2.2's and Qwen-Image 2.1's way around a level of the encoder; `first` is of pictures, and of the
    /// first frame of a clip.
    fn avg_down(
        &self,
        xs: &Self::Tensor,
        shape: AvgDown3D,
        first: bool,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// Wan 2.2's and Qwen-Image 2.1's way around a level of the decoder; of pictures, and of the `first` frame
    /// of a clip, the last frame alone is kept.
    fn dup_up(
        &self,
        xs: &Self::Tensor,
        shape: DupUp3D,
        first: bool,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// Squares of `patch` pixels a side as channels (c, pw, ph).
    fn patchify(&self, xs: &Self::Tensor, patch: usize, at: &str) -> Result<Self::Tensor>;

    /// The inverse of [`Self::patchify`].
    fn unpatchify(&self, xs: &Self::Tensor, patch: usize, at: &str) -> Result<Self::Tensor>;

    /// [`Self::conv2d`] in groups of channels that do not see each other, with padding that keeps the size.
    fn grouped_conv2d(
        &self,
        xs: &Self::Tensor,
        kernel: Kernel<Self::Weight>,
        shape: Groups,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// The channels of pixels (N, H, W, C) over the root of the mean of their squares, times a weight and
    /// plus a bias.
    fn rms_norm_of_pixels(
        &self,
        xs: &Self::Tensor,
        layer: Layer<Self::Weight>,
        eps: f64,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `torch.nn.functional.batch_norm` by the statistics given.
    fn batch_norm(
        &self,
        xs: &Self::Tensor,
        norm: BatchNorm<Self::Weight>,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// A function that moves values, or takes the mean of some.
    fn shuffled(&self, xs: &Self::Tensor, shuffle: Shuffle, at: &str) -> Result<Self::Tensor>;

    /// Queries, keys and values, each (N, H, W, C), as the channels of one image (N, 3C, H, W).
    fn stacked(&self, parts: [Self::Tensor; 3], at: &str) -> Result<Self::Tensor>;

    /// Attention of heads of `head_dim` channels over images of queries, keys and values, head by head:
    /// (N, C, H, W), where C is a third of the channels of all of them.
    fn multiscale_attention(
        &self,
        scales: Vec<Self::Tensor>,
        head_dim: usize,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// The largest absolute value of what a module of `class` made, or of what it was given, where that is
    /// more than `limit`: of each layer's output once. `None` too where it is not known without computing
    /// more than a run has to.
    fn beyond(&self, class: &str, xs: &Self::Tensor, limit: f32) -> Result<Option<Beyond>> {
        let _ = (class, xs, limit);
        Ok(None)
    }

    /// Shape and values, in C order.
    fn values(&self, xs: &Self::Tensor) -> Result<(Vec<usize>, Vec<f32>)>;
}

fn no_clips() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a clip",
        "the fast engine on CUDA runs single pictures",
        "run it with `engine` \"reference\", or on the CPU",
    )
}

/// A value beyond a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Beyond {
    /// In what the module made.
    Output(f32),
    /// In what it was given: the output of the layer before it.
    Input(f32),
}

/// The groups of a convolution, and the side of its kernel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Groups {
    pub groups: usize,
    pub side: usize,
}

/// Where values go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shuffle {
    /// Squares of 2 x 2 pixels to channels, (c, ph, pw).
    SpaceToChannels,
    /// Back.
    ChannelsToSpace,
    /// Each so many channels to their mean.
    GroupMeans(usize),
    /// Each channel so many times.
    Repeat(usize),
    /// The first half of the channels, times SiLU of the second.
    Gate,
    /// Channels behind the pixels.
    ChannelsLast,
    /// Channels before them.
    ChannelsFirst,
    /// Squares of 2 x 2 pixels to channels, (ph, pw, c).
    SquaresToChannels,
    /// Back.
    ChannelsToSquares,
}

/// Which operand of a sum diffusers writes first. It decides how the sum lies in memory, where both lie
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum First {
    Input,
    Hidden,
}

/// Weight and bias of a layer.
#[derive(Debug)]
pub(super) struct Layer<'a, W> {
    pub weight: &'a W,
    pub bias: &'a W,
}

/// Weight of a convolution, and its bias if it has one.
#[derive(Debug)]
pub(super) struct Kernel<'a, W> {
    pub weight: &'a W,
    pub bias: Option<&'a W>,
}

/// What a batch norm has learnt.
#[derive(Debug)]
pub(super) struct BatchNorm<'a, W> {
    pub layer: Layer<'a, W>,
    pub running_mean: &'a W,
    pub running_var: &'a W,
    pub eps: f64,
}
