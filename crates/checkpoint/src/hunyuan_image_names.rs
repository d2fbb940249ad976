//! The names of HunyuanImage 2.1's own files, which ComfyUI reads too, and what diffusers calls the same
//! (`convert_hunyuan_image_vae_checkpoint_to_diffusers` of `scripts/convert_hunyuan_image_to_diffusers.py`).
//!
//! They are those of LDM, but for the levels of the decoder, which are counted from the latents.

use std::collections::BTreeMap;

use super::entry::Entry;

/// What tells such a file from LDM's, which keeps the channels where it changes the size: here a convolution
/// makes a quarter of the channels, or four times as many.
const RESAMPLERS: [&str; 2] =
    ["encoder.down.0.downsample.conv.weight", "decoder.up.0.upsample.conv.weight"];

/// Levels of a half beyond which a name is not believed.
const MAX_LEVELS: usize = 64;

/// How many resnets each level has, and whether it changes the size, for both halves.
#[derive(Debug, Clone)]
pub(super) struct Names {
    encoder: Vec<Level>,
    decoder: Vec<Level>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Level {
    resnets: usize,
    resampler: bool,
}

impl Names {
    /// Those of the VAE behind `prefix`, where it has these names.
    pub fn of(tensors: &BTreeMap<String, Entry>, prefix: &str) -> Option<Self> {
        let is_resampler = |name: &str| {
            let entry = tensors.get(&format!("{prefix}{name}"));
            entry.is_some_and(|entry| match entry.shape[..] {
                // Before a file is loaded, a kernel may have a dimension of one frame.
                [out, from, _, _] | [out, from, 1, _, _] => {
                    out != from && from > 0 && (4 * out).is_multiple_of(from)
                }
                _ => false,
            })
        };
        RESAMPLERS.iter().any(|name| is_resampler(name)).then(|| {
            let own = || tensors.keys().filter_map(|name| name.strip_prefix(prefix));
            Self { encoder: levels(own(), "encoder"), decoder: levels(own(), "decoder") }
        })
    }

    /// `entry` under the name that diffusers has for `name`, its kernel without a dimension of one frame. Names
    /// that nothing is known about stay.
    pub fn present(&self, name: &str, mut entry: Entry) -> (String, Entry) {
        if name.ends_with(".weight") {
            entry.squeeze_frame();
        }
        (self.renamed(name), entry)
    }

    fn renamed(&self, name: &str) -> String {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            [half @ ("encoder" | "decoder"), "down" | "up", level, ref rest @ ..] => {
                let (levels, list) = match half {
                    "encoder" => (&self.encoder, "down_blocks"),
                    _ => (&self.decoder, "up_blocks"),
                };
                let place = level.parse::<usize>().ok().filter(|&level| level < levels.len());
                let Some(level) = place else { return name.to_owned() };
                let each = |level: &Level| level.resnets + usize::from(level.resampler);
                let before: usize = levels[..level].iter().map(each).sum();
                match *rest {
                    ["block", number, part, kind] => match number.parse::<usize>() {
                        Ok(number) if number < levels[level].resnets => {
                            format!("{half}.{list}.{}.{part}.{kind}", before + number)
                        }
                        _ => name.to_owned(),
                    },
                    ["downsample" | "upsample", "conv", kind] => {
                        let number = before + levels[level].resnets;
                        format!("{half}.{list}.{number}.conv.{kind}")
                    }
                    _ => name.to_owned(),
                }
            }
            [half, "mid", block @ ("block_1" | "block_2"), part, kind] => {
                let number = if block == "block_1" { 0 } else { 1 };
                format!("{half}.mid_block.resnets.{number}.{part}.{kind}")
            }
            [half, "mid", "attn_1", part, kind] => {
                let part = match part {
                    "q" => "to_q",
                    "k" => "to_k",
                    "v" => "to_v",
                    "proj_out" => "proj",
                    other => other,
                };
                format!("{half}.mid_block.attentions.0.{part}.{kind}")
            }
            _ => name.to_owned(),
        }
    }
}

/// The levels of `half`, in the order in which they run.
fn levels<'a>(names: impl Iterator<Item = &'a str>, half: &str) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for name in names {
        let parts: Vec<&str> = name.split('.').collect();
        let [found, "down" | "up", level, ref rest @ ..] = parts[..] else { continue };
        let Some(level) = level.parse().ok().filter(|&level: &usize| level < MAX_LEVELS) else {
            continue;
        };
        if found != half {
            continue;
        }
        if levels.len() <= level {
            levels.resize(level + 1, Level::default());
        }
        match *rest {
            ["block", number, ..] => {
                if let Some(number) = number.parse::<usize>().ok().filter(|&n| n < MAX_LEVELS) {
                    levels[level].resnets = levels[level].resnets.max(number + 1);
                }
            }
            ["downsample" | "upsample", ..] => levels[level].resampler = true,
            _ => (),
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_diffusers_gives() {
        let own = [
            "encoder.down.0.block.1.conv1.weight",
            "encoder.down.0.downsample.conv.weight",
            "encoder.down.1.block.1.conv1.weight",
            "decoder.up.0.block.2.conv1.weight",
            "decoder.up.0.upsample.conv.weight",
            "decoder.up.1.block.2.conv1.weight",
        ];
        let of = |half: &str| levels(own.iter().copied(), half);
        let names = Names { encoder: of("encoder"), decoder: of("decoder") };
        for (name, expected) in [
            ("encoder.conv_in.weight", "encoder.conv_in.weight"),
            ("encoder.down.0.block.1.norm2.bias", "encoder.down_blocks.1.norm2.bias"),
            ("encoder.down.0.downsample.conv.bias", "encoder.down_blocks.2.conv.bias"),
            ("encoder.down.1.block.0.conv1.weight", "encoder.down_blocks.3.conv1.weight"),
            ("encoder.mid.block_2.conv1.weight", "encoder.mid_block.resnets.1.conv1.weight"),
            ("decoder.mid.attn_1.proj_out.bias", "decoder.mid_block.attentions.0.proj.bias"),
            ("decoder.mid.attn_1.q.weight", "decoder.mid_block.attentions.0.to_q.weight"),
            ("decoder.mid.attn_1.norm.weight", "decoder.mid_block.attentions.0.norm.weight"),
            // The first levels of both halves are those that run first.
            ("decoder.up.0.block.2.conv2.weight", "decoder.up_blocks.2.conv2.weight"),
            ("decoder.up.0.upsample.conv.weight", "decoder.up_blocks.3.conv.weight"),
            ("decoder.up.1.block.0.norm1.weight", "decoder.up_blocks.4.norm1.weight"),
            ("decoder.norm_out.weight", "decoder.norm_out.weight"),
            ("decoder.up.7.block.0.norm1.weight", "decoder.up.7.block.0.norm1.weight"),
        ] {
            assert_eq!(names.renamed(name), expected);
        }
    }
}
