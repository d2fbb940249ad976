"""The golden cases: which picture goes through which model in which way, and what that shows."""

from dataclasses import dataclass
from typing import Optional

from vae_fidelity_tools.checkout import GOLDEN


@dataclass(frozen=True)
class Case:
    name: str
    model: str
    image: str
    shows: str
    size: Optional[tuple] = None  # (width, height), or the picture's own rounded down
    seed: Optional[int] = None  # sample with this seed, or take the mode
    trace: bool = False
    dtype: str = "f32"  # f32, f16 or bf16
    device: str = "cpu"  # where an implementation runs it; it is written on the CPU in any case
    tiling: bool = False  # enable_tiling(), with tiles of the config's sample_size
    tile_size: Optional[int] = None  # or of this side in pixels
    batch: tuple = ()  # pictures that follow the first in one batch, with enable_slicing()
    clip: bool = False  # they are the frames of one clip, in place of a batch
    blocks: bool = False  # keep whole tensors at the cut points, too
    part: str = ""  # the folder in golden/ that has the case and its model, of those in a crate of their own
    deterministic: bool = False  # the class has no posterior

    @property
    def golden(self):
        """The folder of its manifest."""
        return GOLDEN / self.part

    @property
    def model_folder(self):
        return self.golden / "models" / self.model

    @property
    def width(self):
        return self.size[0] if self.size else None

    @property
    def height(self):
        return self.size[1] if self.size else None


def builtin(name, image, shows, **how):
    return Case(f"builtin-{name}", "builtin", image, shows, **how)


BUILTIN = [
    builtin("demo", "astronaut.png", "The picture of the README, at its own size."),
    builtin("small", "astronaut.png", "A trained model's activations, module by module.", size=(64, 64), trace=True),
    builtin("coffee", "coffee.jpg", "An ordinary photo; its width is rounded down to a multiple of 8."),
    builtin("progressive", "progressive_420.jpg", "Progressive JPEG; both sides are odd and rounded down."),
    builtin("grey-jpeg", "grey.jpg", "A JPEG of one component becomes RGB."),
    builtin("cmyk", "cmyk.jpg", "A CMYK JPEG becomes RGB Pillow's way."),
    builtin("exif-rotated", "exif_rotated.jpg", "The EXIF orientation is ignored."),
    builtin("rgba", "rgba.png", "Alpha is dropped, not composited."),
    builtin("grey-alpha", "grey_alpha.png", "Grey with alpha: alpha is dropped."),
    builtin("grey", "grey.png", "8-bit grey becomes RGB."),
    builtin("grey1", "grey1.png", "1-bit black and white becomes RGB."),
    builtin("grey16", "grey16.png", "16-bit grey is clipped at 255, as Pillow does."),
    builtin("rgb16", "rgb16.png", "16 bits a channel: the low byte is dropped."),
    builtin("palette-transparent", "palette_transparent.png", "A palette with transparency is applied, alpha dropped."),
    builtin("webp", "lossy.webp", "A format beside PNG and JPEG."),
    builtin("one-pixel", "one_pixel.png", "A picture below 8 x 8 is enlarged to 8 x 8.", size=(16, 8)),
    builtin("tiny", "tiny.png", "5 x 3 is enlarged to 8 x 8, the smallest size there is."),
    builtin("wide", "wide.png", "One row of latents."),
    builtin("tall", "tall.jpg", "One column of latents."),
    builtin("enlarged", "tiny.png", "--width and --height far above the picture's own.", size=(48, 40)),
    builtin("reduced", "coffee.jpg", "--width and --height below the picture's own, in another ratio.", size=(56, 72)),
    builtin("width-only", "exif_rotated.jpg", "Only the width changes: one resampling pass.", size=(24, 56)),
    builtin("height-only", "exif_rotated.jpg", "Only the height changes: the other pass.", size=(40, 24)),
    builtin("horizontal-first", "wide.png", "Resampled horizontally first.", size=(64, 24)),
    builtin("vertical-first", "tall.jpg", "So much taller than wide that Pillow resamples vertically first.", size=(24, 64)),
    builtin("sample-0", "astronaut.png", "A draw from the posterior, seed 0.", size=(64, 48), seed=0),
    builtin("sample-42", "astronaut.png", "Another seed gives another draw.", size=(64, 48), seed=42),
    builtin("sample-64-bits", "rgba.png", "A seed above 2^32 keeps all its bits.", seed=1_234_567_890_123),
    builtin("sample-tiny", "tiny.png", "16 values of noise: the least that torch draws as a block.", seed=7),
]


