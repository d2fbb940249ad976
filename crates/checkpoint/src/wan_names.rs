//! The names of Wan's own files, which ComfyUI's `qwen_image_vae` has too, and what diffusers calls the same
//! (`convert_wan_vae_to_diffusers` of `loaders/single_file_utils.py` for 2.1, and
//! `scripts/convert_wan_to_diffusers.py` for 2.2). ComfyUI's file for Qwen-Image 2.1 has those of 2.2, with
//! kernels over one frame (`comfy/sd.py`, `comfy/ldm/wan/vae2_2.py`).

use std::collections::BTreeMap;

use super::entry::Entry;

/// One tensor that either half has in such a file.
pub(super) const FIRST: [&str; 2] =
    ["encoder.middle.0.residual.0.gamma", "decoder.middle.0.residual.0.gamma"];

/// Convolutions of 3x3 that every such file has.
const KERNELS: [&str; 4] = [
    "encoder.conv1.weight",
    "encoder.head.2.weight",
    "decoder.conv1.weight",
    "decoder.head.2.weight",
];

/// Blocks and sampler of a level of the decoder of 2.1, whose levels are one list in its files.
const PER_LEVEL: usize = 4;

/// Whether the VAE behind `prefix` has these names.
pub(super) fn is_original(tensors: &BTreeMap<String, Entry>, prefix: &str) -> bool {
    FIRST.iter().any(|name| tensors.contains_key(&format!("{prefix}{name}")))
}

/// Whether its kernels are over one frame, as Qwen-Image 2.1's are: diffusers has no dimension of time there.
pub(super) fn is_over_one_frame(tensors: &BTreeMap<String, Entry>, prefix: &str) -> bool {
    let frames = |name: &&str| {
        let entry = tensors.get(&format!("{prefix}{name}"))?;
        match entry.shape[..] {
            [_, _, frames, _, _] => Some(frames),
            _ => None,
        }
    };
    KERNELS.iter().filter_map(frames).next() == Some(1)
}

/// The name that diffusers has for `name`; names that nothing is known about stay.
pub(super) fn present(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["conv1", kind] => format!("quant_conv.{kind}"),
        ["conv2", kind] => format!("post_quant_conv.{kind}"),
        [half, "conv1", kind] => format!("{half}.conv_in.{kind}"),
        [half, "head", "0", kind] => format!("{half}.norm_out.{kind}"),
        [half, "head", "2", kind] => format!("{half}.conv_out.{kind}"),
        [half, "middle", "1", ref rest @ ..] => {
            format!("{half}.mid_block.attentions.0.{}", rest.join("."))
        }
        [half, "middle", block @ ("0" | "2"), ref rest @ ..] => {
            let number = if block == "0" { 0 } else { 1 };
            format!("{half}.mid_block.resnets.{number}.{}", of_block(rest))
        }
        ["encoder", "downsamples", level, "downsamples", number, ref rest @ ..] => {
            let inside = nested(number, rest, "downsampler");
            format!("encoder.down_blocks.{level}.{inside}")
        }
        ["decoder", "upsamples", level, "upsamples", number, ref rest @ ..] => {
            format!("decoder.up_blocks.{level}.{}", nested(number, rest, "upsampler"))
        }
        ["encoder", "downsamples", number, ref rest @ ..] => {
            format!("encoder.down_blocks.{number}.{}", of_block(rest))
        }
        ["decoder", "upsamples", number, ref rest @ ..] => match number.parse::<usize>() {
            Ok(number) => {
                let (level, place) = (number / PER_LEVEL, number % PER_LEVEL);
                let inside = match place + 1 == PER_LEVEL {
                    true => format!("upsamplers.0.{}", of_block(rest)),
                    false => format!("resnets.{place}.{}", of_block(rest)),
                };
                format!("decoder.up_blocks.{level}.{inside}")
            }
            Err(_) => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}

/// Of 2.2: a block of a level, or its sampler.
fn nested(number: &str, rest: &[&str], sampler: &str) -> String {
    match rest.first() {
        Some(&("resample" | "time_conv")) => format!("{sampler}.{}", rest.join(".")),
        _ => format!("resnets.{number}.{}", of_block(rest)),
    }
}

/// Inside a block, which is a list of layers with a way around it.
fn of_block(rest: &[&str]) -> String {
    match *rest {
        ["residual", layer, kind] => {
            let layer = match layer {
                "0" => "norm1",
                "2" => "conv1",
                "3" => "norm2",
                "6" => "conv2",
                other => return format!("residual.{other}.{kind}"),
            };
            format!("{layer}.{kind}")
        }
        ["shortcut", kind] => format!("conv_shortcut.{kind}"),
        _ => rest.join("."),
    }
}
