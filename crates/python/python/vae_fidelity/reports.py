"""What the functions of this package report: the JSON of the command `vae-fidelity`, as classes.

Generated from docs/src/reference/schema.json by vae_fidelity_tools.wheel.reports. Fields and values may be
added; none is renamed or removed. A field that the JSON leaves out is `None`; one whose name is a keyword of
Python ends in `_`, and a dash in a name is a `_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["pass", "fail"]
"""What a run comes to."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """The picture that went in."""

    path: str
    """The file, or what the caller calls it."""
    path_is_lossy: bool | None = None
    """Whether the file's name has bytes that are not UTF-8, for which `path` has U+FFFD; left out where it has
    none."""
    format: str
    """Its format by Pillow's name, for example `PNG`; `memory` where it came from no file."""
    mode: str
    """Its pixels by Pillow's name of the mode, for example `RGB`."""
    exif_applied: int | None = None
    """The EXIF orientation (2 to 8) that was applied before anything else; left out where none was."""
    source_width: int
    """Columns in the file, once it is turned."""
    source_height: int
    """Rows in the file, once it is turned."""
    width: int
    """Columns that the VAE saw."""
    height: int
    """Rows that the VAE saw."""


Class = Literal[
    "AutoencoderKL",
    "AutoencoderKLFlux2",
    "AutoencoderTiny",
    "AsymmetricAutoencoderKL",
    "AutoencoderKLWan",
    "AutoencoderKLQwenImage",
    "AutoencoderDC",
    "AutoencoderKLHunyuanImage",
    "AutoencoderKLQwenImage21",
]
"""A class of diffusers' `models/autoencoders/`, as `_class_name` names it."""


Family = Literal[
    "builtin",
    "sd1",
    "sd2",
    "sdxl",
    "playground-v2.5",
    "sd3",
    "flux1",
    "cogview",
    "flux2",
    "taesd",
    "taesdxl",
    "taesd3",
    "taef1",
    "taef2",
    "x4-upscaler",
    "asymmetric",
    "wan2.1",
    "wan2.2",
    "qwen-image",
    "qwen-image-layered",
    "sana",
    "dc-ae-f32-mix",
    "dc-ae-f64-mix",
    "dc-ae-f128-mix",
    "hunyuanimage",
    "qwen-image-2.1",
    "unknown",
]
"""A family of published VAEs that share graph and scaling."""


Activation = Literal["silu", "mish", "gelu", "relu"]
"""An activation by diffusers' name (`models/activations.py`, `get_activation`)."""


SampleSize = int | tuple[int, int]
"""`sample_size` of a config: a number or a pair, in pixels."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLConfig:
    """The fields of diffusers' `AutoencoderKL.__init__` (`models/autoencoders/autoencoder_kl.py`, diffusers
    0.42.1), validated. Read one with `AutoencoderKLConfig::from_json`. Lengths of the three block lists agree,
    every width is a multiple of `norm_num_groups`, and every number is finite."""

    in_channels: int
    """Channels of the input picture."""
    out_channels: int
    """Channels of the decoded picture."""
    down_block_types: list[str]
    """One name per level of the encoder; only `DownEncoderBlock2D` is run."""
    up_block_types: list[str]
    """One name per level of the decoder; only `UpDecoderBlock2D` is run."""
    block_out_channels: list[int]
    """Channels of each level, from the picture inwards."""
    layers_per_block: int
    """Resnets in a level of the encoder; the decoder has one more."""
    act_fn: Activation
    """Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers."""
    latent_channels: int
    """Channels of the latents."""
    norm_num_groups: int
    """Groups of every `GroupNorm`."""
    sample_size: SampleSize
    """Side, or (height, width), that the model was made for; sets diffusers' tile size."""
    scaling_factor: float
    """What latents are multiplied by before diffusion."""
    shift_factor: float | None
    """What diffusion pipelines subtract before scaling. The reference script ignores it, and so does
    `AutoencoderKLConfig::scale`."""
    latents_mean: list[float] | None
    """Per-channel mean of the latents, used by some pipelines in place of a shift."""
    latents_std: list[float] | None
    """Per-channel standard deviation of the latents."""
    force_upcast: bool
    """Whether pipelines run this VAE in f32; the class itself ignores it."""
    use_quant_conv: bool
    """Whether a 1x1 `quant_conv` follows the encoder."""
    use_post_quant_conv: bool
    """Whether a 1x1 `post_quant_conv` precedes the decoder."""
    mid_block_add_attention: bool
    """Whether the mid blocks have attention."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLFlux2Config:
    """The fields of diffusers' `AutoencoderKLFlux2.__init__` (`models/autoencoders/autoencoder_kl_flux2.py`,
    diffusers 0.42.1), validated as `super::AutoencoderKLConfig` is. What latents are scaled by lies in the
    checkpoint (`bn.*`)."""

    in_channels: int
    """Channels of the input picture."""
    out_channels: int
    """Channels of the decoded picture."""
    down_block_types: list[str]
    """One name per level of the encoder; only `DownEncoderBlock2D` is run."""
    up_block_types: list[str]
    """One name per level of the decoder; only `UpDecoderBlock2D` is run."""
    block_out_channels: list[int]
    """Channels of each level, from the picture inwards."""
    decoder_block_out_channels: list[int] | None
    """The same of the decoder, where it is another; the small decoder of FLUX.2 is narrower."""
    layers_per_block: int
    """Resnets in a level of the encoder; the decoder has one more."""
    act_fn: Activation
    """Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers."""
    latent_channels: int
    """Channels of the latents before they are patched."""
    norm_num_groups: int
    """Groups of every `GroupNorm`."""
    sample_size: SampleSize
    """Side, or (height, width), that the model was made for; sets diffusers' tile size."""
    use_quant_conv: bool
    """Whether a 1x1 `quant_conv` follows the encoder."""
    use_post_quant_conv: bool
    """Whether a 1x1 `post_quant_conv` precedes the decoder."""
    mid_block_add_attention: bool
    """Whether the mid blocks have attention."""
    batch_norm_eps: float
    """What is added to the variance of `bn`."""
    batch_norm_momentum: float
    """How fast `bn` learned its statistics; nothing here depends on it."""
    patch_size: tuple[int, int]
    """Height and width of a patch of latents."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderTinyConfig:
    """The fields of diffusers' `AutoencoderTiny.__init__` (`models/autoencoders/autoencoder_tiny.py`, diffusers
    0.42.1), validated as `super::AutoencoderKLConfig` is, and that of `taesd.py` which diffusers does not have."""

    in_channels: int
    """Channels of the input picture."""
    out_channels: int
    """Channels of the decoded picture."""
    encoder_block_out_channels: list[int]
    """Channels of each level of the encoder, from the picture inwards: one number, since each level begins with a
    convolution that keeps it."""
    decoder_block_out_channels: list[int]
    """The same of the decoder, from the latents outwards."""
    act_fn: Activation
    """Activation inside the blocks and behind the decoder's first convolution. Blocks end in ReLU whatever this
    says, as in diffusers."""
    upsample_fn: str
    """How the decoder enlarges; only `nearest` is run."""
    latent_channels: int
    """Channels of the latents."""
    upsampling_scaling_factor: int
    """By how much each level of the decoder but the last enlarges."""
    num_encoder_blocks: list[int]
    """Blocks in each level of the encoder."""
    num_decoder_blocks: list[int]
    """Blocks in each level of the decoder."""
    latent_magnitude: float
    """What `scale_latents` takes for the largest latent; encoding and decoding do without it."""
    latent_shift: float
    """Where `scale_latents` puts 0; encoding and decoding do without it."""
    force_upcast: bool
    """Whether pipelines run this VAE in f32. The class sets it to false whatever the file says."""
    scaling_factor: float
    """What latents are multiplied by before diffusion. They are made to the diffusion model's scale, so that
    published configs have 1."""
    shift_factor: float
    """What diffusion pipelines subtract before scaling: 0 in published configs."""
    use_midblock_gn: bool | None = None
    """Whether the blocks nearest to the latents begin with a pool, as TAESD's for FLUX.2 do. diffusers' class has
    no such field; the name is that of `taesd.py`."""


@dataclass(frozen=True, kw_only=True)
class AsymmetricAutoencoderKLConfig:
    """The fields of diffusers' `AsymmetricAutoencoderKL.__init__` (`models/autoencoders/autoencoder_asym_kl.py`,
    diffusers 0.42.1), validated as `super::AutoencoderKLConfig` is."""

    in_channels: int
    """Channels of the input picture."""
    out_channels: int
    """Channels of the decoded picture."""
    down_block_types: list[str]
    """One name per level of the encoder; only `DownEncoderBlock2D` is run."""
    down_block_out_channels: list[int]
    """Channels of each level of the encoder, from the picture inwards."""
    layers_per_down_block: int
    """Resnets in a level of the encoder."""
    up_block_types: list[str]
    """One name per level of the decoder; only `UpDecoderBlock2D` is run."""
    up_block_out_channels: list[int]
    """Channels of each level of the decoder, from the picture inwards too."""
    layers_per_up_block: int
    """Resnets in a level of the decoder, which has one more."""
    act_fn: Activation
    """Activation inside the resnets. `conv_act` is SiLU whatever this says, as in diffusers."""
    latent_channels: int
    """Channels of the latents."""
    norm_num_groups: int
    """Groups of every `GroupNorm`."""
    sample_size: SampleSize
    """Side, or (height, width), that the model was made for. The class has no tiles that it would set."""
    scaling_factor: float
    """What latents are multiplied by before diffusion."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLWanConfig:
    """The fields of diffusers' `AutoencoderKLWan.__init__` (`models/autoencoders/autoencoder_kl_wan.py`, diffusers
    0.42.1), validated as `super::AutoencoderKLConfig` is."""

    base_dim: int
    """Channels of the encoder at the picture's own size, of which each level has a multiple."""
    decoder_base_dim: int | None
    """The same of the decoder, where it is another."""
    z_dim: int
    """Channels of the latents."""
    dim_mult: list[int]
    """By how much each level is wider than `base_dim`, from the picture inwards."""
    num_res_blocks: int
    """Residual blocks in a level of the encoder; the decoder has one more."""
    attn_scales: list[float]
    """Scales with attention between blocks: none, since diffusers fails to run it."""
    temperal_downsample: list[bool]
    """Whether each level but the last halves the number of frames; one picture is not halved."""
    dropout: float
    """Of training alone."""
    latents_mean: list[float]
    """Mean of each latent channel."""
    latents_std: list[float]
    """Standard deviation of each latent channel."""
    is_residual: bool
    """Whether levels have shortcuts around them, as Wan 2.2's have."""
    in_channels: int
    """Channels that the encoder is given: those of the picture, times the values of a patch."""
    out_channels: int
    """The same of what the decoder makes."""
    patch_size: int | None
    """Side of the patches of pixels that become channels before the encoder."""
    scale_factor_temporal: int | None
    """How many frames a latent stands for."""
    scale_factor_spatial: int
    """How many pixels a latent stands for, a side; sets the tiles of latents."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLQwenImageConfig:
    """The fields of diffusers' `AutoencoderKLQwenImage.__init__`
    (`models/autoencoders/autoencoder_kl_qwenimage.py`, diffusers 0.42.1), validated as `super::AutoencoderKLConfig`
    is. The graph is that of Wan 2.1."""

    base_dim: int
    """Channels at the picture's own size, of which each level has a multiple."""
    z_dim: int
    """Channels of the latents."""
    dim_mult: list[int]
    """By how much each level is wider than `base_dim`, from the picture inwards."""
    num_res_blocks: int
    """Residual blocks in a level of the encoder; the decoder has one more."""
    attn_scales: list[float]
    """Scales with attention between blocks: none, since diffusers fails to run it."""
    temperal_downsample: list[bool]
    """Whether each level but the last halves the number of frames; one picture is not halved."""
    dropout: float
    """Of training alone."""
    input_channels: int
    """Channels of the picture, in and out: 4 with alpha, as Qwen-Image-Layered has it."""
    latents_mean: list[float]
    """Mean of each latent channel."""
    latents_std: list[float]
    """Standard deviation of each latent channel."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderDCConfig:
    """The fields of diffusers' `AutoencoderDC.__init__` (`models/autoencoders/autoencoder_dc.py`, diffusers
    0.42.1), validated as `super::AutoencoderKLConfig` is. Fields that may be one word for all levels are lists
    here, from the picture inwards."""

    in_channels: int
    """Channels of the picture, given and decoded."""
    latent_channels: int
    """Channels of the latents."""
    attention_head_dim: int
    """Channels of one head of attention."""
    encoder_block_types: list[str]
    """`ResBlock` or `EfficientViTBlock` for each level of the encoder."""
    decoder_block_types: list[str]
    """The same of the decoder."""
    encoder_block_out_channels: list[int]
    """Channels of each level of the encoder."""
    decoder_block_out_channels: list[int]
    """The same of the decoder."""
    encoder_layers_per_block: list[int]
    """Blocks in each level of the encoder; the first may have none, and then halves the picture at once."""
    decoder_layers_per_block: list[int]
    """The same of the decoder."""
    encoder_qkv_multiscales: list[list[int]]
    """Sides of the kernels that attention in each level of the encoder looks through beside single pixels."""
    decoder_qkv_multiscales: list[list[int]]
    """The same of the decoder."""
    upsample_block_type: str
    """`interpolate`, or anything else for a pixel shuffle."""
    downsample_block_type: str
    """`pixel_unshuffle`, or anything else for a convolution of stride 2."""
    decoder_norm_types: list[str]
    """The norm of each level of the decoder: `rms_norm`, or in residual blocks `batch_norm`."""
    decoder_act_fns: list[Activation]
    """The activation of each level of the decoder."""
    encoder_out_shortcut: bool
    """Whether means of the last level's channels are added to the latents."""
    decoder_in_shortcut: bool
    """Whether repeated latents are added to the first channels of the decoder."""
    decoder_conv_act_fn: Activation
    """The activation before the decoder's last convolution."""
    scaling_factor: float
    """What latents are multiplied by before diffusion."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLHunyuanImageConfig:
    """The fields of diffusers' `AutoencoderKLHunyuanImage.__init__`
    (`models/autoencoders/autoencoder_kl_hunyuanimage.py`, diffusers 0.42.1), validated as
    `super::AutoencoderKLConfig` is. The first seven have no default there, and are asked for."""

    in_channels: int
    """Channels of the input picture."""
    out_channels: int
    """Channels of the decoded picture."""
    latent_channels: int
    """Channels of the latents."""
    block_out_channels: list[int]
    """Channels of each level, from the picture inwards; multiples of 32, the groups of every norm."""
    layers_per_block: int
    """Resnets in a level of the encoder; the decoder has one more."""
    spatial_compression_ratio: int
    """How many times smaller the latents are than the picture, a side: a power of two. As many levels as it has
    doublings halve the picture, those at the picture in the encoder and those at the latents in the decoder."""
    sample_size: int
    """Side that the model was made for; sets diffusers' tile size."""
    scaling_factor: float
    """What latents are multiplied by before diffusion; 1 where the file has none, with which diffusers' own
    pipeline fails."""
    downsample_match_channel: bool
    """Whether what halves the picture makes the next level's channels; diffusers runs a model without that only
    where all levels have the same."""
    upsample_match_channel: bool
    """The same of what doubles it."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderKLQwenImage21Config:
    """The fields of diffusers' `AutoencoderKLQwenImage21.__init__`
    (`models/autoencoders/autoencoder_kl_qwenimage21.py`, diffusers 0.42.1), validated as
    `super::AutoencoderKLConfig` is. The modules are those of Wan 2.2, with convolutions over one frame."""

    base_dim: int
    """Channels of the encoder at the picture's own size, of which each level has a multiple."""
    decoder_base_dim: int | None
    """The same of the decoder, where it is another."""
    z_dim: int
    """Channels of the latents."""
    dim_mult: list[int]
    """By how much each level is wider than `base_dim`, from the picture inwards."""
    num_res_blocks: int
    """Residual blocks in a level of the encoder; the decoder has one more."""
    attn_scales: list[float]
    """Scales with attention between blocks: none, since diffusers fails to run it."""
    temperal_downsample: list[bool]
    """Whether the ways around each level but the last take frames of zeros in, as Wan 2.2's do."""
    dropout: float
    """Of training alone."""
    latents_mean: list[float]
    """Mean of each latent channel."""
    latents_std: list[float]
    """Standard deviation of each latent channel."""
    is_residual: bool
    """Whether levels have ways around them."""
    in_channels: int
    """Channels that the encoder is given: those of the picture, alpha among them, times the values of a patch."""
    out_channels: int
    """The same of what the decoder makes."""
    patch_size: int | None
    """Side of the patches of pixels that become channels before the encoder."""
    scale_factor_temporal: int | None
    """How many frames a latent would stand for; the class takes one."""
    scale_factor_spatial: int
    """How many pixels a latent stands for, a side; sets the tiles of latents."""