def config_case(model, shows):
    return Case(f"{model}-config", model, "coffee.jpg", shows, (16, 24))


FULL_TOPOLOGY = [
    Case("sd-v1-4-512", "sd-v1-4", "astronaut_512.jpg", "Stable Diffusion 1.4's graph at its own size."),
    Case("sd-v1-4-96x64", "sd-v1-4", "coffee.jpg", "Stable Diffusion 1.4's graph, module by module.", (96, 64), trace=True),
    Case("sd-v1-4-sample", "sd-v1-4", "coffee.jpg", "Stable Diffusion 1.4's graph, sampled.", (40, 56), seed=3),
    config_case("sd-v2-1", "Stable Diffusion 2.1's config on the graph that it shares with 1.4: sample_size 768."),
    config_case("sdxl", "SDXL's config on Stable Diffusion 1.4's graph: scaling_factor 0.13025."),
    config_case("playground-v2.5", "Playground v2.5's config on Stable Diffusion 1.4's graph: scaling_factor 0.5, and "
                "latents_mean and latents_std, which the gist ignores."),
    Case("sd3-96x64", "sd3", "coffee.jpg", "Stable Diffusion 3's graph, which is FLUX.1's too, module by module: 16 latent "
         "channels and no quant convs.", (96, 64), trace=True),
    Case("sd3-sample", "sd3", "astronaut.png", "Stable Diffusion 3's graph, sampled; the gist ignores shift_factor.", (24, 16),
         seed=3),
    config_case("flux1", "FLUX.1's config on Stable Diffusion 3's graph: scaling_factor 0.3611, shift_factor 0.1159."),
    Case("flux2-96x64", "flux2", "coffee.jpg", "FLUX.2's graph, module by module: 32 latent channels, whose 2 x 2 patches are "
         "normalized by statistics in the checkpoint.", (96, 64), trace=True),
    Case("flux2-sample", "flux2", "astronaut.png", "FLUX.2's graph, sampled.", (48, 32), seed=3),
    Case("cogview4-96x64", "cogview4", "coffee.jpg", "CogView 4's graph, module by module: up to 1024 channels, three layers a "
         "block, no mid attention.", (96, 64), trace=True),
    Case("x4-upscaler-96x64", "x4-upscaler", "coffee.jpg", "The x4 upscaler's graph, module by module: three blocks, so "
         "attention over four times as many latents.", (96, 64), trace=True),
    Case("x4-upscaler-sample", "x4-upscaler", "astronaut.png", "The x4 upscaler's graph, sampled.", (24, 16), seed=3),
]  # fmt: skip


def small(model, shows, size=(40, 32), image="astronaut.png"):
    """A mode case with a trace, and a sampled one."""
    return [
        Case(f"{model}-mode", model, image, shows, size, trace=True),
        Case(f"{model}-sample", model, "coffee.jpg", f"{shows[:-1]}; sampled.", size, seed=1),
    ]


SMALL = [
    *small("sd-small", "Stable Diffusion 1.x and 2.x, SDXL: four latent channels, quant convs, mid attention."),
    Case("sd-small-sample-tiny", "sd-small", "tiny.png", "Four values of noise: torch draws them one by one.", seed=5),
    *small("flux1-small", "Stable Diffusion 3, FLUX.1: 16 latent channels, no quant convs; the gist ignores shift_factor."),
    *small("cogview-small", "CogView: three layers a block, no mid attention, scaling_factor 1."),
    *small("x4-upscaler-small", "The x4 upscaler: three blocks, so latents are a quarter of the picture a side."),
    *small("playground-small", "Playground v2.5: latents_mean and latents_std, which the gist ignores."),
    *small("flux2-small", "FLUX.2: latents in 2 x 2 patches, normalized by statistics in the checkpoint.", (48, 32)),
    *small("flux2-small-decoder", "FLUX.2 with a decoder that is narrower than the encoder.", (32, 48)),
    *small("five-blocks", "Five blocks of uneven width, five latent channels, no post_quant_conv; the decoded picture is "
           "smaller than its input, whose sides are no multiples of 16.", (72, 56)),
    *small("class-defaults", "A config that says nothing: diffusers' defaults are one block, one layer, 32 groups.", (24, 32)),
    *small("act-mish", "act_fn mish inside the resnets (conv_act stays SiLU); sample_size as a pair.", (40, 24)),
    *small("act-gelu", "act_fn gelu, by the exact error function.", (40, 24)),
    *small("act-relu", "act_fn relu.", (40, 24)),
    *small("extreme-logvar", "A log-variance far beyond both clamps, -30 and 20; the upper one decides what a draw is."),
    *small("posterior-clamps", "Channels at log-variances of -230, -40, 0 and 40: without the clamp, standard deviations of 0 "
           "and 4.9e8 where 3.1e-7 and 2.2e4 are right, which draws alone can show."),
    *small("tiny-variance", "Every GroupNorm sees variances near its eps of 1e-6, so that another eps in any of them shows."),
]  # fmt: skip


