//! Where pixels end up: padding, tiles, sizes, orientation.

use super::Code;
use crate::Severity::{Error, Info, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "symmetric-downsample-padding",
        severity: Error,
        title: "downsampling pads all four sides",
        meaning: "AutoencoderKL pads one pixel on the right and at the bottom before each strided \
                  convolution. Padding all sides moves the picture to the bottom right, up to \
                  2^(levels - 1) - 1 pixels, and leaves a band at the top left.",
        rule: "The picture fits best when moved right and down by 1 to 2^(levels - 1) pixels, both \
               ways alike, and much better than unmoved; or the latents match those of a picture \
               so moved; or the first diverging layer of a trace is \
               encoder.down_blocks.0.downsamplers.0.",
        remedy: "pad (left 0, right 1, top 0, bottom 1), then convolve with stride 2 and no padding",
        diffusers: "Downsample2D with padding=0 pads (0, 1, 0, 1) itself",
        comfyui: "its Downsample pads (0, 1, 0, 1); check a custom one",
        ports: "PyTorch's padding=1, or one row of zeros on every side, is not it: pad by hand",
        sources: &["divamgupta/stable-diffusion-tensorflow#41"],
        decided_by: &["check --latents", "check --decoded-image", "check --against"],
    },
    Code {
        code: "tile-seams",
        severity: Warning,
        title: "seams where tiles meet",
        meaning: "Tiled decoding lets group norm see one tile at a time: tones step from tile to \
                  tile, and lines show at a fixed stride.",
        rule: "Steps in (output - input) across columns or rows at multiples of one stride (a \
               multiple of 8, at least 32) are at least 2.5 times those elsewhere, at two lines or \
               more.",
        remedy: "decode in one piece, or with larger and more overlapping tiles",
        diffusers: "vae.disable_tiling(), or a larger tile_sample_min_size and tile_overlap_factor",
        comfyui: "use VAE Decode; or VAE Decode (Tiled) with larger tile_size and overlap",
        ports: "blend over a quarter of a tile; take group norm's statistics over the whole picture",
        sources: &[
            "comfyanonymous/ComfyUI#163",
            "comfyanonymous/ComfyUI#500",
            "leejet/stable-diffusion.cpp#353",
        ],
        decided_by: &["check --decoded-image"],
    },
    Code {
        code: "tile-blend-units",
        severity: Error,
        title: "tiles are blended in the wrong units",
        meaning: "Overlap in latents taken for pixels, or the reverse: tiles are repeated, cut or \
                  blended over the wrong width.",
        rule: "The reference's latents, decoded here in tiles of several sizes, give your picture \
               when they are blended or cut in the wrong unit (at least 27 dB, and 4 dB nearer \
               than the whole), and do not when they are blended as diffusers does.",
        remedy: "count the overlap in latents before decoding, and in pixels (times 8) after",
        diffusers: "update; leave tile_latent_min_size at tile_sample_min_size / 8",
        comfyui: "update; tile_size and overlap are in pixels",
        ports: "one unit a variable: stride and blend in latents times 2^(levels - 1) are pixels",
        sources: &["hao-ai-lab/FastVideo#1181"],
        decided_by: &["check --decoded-image"],
    },
    Code {
        code: "exif-ignored",
        severity: Info,
        title: "the file's EXIF orientation is not applied",
        meaning: "A camera's picture that is stored lying on its side is encoded lying on its \
                  side, here and in the script this tool is measured against. A pipeline that \
                  turns it gives other latents.",
        rule: "The EXIF orientation is not 1; or one of the eight symmetries of your picture fits \
               the reference, and the identity does not.",
        remedy: "apply the orientation on both sides, or on neither: ImageOps.exif_transpose",
        diffusers: "diffusers.utils.load_image applies it; PIL.Image.open does not",
        comfyui: "Load Image applies it",
        ports: "read the orientation tag, and decide once for the whole pipeline",
        sources: &["AUTOMATIC1111/stable-diffusion-webui#3628"],
        decided_by: &["check", "check --preprocessed", "check --latents", "check --decoded-image"],
    },
    Code {
        code: "size-rounded",
        severity: Info,
        title: "the picture was resized to a size the model can take",
        meaning: "Sides that are no multiple of 2^(levels - 1) are brought down to one: a few \
                  pixels are lost, and all others are resampled.",
        rule: "The size encoded differs from the file's without being asked for, or a side is no \
               multiple of 2^(levels - 1).",
        remedy: "pad or crop to a multiple of 8 beforehand, or ask for a size",
        diffusers: "VaeImageProcessor resizes to a multiple of vae_scale_factor; pad beforehand",
        comfyui: "VAE Encode crops to a multiple of 8 from both sides",
        ports: "pad by reflection to the next multiple, and crop the result",
        sources: &["comfyanonymous/ComfyUI#1510"],
        decided_by: &["check"],
    },
    Code {
        code: "size-mismatch",
        severity: Error,
        title: "a file of yours has another size than this run",
        meaning: "It was made at another width and height, with another model, or with the axes \
                  exchanged.",
        rule: "Shapes differ, and exchanging width and height does not bring them together.",
        remedy: "run with the --width and --height of your pipeline",
        diffusers: "pass the pipeline's height and width here as --height and --width",
        comfyui: "pass the size of the image that went into VAE Encode",
        ports: "latents are (N, C, H / 2^(levels - 1), W / 2^(levels - 1))",
        sources: &[],
        decided_by: &["check --latents", "check --preprocessed", "check --decoded-image"],
    },
];
