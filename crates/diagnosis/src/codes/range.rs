//! Value ranges: [0, 1], [-1, 1], 8 bits.

use super::Code;
use crate::Severity::{Error, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "input-not-normalised",
        severity: Error,
        title: "the encoder was fed values that do not lie in [-1, 1]",
        meaning: "A VAE wants [-1, 1]. Fed [0, 1], it sees a pale picture with half the contrast, \
                  and gives one back; fed 0 to 255, it sees nothing but white.",
        rule: "The best line y = a x + b through output against input (in [0, 1], unclipped) lies \
               near (0.5, 0.5) and explains the output; or the preprocessed tensor is an affine \
               image of the expected one; or the latents match those of such a tensor.",
        remedy: "map pixels to [-1, 1] before encoding: x / 127.5 - 1",
        diffusers: "use VaeImageProcessor.preprocess, or 2 * x - 1 on a tensor in [0, 1]",
        comfyui: "the VAE Encode node does it; a custom node must pass [0, 1] and not normalise \
                  itself",
        ports: "x / 255 * 2 - 1, once: also check that nothing normalises twice or with ImageNet's \
                mean and standard deviation",
        sources: &["black-forest-labs/flux#402", "mlcommons/training#721"],
        decided_by: &["check", "check --preprocessed", "check --latents", "check --decoded-image"],
    },
    Code {
        code: "output-not-denormalised",
        severity: Error,
        title: "the decoder's [-1, 1] was taken for [0, 1]",
        meaning: "All that is darker than middle grey becomes black, and the rest twice as \
                  contrasty.",
        rule: "(a, b) of y = a x + b near (2, -1), with more than 30 % new zeros; or the picture \
               matches the decoded tensor clamped to [0, 1].",
        remedy: "map the decoded tensor to [0, 1] before making a picture: y / 2 + 0.5, clamped",
        diffusers: "use VaeImageProcessor.postprocess, or (y / 2 + 0.5).clamp(0, 1)",
        comfyui: "use the VAE Decode node; in a custom node, (y + 1) / 2",
        ports: "y / 2 + 0.5, clamp to [0, 1], times 255, round",
        sources: &["Nerogar/OneTrainer#440"],
        decided_by: &["check", "check --decoded-image"],
    },
    Code {
        code: "u8-wraparound",
        severity: Error,
        title: "values outside [0, 1] were cast to 8 bits without clamping",
        meaning: "256 becomes 0 and -1 becomes 255: specks in the whites and blacks.",
        rule: "Where your picture and the reference's differ by more than 200 levels, at least \
               90 % of those places are ones where the reference was clamped, and wrapping its \
               values round matches yours.",
        remedy: "clamp to [0, 1] before the cast to 8 bits",
        diffusers: "(y / 2 + 0.5).clamp(0, 1) before .numpy(), as VaeImageProcessor does",
        comfyui: "np.clip(image, 0, 255) before astype(np.uint8), as SaveImage does",
        ports: "clamp, then cast; saturating casts hide it in one language and not in another",
        sources: &["Nerogar/OneTrainer#440"],
        decided_by: &["check --decoded-image"],
    },
    Code {
        code: "u8-truncated",
        severity: Warning,
        title: "levels were cut off, not rounded",
        meaning: "A cast to 8 bits that drops the fraction darkens the picture by half a level, \
                  every time it is made.",
        rule: "Your picture minus the reference's is 0 or -1 everywhere and -1 for about half of \
               the values (30 to 70 %); truncating the reference's values gives yours.",
        remedy: "round before the cast to 8 bits",
        diffusers: "(images * 255).round().astype('uint8'), as numpy_to_pil does; torchvision's \
                    save_image and ToPILImage differ in this",
        comfyui: "SaveImage truncates by design; compare tensors instead of its files",
        ports: "round half to even, then cast, to agree with numpy",
        sources: &["pytorch/vision#8141"],
        decided_by: &["check --decoded-image"],
    },
    Code {
        code: "banding",
        severity: Warning,
        title: "smooth areas have lost levels",
        meaning: "The range was converted in bf16 (8 bits of precision): the bright half of the \
                  picture has steps of 2 or more levels.",
        rule: "Your picture has at most 0.7 times the distinct levels of the reference's, where \
               that has at least 64, and rounding the decoded tensor or its picture to bf16 \
               matches it better.",
        remedy: "convert to f32 before denormalising",
        diffusers: "image.float() before postprocess",
        comfyui: "update: the conversion is done in f32 since; or start with --fp32-vae",
        ports: "cast the decoded tensor to f32 first, then halve, move, clamp and round",
        sources: &["comfyanonymous/ComfyUI#1663"],
        decided_by: &["check --decoded-image"],
    },
];