def half(model, shows, size=(32, 24)):
    """The gist's functions in f16 and bf16, by mode and by a draw."""
    return [
        Case(f"{model}-{dtype}-{kind}", model, image, f"{shows}, in {dtype}{said}", size, seed, trace, dtype)
        for dtype in ("f16", "bf16")
        for kind, image, seed, trace, said in [
            ("mode", "astronaut.png", None, model == "sd-small", "."),
            ("sample", "coffee.jpg", 1, False, "; sampled."),
        ]
    ]


HALF = [
    *half("sd-small", "Every operation rounds to the dtype, the picture's own steps too"),
    *half("flux2-small", "FLUX.2's statistics are rounded to the dtype as well", (32, 32)),
    *half("builtin", "Trained weights, whose activations are larger"),
]

# No GPU wrote goldens. Values are those of f16 on the CPU, and judged as such.
CUDA = [
    Case("sd-small-cuda", "sd-small", "astronaut.png", "The gist's choice where CUDA is: f16 on the GPU.", (24, 16),
         dtype="f16", device="cuda"),
    Case("builtin-cuda", "builtin", "coffee.jpg", "The gist's choice where CUDA is, with trained weights; sampled.", (24, 16),
         seed=1, dtype="f16", device="cuda"),
]  # fmt: skip

TILED = [
    Case("tiles-mode", "tiles", "astronaut.png", "enable_tiling() with the config's sample_size of 32: four columns of tiles and "
         "three rows, the last of them narrow.", (88, 72), tiling=True),
    Case("tiles-sample", "tiles", "coffee.jpg", "Tiles, sampled; the second row is one latent high.", (40, 32), seed=1,
         tiling=True),
    Case("tiles-small", "tiles", "astronaut.png", "A picture as large as a tile is not tiled.", (24, 32), tiling=True),
    Case("flux2-tiles", "flux2-small-decoder", "coffee.jpg", "FLUX.2's tiles, put together before latents are patched.", (48, 48),
         tiling=True),
    Case("builtin-tiles", "builtin", "astronaut.png", "Tiles of a size of one's own, with trained weights: seams are blended "
         "over a quarter.", (96, 72), tiling=True, tile_size=64),
    Case("builtin-slices", "builtin", "astronaut.png", "Two pictures in one batch with enable_slicing(); the pixels are the "
         "first one's.", (24, 16), batch=("coffee.jpg",)),
    Case("tiles-f16", "tiles", "astronaut.png", "Seams are blended in f16.", (40, 24), dtype="f16", tiling=True),
    Case("tiles-slices", "tiles", "astronaut.png", "Two pictures in slices, each in tiles.", (40, 16), tiling=True,
         batch=("coffee.jpg",)),
]  # fmt: skip


def blocks(model, shows, size):
    return Case(f"{model}-blocks", model, "astronaut.png", shows, size, trace=True, blocks=True)


BLOCKS = [
    blocks("sd-small", "What each block of a Stable Diffusion graph is given and makes of it, whole.", (16, 8)),
    blocks("builtin", "The same of trained weights.", (16, 8)),
    blocks("flux2-small-decoder", "The same of FLUX.2's class, with a narrower decoder.", (16, 16)),
    blocks("cogview-small", "The same without mid attention and quant convs.", (8, 8)),
    blocks("x4-upscaler-small", "The same of a graph of three levels.", (8, 8)),
]


