//! Overflow, NaN, and devices that compute wrongly.

use super::Code;
use crate::Severity::{Error, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "fp16-overflow-decoder",
        severity: Error,
        title: "the decoder's activations pass what f16 holds",
        meaning: "f16 ends at 65504. An activation beyond it becomes infinity, then NaN, and the \
                  picture black. SDXL's VAE is known for it.",
        rule: "Run in f16: a layer of the decoder is the first that is not finite, and in f32 the \
               largest activation up to it passes 65504. Run in f32 with --forecast: an activation \
               passes 32768; then it is a warning about f16.",
        remedy: "run the VAE in f32 or bf16, or take weights made for f16",
        diffusers: "vae.to(torch.float32) (pipelines do it where config.force_upcast is true), or \
                    load madebyollin/sdxl-vae-fp16-fix",
        comfyui: "start with --fp32-vae or --bf16-vae, or load the fp16-fix VAE with Load VAE",
        ports: "run the decoder in f32 or bf16; if it must be f16, scale the named layers down and \
                up again around the overflow",
        sources: &[
            "huggingface/candle#1060",
            "comfyanonymous/ComfyUI#1401",
            "invoke-ai/InvokeAI#4532",
        ],
        decided_by: &["check --dtype f16", "check --forecast"],
    },
    Code {
        code: "fp16-overflow-encoder",
        severity: Error,
        title: "the encoder's activations pass what f16 holds",
        meaning: "As fp16-overflow-decoder, in the encoder: latents are NaN, and so is all that \
                  follows.",
        rule: "As fp16-overflow-decoder, for the layers of the encoder.",
        remedy: "encode in f32 or bf16, or take weights made for f16",
        diffusers: "vae.to(torch.float32) before encode, or load madebyollin/sdxl-vae-fp16-fix",
        comfyui: "start with --fp32-vae or --bf16-vae, or load the fp16-fix VAE with Load VAE",
        ports: "run the encoder in f32 or bf16",
        sources: &["huggingface/diffusers#7188"],
        decided_by: &["check --dtype f16", "check --forecast"],
    },
    Code {
        code: "non-finite-output",
        severity: Error,
        title: "NaN or infinity in what the VAE made",
        meaning: "A picture hides it: on the way to 8 bits NaN becomes black, and infinity black \
                  or white.",
        rule: "At least one value of the latents or the decoded tensor is NaN or infinite. The \
               layer is the first whose output is.",
        remedy: "find the first layer that is not finite: f16 overflow, or NaN in the weights",
        diffusers: "run in float32 first; if that is finite, the dtype is at fault, else the \
                    weights: fetch them again",
        comfyui: "start with --fp32-vae; if the picture stays black, load another copy of the VAE",
        ports: "check each layer's output for NaN, beginning with the one that is named; never \
                cast to 8 bits without checking",
        sources: &["huggingface/diffusers#6815"],
        decided_by: &["check", "check --latents", "check --preprocessed"],
    },
    Code {
        code: "device-kernel-broken",
        severity: Error,
        title: "the device computes something else than the CPU",
        meaning: "Some GPUs, drivers and backends compute half-precision convolutions wrongly, and \
                  a few compute f32 wrongly: noise, black, or blocks of colour.",
        rule: "The same tensors through the same weights, on the device and on the CPU in f32, lie \
               further apart than the dtype explains (f32 on both: relative RMS above 1e-2). In a \
               build without libtorch the vector kernels are compared with plain ones.",
        remedy: "run the VAE on the CPU or in f32, and update driver and framework",
        diffusers: "vae.to('cpu', torch.float32), then update torch and the driver",
        comfyui: "start with --cpu-vae or --fp32-vae",
        ports: "compare one layer at a time with the CPU, beginning with the one that is named",
        sources: &[
            "pytorch/pytorch#58123",
            "comfyanonymous/ComfyUI#16433",
            "leejet/stable-diffusion.cpp#1471",
        ],
        decided_by: &["check --cross-check"],
    },
    Code {
        code: "trace-diverges",
        severity: Warning,
        title: "a layer gives another output than the trace it is compared with",
        meaning: "Two runs of one VAE part at this layer: everything before it agrees. The fault \
                  is in that layer, its weights, or what happens right before it.",
        rule: "Layers in the order in which they finish; the first whose shape, count of \
               non-finite values, sampled values or statistics differ by more than 1e-3 of its \
               standard deviation plus 1e-3 of the value (2e-2 where one side ran in f16, 1e-1 in \
               bf16). Same file format as the golden traces.",
        remedy: "look at the named layer: its weights, its padding, and what feeds it",
        diffusers: "register a forward hook on the named module and compare its input with yours",
        comfyui: "modules have LDM names there: down_blocks.i is down.i, up_blocks.i is up.(n-1-i)",
        ports: "feed the layer the reference's input: if the output is right, the fault lies before",
        sources: &[],
        decided_by: &["check --against"],
    },
];
