//! What is done to latents between the VAE and a diffusion model.

use super::Code;
use crate::Severity::{Error, Info, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "scaling-factor-mismatch",
        severity: Error,
        title: "latents were scaled by another model's factor",
        meaning: "Each family multiplies its latents by its own number so that they have a spread \
                  of about 1. With another's, the picture is hazy and washed out, or harsh. A \
                  round trip cannot show it: the factor cancels.",
        rule: "Your latents are k times the expected ones, |k - 1| > 2 %, with a small residual \
               (cosine above 0.99); k is looked up among the families. Or your picture matches \
               what latents scaled by another family's factor decode to. Without files of yours: \
               the spread of the scaled latents of a natural picture lies outside 0.33 to 3, and \
               then it is a warning.",
        remedy: "scale with the scaling_factor of this VAE's own config",
        diffusers: "latents * vae.config.scaling_factor after encode, / before decode; with a \
                    single file pass its config: it defaults to Stable Diffusion 1.5's",
        comfyui: "the loader picks the factor with the model: use the VAE of the checkpoint's own \
                  family",
        ports: "read scaling_factor from vae/config.json; 0.18215 for Stable Diffusion 1 and 2, \
                0.13025 for SDXL, 1.5305 for SD3, 0.3611 for FLUX.1",
        sources: &["huggingface/diffusers#6923", "huggingface/diffusers#6753"],
        decided_by: &["check --latents", "check --decoded-image", "check"],
    },
    Code {
        code: "shift-factor-dropped",
        severity: Warning,
        title: "latents lack the shift that the config asks for",
        meaning: "SD3 and FLUX.1 subtract shift_factor before scaling. Without it the colours have \
                  a slight cast. The script this tool is measured against leaves it out as well, \
                  so it is a warning; a shift of the wrong sign is an error.",
        rule: "The mean difference between your latents and the expected ones is the shift (within \
               20 %), and the spread of that difference is much smaller.",
        remedy: "subtract shift_factor before scaling, and add it after unscaling",
        diffusers: "(z - vae.config.shift_factor) * vae.config.scaling_factor, and \
                    z / scaling_factor + shift_factor before decode",
        comfyui: "process_in and process_out of the model's latent format do it",
        ports: "(z - shift) * scale in, z / scale + shift out",
        sources: &["huggingface/diffusers#8887", "huggingface/diffusers#13611"],
        decided_by: &["check --latents", "check --decoded-image"],
    },
    Code {
        code: "latent-stats-ignored",
        severity: Error,
        title: "latents were not normalised with the config's latents_mean and latents_std",
        meaning: "Playground v2.5 and others normalise each latent channel by its own mean and \
                  spread. Without it, pictures are nearly black.",
        rule: "The config has latents_mean and latents_std, and per channel your latents follow \
               from the plain scaled ones, not from the normalised ones.",
        remedy: "use (z - latents_mean) * scaling_factor / latents_std, per channel",
        diffusers: "(z - mean) * scaling_factor / std after encode, z * std / scaling_factor + \
                    mean before decode, as the SDXL pipeline does",
        comfyui: "use the model's own latent format (SDXL_Playground_2_5)",
        ports: "read latents_mean and latents_std of vae/config.json, one value a channel",
        sources: &["huggingface/diffusers#7111"],
        decided_by: &["check --latents"],
    },
    Code {
        code: "layout-scrambled",
        severity: Error,
        title: "a tensor was reshaped where its axes had to be permuted",
        meaning: "(H, W, C) read as (C, H, W), or width and height exchanged: coloured stripes, \
                  repeated small copies, a mirrored picture, or noise.",
        rule: "A reinterpretation of the expected tensor (HWC as CHW, CHW as HWC, width and height \
               exchanged) matches yours, which does not match as it is. For latents, also the \
               latents of a picture so reinterpreted.",
        remedy: "permute axes, do not reshape: (H, W, C) to (C, H, W)",
        diffusers: "torch.from_numpy(x).permute(2, 0, 1), not .reshape or .view",
        comfyui: "images are (N, H, W, C): movedim(-1, 1) before a model",
        ports: "transpose, and make the copy contiguous before handing on raw memory",
        sources: &["huggingface/diffusers#6238"],
        decided_by: &["check --latents", "check --preprocessed", "check --decoded-image"],
    },
    Code {
        code: "sample-vs-mode",
        severity: Warning,
        title: "latents are a draw from the posterior where its mode is expected, or the reverse",
        meaning: "A draw differs from run to run, and is a little noisier. Training takes draws; \
                  editing and measuring should take the mode.",
        rule: "(z - mean) / std of your latents is standard normal (mean within 0.1, spread 0.9 to \
               1.1); or, with --sample, your latents are the mode.",
        remedy: "take the mode of the posterior (or a draw) on both sides",
        diffusers: "latent_dist.mode() for the mode, latent_dist.sample(generator) for a draw",
        comfyui: "VAE Encode takes the mode for some models and draws for others; see \
                  regularization in its VAE class",
        ports: "the first half of the moments is the mode; the second is log-variance, clamped to \
                [-30, 20]",
        sources: &["bghira/SimpleTuner#1722"],
        decided_by: &["check --latents"],
    },
    Code {
        code: "posterior-collapsed",
        severity: Warning,
        title: "log-variances lie at the clamp",
        meaning: "Log-variances at -30 or 20 say that the second half of the moments is not what \
                  the VAE was trained to put out: draws have no noise, or nothing but noise.",
        rule: "More than 10 % of the log-variances are at most -30, or at least 20, before \
               clamping.",
        remedy: "check encoder.conv_out and quant_conv: their second half of channels is the \
                 log-variance",
        diffusers: "compare vae.encode(x).latent_dist.logvar with the original weights'",
        comfyui: "load another copy of the VAE and compare",
        ports: "check that the moments are split into halves along the channels, not interleaved",
        sources: &[],
        decided_by: &["check"],
    },
    Code {
        code: "latents-differ",
        severity: Warning,
        title: "your latents are not this VAE's, and no rule says why",
        meaning: "They were made from another picture, by other weights, or by a fault that has \
                  no rule here.",
        rule: "Shapes agree, the relative RMS difference passes 10 % (or 3 times the posterior's \
               own spread), and no other rule explains it.",
        remedy: "compare layer by layer: check --against a trace of your own run",
        diffusers: "check that both sides load the same files: --repo with the same revision",
        comfyui: "check that both sides load the same VAE file",
        ports: "save a trace of your encoder, and pass it with --against",
        sources: &[],
        decided_by: &["check --latents"],
    },
    Code {
        code: "expected-loss",
        severity: Info,
        title: "the picture loses what this VAE always loses",
        meaning: "Faces, text and fine patterns suffer, and repeated trips redden. That is the \
                  VAE's quality, not a fault.",
        rule: "No other finding, and PSNR within the family's published range (mean plus or minus \
               one standard deviation on COCO2017).",
        remedy: "nothing is broken: use a VAE with more latent channels for more detail",
        diffusers: "stabilityai/sd-vae-ft-mse for Stable Diffusion 1; otherwise the model's own",
        comfyui: "paste the unmasked part back after inpainting, so that it makes no trip",
        ports: "nothing to mend",
        sources: &["comfyanonymous/ComfyUI#673"],
        decided_by: &["check"],
    },
];