VaeConfig = (
    AutoencoderKLConfig
    | AutoencoderKLFlux2Config
    | AutoencoderTinyConfig
    | AsymmetricAutoencoderKLConfig
    | AutoencoderKLWanConfig
    | AutoencoderKLQwenImageConfig
    | AutoencoderDCConfig
    | AutoencoderKLHunyuanImageConfig
    | AutoencoderKLQwenImage21Config
)
"""A `config.json`, read for the class that it names. In JSON it has that class's fields."""


Dtype = Literal["f32", "f16", "bf16"]
"""The dtype a VAE computes in (torch's `float32`, `float16`, `bfloat16`)."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How tiles are cut: by their side in pixels and in latents. Each overlaps a quarter of the next, and those of
    `AutoencoderTiny` and `AutoencoderDC` an eighth."""

    tile_sample_min_size: int
    tile_latent_min_size: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """The VAE, and how it ran."""

    source: str
    """`builtin`, or the folder or file it was loaded from."""
    revision: str | None
    """The commit of a model that comes from a hub; `None` for all others."""
    class_: Class
    """Its class, as diffusers' `_class_name` has it."""
    family: Family
    """The family that its config describes."""
    config: VaeConfig
    """Its config, defaults filled in."""
    parameters: int
    """Number of its weights."""
    device: str
    """Where it ran, for example `cpu` or `cuda:0`."""
    dtype: Dtype
    """The arithmetic it ran in."""
    arithmetic: str
    """How values of that dtype came about: by arithmetic in it (then its name), or by rounding."""
    engine: str
    """Which implementation ran it."""
    tiling: Tiling | None
    """As after diffusers' `enable_tiling()`."""
    slicing: bool
    """As after diffusers' `enable_slicing()`: one picture of a batch at a time."""
    clip: bool | None = None
    """Whether what is given are the frames of one clip, in place of a batch of pictures: (T, 3, H, W), and (T', C,
    h, w) of latents."""


PosteriorKind = Literal["mode", "sample", "deterministic"]
"""Which latents stand for a posterior."""


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """How latents were taken from the posterior."""

    kind: PosteriorKind
    """Its mode, or a draw; or that there is none."""
    seed: int | None
    """What the noise was drawn from; `None` for the mode."""


@dataclass(frozen=True, kw_only=True)
class ScalingFactor:
    """`z * scaling_factor`, and `z / scaling_factor` back: the reference script's rule."""

    kind: Literal["factor"]
    scaling_factor: float
    """The config's."""


@dataclass(frozen=True, kw_only=True)
class ScalingPatchedBatchNorm:
    """FLUX.2's: patches, normalised by statistics in the checkpoint."""

    kind: Literal["patched_batch_norm"]
    patch_size: tuple[int, int]
    """Height and width of a patch."""
    mean: list[float]
    """`bn.running_mean`, one a channel of patched latents."""
    std: list[float]
    """The root of `bn.running_var + batch_norm_eps`."""


PerChannelForm = Literal["reciprocal", "quotient"]
"""How a pipeline writes the division by the standard deviation: values differ in their last bits."""