def tiny(name, model, shows, size, image="astronaut.png", **how):
    """A case of AutoencoderTiny, whose goldens are a crate of their own."""
    return Case(name, model, image, shows, size, part="tiny", deterministic=True, **how)


TINY = [
    tiny("taesd-96x64", "taesd", "TAESD's graph, module by module: four latent channels, as for SD 1.x, 2.x and SDXL.", (96, 64),
         "coffee.jpg", trace=True),
    tiny("taesd-own-size", "taesd", "TAESD's graph at the picture's own size, rounded down.", None, "exif_rotated.jpg"),
    tiny("taesd3-96x64", "taesd3", "The graph of TAESD for SD3 and FLUX.1, module by module: 16 latent channels.", (96, 64),
         "coffee.jpg", trace=True),
    tiny("tiny-small-mode", "tiny-small", "A narrow TAESD.", (40, 32), trace=True),
    tiny("tiny-small-tiny", "tiny-small", "One latent.", None, "tiny.png"),
    tiny("tiny-small-wide", "tiny-small", "One row of latents.", None, "wide.png"),
    tiny("tiny-small-blocks", "tiny-small", "What each block of a TAESD is given and makes of it, whole.", (16, 8), trace=True,
         blocks=True),
    tiny("tiny-uneven-mode", "tiny-uneven", "An encoder and a decoder of other widths, no multiples of 8, and numbers of "
         "blocks; five levels, so that the sides of 40 and 72 are rounded up, and the "
         "decoded picture is larger.", (40, 72), trace=True),
    tiny("tiny-gelu-mode", "tiny-gelu", "act_fn gelu inside the blocks, which end in ReLU all the same; three levels down by 2, "
         "two up by 4.", (40, 24), "coffee.jpg", trace=True),
    tiny("tiny-small-f16", "tiny-small", "Every operation rounds to the dtype, in f16.", (32, 24), dtype="f16"),
    tiny("tiny-small-bf16", "tiny-small", "The same in bf16.", (32, 24), dtype="bf16"),
    tiny("tiny-uneven-f16", "tiny-uneven", "Other widths, in f16.", (32, 32), "coffee.jpg", dtype="f16"),
    tiny("tiny-tiles", "tiny-small", "enable_tiling() with tiles of 128: three columns and two rows, which overlap by an eighth "
         "under masks that rise linearly; the second row is 16 pixels high.", (240, 128), tiling=True, tile_size=128),
    tiny("tiny-tiles-small", "tiny-small", "A picture smaller than a tile goes the same way, as one tile.", (64, 48),
         "coffee.jpg", tiling=True),
    tiny("tiny-slices", "tiny-small", "Two pictures in one batch with enable_slicing(); the pixels are the first one's.", (24, 16),
         batch=("coffee.jpg",)),
    tiny("tiny-slices-tiles", "tiny-small", "Two pictures in slices, each in tiles.", (136, 16), tiling=True, tile_size=128,
         batch=("coffee.jpg",)),
]  # fmt: skip


def asymmetric(name, model, shows, size, image="astronaut.png", **how):
    """A case of AsymmetricAutoencoderKL, whose goldens are a crate of their own."""
    return Case(f"asymmetric-{name}", f"asymmetric-{model}", image, shows, size, part="asymmetric", **how)


