//! Channels, resampling, and pictures as a whole.

use super::Code;
use crate::Severity::{Error, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "channel-swap",
        severity: Error,
        title: "red, green and blue are in another order",
        meaning: "OpenCV loads BGR. Swapped at one end, faces are blue; swapped at both, the \
                  picture looks right and the latents are wrong.",
        rule: "Another order of the channels explains the output with at most half the error of \
               the identity; or the latents match those of a picture with its channels exchanged.",
        remedy: "convert BGR to RGB where the picture is loaded (and back where it is saved)",
        diffusers: "cv2.cvtColor(image, cv2.COLOR_BGR2RGB), or load with PIL",
        comfyui: "flip the last axis in the custom node that loads with OpenCV",
        ports: "RGB throughout; check loader and writer each on its own",
        sources: &["deforum/sd-webui-deforum#8"],
        decided_by: &["check", "check --latents", "check --preprocessed", "check --decoded-image"],
    },
    Code {
        code: "resize-mismatch",
        severity: Warning,
        title: "the picture was resized by another filter",
        meaning: "Libraries differ in filter, order of passes, antialiasing and rounding. The \
                  latents differ a little everywhere, and more at edges.",
        rule: "The preprocessed tensor (or latents) does not match Pillow's bicubic resize, and \
               matches another filter, pass order, antialiasing or crop; which one is said.",
        remedy: "resize with Pillow's bicubic filter, or feed both sides the same pixels",
        diffusers: "VaeImageProcessor(resample='bicubic'); its default is lanczos",
        comfyui: "resize beforehand, and feed the resized picture to both",
        ports: "F.interpolate needs antialias=True to come near; only Pillow's fixed-point passes \
                give the same bytes",
        sources: &["pytorch/vision#2950"],
        decided_by: &["check --preprocessed", "check --latents", "check --decoded-image"],
    },
    Code {
        code: "preprocessed-differs",
        severity: Warning,
        title: "the tensor you fed is not this picture, and no rule says why",
        meaning: "It was made from another file, or by a step that has no rule here.",
        rule: "Shapes agree, and neither a range, an order of channels or axes, a symmetry nor a \
               way of resizing brings the expected tensor to yours.",
        remedy: "check that both sides open the same file, and save the tensor right before encode",
        diffusers: "save what VaeImageProcessor.preprocess returns",
        comfyui: "save the image that goes into VAE Encode, times 2, minus 1",
        ports: "save the encoder's argument itself",
        sources: &[],
        decided_by: &["check --preprocessed"],
    },
    Code {
        code: "decoded-differs",
        severity: Warning,
        title: "your picture is not this VAE's, and no rule says why",
        meaning: "It comes from other latents, other weights, or a fault that has no rule here.",
        rule: "The PSNR between your picture and the reference's is below 30 dB, and yours is \
               further from the input than the reference's by over 1 dB, and no other rule \
               explains it.",
        remedy: "compare step by step: --preprocessed, --latents, then --against a trace",
        diffusers: "save latents and the tensor that went in, and pass them as well",
        comfyui: "save the latent, and pass it as well",
        ports: "save a trace of your decoder, and pass it with --against",
        sources: &[],
        decided_by: &["check --decoded-image"],
    },
];