@dataclass(frozen=True, kw_only=True)
class ScalingPerChannel:
    """Wan's and Qwen-Image's: mean and standard deviation of each channel, out of the config."""

    kind: Literal["per_channel"]
    mean: list[float]
    """`latents_mean` of the config, one a channel."""
    std: list[float]
    """`latents_std` of the config, one a channel."""
    form: PerChannelForm
    """The order of the steps, each of which is rounded."""


Scaling = ScalingFactor | ScalingPatchedBatchNorm | ScalingPerChannel
"""How the latents of a model are handed to its diffusion model. The first pipeline that was published for a class
counts."""


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Scaled latents; statistics cover finite values."""

    shape: tuple[int, int, int, int]
    """(1, channels, height, width)."""
    scaled_by: float | None
    """What the model's own latents were multiplied by: its `scaling_factor`; `None` for a class that scales
    otherwise."""
    scaling: Scaling
    """The rule by which the model's own latents became these, with its numbers."""
    mean: float | None
    """Mean of the finite values, summed in f64."""
    std: float | None
    """Population standard deviation of the finite values."""
    min: float | None
    """Smallest finite value."""
    max: float | None
    """Largest finite value."""
    non_finite: int
    """NaNs and infinities."""


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A decoded sample, before clamping; statistics cover finite values."""

    path: str | None
    """Where the picture was written; `None` where there is none."""
    shape: tuple[int, int, int, int]
    """(1, 3, height, width)."""
    min: float | None
    """Smallest value; -1 is black."""
    max: float | None
    """Largest value; 1 is white."""
    non_finite: int
    """NaNs and infinities."""
    clamped_fraction: float | None
    """Share of the finite values outside [-1, 1], from 0 to 1: what the picture cuts off; `None` too where the
    model clamps by itself, and nothing is known of it."""


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """A file that a run leaves beside the decoded picture."""

    what: str
    """What is in it: `input`, `latents`, `decoded`, `trace`, `heatmap`, `montage` or `report`."""
    path: str
    """Where it is."""


Channel = Literal["red", "green", "blue"]
"""A channel of an RGB picture."""


@dataclass(frozen=True, kw_only=True)
class Position:
    """One channel of one pixel, counted from the top left."""

    x: int
    """Column, from 0."""
    y: int
    """Row, from 0."""
    channel: Channel
    """Which of the three channels."""


@dataclass(frozen=True, kw_only=True)
class PixelMetrics:
    """The difference between picture `b` and picture `a`, in 8-bit values."""

    identical: bool
    """Whether every byte is the same."""
    psnr_db: float | None
    """Peak signal-to-noise ratio in dB, `10 log10(255² / MSE)` with the mean squared error over all three channels;
    `None` for identical pictures, where it is infinite."""
    ssim: float | None
    """Structural similarity, at most 1 (see `ssim`); `None` where a side is under 11 pixels."""
    ms_ssim: float | None
    """SSIM over five scales, 0 to 1 (`ms_ssim`); `None` where a side is under 176 pixels, or it was not asked
    for."""
    ssimulacra2: float | None
    """How good `b` looks, at most 100 (SSIMULACRA 2); `None` where a side is under 8 pixels, or it was not asked
    for."""
    butteraugli: float | None
    """How visible the difference is at its worst: 1 is just noticed (Butteraugli's distance); `None` where a side
    is under 8 pixels, or it was not asked for."""
    mae: float
    """Mean absolute error over all channels, in 8-bit values."""
    max_abs_diff: int
    """Largest absolute difference, in 8-bit values."""
    max_abs_diff_at: Position | None
    """Where that difference is first met, row by row; `None` for identical pictures."""
    mean_error: tuple[float, float, float]
    """Mean of `b - a` for red, green and blue, in 8-bit values: positive where `b` is brighter."""
    differing_pixels: int
    """Pixels in which at least one channel differs."""


@dataclass(frozen=True, kw_only=True)
class AlphaMetrics:
    """The difference between alpha `b` and alpha `a`, in 8-bit values: what metrics of colours leave out."""

    identical: bool
    """Whether every value is the same."""
    psnr_db: float | None
    """Peak signal-to-noise ratio in dB; `None` where all is the same, and it is infinite."""
    mae: float
    """Mean absolute error, in 8-bit values."""
    max_abs_diff: int
    """Largest absolute difference, in 8-bit values."""
    mean_error: float
    """Mean of `b - a`: negative where `b` is more transparent."""
    source_is_opaque: bool
    """Whether `a` is opaque throughout."""


@dataclass(frozen=True, kw_only=True)
class ClipTensor:
    """A tensor of a clip; statistics cover finite values."""

    shape: tuple[int, int, int, int]
    """(frames, channels, height, width)."""
    mean: float | None
    """Mean of the finite values, summed in f64."""
    std: float | None
    """Population standard deviation of the finite values."""
    min: float | None
    """Smallest finite value."""
    max: float | None
    """Largest finite value."""
    non_finite: int
    """NaNs and infinities."""


@dataclass(frozen=True, kw_only=True)
class ClipReport:
    """A clip that went through the VAE: latents and decoded frames, and each frame beside what came back. All else
    in the report is of the first frame, run as a picture."""

    frames: int
    """Frames of the clip."""
    still: bool
    """Whether they are one still picture, again and again."""
    latents: ClipTensor
    """The scaled latents, (T', channels, height, width)."""
    decoded: ClipTensor
    """The decoded frames before clamping, (T, 3, height, width)."""
    metrics: list[PixelMetrics]
    """Each decoded frame beside the one that was encoded, in their order, without the models of vision; empty where
    there are no pictures, and where something decoded is not finite."""


@dataclass(frozen=True, kw_only=True)
class PublishedQuality:
    """The published quality of one VAE, over many pictures."""

    vae: str
    """Which release."""
    psnr_db: float
    """Mean PSNR in dB."""
    psnr_db_spread: float
    """How far PSNR spreads from picture to picture, in dB."""
    ssim: float
    """Mean SSIM, at most 1."""
    ssim_spread: float
    """How far SSIM spreads from picture to picture."""
    pictures: str
    """On which pictures."""
    source: str
    """Who says so."""


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """What the user wants judged; `None` asks for nothing. No default decides a verdict: published numbers spread
    over several dB, so they are context."""

    min_psnr: float | None
    """Least PSNR in dB."""
    min_ssim: float | None
    """Least SSIM, at most 1."""
    min_ms_ssim: float | None
    """Least MS-SSIM, at most 1."""


Severity = Literal["error", "warning", "info"]
"""How grave a finding is."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found, with the numbers that show it."""

    code: str
    """Stable name of the cause, for example `non-finite-output`."""
    severity: Severity
    """Whether it decides the verdict."""
    title: str
    """One line for a reader."""
    layer: str | None
    """diffusers' name of the first module that shows it, where that is known."""
    evidence: dict[str, Any]
    """What was measured, by name."""
    remedy: str
    """What to do about it."""


Container = Literal[
    "plain", "comfy-ui", "comfy-ui-old", "sd-scripts", "sd-scripts-flux", "sd-scripts-sd", "musubi", "musubi-raw", "one-trainer"
]
"""Who wrote a file of latents, as far as its names tell."""


@dataclass(frozen=True, kw_only=True)
class LatentsSource:
    """The file of the user's latents."""

    path: str
    """The file."""
    tensor: str | None
    """The tensor's name in it; `None` where it has none."""
    container: Container
    """Who wrote it."""
    taken_as: str
    """`scaled` or `raw`, as they were taken."""
    why: str
    """Why: `latents_scale` said so, or what the program does that wrote the file."""


UserFile = Literal["latents", "preprocessed", "decoded_image"]
"""A file that a user can give."""


Agreement = Literal["same", "altered", "differs"]
"""What comes of a comparison."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One value of a picture or tensor."""

    channel: int
    """Its channel, from 0."""
    y: int
    """Its row, from 0 at the top."""
    x: int
    """Its column, from 0 at the left."""


@dataclass(frozen=True, kw_only=True)
class ComparedFile:
    """A file of the user's own pipeline beside this run's."""

    file: UserFile
    """Which file: the parameter that it was given as."""
    agreement: Agreement
    """What comes of the comparison."""
    summary: str
    """The same in words, for example `this VAE's mode, to 3e-7`."""
    psnr_db: float | None
    """Between two pictures in dB; `None` for tensors, and where every byte is the same."""
    relative_difference: float | None
    """RMS difference over the spread of the expected values; `None` for pictures, and where shapes differ."""
    mean_difference: float | None
    """Mean absolute difference: in levels of 255 for pictures, else in the tensor's own unit; `None` where shapes
    differ."""
    largest_difference: float | None
    """The largest, likewise."""
    largest_at: Place | None
    """Where that is; `None` where all is the same."""


@dataclass(frozen=True, kw_only=True)
class NotDecided:
    """Causes that a run cannot see, and the parameter that would let it."""

    codes: list[str]
    """Their codes."""
    needs: str
    """The parameter that decides them."""


@dataclass(frozen=True, kw_only=True)
class DtypeForecast:
    """What one dtype would do: f32 arithmetic with weights and outputs rounded to it."""

    dtype: Dtype
    """f16 or bf16."""
    non_finite: int
    """NaNs and infinities in the decoded sample."""
    psnr_from_f32_db: float | None
    """Between its picture and the f32 one; `None` where they are the same, or not finite."""
    psnr_cost_db: float | None
    """How much PSNR to the input falls; `None` where it cannot be measured."""


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """How near one layer comes to the largest f16."""

    module: str
    """diffusers' name."""
    largest: float
    """Its largest absolute output in f32."""
    headroom: float
    """65504 over that: below 1, f16 overflows."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What half precision would do to one picture, from runs in f32."""

    dtypes: list[DtypeForecast]
    """f16 and bf16."""
    tightest: list[Headroom]
    """The layers that come nearest to the largest f16, the tightest first."""


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Wall-clock time in milliseconds."""

    load: float
    """Opening and loading the model; once for all images."""
    encode: float
    """Encoder, draw and scaling."""
    decode: float
    """Unscaling and decoder."""
    total: float
    """This image from file to file, and loading the model."""


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """One image through one VAE: what `check` prints."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Pass or fail."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    input: Input
    """The picture."""
    model: Model
    """The VAE, and how it ran."""
    posterior: Posterior
    """How latents were taken from the posterior."""
    latents: Latents
    """The scaled latents."""
    decoded: Decoded
    """The decoded sample, before clamping."""
    saved: list[SavedFile] | None = None
    """Files that were written beside the decoded picture; left out where there are none."""
    metrics: PixelMetrics | None
    """The decoded picture beside the one that was encoded; `None` where there is no picture."""
    alpha: AlphaMetrics | None = None
    """The same of alpha, which metrics of colours leave out; left out where the VAE is one of RGB."""
    clip: ClipReport | None = None
    """The clip that went through as well; left out where none was asked for."""
    published: list[PublishedQuality]
    """What was published of the VAE's family: context, which decides nothing."""
    thresholds: Thresholds
    """What the user asked for."""
    findings: list[Finding]
    """What was found."""
    latents_file: LatentsSource | None
    """Where the user's latents lay, and how they were taken; `None` where none were given."""
    files: list[ComparedFile]
    """How far each given file is from what this run expects of it; empty where none was given, and where this VAE
    gave nothing to hold it against."""
    not_decided: list[NotDecided]
    """Causes that this run could not decide, and the parameters that would let it."""
    forecast: Forecast | None
    """What f16 and bf16 would do; `None` where it was not asked for."""
    cross_check: str | None
    """What was compared by a cross-check; `None` where nothing was."""
    notes: list[str]
    """What a reader should know beside the numbers."""
    timings_ms: Timings
    """How long the steps took."""
    peak_rss_bytes: int | None
    """Most memory that the process held so far, in bytes; `None` where the system does not say."""


@dataclass(frozen=True, kw_only=True)
class GivenLatents:
    """Latents as they were given; statistics cover finite values."""

    shape: list[int]
    """(1, channels, height, width); as in the file where that fits no picture of this VAE."""
    taken_as: str
    """How they were taken: `scaled` for diffusion, or `raw` as the model makes them."""
    divided_by: float | None
    """What they were divided by before they were decoded; 1 for raw ones, and `None` for those of a class that
    scales otherwise."""
    mean: float | None
    """Mean of the finite values, summed in f64."""
    std: float | None
    """Population standard deviation of the finite values."""
    min: float | None
    """Smallest finite value."""
    max: float | None
    """Largest finite value."""
    non_finite: int
    """NaNs and infinities."""


@dataclass(frozen=True, kw_only=True)
class Reencoded:
    """How far latents are from what their own picture encodes to."""

    relative_difference: float
    """RMS difference over the spread of the latents."""
    relative_difference_of_own: float | None
    """The same of the latents that came out, which are this VAE's own for certain; `None` where the given ones come
    back so well that nothing has to be compared with."""
    judged: bool
    """Whether this VAE is sound enough for that to judge latents by it."""


@dataclass(frozen=True, kw_only=True)
class DecodeTimings:
    """Wall-clock time in milliseconds."""

    load: float
    """Opening and loading the model; once for all latents of a file."""
    decode: float
    """Unscaling and decoder."""
    diagnose: float
    """The rules, which run the VAE again."""
    total: float
    """These latents from file to file, and loading the model."""


@dataclass(frozen=True, kw_only=True)
class DecodeReport:
    """The latents of one picture through one decoder: what `decode` prints."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Pass or fail."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    latents_file: LatentsSource | None
    """Where the latents lay, and how they were taken; `None` where they come from no file."""
    row: int | None = None
    """Which of the latents in the file these are, from 0; left out where there is one."""
    model: Model
    """The VAE, and how it ran."""
    latents: GivenLatents
    """The latents as they were given."""
    decoded: Decoded | None
    """The decoded sample, before clamping; `None` where nothing could be decoded."""
    saved: list[SavedFile] | None = None
    """Files that were written beside the decoded picture; left out where there are none."""
    reencoded: Reencoded | None
    """What becomes of the latents when their picture is encoded again; `None` where nothing could be."""
    findings: list[Finding]
    """What was found."""
    files: list[ComparedFile]
    """How far the user's own picture is from the one decoded here; empty where none was given."""
    notes: list[str]
    """What a reader should know beside the numbers."""
    timings_ms: DecodeTimings
    """How long the steps took."""
    peak_rss_bytes: int | None
    """Most memory that the process held so far, in bytes; `None` where the system does not say."""


Better = Literal["lower", "higher", "near-one"]
"""Which way a number is better."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One number held against its bar."""

    name: str
    """The field's name in the numbers."""
    label: str
    """A word or two for a reader."""
    value: float | None
    """What was measured; `None` where it could not be, which misses the bar."""
    unit: str
    """Its unit; empty for a share."""
    better: Better
    """Which way it is better."""
    worst_of_sound: float
    """The worst that sound VAEs had."""
    bar: float
    """What has to be reached."""
    room_db: float
    """The room between value and bar in dB, from -60 to 60; below 0 the bar is missed."""
    meaning: str
    """What the number says, in a sentence without a full stop."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """The response at one frequency."""

    cycles_per_pixel: float
    """Cycles a pixel."""
    gain: float | None
    """1 is all, 0 none; `None` where it is not a number."""


@dataclass(frozen=True, kw_only=True)
class CheckerGain:
    """The response to checkers of one size."""

    field_pixels: int
    """Pixels a side of a field."""
    gain: float | None
    """1 is all, 0 none; `None` where it is not a number."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What a VAE makes of the charts. `None` is what could not be measured: NaN was decoded, or the implementation
    does not offer it."""

    grid_rms_levels: float | None
    """Flat greys: RMS of the pattern that repeats with every block of latents, in levels of 255; the worst of three
    greys."""
    unevenness_rms_levels: float | None
    """Flat greys: RMS of the mean colours of blocks about their mean, in levels: how much a constant picture
    depends on the place; the worst of three greys."""
    grey_shift_delta_e_2000: float | None
    """Flat greys: CIEDE2000 between the grey and the mean of what came back; the worst of three."""
    grey_chroma_ab: float | None
    """Grey ramp: mean chroma C*ab of what came back; greys have none."""
    ramp_rms_levels: float | None
    """Grey ramp: RMS between column means and what they were, in levels."""
    border_rms_levels: float | None
    """Ramps: RMS within 8 pixels of the left and right borders, in levels."""
    colour_mean_delta_e_2000: float | None
    """24 colours: mean of CIEDE2000."""
    colour_max_delta_e_2000: float | None
    """24 colours: largest CIEDE2000."""
    mtf50_cycles_per_pixel: float | None
    """Slanted edges: where half of the contrast is left, in cycles a pixel, at most 0.5; the mean of four."""
    ringing_percent: float | None
    """Slanted edges: overshoot in percent of the edge; the worst of four."""
    edge_shift_pixels: float | None
    """Slanted edges: how far they moved, in pixels; the worst of four."""
    rings_half_cycles_per_pixel: float | None
    """Zone plate: where half of the rings is left in their place, in cycles a pixel, at most 0.5."""
    rings: list[Response]
    """Zone plate: how much of the rings of each frequency comes back in its place."""
    text_correlation: float | None
    """Text: correlation of what came back with what was written; 1 is all of it."""
    checkers: list[CheckerGain]
    """Checkers: how much of each size comes back in its place."""
    point_gain: float | None
    """Points: how much of their brightness comes back in its place; 1 is all of it."""
    point_gain_spread: float | None
    """Points: standard deviation of that from place to place."""
    mosaic_psnr_db: float | None
    """Mosaic: PSNR after one trip, in dB."""
    drift_delta_e_2000_per_trip: float | None
    """Mosaic: how much CIEDE2000 grows from trip to trip, on average over ten, mean of all pixels."""
    drift_db_per_trip: float | None
    """Mosaic: how much PSNR falls from trip to trip, on average over ten, in dB."""
    latents_std: float | None
    """Mosaic: standard deviation of the latents, scaled as diffusion takes them: near 1."""
    posterior_std_share: float | None
    """Mosaic: standard deviation of the posterior over that of its mean; `None` for implementations that do not
    expose it."""
    repeat_share: float | None
    """Mosaic: RMS between the latents of two calls over their standard deviation: 0 where the mode is taken."""
    conversion_mean_levels: float | None
    """All charts: mean difference in levels between the implementation's own pixels and what was decoded, rounded;
    `None` where it has no conversion of its own."""
    non_finite: int
    """How many decoded values were NaN or infinite, of all charts and trips."""


@dataclass(frozen=True, kw_only=True)
class Trip:
    """The chart `mosaic` after one more trip."""

    trips: int
    """How many trips it has made, from 1."""
    psnr_db: float | None
    """PSNR against the chart in dB; `None` where it is infinite or not a number."""
    mean_delta_e_2000: float | None
    """Mean over all pixels of CIEDE2000 against the chart; `None` where it is not a number."""


@dataclass(frozen=True, kw_only=True)
class ProbeTimings:
    """Wall-clock time in milliseconds."""

    load: float
    """Opening and loading the model."""
    total: float
    """All of it."""


@dataclass(frozen=True, kw_only=True)
class ProbeReport:
    """What one VAE makes of synthetic charts: what `probe` prints."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Fail where a bar is missed, something decoded is not finite, or a rule of `check` finds an error."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    model: Model
    """The VAE, and how it ran."""
    size_pixels: int
    """Pixels a side of the charts."""
    score_db: float
    """The one number: the least room to a bar in dB, from -60 to 60. Sound VAEs have 6 or more, below 0 a bar is
    missed."""
    score_limited_by: str | None
    """The number that has the least room, by its name in `numbers`; `None` where nothing was measured."""
    judged: list[Judged]
    """The numbers that have a bar, with the room to it."""
    numbers: Numbers
    """All that was measured."""
    trips_pixels: int
    """Pixels a side of the mosaic: half of `size_pixels`, but 128 at least."""
    trips: list[Trip]
    """The mosaic after each of ten trips."""
    findings: list[Finding]
    """What the rules of `check` found in the mosaic's first trip."""
    saved: list[SavedFile]
    """Files that the run wrote."""
    notes: list[str]
    """What a reader should know beside the numbers."""
    timings_ms: ProbeTimings
    """How long it took."""
    peak_rss_bytes: int | None
    """Most memory that the process held so far, in bytes; `None` where the system does not say."""


@dataclass(frozen=True, kw_only=True)
class FileReport:
    """One file of weights."""

    path: str
    """Where it lies."""
    bytes: int
    """Its size."""
    sha256: str
    """SHA-256 of its bytes, in hexadecimal."""


Origin = Literal["file", "default", "shapes", "family", "assumed"]
"""Where the value of a config's field comes from."""


@dataclass(frozen=True, kw_only=True)
class ConfigReport:
    """A config, and where each of its values comes from."""

    path: str | None
    """Its file; `None` where there is none."""
    values: dict[str, Any]
    """Its fields; those that nothing settles are `null`."""
    from_: dict[str, Origin]
    """Where each value comes from; fields that nothing settles are left out."""
    class_: Class | None
    """The class of its fields; `None` where that is none that is run, or nothing is known."""
    unknown: list[str]
    """Fields of the file that its class does not know."""
    other_class: str | None
    """The class, where it is none that is run, or another than the config's."""


@dataclass(frozen=True, kw_only=True)
class FamilyReport:
    """A family, and what tells it."""

    name: Family
    """Its name."""
    why: str
    """What tells it."""
    candidates: list[Family]
    """Where only shapes are known: the families that have them."""


@dataclass(frozen=True, kw_only=True)
class StoredAs:
    """How much is stored in one dtype."""

    tensors: int
    """Tensors."""
    parameters: int
    """Their values."""


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """Name and shape of one tensor of a checkpoint."""

    name: str
    """The checkpoint key, for example `encoder.conv_in.weight`."""
    shape: list[int]
    """Sizes of its dimensions."""


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """One tensor of a source."""

    name: str
    """Its diffusers name."""
    shape: list[int]
    """Sizes of its dimensions."""
    dtype: str
    """How its values are stored, by torch's or safetensors' name: `f32`, `float8_e4m3fn`, `I64`."""
    readable: bool
    """Whether its values can be read here."""


@dataclass(frozen=True, kw_only=True)
class ShapeMismatch:
    """A tensor of another shape than the config asks for."""

    name: str
    """Its name."""
    expected: list[int]
    """What the config asks for."""
    found: list[int]
    """What is there."""


@dataclass(frozen=True, kw_only=True)
class WeightStatistics:
    """One tensor's values in numbers; statistics cover finite values, `None` where there are none."""

    values: int
    """Number of values."""
    non_finite: int
    """NaNs and infinities."""
    zeros: int
    """Values that are exactly 0."""
    constant: bool
    """Whether all values are one and the same finite number."""
    min: float | None
    """Smallest value."""
    max: float | None
    """Largest value."""
    mean: float | None
    """Mean."""
    std: float | None
    """Standard deviation of the population."""
    kurtosis: float | None
    """Fourth central moment over the square of the variance: 1.8 for a uniform distribution, 3 for a normal one,
    more for one with tails, as training leaves them."""


@dataclass(frozen=True, kw_only=True)
class TensorReport:
    """One tensor, and its values in numbers."""

    name: str
    """Its diffusers name."""
    shape: list[int]
    """Sizes of its dimensions."""
    dtype: str
    """How its values are stored, by torch's or safetensors' name: `f32`, `float8_e4m3fn`, `I64`."""
    readable: bool
    """Whether its values can be read here."""
    statistics: WeightStatistics | None
    """Its values; `None` where they cannot be read."""


@dataclass(frozen=True, kw_only=True)
class TensorsReport:
    """How config and files fit."""

    expected: int
    """Tensors that the config asks for."""
    found: int
    """Tensors of the VAE that the files have."""
    others: int
    """Tensors of other models in the same files."""
    missing: list[TensorSpec]
    """Asked for, and not there."""
    unexpected: list[TensorInfo]
    """There, and not asked for."""
    misshapen: list[ShapeMismatch]
    """There in another shape."""
    each: list[TensorReport]
    """Each tensor that is there."""


@dataclass(frozen=True, kw_only=True)
class InspectReport:
    """One checkpoint."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Fails where a finding is an error."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    source: str
    """`builtin`, the folder or file, or the hub's repository."""
    revision: str | None
    """The commit of a repository of a hub; `None` for all others."""
    files: list[FileReport]
    """The files of the weights."""
    config: ConfigReport
    """The config."""
    family: FamilyReport
    """The family."""
    parameters: int
    """Number of values of all tensors of the VAE."""
    dtypes: dict[str, StoredAs]
    """How many tensors and values each dtype stores."""
    tensors: TensorsReport
    """How config and files fit."""
    statistics: WeightStatistics
    """All values that can be read, together."""
    findings: list[Finding]
    """What was found."""
    notes: list[str]
    """What a reader should know beside the numbers."""


@dataclass(frozen=True, kw_only=True)
class CompareReportImages:
    """Two pictures."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Pass where all is identical, or within what was asked."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    a: str
    """The file that is judged."""
    b: str
    """The file it is held against."""
    notes: list[str]
    """What a reader should know beside the numbers."""
    kind: Literal["images"]
    sizes: tuple[tuple[int, int], tuple[int, int]]
    """Width and height of each."""
    metrics: PixelMetrics | None
    """`None` where the sizes differ."""
    thresholds: Thresholds
    """What the user asked for."""


ElementType = Literal["f64", "f32", "f16", "bf16", "u8", "float8_e4m3fn", "float8_e5m2"]
"""The type of a tensor's values in a file: of weights, latents, goldens and pictures alike. What a VAE computes in
is a `Dtype`."""


@dataclass(frozen=True, kw_only=True)
class WorstPair:
    """The pair with the largest difference."""

    index: list[int]
    """Index along each dimension."""
    actual: float
    """The value of the tensor that is judged."""
    expected: float
    """The value of the reference."""


@dataclass(frozen=True, kw_only=True)
class Over:
    """How many pairs differ by more than `threshold`."""

    threshold: float
    """An absolute difference."""
    values: int
    """Pairs above it, those that are not finite included."""


@dataclass(frozen=True, kw_only=True)
class TensorMetrics:
    """How far `actual` is from `expected`. Differences are taken in f64 over the pairs in which both values are
    finite. A pair in which one is not, counts as differing and as over every threshold, NaN beside NaN and infinity
    beside infinity included; it has no size, so it is counted in `non_finite_pairs` instead."""

    values: int
    """Values in each tensor."""
    identical: bool
    """Whether all values are finite and have the same bits (0 and -0 do not)."""
    max_abs_diff: float | None
    """Largest absolute difference; `None` where no pair is finite."""
    worst: WorstPair | None
    """The first pair that differs this much; `None` where no finite pair differs."""
    mean_abs_diff: float | None
    """Mean absolute difference."""
    rms_diff: float | None
    """Root of the mean squared difference."""
    cosine: float | None
    """Cosine of the angle between the two, -1 to 1; `None` where one of them is all zero."""
    max_ulp: int | None
    """Largest distance in f32 units in the last place: how many f32 values lie between, plus one. 0 and -0 are 0
    apart."""
    differing: int
    """Pairs whose bits differ, or which are not finite."""
    over: list[Over]
    """How many pairs differ by more than each threshold."""
    non_finite_actual: int
    """NaNs and infinities in `actual`."""
    non_finite_expected: int
    """NaNs and infinities in `expected`."""
    non_finite_pairs: int
    """Pairs in which at least one value is not finite."""


@dataclass(frozen=True, kw_only=True)
class ComparedTensor:
    """One tensor in two files."""

    name: str | None
    """Its name; `None` where the files do not name it, or not alike."""
    shapes: tuple[list[int] | None, list[int] | None]
    """Its shape in each file; `None` where it is missing."""
    dtypes: tuple[ElementType | None, ElementType | None]
    """How each file stores it; `None` where it is missing."""
    metrics: TensorMetrics | None
    """`None` where it is missing in one, or shapes differ."""
    outside_tolerance: int | None
    """Values outside the tolerance; `None` without one."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a value may lie from the golden: `|actual - expected| <= atol + rtol * |expected|`. `atol` is in
    units of the tensor itself, `rtol` is a plain ratio. Neither is a quality threshold: they cover what other
    kernels round differently, are measured, and are no bigger than that. Do not raise one because a check fails on
    the machine that wrote the goldens: there the criterion is bit equality. NaN and infinity are never within
    tolerance, on either side, and a tolerance cannot hold them."""

    atol: float
    rtol: float


@dataclass(frozen=True, kw_only=True)
class CompareReportTensors:
    """Two files of tensors."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Pass where all is identical, or within what was asked."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    a: str
    """The file that is judged."""
    b: str
    """The file it is held against."""
    notes: list[str]
    """What a reader should know beside the numbers."""
    kind: Literal["tensors"]
    tensors: list[ComparedTensor]
    """Tensors of both files, by name."""
    tolerance: Tolerance | None
    """What the user asked for; `None` asks for identity."""


CompareReport = CompareReportImages | CompareReportTensors
"""Two files beside each other: what `compare` prints."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One cause of faults, as `explain` tells it. It stands in the file of the rule that finds it."""

    code: str
    """Stable name, for example `channel-swap`."""
    severity: Severity
    """How grave its findings are; a finding may be milder, never graver."""
    title: str
    """The cause in a few words."""
    meaning: str
    """What happens, and what people see."""
    rule: str
    """What is measured, and the numbers that decide."""
    remedy: str
    """What to do, in one line: the remedy of its findings."""
    diffusers: str
    """How to mend it in diffusers."""
    comfyui: str
    """How to mend it in ComfyUI."""
    ports: str
    """How to mend it in an implementation of one's own."""
    sources: list[str]
    """Public reports, as `owner/repository#number`."""
    decided_by: list[str]
    """What can find it: a command, and what it has to be given."""


@dataclass(frozen=True, kw_only=True)
class ExplainReport:
    """What `explain` prints."""

    schema_version: int
    """Version of this layout: 1."""
    codes: list[Cause]
    """Every code, or the one that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The output of one layer."""

    module: str
    """diffusers' module name, for example `encoder.down_blocks.0.resnets.0.norm1`."""
    kind: str
    """diffusers' class of the module, for example `GroupNorm`."""
    shape: list[int]
    """Shape of the output."""
    sha256: str | None = None
    """SHA-256 of all values as little-endian f32 in C order, in hexadecimal, by which equal bits are known; `None`
    in traces that do not have it."""
    mean: float | None
    """Mean of the finite values, summed in f64; `None` if there are none."""
    std: float | None
    """Population standard deviation of the finite values."""
    min: float | None
    """Smallest finite value."""
    max: float | None
    """Largest finite value."""
    non_finite: int
    """NaNs and infinities."""
    samples: list[float | None]
    """Values at `sample_indices`; `None` stands for NaN or infinity."""
    f16_headroom: float | None
    """65504 over the largest absolute value: below 1 it overflows in f16; `None` where all is 0."""


@dataclass(frozen=True, kw_only=True)
class FaultBrokenHere:
    """Run alone on what the reference gave it, the block puts out something else."""

    verdict: Literal["broken_here"]
    block: str
    """diffusers' name of the block that was run: the smallest that holds the module."""
    difference: str
    """What differs."""
    broken: list[str]
    """Every block of the same half that is wrong when run alone, without those that are only because a block inside
    them is."""


@dataclass(frozen=True, kw_only=True)
class FaultInherited:
    """Run alone on what the reference gave it, the block puts out what the reference does: what the implementation
    gave it was wrong."""

    verdict: Literal["inherited"]
    block: str
    """diffusers' name of the block that was run."""
    broken: list[str]
    """As above. Where it is empty, the fault lies between blocks: in what the first is fed, or in an activation."""


@dataclass(frozen=True, kw_only=True)
class FaultCannotTell:
    """No block was run alone."""

    verdict: Literal["cannot_tell"]
    reason: str
    """Why not."""


Fault = FaultBrokenHere | FaultInherited | FaultCannotTell
"""Whether a block whose output is wrong is wrong itself."""


Stage = Literal["encode", "decode"]
"""The half of a VAE that was run."""


Agreement2 = Literal["identical", "within_rounding", "beyond_rounding"]
"""How near a layer's output comes to the expected one."""


@dataclass(frozen=True, kw_only=True)
class LayerComparison:
    """One layer in two traces."""

    module: str
    """diffusers' name of the module."""
    kind: str
    """Its class."""
    agreement: Agreement2
    """How near the two come."""
    largest_in_std: float | None
    """Largest difference of a sampled value, in standard deviations of the expected output; `None` where shapes
    differ, values are not finite, or the expected output is constant."""
    difference: str | None
    """What differs beyond rounding, in words."""


@dataclass(frozen=True, kw_only=True)
class StageComparison:
    """The layers of one stage in two traces."""

    stage: Stage
    """The half of the VAE."""
    identical: int
    """Layers with identical bits."""
    within_rounding: int
    """Layers that differ, or may differ, within rounding."""
    beyond_rounding: int
    """Layers that differ beyond it."""
    first_not_identical: str | None
    """The first layer that is not known to be identical."""
    first_beyond_rounding: str | None
    """The first layer that differs beyond rounding."""
    last_that_agrees: str | None
    """The layer before it, which agrees; `None` where it is the first."""
    absent: list[str]
    """Modules of the expected trace that the other does not name."""
    layers: list[LayerComparison]
    """The layers that both name, in the order in which modules finish."""


@dataclass(frozen=True, kw_only=True)
class Against:
    """Two traces beside each other."""

    path: str
    """The file of the other trace, which is what was expected."""
    tolerance: Tolerance
    """What counts as rounding; `atol` is in standard deviations of a layer's output."""
    fault: Fault | None
    """Whether the first layer beyond rounding is wrong itself; `None` where there is none."""
    stages: list[StageComparison]
    """The stages that the other trace has."""


@dataclass(frozen=True, kw_only=True)
class TraceReport:
    """Every layer of one VAE for one picture: what `trace` prints."""

    schema_version: int
    """Version of this layout: 1."""
    verdict: Verdict
    """Fail where a layer holds NaN or infinity, or differs beyond rounding."""
    verdict_reasons: list[str]
    """Why it failed; empty for a pass."""
    input: Input
    """The picture."""
    model: Model
    """The VAE, and how it ran."""
    posterior: Posterior
    """How latents were taken from the posterior."""
    saved: str | None
    """Where the trace was saved."""
    encode: list[Layer]
    """The layers of the encoder, in the order in which they finish."""
    decode: list[Layer]
    """The layers of the decoder."""
    against: Against | None
    """How they compare; `None` where there was nothing to compare with."""
    notes: list[str]
    """What a reader should know beside the numbers."""


@dataclass(frozen=True, kw_only=True)
class Origin2:
    """What the bits of the goldens depend on."""

    gist_sha256: str
    """SHA-256 of the reference script that made them."""
    versions: dict[str, str]
    """Versions of Python, torch, diffusers, Pillow and numpy."""
    cpu_capability: str
    """torch's name for the vector instructions in use, for example `AVX2`."""
    processor: str | None
    """The processor's name."""
    threads: int
    """Threads that torch ran with."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts over all cases that were run."""

    cases: int
    """Cases that were run."""
    cases_failed: int
    """Those with a failed check."""
    cases_not_run: int
    """Cases of the manifest that were not run."""
    tensors_judged: int
    """Tensors that were judged: bit-identical, within tolerance or failed."""
    tensors_bit_identical: int
    """Tensors equal in every bit."""
    tensors_within_tolerance: int
    """Tensors with differences that their tolerance allows."""
    tensors_failed: int
    """Tensors that failed, or that the implementation failed to give."""
    tensors_not_judged: int
    """Tensors that the implementation does not expose, or that had no golden input."""


Step = Literal["load", "sample", "moments", "std", "latents", "draws", "decoded", "decoded_rgb8", "to_rgb8", "end_to_end"]
"""A step of a case; each starts from the golden result of the step before it."""


Outcome = Literal["bit_identical", "within_tolerance", "failed", "not_judged"]
"""How a check went."""


NumberOrName = float | str
"""A number, or the name of what is none: `NaN`, `inf` or `-inf`."""


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The value that differs most."""

    index: list[int]
    """Position in the tensor."""
    actual: NumberOrName
    """What the implementation gave."""
    expected: NumberOrName
    """What the golden holds."""


@dataclass(frozen=True, kw_only=True)
class Over2:
    """A row of the table of differences."""

    threshold: float
    """The absolute difference."""
    count: int
    """Values that differ by more; NaN and infinity always do."""


@dataclass(frozen=True, kw_only=True)
class CriterionWithinWithin:
    """How far a value may lie from the golden: `|actual - expected| <= atol + rtol * |expected|`. `atol` is in
    units of the tensor itself, `rtol` is a plain ratio. Neither is a quality threshold: they cover what other
    kernels round differently, are measured, and are no bigger than that. Do not raise one because a check fails on
    the machine that wrote the goldens: there the criterion is bit equality. NaN and infinity are never within
    tolerance, on either side, and a tolerance cannot hold them."""

    atol: float
    rtol: float
    share: float | None = None
    """The share of values that may differ at all."""


@dataclass(frozen=True, kw_only=True)
class CriterionWithin:
    """The formula, value by value."""

    within: CriterionWithinWithin


Criterion = Literal["bit_identical"] | CriterionWithin
"""The criterion that a tensor is judged by."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One tensor beside its golden."""

    expected_shape: list[int]
    """Shape of the golden."""
    actual_shape: list[int]
    """Shape of what the implementation gave."""
    values: int
    """Values in the golden."""
    judged: int
    """Values that were compared one by one: all, a sample where the golden keeps a hash and a sample, or none where
    shapes differ."""
    bit_identical: bool
    """Every bit equal, `-0.0` told from `0.0`."""
    failing: int
    """Judged values outside the tolerance, and NaNs and infinities anywhere in the tensor."""
    non_finite: int
    """NaNs and infinities anywhere in the tensor."""
    max_abs_diff: float | None
    """Largest finite difference; `None` where nothing could be compared."""
    worst: Worst | None
    """The value furthest outside its bound, or nearest to it where all are inside; `None` where every judged value
    is equal."""
    over: list[Over2]
    """How many judged values differ by more than each of `THRESHOLDS`."""
    bar: Criterion
    """The criterion it was judged by."""


@dataclass(frozen=True, kw_only=True)
class LocationModule:
    """This module's output differs, and no module that finished before it does: the fault is in it, or in what
    happens between `after` and it."""

    found: Literal["module"]
    module: str
    """diffusers' name of the first module that differs."""
    kind: str
    """Its class."""
    difference: str
    """What differs."""
    after: str | None
    """The last module before it that agrees; `None` where it is the first, so that its input may be at fault as
    well."""
    lacks: str | None
    """The first module of the golden between `after` and `module` that the implementation's trace does not name: if
    it has no such module, that is the fault."""
    absent: int
    """Modules of the golden that the implementation's trace does not name."""
    identical: int
    """Modules of this stage whose every bit is the golden's."""
    first_not_identical: str | None
    """The first module that is not known to be identical."""
    fault: Fault
    """Whether the module's block is wrong by itself, or was given something wrong."""


@dataclass(frozen=True, kw_only=True)
class LocationAfterTheLastModule:
    """Every module agrees: the fault lies behind the last one."""

    found: Literal["after_the_last_module"]
    module: str
    """The module that finished last."""
    compared: int
    """Modules compared."""
    absent: int
    """Modules of the golden that the implementation's trace does not name."""


@dataclass(frozen=True, kw_only=True)
class LocationUnknown:
    """There is nothing to look it up in."""

    found: Literal["unknown"]
    reason: str
    """Why not."""


Location = LocationModule | LocationAfterTheLastModule | LocationUnknown
"""Where in the model a wrong tensor comes from."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One tensor of one case."""

    tensor: Step
    """Which step was judged."""
    outcome: Outcome
    """How it went."""
    reason: str | None
    """Why it was not judged, or the error that the implementation gave."""
    looks_like: str | None
    """What a failure looks like, where it has the signature of a known mistake."""
    comparison: Comparison | None
    """The numbers, where there was something to compare."""
    location: Location | None
    """Where in the model a failure arises, for tensors that a model computes."""
    saved: str | None
    """Where the tensor of a failed check was saved."""
    next: str | None
    """The command to run next, for a failed check."""


@dataclass(frozen=True, kw_only=True)
class CaseReport:
    """The checks of one case, in data order."""

    case: str
    """Name of the case."""
    model: str
    """The model it runs."""
    shows: str
    """What it is there to show."""
    passed: bool
    """Whether no check failed."""
    seconds: float
    """Wall-clock time of the case, without loading the model."""
    checks: list[Check]
    """What was judged."""


@dataclass(frozen=True, kw_only=True)
class NotRun:
    """A case that was left out, and why."""

    case: str
    """Name of the case."""
    reason: str
    """Why it was not run."""


@dataclass(frozen=True, kw_only=True)
class SuiteReport:
    """The outcome of every case of a suite. Displays as the text for people; serialises as the JSON of `golden
    verify --json`."""

    schema_version: int
    """Version of this layout: 1."""
    suite: str
    """Folder of the suite."""
    passed: bool
    """Whether no check of any case failed."""
    origin: Origin2
    """What wrote the goldens."""
    summary: Summary
    """Counts over all cases."""
    cases: list[CaseReport]
    """The cases that were run, in the order of the manifest."""
    not_run: list[NotRun]
    """The cases that were not run."""
    notes: list[str]
    """What else was noticed: files and folders of a candidate's that no case asks for."""


EvaluationVerdict = Literal["pass", "fail"]
"""Whether what was asked for is reached."""


ExifChoice = Literal["ignore", "apply"]
"""What is done with an EXIF orientation."""


Resize = Literal["multiple-of", "adm", "short-side", "short-side-tensor", "stretch"]
"""How a picture comes to its size."""


FilterChoice = Literal["box", "bilinear", "bicubic", "lanczos"]
"""A filter of Pillow's."""


@dataclass(frozen=True, kw_only=True)
class Input2:
    """From a picture's file to the sample that the encoder is given."""

    exif: ExifChoice
    """What is done with the EXIF orientation, before anything else."""
    resize: Resize
    """How the picture comes to its size."""
    filter: FilterChoice
    """The filter of that; of `adm` after halving, which is by box."""
    size: int
    """Pixels a side; for `multiple-of` what both sides are taken down to a multiple of."""


Take = Literal["mode", "draw"]
"""See `Posterior::take`."""


@dataclass(frozen=True, kw_only=True)
class Posterior2:
    """Which latents stand for a posterior."""

    take: Take
    """Its mode or a draw. A class without a posterior has one answer, which both take."""
    seed: int
    """Of a draw: the noise of a picture is seeded by this number and the picture's name."""


Rounding = Literal["half-even", "half-up", "down"]
"""How a value in [-1, 1] becomes 8 bits."""


ValuesChoice = Literal["rounded", "clamped"]
"""What a metric is of."""


Average = Literal["mean-of-psnr", "psnr-of-mean-mse"]
"""How PSNR is averaged over pictures."""


SsimWindow = Literal["gaussian-11", "uniform-7"]
"""What the statistics of a pixel are taken over."""


SsimBorder = Literal["inside", "reflect"]
"""Which windows count."""


Covariance = Literal["population", "sample"]
"""How a window's variances and covariance are estimated."""


Zero = Literal["black", "grey"]
"""Where values have their zero."""


@dataclass(frozen=True, kw_only=True)
class Ssim:
    """SSIM as it is computed."""

    values: ValuesChoice
    """What it is of."""
    window: SsimWindow
    """The window."""
    border: SsimBorder
    """Which windows count."""
    covariance: Covariance
    """How variances are estimated."""
    range: float
    """The range in its formula over the range that pixels have: 1 unless a script has it wrong."""
    zero: Zero
    """Where its values have their zero: its term for luminance depends on it."""


RfidChoice = Literal["none", "pytorch-fid", "torch-fidelity"]
"""Whose Fréchet inception distance it is: they bring pictures to 299 x 299 in two ways."""


LpipsValues = Literal["rounded", "floats"]
"""What LPIPS is of."""


UnitLengthChoice = Literal["lpips", "torchmetrics"]
"""In which implementations of LPIPS differ: at pixels that hardly have features."""


@dataclass(frozen=True, kw_only=True)
class LpipsChoices:
    """LPIPS as it is computed, where the weights of its networks are there."""

    values: LpipsValues
    """What it is of."""
    unit_length: UnitLengthChoice
    """How the features of a pixel are brought to length 1."""
    alex: bool
    """Whether AlexNet's is computed."""
    vgg: bool
    """Whether VGG16's is."""
    squeeze: bool
    """Whether SqueezeNet's is."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """From a decoded sample to numbers."""

    rounding: Rounding
    """How values become 8 bits, those that went in and those that came back alike. MS-SSIM, `mae`, and
    `max_abs_diff` are of these."""
    psnr_values: ValuesChoice
    """What PSNR is of."""
    psnr_average: Average
    """How PSNR is averaged over pictures: which of the two is called `psnr`."""
    ssimulacra2: bool
    """Whether SSIMULACRA 2 is computed."""
    butteraugli: bool
    """Whether Butteraugli's distance is."""
    ssim: Ssim
    """SSIM."""
    dists: bool
    """Whether DISTS is computed of the rounded pictures, where its weights are there."""
    equivariance: bool
    """Whether latents are turned and halved, decoded, and held against pictures turned and halved: EQ-VAE's
    equivariance. One and a quarter more decoded pictures for each."""
    rfid: RfidChoice
    """Whether and how the Fréchet inception distance of what came back to what went in is computed, of rounded
    pictures and where its weights are there."""
    kid: bool
    """Whether the kernel inception distance is, of the same features."""
    precision_recall: bool
    """Whether improved precision and recall are, of the same features: minutes for 50,000 pictures."""
    lpips: LpipsChoices
    """LPIPS."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """How sure a mean is: by how much it moves where pictures are drawn anew, with replacement."""

    resamples: int
    """How often."""
    seed: int
    """Of the random numbers."""
    level: float
    """The share of the resampled means that an interval holds, such as 0.95."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """Every choice that changes a number, with a name."""

    name: str
    """What it is called; no part of the hash."""
    source: str
    """Whose it is, and where it was read; no part of the hash."""
    input: Input2
    """From a picture's file to the encoder's sample."""
    posterior: Posterior2
    """Which latents stand for the posterior."""
    metrics: Metrics
    """From the decoded sample to numbers."""
    confidence: Confidence
    """How intervals are drawn."""


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """What computed the numbers."""

    name: str
    """Which implementation, such as `fast`."""
    version: str
    """Its version."""
    device: str
    """The kind of device, such as `cpu`."""
    arithmetic: str
    """How values of the dtype come about, such as `f32`."""
    instructions: str | None
    """The instructions that results depend on; `None` on this project's kernels, where they depend on none, and
    where libtorch chooses."""
    threads: int | None
    """How many threads, where their number changes results; `None` where it does not."""


@dataclass(frozen=True, kw_only=True)
class MetricWeights:
    """The files of weights that a metric has."""

    metric: str
    """The metric, such as `lpips_vgg`."""
    sha256: list[str]
    """SHA-256 of each of its files."""


@dataclass(frozen=True, kw_only=True)
class ProtocolRecord:
    """How numbers came about."""

    name: str
    """What the protocol is called."""
    hash: str
    """SHA-256 of its choices and of `engine`: results with the same one may be compared."""
    choices: Protocol
    """Every choice."""
    engine: EngineRecord
    """What computed."""
    metric_weights: list[MetricWeights]
    """The files of weights that metrics have; a metric of the protocol without any was left out."""
    metric_instructions: str | None
    """The instructions that SSIMULACRA 2 and Butteraugli are computed with, such as `avx2-fma`; `None` without
    them."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A picture that could not be judged."""

    id: str
    """Its name in the data set."""
    model: int
    """Which model could not judge it."""
    error: str
    """Why."""


@dataclass(frozen=True, kw_only=True)
class Duplicates:
    """Pictures whose files are the same, byte for byte. Each counts in every mean."""

    pictures: int
    """How many pictures are the same as one before them."""
    groups: list[list[str]]
    """Names of the same pictures, the first 20 groups; `rows.parquet` has every picture's SHA-256."""


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Values below which 1, 5, 25, ... per cent of the pictures lie, between neighbours in a straight line."""

    p1: float
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Between which two numbers a statistic lies."""

    low: float
    """The lower end."""
    high: float
    """The upper end."""


@dataclass(frozen=True, kw_only=True)
class MetricSummary:
    """One metric over all pictures that have it."""

    pictures: int
    """How many pictures have it."""
    mean: float
    """Mean."""
    std: float
    """Standard deviation of the population."""
    min: float
    """Smallest value."""
    max: float
    """Largest value."""
    percentiles: Percentiles
    """Below which values how many pictures lie."""
    confidence: Interval | None
    """Where the mean lies, by bootstrap; `None` for one picture."""


@dataclass(frozen=True, kw_only=True)
class PsnrOfMeanMse:
    """A number of all pictures together."""

    mean: float | None
    """In dB; `None` where nothing differs."""
    confidence: Interval | None
    """Where it lies, by bootstrap; `None` for one picture."""


@dataclass(frozen=True, kw_only=True)
class Rfid:
    """A distance between two sets of pictures. It says little of few, and is only held against one of as many."""

    pictures: int
    """How many pictures what came back has: those that every model judged."""
    value: float
    """The distance."""
    reference_sha256: str | None = None
    """SHA-256 of the file that it is held against; left out where that is what went in."""


@dataclass(frozen=True, kw_only=True)
class Kid:
    """A distance between two sets of pictures that does not depend on how many they are, of 1,000 at least: over
    100 pairs of subsets, as torch-fidelity draws them."""

    pictures: int
    """How many pictures each of the sets has: those that every model judged."""
    mean: float
    """The mean over subsets; it may be a little under 0."""
    std: float
    """The deviation between subsets."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """How much of a set of pictures another one covers: what is no further from one of its pictures than the third
    neighbour of that."""

    pictures: int
    """How many pictures each of the sets has: those that every model judged."""
    value: float
    """In [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class ModelMetrics:
    """The metrics of one model; what no picture has is `None`."""

    psnr_db: MetricSummary | None
    """PSNR in dB, over the pictures' own."""
    psnr_of_mean_mse_db: PsnrOfMeanMse | None
    """PSNR in dB of the mean squared error over all pictures, the other average in use."""
    ssim: MetricSummary | None
    """SSIM as the protocol has it."""
    ms_ssim: MetricSummary | None
    """MS-SSIM of pictures of 176 pixels a side or more."""
    mae: MetricSummary | None
    """Mean absolute error in 8-bit values."""
    max_abs_diff: MetricSummary | None
    """Largest absolute difference in 8-bit values."""
    mse: MetricSummary | None
    """Mean squared error in 8-bit values."""
    ssimulacra2: MetricSummary | None
    """SSIMULACRA 2: 100 where nothing differs, 90 where hardly anything is seen, 70 for high quality, 50 for
    medium."""
    butteraugli: MetricSummary | None
    """Butteraugli's distance: 0 where nothing differs, 1 where it can just be seen."""
    lpips_alex: MetricSummary | None
    """LPIPS by AlexNet; less is nearer."""
    lpips_vgg: MetricSummary | None
    """LPIPS by VGG16."""
    lpips_squeeze: MetricSummary | None
    """LPIPS by SqueezeNet."""
    dists: MetricSummary | None
    """DISTS; less is nearer."""
    rotation_psnr_db: MetricSummary | None
    """PSNR in dB of what latents turned by 90 degrees decode to, beside pictures turned so."""
    scaling_psnr_db: MetricSummary | None
    """PSNR in dB of what latents at half their size decode to, beside pictures at half theirs."""
    rfid: Rfid | None
    """The Fréchet inception distance of all that came back to all that went in."""
    kid: Kid | None
    """The kernel inception distance between the same."""
    precision: Share | None
    """The share of what came back that lies where the originals do, as the network sees them."""
    recall: Share | None
    """The share of the originals that lies where what came back does."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What the data asks for, and what the config says."""

    measured: float | None
    """Of these pictures."""
    confidence: Interval | None
    """Where it lies, by bootstrap over pictures; `None` for one picture."""
    config: float | None
    """The config's; `None` where it has none."""


@dataclass(frozen=True, kw_only=True)
class ChannelSummary:
    """One channel of the latents over all pictures."""

    mean: float
    """Mean."""
    std: float
    """Standard deviation of the population."""
    min: float
    """Smallest value."""
    max: float
    """Largest value."""
    kurtosis: float | None
    """See `LatentSummary::kurtosis`."""
    kl: float | None
    """See `LatentSummary::kl`."""
    config_mean: float | None
    """The config's mean for this channel; `None` where it has none."""
    config_std: float | None
    """The config's deviation for this channel; `None` where it has none."""


@dataclass(frozen=True, kw_only=True)
class LatentSummary:
    """Latents over all pictures, as the model makes them: not scaled. Of what the protocol takes, mode or draw."""

    values: int
    """Number of values."""
    mean: float
    """Mean."""
    std: float
    """Standard deviation of the population."""
    min: float
    """Smallest value."""
    max: float
    """Largest value."""
    kurtosis: float | None
    """Fourth central moment over the square of the variance: 3 for a normal distribution."""
    kl: float | None
    """Divergence of the posterior from a standard normal distribution, in nats a value; `None` where there is no
    posterior."""
    scaling_factor: Suggestion
    """`1 / std`, which gives latents unit variance, beside the config's."""
    shift_factor: Suggestion
    """The mean, which is subtracted before scaling, beside the config's."""
    dead_channels: list[int]
    """Channels whose posterior's mean has a variance under 0.01 over the data; where there is no posterior, under
    0.01 of the largest channel's."""
    channels: list[ChannelSummary]
    """Each channel. Their means and deviations are what `latents_mean` and `latents_std` of a config say."""


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Energy over frequency: of what went in, of what came back, and of the latents between. Each list has 15
    shares of one picture's or its latents' energy, which sum up to 1, as a mean over pictures: first of the
    slowest, last of the fastest. Blocks of 8 x 8 values are transformed (DCT-II), and a share is of all
    coefficients whose two frequencies sum up to its place. Latents whose last shares are far above the picture's
    are harder for a diffusion model (Skorokhodov et al. 2025)."""

    input: list[float]
    """Of the pictures as the protocol prepares them."""
    decoded: list[float]
    """Of what came back."""
    latents: list[float]
    """Of the latents."""


@dataclass(frozen=True, kw_only=True)
class ErrorMap:
    """Where in the pictures the error lies, over all of them: root mean squared error in 8-bit values, of pictures
    rounded to 8 bits, whatever PSNR is of."""

    rmse: list[list[float | None]]
    """16 rows of 16 parts, each a sixteenth of a picture high and wide, from the top left; `None` where no picture
    is large enough to have pixels there."""
    border_rmse: float
    """Of the 60 parts at the border."""
    interior_rmse: float | None
    """Of all others; `None` where no picture is large enough."""


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model over all pictures."""

    source: str
    """What the user called it."""
    weights_sha256: str
    """SHA-256 of its file of weights; of several, of a list of theirs; of weights in no file, of theirs."""
    judged: int
    """How many pictures it judged."""
    identical: int
    """In how many of them what came back is what went in, to the last bit of what PSNR is of. They have no PSNR."""
    metrics: ModelMetrics
    """Each metric."""
    latents: LatentSummary | None
    """Its latents; `None` where no picture was judged."""
    spectrum: Spectrum | None
    """Energy over frequency; `None` where no picture was judged, or latents are smaller than 8 x 8."""
    error_map: ErrorMap | None
    """Where in the pictures the error lies; `None` where no picture was judged."""


@dataclass(frozen=True, kw_only=True)
class ModelComparison:
    """By how much a metric of one model lies above the first one's, over the pictures that both have."""

    metric: str
    """Which metric."""
    model: int
    """Place of the model in the list, from 1: it is held against model 0."""
    pictures: int
    """How many pictures both have."""
    mean_difference: float
    """Mean of the differences."""
    confidence: Interval | None
    """Where that lies, by bootstrap over pictures; 0 outside of it is a difference that is there."""
    higher: float
    """Share of the pictures in which the metric is higher than the first model's; equal ones count half."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """How a run went; nothing of it is a result."""

    shards: list[str]
    """The shards, such as `0/1` for one that is the whole."""
    data: str
    """The data set's path."""
    seconds: float
    """Seconds since the last start, over all shards."""
    machines: list[str]
    """On what kind of machine, such as `linux x86_64`; one for each shard."""
    version: str
    """Which version wrote this."""


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """What a data set says of models: `result.json`, and a line of `evaluate --json`. Only `run` may differ between
    two runs of one protocol, data set and models."""

    schema_version: int
    """1; fields may be added without a change of it."""
    verdict: EvaluationVerdict
    """Whether what was asked for is reached."""
    verdict_reasons: list[str]
    """Why not; empty where it is."""
    protocol: ProtocolRecord
    """How the numbers came about."""
    data_sha256: str
    """SHA-256 of the names and lengths of all pictures of the data set, those of other shards too."""
    pictures_sha256: str
    """SHA-256 of the SHA-256 of each picture that this is about, in their order: two results with the same one are
    of the same pictures, byte for byte."""
    pictures: int
    """How many pictures this is about."""
    errors: int
    """How many of them could not be judged, by one model at least."""
    failures: list[Failure]
    """The first 20 of those, for each model that could not judge them; `rows.parquet` has all."""
    duplicates: Duplicates
    """Pictures that are there more than once."""
    models: list[ModelResult]
    """Each model."""
    comparisons: list[ModelComparison]
    """Each model after the first, held against the first."""
    run: RunRecord
    """How this run went."""


@dataclass(frozen=True, kw_only=True)
class ResultName:
    """Which result, and which of its models."""

    protocol: str
    """Its protocol."""
    hash: str
    """The hash of that."""
    model: str
    """The model."""
    pictures: int
    """How many pictures it is about."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What one choice does."""

    choice: str
    """Its name in a protocol's file; or `model`, `pictures`, or `input` for a frame's three together."""
    a: str
    """What the first result has."""
    b: str
    """What the second result has."""
    effect: float
    """How much of the gap it is: the mean of the two orders."""
    low: float
    """The lesser of the two: choices may depend on each other."""
    high: float
    """The greater of the two."""


@dataclass(frozen=True, kw_only=True)
class MetricGap:
    """One metric in two results."""

    metric: str
    """As the results call it; `psnr_db` is averaged as each protocol says."""
    a: float
    """The first result's."""
    b: float
    """The second result's."""
    gap: float
    """`b - a`."""
    a_of_sample: float
    """The first result's, of the sample."""
    b_of_sample: float
    """The second result's, of the sample."""
    effects: list[Effect]
    """What each choice does, the largest first; together they are the sample's gap."""
    not_explained: float
    """`gap` less the sample's: what other pictures, or another engine, do."""
    explained_share: float | None
    """The share of `gap` that is explained, at most 1; `None` where there is no gap to speak of."""


@dataclass(frozen=True, kw_only=True)
class GapReport:
    """Which choices make two results differ, and by how much: what `explain-gap --json` prints."""

    schema_version: int
    """1; fields may be added without a change of it."""
    verdict: EvaluationVerdict
    """Whether the sample explains 95 % of the gap of every metric."""
    verdict_reasons: list[str]
    """Why not; empty where it does."""
    a: ResultName
    """The first result."""
    b: ResultName
    """The second result."""
    sampled: int
    """How many pictures were computed anew."""
    left_out: int
    """How many more could not be judged in every way, and are left out."""
    metrics: list[MetricGap]
    """Each metric that both results have."""
    notes: list[str]
    """What a reader has to know."""