ASYMMETRIC_FULL = [
    asymmetric("x-1.5-96x64", "x-1.5", "The published x-1.5, module by module: an encoder as Stable Diffusion's, a decoder 1.5 "
               "times as wide, with three layers a block and one more.", (96, 64), "coffee.jpg", trace=True),
]  # fmt: skip
ASYMMETRIC = [
    *ASYMMETRIC_FULL,
    asymmetric("small-mode", "small", "A narrow x-1.5.", (40, 32), trace=True),
    asymmetric("small-sample", "small", "A narrow x-1.5; sampled.", (40, 32), "coffee.jpg", seed=1),
    asymmetric("small-tiny", "small", "One latent, sampled: four values of noise.", None, "tiny.png", seed=5),
    asymmetric("small-wide", "small", "One row of latents.", None, "wide.png"),
    asymmetric("small-blocks", "small", "What each block is given and makes of it, whole.", (16, 8), trace=True, blocks=True),
    asymmetric("uneven-mode", "uneven", "Three levels, a decoder that is narrower than the encoder, other numbers of layers, "
               "five latent channels, act_fn mish.", (40, 24), trace=True),
    asymmetric("uneven-sample", "uneven", "The same, sampled.", (24, 40), "coffee.jpg", seed=2),
    asymmetric("defaults-mode", "defaults", "A config that says nothing: diffusers' defaults are one block and one layer of 64 "
               "channels in either half.", (24, 32), trace=True),
    asymmetric("small-f16-mode", "small", "Every operation rounds to the dtype, in f16.", (32, 24), dtype="f16"),
    asymmetric("small-f16-sample", "small", "The same, sampled.", (32, 24), "coffee.jpg", dtype="f16", seed=1),
    asymmetric("small-bf16-mode", "small", "Every operation rounds to the dtype, in bf16.", (32, 24), dtype="bf16"),
    asymmetric("small-bf16-sample", "small", "The same, sampled.", (32, 24), "coffee.jpg", dtype="bf16", seed=1),
]  # fmt: skip


def wan(name, model, shows, size, image="astronaut.png", **how):
    """A case of Wan's classes or Qwen-Image's, as one picture; their goldens are a crate of their own."""
    return Case(name, model, image, shows, size, part="wan", **how)


# What follows the first frame of a clip; each is another picture, so that a frame at the wrong place shows.
FRAMES = ("progressive_420.jpg", "coffee.jpg", "cmyk.jpg", "astronaut.png",
          "rgba.png", "picture.gif", "exif_rotated.jpg", "lossy.webp")  # fmt: skip
