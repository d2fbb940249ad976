"""The golden cases: which picture goes through which model in which way, and what that shows."""

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Case:
    name: str
    model: str
    image: str
    shows: str
    size: Optional[tuple] = None  # (width, height), or the picture's own rounded down
    seed: Optional[int] = None  # sample with this seed, or take the mode
    trace: bool = False
    blocks: bool = False  # keep whole tensors at the cut points, too

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

FULL_TOPOLOGY = [
    Case("sd-v1-4-512", "sd-v1-4", "astronaut_512.jpg", "Stable Diffusion 1.4's graph at its own size."),
    Case("sd-v1-4-96x64", "sd-v1-4", "coffee.jpg", "Stable Diffusion 1.4's graph, module by module.", (96, 64), trace=True),
    Case("sd-v1-4-sample", "sd-v1-4", "coffee.jpg", "Stable Diffusion 1.4's graph, sampled.", (40, 56), seed=3),
]


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



def blocks(model, shows, size):
    return Case(f"{model}-blocks", model, "astronaut.png", shows, size, trace=True, blocks=True)


BLOCKS = [
    blocks("sd-small", "What each block of a Stable Diffusion graph is given and makes of it, whole.", (16, 8)),
    blocks("builtin", "The same of trained weights.", (16, 8)),
    blocks("cogview-small", "The same without mid attention and quant convs.", (8, 8)),
    blocks("x4-upscaler-small", "The same of a graph of three levels.", (8, 8)),
]

CASES = BUILTIN + FULL_TOPOLOGY + SMALL + BLOCKS
