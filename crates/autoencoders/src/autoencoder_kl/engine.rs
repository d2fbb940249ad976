//! What computes: the operations of which the model is made.

use std::fmt::Debug;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_files::error::Result;

/// The operations that `AutoencoderKL` is made of, on the tensors of one implementation.
pub(super) trait Engine: Debug {
    /// An activation: an image (N, C, H, W), or tokens.
    type Tensor;
    /// One tensor of the checkpoint.
    type Weight: Debug;

    /// The tensor `name`, as this engine keeps it.
    fn weight(&self, checkpoint: &Checkpoint, name: &str) -> Result<Self::Weight>;

    /// `torch.nn.functional.conv2d`; here and below, `at` names the module in errors.
    fn conv2d(
        &self,
        xs: &Self::Tensor,
        layer: Layer<Self::Weight>,
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

    /// `torch.nn.functional.linear` over tokens (N, H * W, C).
    fn linear(
        &self,
        xs: &Self::Tensor,
        layer: Layer<Self::Weight>,
        at: &str,
    ) -> Result<Self::Tensor>;

    /// `activation` of what nothing else needs any more.
    fn activation(&self, xs: Self::Tensor, activation: Activation) -> Result<Self::Tensor>;

    /// A zero column on the right and a zero row at the bottom.
    fn pad(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// Each value becomes a 2x2 square.
    fn double(&self, xs: &Self::Tensor, at: &str) -> Result<Self::Tensor>;

    /// `input + hidden`: the end of a residual block, which needs neither any more.
    fn add_to_input(
        &self,
        input: Self::Tensor,
        hidden: Self::Tensor,
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

    /// Scaled dot-product attention with one head over tokens (N, H * W, C).
    fn attend(
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

    /// Shape and values, in C order.
    fn values(&self, xs: &Self::Tensor) -> Result<(Vec<usize>, Vec<f32>)>;
}

/// Weight and bias of a layer.
#[derive(Debug)]
pub(super) struct Layer<'a, W> {
    pub weight: &'a W,
    pub bias: &'a W,
}