WAN_FULL = [
    wan("wan2.1-clip", "wan2.1", "A clip of five frames through Wan 2.1's graph: all of its weights meet data.", (24, 16),
        "coffee.jpg", batch=FRAMES[:4], clip=True),
    wan("wan2.1-96x64", "wan2.1", "Wan 2.1's graph, module by module: of each kernel over time the last slice meets data.",
        (96, 64), "coffee.jpg", trace=True),
    wan("qwen-image-16x24", "qwen-image", "Qwen-Image's config on the graph that it shares with Wan 2.1.", (16, 24), "coffee.jpg"),
    wan("qwen-image-2.1-48x32", "qwen-image-2.1", "Qwen-Image 2.1's graph, module by module: Wan 2.2's with kernels over one "
        "frame, for pictures in RGBA.", (48, 32), "rgba.png", trace=True),
]  # fmt: skip
WAN = [
    *WAN_FULL,
    wan("wan-small-mode", "wan-small", "A narrow Wan 2.1: norms over channels, means and deviations of each channel.", (40, 32),
        trace=True),
    wan("wan-small-sample", "wan-small", "A narrow Wan 2.1; sampled.", (40, 32), "coffee.jpg", seed=1),
    wan("wan-small-tiny", "wan-small", "One latent, sampled.", None, "tiny.png", seed=5),
    wan("wan-small-wide", "wan-small", "One row of latents.", None, "wide.png"),
    wan("wan-small-blocks", "wan-small", "What each block is given and makes of it, whole.", (16, 8), trace=True, blocks=True),
    wan("wan-uneven-mode", "wan-uneven", "Three levels, a decoder of another width than the encoder, five latent channels.",
        (40, 24), trace=True),
    wan("wan-uneven-sample", "wan-uneven", "The same, sampled.", (24, 40), "coffee.jpg", seed=2),
    wan("wan2.2-small-mode", "wan2.2-small", "A narrow Wan 2.2: patches of pixels as channels (c, pw, ph), shortcuts around "
        "levels that take means over a frame that is not there.", (48, 32), trace=True),
    wan("wan2.2-small-sample", "wan2.2-small", "A narrow Wan 2.2; sampled.", (32, 48), "coffee.jpg", seed=1),
    wan("wan2.2-small-tiny", "wan2.2-small", "One latent of Wan 2.2.", (16, 16), "tiny.png"),
    wan("wan2.2-small-blocks", "wan2.2-small", "What each block of Wan 2.2 is given and makes of it, whole.", (16, 16),
        trace=True, blocks=True),
    wan("qwen-image-small-mode", "qwen-image-small", "A narrow Qwen-Image.", (40, 32), trace=True),
    wan("qwen-image-small-sample", "qwen-image-small", "A narrow Qwen-Image; sampled.", (40, 32), "coffee.jpg", seed=1),
    wan("wan-small-f16-mode", "wan-small", "Every operation rounds to the dtype, in f16, but for lengths.", (32, 24), dtype="f16"),
    wan("wan-small-f16-sample", "wan-small", "The same, sampled.", (32, 24), "coffee.jpg", dtype="f16", seed=1),
    wan("wan-small-bf16-mode", "wan-small", "Every operation rounds to the dtype, in bf16.", (32, 24), dtype="bf16"),
    wan("wan-small-bf16-sample", "wan-small", "The same, sampled.", (32, 24), "coffee.jpg", dtype="bf16", seed=1),
    wan("wan2.2-small-f16-mode", "wan2.2-small", "Wan 2.2 in f16.", (32, 32), dtype="f16"),
    wan("wan2.2-small-bf16-mode", "wan2.2-small", "Wan 2.2 in bf16.", (32, 32), dtype="bf16"),
    wan("wan-small-slices", "wan-small", "Two pictures in one batch with enable_slicing(); the pixels are the first one's.",
        (24, 16), batch=("coffee.jpg",)),
    wan("wan-small-clip", "wan-small", "A clip of five frames, which are two of latents: convolutions look back at the frames "
        "before; the pixels are the first one's.", (40, 32), batch=FRAMES[:4], clip=True),
    wan("wan-small-clip-sample", "wan-small", "A clip of nine frames, sampled.", (24, 32), "coffee.jpg", batch=FRAMES, clip=True,
        seed=6),
    wan("wan2.2-small-clip", "wan2.2-small", "A clip through Wan 2.2, whose shortcuts halve and double frames, too.", (48, 32),
        batch=FRAMES[:4], clip=True),
    wan("wan2.2-small-clip-sample", "wan2.2-small", "Nine frames through Wan 2.2, sampled.", (32, 48), "coffee.jpg", batch=FRAMES,
        clip=True, seed=6),
    wan("qwen-image-small-clip", "qwen-image-small", "A clip through Qwen-Image.", (40, 32), batch=FRAMES[:4], clip=True),
    wan("wan-small-f16-clip", "wan-small", "A clip in f16.", (32, 24), dtype="f16", batch=FRAMES[:4], clip=True),
    wan("wan-small-bf16-clip", "wan-small", "A clip in bf16.", (32, 24), dtype="bf16", batch=FRAMES[:4], clip=True),
    wan("wan-clip-tiles", "wan-small", "A clip in tiles of 32: each is a clip of its own.", (72, 56), batch=FRAMES[:4], clip=True,
        tiling=True, tile_size=32),
    wan("wan2.2-clip-tiles", "wan2.2-small", "A clip through Wan 2.2 in tiles.", (112, 80), "coffee.jpg", batch=FRAMES[:4],
        clip=True, tiling=True, tile_size=64),
    wan("wan-tiles", "wan-small", "enable_tiling() with tiles of 32: three columns and three rows, clamped when they are one "
        "picture.", (72, 56), tiling=True, tile_size=32),
    wan("wan2.2-tiles", "wan2.2-small", "Tiles of Wan 2.2, which are twice as wide where they are encoded as where they are "
        "decoded, and blended in patches.", (112, 80), "coffee.jpg", tiling=True, tile_size=64),
    wan("qwen-image-layered-small-mode", "qwen-image-layered-small", "A narrow Qwen-Image of RGBA: a picture's alpha is a "
        "fourth channel, and colours are resized multiplied by it.", (40, 32), "rgba.png", trace=True),
    wan("qwen-image-layered-small-sample", "qwen-image-layered-small", "The same, sampled; the picture is opaque.", (40, 32),
        "coffee.jpg", seed=1),
    wan("qwen-image-layered-small-palette", "qwen-image-layered-small", "The same, not resized, of a palette with transparent "
        "colours.", None, "palette_transparent.png"),
    wan("qwen-image-2.1-small-mode", "qwen-image-2.1-small", "A narrow Qwen-Image 2.1: five levels, latents divided by their "
        "deviations and multiplied back.", (48, 32), "rgba.png", trace=True),
    wan("qwen-image-2.1-small-sample", "qwen-image-2.1-small", "The same, sampled; the picture is opaque.", (32, 48), "coffee.jpg",
        seed=1),
    wan("qwen-image-2.1-small-one", "qwen-image-2.1-small", "One latent, at which a pixel attends to itself alone.", (16, 16),
        "tiny.png"),
    wan("qwen-image-2.1-small-blocks", "qwen-image-2.1-small", "What each block is given and makes of it, whole.", (16, 16),
        trace=True, blocks=True),
    wan("qwen-image-2.1-uneven-mode", "qwen-image-2.1-uneven", "Three levels without ways around them, five latent channels, "
        "pictures in RGB.", (40, 24), trace=True),
    wan("qwen-image-2.1-uneven-sample", "qwen-image-2.1-uneven", "The same, sampled.", (24, 40), "coffee.jpg", seed=2),
    wan("qwen-image-2.1-small-f16-mode", "qwen-image-2.1-small", "Every operation rounds to the dtype, in f16, but for lengths.",
        (32, 32), dtype="f16"),
    wan("qwen-image-2.1-small-f16-sample", "qwen-image-2.1-small", "The same, sampled.", (32, 32), "coffee.jpg", dtype="f16",
        seed=1),
    wan("qwen-image-2.1-small-bf16-mode", "qwen-image-2.1-small", "Every operation rounds to the dtype, in bf16.", (32, 32),
        dtype="bf16"),
    wan("qwen-image-2.1-small-bf16-sample", "qwen-image-2.1-small", "The same, sampled.", (32, 32), "coffee.jpg", dtype="bf16",
        seed=1),
    wan("qwen-image-2.1-small-slices", "qwen-image-2.1-small", "Two pictures in one batch with enable_slicing(); the pixels are "
        "the first one's.", (32, 16), batch=("coffee.jpg",)),
    wan("qwen-image-2.1-tiles", "qwen-image-2.1-small", "enable_tiling() with tiles of 64: three columns and two rows, clamped "
        "when they are one picture.", (112, 80), "coffee.jpg", tiling=True, tile_size=64),
    wan("qwen-image-tiles", "qwen-image-small", "Qwen-Image's tiles, which are not clamped.", (56, 40), tiling=True, tile_size=32),
]  # fmt: skip


