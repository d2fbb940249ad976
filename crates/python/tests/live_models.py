"""Sound models of every class that is run, and the ways in which people have them in memory."""

from __future__ import annotations

from typing import Any, Callable

import torch
from diffusers import (
    AsymmetricAutoencoderKL,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLHunyuanImage,
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    AutoencoderKLWan,
    AutoencoderTiny,
)

BUILTIN = "golden/models/builtin/vae"


def _seeded(build: Callable[[], Any]) -> Callable[[], Any]:
    def seeded() -> Any:
        with torch.random.fork_rng([]):
            torch.manual_seed(7)
            return build().eval()

    return seeded


def _trained(build: Callable[[], Any]) -> Callable[[], Any]:
    """Of such weights as training makes them: with tails, and norms that differ from channel to channel."""

    def trained() -> Any:
        vae = _seeded(build)()
        generator = torch.Generator().manual_seed(8)
        with torch.no_grad():
            for parameter in vae.parameters():
                parameter.mul_(1 + 0.3 * torch.randn(parameter.shape, generator=generator))
        return vae

    return trained


def _dc(**fields: Any) -> Any:
    """Of three levels, the innermost with attention."""
    blocks = ("ResBlock", "ResBlock", "EfficientViTBlock")
    return AutoencoderDC(latent_channels=8, attention_head_dim=8, encoder_block_types=blocks, decoder_block_types=blocks, **fields)


# Trained weights, and weights as PyTorch draws them, which amplify what layers round.
MODELS: dict[str, Callable[[], Any]] = {
    "AutoencoderKL": lambda: AutoencoderKL.from_pretrained(BUILTIN),
    "AutoencoderKL without quant_conv": lambda: AutoencoderKL.from_pretrained("tests/fixtures/models/eight-channel/vae"),
    "AutoencoderKLFlux2": _seeded(lambda: AutoencoderKLFlux2(block_out_channels=(32, 32, 64, 64), sample_size=64)),
    "AutoencoderTiny": _seeded(lambda: AutoencoderTiny(encoder_block_out_channels=(16,) * 4, decoder_block_out_channels=(16,) * 4)),
    "AutoencoderDC": _seeded(
        lambda: _dc(
            encoder_block_out_channels=(16, 32, 32),
            decoder_block_out_channels=(16, 32, 32),
            encoder_layers_per_block=(1, 1, 1),
            decoder_layers_per_block=(1, 1, 1),
            encoder_qkv_multiscales=((), (), (5,)),
            decoder_qkv_multiscales=((), (), (5,)),
            scaling_factor=0.41407,
        )
    ),
    "AutoencoderDC, batch norms": _trained(
        lambda: _dc(
            encoder_block_out_channels=(8, 16, 32),
            decoder_block_out_channels=(8, 16, 32),
            encoder_layers_per_block=(0, 1, 1),
            decoder_layers_per_block=(0, 1, 1),
            encoder_qkv_multiscales=((), (), ()),
            decoder_qkv_multiscales=((), (), ()),
            decoder_norm_types=["batch_norm", "batch_norm", "rms_norm"],
            decoder_act_fns=["relu", "relu", "silu"],
            scaling_factor=0.4552,
        )
    ),
    "AutoencoderKLHunyuanImage": _trained(
        lambda: AutoencoderKLHunyuanImage(
            in_channels=3,
            out_channels=3,
            latent_channels=8,
            block_out_channels=(32, 64, 64),
            layers_per_block=1,
            spatial_compression_ratio=4,
            sample_size=64,
            scaling_factor=0.75289,
        )
    ),
    "AsymmetricAutoencoderKL": _seeded(
        lambda: AsymmetricAutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            down_block_out_channels=(16, 32),
            up_block_types=("UpDecoderBlock2D",) * 2,
            up_block_out_channels=(24, 32),
            norm_num_groups=8,
        )
    ),
    "AutoencoderKLWan": _trained(lambda: AutoencoderKLWan(base_dim=16, num_res_blocks=1)),
    "AutoencoderKLWan, 2.2": _trained(
        lambda: AutoencoderKLWan(
            base_dim=16,
            decoder_base_dim=24,
            z_dim=8,
            num_res_blocks=1,
            is_residual=True,
            in_channels=12,
            out_channels=12,
            patch_size=2,
            scale_factor_spatial=16,
            latents_mean=[0.1] * 8,
            latents_std=[0.5] * 8,
        )
    ),
    "AutoencoderKLQwenImage": _trained(lambda: AutoencoderKLQwenImage(base_dim=16, num_res_blocks=1)),
    "AutoencoderKLQwenImage21": _trained(
        lambda: AutoencoderKLQwenImage21(
            base_dim=16,
            decoder_base_dim=24,
            z_dim=8,
            num_res_blocks=1,
            latents_mean=[0.1] * 8,
            latents_std=[0.5] * 8,
        )
    ),
}


