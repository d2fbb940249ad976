//! Mistakes that can be planted.

/// What is wrong with the model: mistakes that ports have been seen to make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Downsampling pads one pixel on all sides, not right and bottom only.
    SymmetricPadding,
    /// Convolutions that keep the size pad with the opposite edge.
    CircularPadding,
    /// They pad with what lies beyond the edge, mirrored at it.
    ReflectPadding,
    /// They pad with the edge itself.
    ReplicatePadding,
    /// Group norms with PyTorch's default eps.
    Eps1e5,
    /// The log-variance is used as it comes.
    NoLogvarClamp,
    /// Attention without 1 / sqrt(d).
    NoAttentionScale,
    /// Weights went through f16 on the way in.
    HalfWeights,
    /// Blue first at the encoder's end.
    BgrInput,
    /// Blue first at the decoder's end.
    BgrOutput,
    /// SDXL's scaling factor, whatever the config says.
    ScalingFactor,
    /// Latents are shifted as diffusion pipelines do.
    Shift,
    /// The last activation is the config's, not SiLU.
    ConvActFollowsConfig,
    /// Upsampling interpolates.
    BilinearUpsampling,
    /// Levels are cut off, not rounded.
    Truncation,
    /// One NaN in the output of this module.
    Nan(&'static str),
    /// The decoded sample lacks its last column.
    NarrowOutput,
    /// Decoding is an error.
    DecodeFails,
    /// A 1x1 matrix of the first attention as its transpose.
    TransposedQuery,
    /// The first convolution flips its kernel, as a convolution in the strict sense does.
    FlippedKernel,
    /// The decoder's last bias is left out.
    MissingBias,
    /// Twice as many groups in every norm.
    Groups,
    /// One resnet of the decoder without its shortcut.
    MissingResidual,
    /// Attention without the sum with its input.
    MissingAttentionResidual,
    /// The shortcut's convolution sees the normalised input.
    ShortcutAfterNorm,
    /// GELU in place of the config's activation.
    GeluForSilu,
    /// GELU by its tanh approximation.
    TanhGelu,
    /// Attention normalises over queries, not over keys.
    SoftmaxOverQueries,
    /// Upsampling convolves first and enlarges then.
    ConvBeforeUpsampling,
    /// As many resnets in a level of the decoder as in one of the encoder.
    OneResnetLess,
    /// The log-variance is taken for the mean.
    HalvesSwapped,
    /// Draws multiply the noise with the variance.
    VarianceForStd,
    /// Latents are multiplied with the factor twice.
    ScaledTwice,
    /// Latents go into the decoder as they come.
    NotUnscaled,
    /// Levels beyond 0 and 255 wrap around.
    Wraparound,
}