def dc(name, model, shows, size, image="astronaut.png", **how):
    """A case of AutoencoderDC, whose goldens are a crate of their own."""
    return Case(name, model, image, shows, size, part="dc", deterministic=True, **how)


DC_FULL = [
    dc("dc-sana-96x64", "dc-sana", "Sana's graph, module by module: attention whose cost grows with the pixels, through kernels "
       "of 1 and of 5.", (96, 64), "coffee.jpg", trace=True),
    dc("dc-f32-mix-64x32", "dc-f32-mix", "The mix of f32 at published width: no blocks at full size, batch norms in the decoder's "
       "wide levels.", (64, 32), "coffee.jpg"),
]  # fmt: skip
DC = [
    *DC_FULL,
    dc("dc-sana-small-mode", "dc-sana-small", "A narrow Sana: convolutions of stride 2, interpolation, three levels of "
       "attention.", (96, 64), trace=True),
    dc("dc-sana-small-tall", "dc-sana-small", "One column of latents.", (32, 128), "tall.jpg"),
    dc("dc-sana-small-one", "dc-sana-small", "One latent.", (32, 32), "tiny.png"),
    dc("dc-sana-small-blocks", "dc-sana-small", "What each block is given and makes of it, whole.", (32, 32), trace=True,
       blocks=True),
    dc("dc-mix-small-mode", "dc-mix-small", "A narrow mix: pixels shuffled both ways, no blocks at full size, batch norms and ReLU "
       "in the decoder.", (80, 48), "coffee.jpg", trace=True),
    dc("dc-mix-small-blocks", "dc-mix-small", "The same, block by block.", (32, 16), trace=True, blocks=True),
    dc("dc-uneven-mode", "dc-uneven", "Halves of other widths and numbers of blocks, heads that leave channels out, kernels of 3 "
       "and 5 beside single pixels, no shortcuts around the latents.", (40, 24), trace=True),
    dc("dc-sana-small-f16", "dc-sana-small", "Every operation rounds to the dtype, in f16, but for attention's products.", (64, 32),
       dtype="f16"),
    dc("dc-sana-small-bf16", "dc-sana-small", "The same in bf16.", (64, 32), dtype="bf16"),
    dc("dc-mix-small-f16", "dc-mix-small", "Batch norms in f16.", (32, 32), dtype="f16"),
    dc("dc-tiles", "dc-mix-small", "enable_tiling() with tiles of 128 that begin 112 pixels apart: two columns and two rows.",
       (208, 144), tiling=True, tile_size=128),
    dc("dc-slices", "dc-sana-small", "Two pictures in one batch with enable_slicing(); the pixels are the first one's.", (32, 64),
       batch=("coffee.jpg",)),
]  # fmt: skip