def of_rgba(alpha: float = 1.0) -> Any:
    """The trained VAE with a fourth channel: the encoder does not look at it, and the decoder makes `alpha` of it."""
    trained = AutoencoderKL.from_pretrained(BUILTIN)
    # Without the name of a checkpoint, which it would be held against.
    config = {**trained.config, "in_channels": 4, "out_channels": 4, "_name_or_path": ""}
    vae = AutoencoderKL.from_config(config)
    state = trained.state_dict()
    nothing = torch.zeros_like(state["encoder.conv_in.weight"][:, :1])
    state["encoder.conv_in.weight"] = torch.cat([state["encoder.conv_in.weight"], nothing], 1)
    nothing = torch.zeros_like(state["decoder.conv_out.weight"][:1])
    state["decoder.conv_out.weight"] = torch.cat([state["decoder.conv_out.weight"], nothing])
    state["decoder.conv_out.bias"] = torch.cat([state["decoder.conv_out.bias"], torch.tensor([alpha])])
    vae.load_state_dict(state)
    return vae.eval()


# Those of clips, of which one picture is a clip of one frame.
OF_CLIPS = tuple(name for name in MODELS if name.startswith(("AutoencoderKLWan", "AutoencoderKLQwenImage")))


def _hooked(vae: Any) -> Any:
    for module in vae.modules():
        module.register_forward_hook(lambda layer, given, made: None)
        module.register_forward_pre_hook(lambda layer, given: None)
    return vae


def _derived(vae: Any) -> Any:
    class Own(type(vae)):  # type: ignore[misc]
        def encode(self, x: Any, return_dict: bool = True) -> Any:
            return super().encode(x, return_dict)

    vae.__class__ = Own
    return vae


def _channels_last(vae: Any) -> Any:
    """Each tensor in the format for its number of axes; torch refuses a model that has both kinds."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in vae.parameters():
        if parameter.dim() in formats:
            parameter.data = parameter.data.to(memory_format=formats[parameter.dim()])
    return vae


def _offloaded(vae: Any) -> Any:
    """Weights go to where they are used and back, as offloading hooks move them."""

    def fetch(layer: Any, given: Any) -> None:
        for parameter in layer.parameters(recurse=False):
            parameter.data = parameter.data.clone()

    for module in vae.modules():
        module.register_forward_pre_hook(fetch)
    return vae


def _compiled_decoder(vae: Any) -> Any:
    vae.decoder = torch.compile(vae.decoder, backend="eager")
    return vae


def _compiled_in_place(vae: Any) -> Any:
    vae.encoder.compile(backend="eager")
    return vae


def _training(vae: Any) -> Any:
    vae.train().requires_grad_(True)
    vae.encoder.gradient_checkpointing = hasattr(vae.encoder, "gradient_checkpointing")
    return vae


def _sliced(vae: Any) -> Any:
    vae.enable_slicing()
    return vae


WAYS: dict[str, Callable[[Any], Any]] = {
    "as loaded": lambda vae: vae,
    "channels_last": _channels_last,
    "hooks that look": _hooked,
    "a derived class": _derived,
    "offloaded": _offloaded,
    "compiled as a whole": lambda vae: torch.compile(vae, backend="eager"),
    "a compiled decoder": _compiled_decoder,
    "an encoder compiled in place": _compiled_in_place,
    "in a training loop": _training,
    "sliced": _sliced,
}

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