def hunyuan(name, model, shows, size, image="astronaut.png", **how):
    """A case of AutoencoderKLHunyuanImage, whose goldens are a crate of their own."""
    return Case(f"hunyuanimage-{name}", f"hunyuanimage{model}", image, shows, size, part="hunyuan", **how)


HUNYUAN_FULL = [
    hunyuan("96x64", "", "HunyuanImage 2.1's graph, module by module.", (96, 64), "coffee.jpg", trace=True),
    hunyuan("sample", "", "The same, a draw from the posterior.", (64, 96), seed=3),
]  # fmt: skip
HUNYUAN = [
    *HUNYUAN_FULL,
    hunyuan("small-mode", "-small", "A narrow HunyuanImage: six levels, squares of pixels as channels between them.", (96, 64),
            trace=True),
    hunyuan("small-sample", "-small", "The same, a draw from the posterior.", (64, 96), "coffee.jpg", seed=1),
    hunyuan("small-tall", "-small", "One column of latents.", (32, 128), "tall.jpg"),
    hunyuan("small-one", "-small", "One latent, at which a pixel attends to itself alone.", (32, 32), "tiny.png"),
    hunyuan("small-blocks", "-small", "What each block is given and makes of it, whole.", (32, 32), trace=True, blocks=True),
    hunyuan("uneven-mode", "-uneven", "Levels that grow narrower and wider inwards, groups of 1 and of 8 channels; sides of 10 and "
            "6 latents.", (40, 24), "coffee.jpg", trace=True),
    hunyuan("uneven-sample", "-uneven", "The same, a draw.", (24, 40), seed=2),
    hunyuan("uneven-blocks", "-uneven", "The same, block by block.", (24, 16), trace=True, blocks=True),
    hunyuan("flat-mode", "-flat", "Levels that keep the size, those at the latents in the encoder and those at the picture in the "
            "decoder, and nothing that matches channels; what the first norm is given varies so little that eps shows.", (40, 24),
            trace=True),
    hunyuan("small-f16-mode", "-small", "Every operation rounds to the dtype, in f16.", (64, 32), dtype="f16"),
    hunyuan("small-f16-sample", "-small", "The same, a draw.", (64, 32), "coffee.jpg", dtype="f16", seed=1),
    hunyuan("small-bf16-mode", "-small", "Every operation rounds to the dtype, in bf16.", (64, 32), dtype="bf16"),
    hunyuan("small-bf16-sample", "-small", "The same, a draw.", (64, 32), "coffee.jpg", dtype="bf16", seed=1),
    hunyuan("tiles", "-uneven", "enable_tiling() with tiles of 32 for decoding alone, since diffusers fails to encode in tiles: "
            "three columns and three rows.", (72, 56), tiling=True, tile_size=32),
    hunyuan("small-slices", "-small", "Two pictures in one batch with enable_slicing(); the pixels are the first one's.", (32, 64),
            batch=("coffee.jpg",)),
]  # fmt: skip

CASES = BUILTIN + FULL_TOPOLOGY + SMALL + BLOCKS + TILED + HALF + CUDA + TINY + ASYMMETRIC + WAN + DC + HUNYUAN
MODEL_FOLDERS = {case.model: case.model_folder for case in CASES}
# Hundreds of megabytes of weights: for runs that take minutes.
FULL_MODELS = {case.model for case in FULL_TOPOLOGY + ASYMMETRIC_FULL + WAN_FULL + DC_FULL + HUNYUAN_FULL}
