//! Which class a file's tensors are of, by their names and shapes, where that is none that is run or
//! another than the config's.
//!
//! Names are those of diffusers 0.42.1 and of the repositories that published the models, as ComfyUI and
//! diffusers' `single_file_utils.py` know them.

use std::collections::BTreeMap;
use std::fmt;

use super::dc_shapes::is_dc;
use super::entry::Entry;
use super::fit::half;
use super::hunyuan_image_shapes::is_hunyuan_image;
use super::layout::{CONDITION_ENCODER, TensorSpec, expected_tensors};
use super::tiny_shapes::is_tiny;
use super::wan_names;
use super::wan_shapes::{is_over_one_frame, is_wan};
use vae_fidelity_core::config::{Class, VaeConfig};
use vae_fidelity_core::scaling::{RUNNING_MEAN, RUNNING_VAR};

/// What a file holds in place of a VAE that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recognised {
    /// An autoencoder of another class: diffusers' name, and the models that people know it by.
    Class(&'static str, &'static str),
    /// One class that is run under the config of another.
    Under { found: Class, asked: Class },
    /// One half of a VAE under names that do not say so: `encoder` or `decoder`.
    Half(&'static str),
    /// The same of a tiny autoencoder, whose halves are published in two files; and of which one.
    TinyHalf(&'static str, &'static str),
    /// No autoencoder, but this.
    NoVae(&'static str),
}

impl Recognised {
    /// Whether it is a class, rather than a part of a VAE or none at all.
    pub fn is_class(&self) -> bool {
        matches!(self, Self::Class(..) | Self::Under { .. })
    }

    /// What is wrong, and what to do next.
    pub fn refusal(self) -> (String, String) {
        match self {
            Self::Class(class, _) => (
                format!("holds {self}, which is not run yet; run is: {}", Class::names()),
                format!(
                    "name the VAE of a model that has one of {}; diffusers runs this one as {class}",
                    Class::names()
                ),
            ),
            Self::Under { found, asked } => (
                format!("holds {self}, and its config is of the class {}", asked.name()),
                format!(
                    "pass the config.json that was published with these weights with `config`: its \
                     _class_name is {}",
                    found.name()
                ),
            ),
            Self::Half(half) => (
                format!("holds {self}"),
                format!("name the file of the whole VAE: without its other half a {half} is not run"),
            ),
            Self::TinyHalf(half, _) => (
                format!("holds {self}"),
                format!(
                    "without its other half a {half} is not run: put both files, as they are called \
                     where they were published, into one folder and name that"
                ),
            ),
            Self::NoVae(_) => (
                format!("holds {self}, and no VAE"),
                "name the file of the VAE, which such a model is published beside: vae/ in diffusers' \
                 layout, ae.safetensors or a file in ComfyUI's models/vae"
                    .to_owned(),
            ),
        }
    }
}

/// With its article: `an AutoencoderDC (DC-AE, as in Sana)`.
impl fmt::Display for Recognised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(class, models) => {
                let article = if class.starts_with(['A', 'O']) { "an" } else { "a" };
                write!(f, "{article} {class} ({models})")
            }
            Self::Under { found: Class::AutoencoderKLFlux2, .. } => {
                f.write_str("an AutoencoderKLFlux2 (FLUX.2): it has the statistics bn")
            }
            Self::Under { found: Class::AutoencoderTiny, .. } => {
                f.write_str("an AutoencoderTiny (TAESD): each half is one list of layers")
            }
            Self::Under { found: Class::AsymmetricAutoencoderKL, .. } => f.write_str(
                "an AsymmetricAutoencoderKL (x-1.5 or x-2 for inpainting): it has an encoder of masked \
                 pictures",
            ),
            Self::Under { found: Class::AutoencoderKLQwenImage21, .. } => f.write_str(
                "an AutoencoderKLQwenImage21 (Qwen-Image 2.1): its norms are over channels, and its kernels \
                 over one frame",
            ),
            Self::Under { found: Class::AutoencoderKLWan, asked: Class::AutoencoderKLQwenImage21 } => f
                .write_str(
                    "an AutoencoderKLWan or AutoencoderKLQwenImage (one graph): its kernels are over time",
                ),
            Self::Under { found: Class::AutoencoderKLWan, .. } => f.write_str(
                "an AutoencoderKLWan or AutoencoderKLQwenImage (one graph): its norms are over channels",
            ),
            Self::Under { found: Class::AutoencoderDC, .. } => f.write_str(
                "an AutoencoderDC (DC-AE, as in Sana): its levels are plain lists of blocks",
            ),
            Self::Under { found: Class::AutoencoderKLHunyuanImage, .. } => f.write_str(
                "an AutoencoderKLHunyuanImage (HunyuanImage 2.1): its blocks are one list for all levels",
            ),
            Self::Under { found, asked: Class::AutoencoderKLHunyuanImage } => {
                write!(f, "an {}: its blocks are no one list for all levels", found.name())
            }
            Self::Under { found, asked: Class::AutoencoderDC } => {
                write!(f, "an {}: its levels are no plain lists of blocks", found.name())
            }
            Self::Under { found, asked } if asked.is_of_clips() => {
                write!(f, "an {}: it has no norms over channels", found.name())
            }
            Self::Under { found, asked: Class::AsymmetricAutoencoderKL } => {
                write!(f, "an {}: it has no encoder of masked pictures", found.name())
            }
            Self::Under { found, asked: Class::AutoencoderKLFlux2 } => {
                write!(f, "an {}: it has no statistics bn", found.name())
            }
            Self::Under { found, .. } => write!(f, "an {}: it has other shapes", found.name()),
            Self::Half(half) => {
                write!(f, "the {half} of a VAE alone, under names without {half}. before them")
            }
            Self::TinyHalf(half, model) => {
                write!(f, "the {half} alone of a tiny autoencoder ({model})")
            }
            Self::NoVae(what) => f.write_str(what),
        }
    }
}

const LTX: Recognised = Recognised::Class("AutoencoderKLLTXVideo", "LTX-Video");

/// Other classes by tensors that only they have; the first row that fits decides.
const CLASSES: [(&[&str], Recognised); 20] = [
    (
        &["decoder.time_conv_out.weight"],
        Recognised::Class("AutoencoderKLTemporalDecoder", "Stable Video Diffusion"),
    ),
    (
        &["decoder.mid.block_1.time_stack.in_layers.0.weight"],
        Recognised::Class("AutoencoderKLTemporalDecoder", "Stable Video Diffusion"),
    ),
    (&["quantize.embedding.weight"], Recognised::Class("VQModel", "VQGAN, Kandinsky's movq")),
    (
        &["decoder_unet.conv_in.weight"],
        Recognised::Class("ConsistencyDecoderVAE", "DALL-E 3's consistency decoder"),
    ),
    (
        &["encoder.down_blocks.0.resnets.0.norm1.gamma", "encoder.conv_in.conv.weight"],
        Recognised::Class(
            "AutoencoderKLHunyuanVideo15",
            "HunyuanVideo 1.5, HunyuanImage's refiner",
        ),
    ),
    (
        &["decoder.norm_out.conv_y.conv.weight"],
        Recognised::Class("AutoencoderKLCogVideoX", "CogVideoX"),
    ),
    (
        &["encoder.down.0.block.0.norm1.norm_layer.weight"],
        Recognised::Class("AutoencoderKLKVAEVideo", "Kandinsky's KVAE for video"),
    ),
    (
        &["decoder.norm_out.conv_y.weight"],
        Recognised::Class("AutoencoderKLKVAE", "Kandinsky's KVAE"),
    ),
    (&["decoder.last_scale_shift_table"], LTX),
    (&["per_channel_statistics.mean-of-means"], LTX),
    (&["latents_mean", "encoder.conv_in.conv.weight"], LTX),
    (&["encoder.down_blocks.0.res_blocks.0.conv1.conv.weight"], LTX),
    (
        &["encoder.down_blocks.0.resnets.0.conv1.conv.weight", "quant_conv.weight"],
        Recognised::Class("AutoencoderKLHunyuanVideo", "HunyuanVideo"),
    ),
    (
        &["decoder.block_in.resnets.0.norm1.norm_layer.weight"],
        Recognised::Class("AutoencoderKLMochi", "Mochi 1"),
    ),
    (&["encoder.temp_conv_in.weight"], Recognised::Class("AutoencoderKLAllegro", "Allegro")),
    (
        &["encoder.mid_block.convs.0.conv1.weight"],
        Recognised::Class("AutoencoderKLMagvit", "EasyAnimate's Magvit"),
    ),
    (&["encoder.conv_in.conv_s.weight"], Recognised::Class("AutoencoderKLCosmos", "Cosmos 1")),
    (
        &["encoder.down.0.block.0.norm1.norm.weight"],
        Recognised::Class("AutoencoderVidTok", "VidTok"),
    ),
    (&["decoder.register_tokens"], Recognised::Class("AutoencoderKLMiniMaxH3", "MiniMax H3")),
    (&["encoder.conv1.weight_v"], Recognised::Class("AutoencoderOobleck", "audio: Stable Audio")),
];

/// Other models by tensors that only they have; looked for where no VAE was found.
const OTHERS: [(&[&str], Recognised); 12] = [
    (&["time_embedding.linear_1.weight"], Recognised::NoVae("a U-Net")),
    (&["time_embed.0.weight"], Recognised::NoVae("a U-Net")),
    (&["double_blocks.0.img_attn.qkv.weight"], Recognised::NoVae("FLUX's transformer")),
    (
        &["joint_blocks.0.x_block.attn.qkv.weight"],
        Recognised::NoVae("Stable Diffusion 3's transformer"),
    ),
    (&["transformer_blocks.0.attn.to_q.weight"], Recognised::NoVae("a diffusion transformer")),
    (&["transformer_blocks.0.attn1.to_q.weight"], Recognised::NoVae("a diffusion transformer")),
    (&["blocks.0.self_attn.q.weight"], Recognised::NoVae("Wan's transformer")),
    (&["layers.0.adaLN_modulation.0.weight"], Recognised::NoVae("a diffusion transformer")),
    (&["text_model.embeddings.token_embedding.weight"], Recognised::NoVae("CLIP's text encoder")),
    (&["encoder.block.0.layer.0.SelfAttention.q.weight"], Recognised::NoVae("T5's text encoder")),
    (&["model.embed_tokens.weight"], Recognised::NoVae("a language model")),
    (
        &["vision_model.embeddings.patch_embedding.weight"],
        Recognised::NoVae("CLIP's image encoder"),
    ),
];

/// Halves of a VAE saved by themselves, by names that have nothing before them.
const HALVES: [(&[&str], Recognised); 7] = [
    (&["0.weight", "1.conv.0.weight"], Recognised::TinyHalf("encoder", "TAESD")),
    (
        &["0.weight", "2.weight", "4.conv.0.weight"],
        Recognised::TinyHalf("encoder", "TAESD for Sana"),
    ),
    (&["1.weight", "3.conv.0.weight"], Recognised::TinyHalf("decoder", "TAESD")),
    (&["conv_in.weight", "up_blocks.0.resnets.0.norm1.weight"], Recognised::Half("decoder")),
    (&["conv_in.weight", "up.0.block.0.norm1.weight"], Recognised::Half("decoder")),
    (&["conv_in.weight", "down_blocks.0.resnets.0.norm1.weight"], Recognised::Half("encoder")),
    (&["conv_in.weight", "down.0.block.0.norm1.weight"], Recognised::Half("encoder")),
];

/// What the tensors of a file are, where that is no VAE that is run. `prefix` is what stands before the
/// names of the VAE that was found in it; `None` where none was.
pub(super) fn recognise(
    tensors: &BTreeMap<String, Entry>,
    prefix: Option<&str>,
) -> Option<Recognised> {
    if let Some(prefix) = prefix {
        let at = |name: &str| tensors.get(&format!("{prefix}{name}"));
        if is_of_clips(&at) {
            return None;
        }
        return first(&CLASSES, &|name| at(name).is_some());
    }
    // The VAE's own prefix is not known: it ends where one of its names begins.
    let behind_any_prefix = |wanted: &str| {
        tensors.keys().any(|name| {
            name.strip_suffix(wanted).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    };
    let bare = |name: &str| tensors.contains_key(name);
    let adapter = [".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".hada_w1_a"];
    if tensors.keys().any(|name| adapter.iter().any(|end| name.ends_with(end))) {
        return Some(Recognised::NoVae("a LoRA: an adapter of another model's weights"));
    }
    first(&CLASSES, &behind_any_prefix)
        .or_else(|| first(&OTHERS, &behind_any_prefix))
        .or_else(|| first(&HALVES, &bare))
}

/// Whether it is of Wan's family: other classes have some of its names, and none of them these together.
fn is_of_clips<'a>(at: &dyn Fn(&str) -> Option<&'a Entry>) -> bool {
    if wan_names::FIRST.iter().any(|name| at(name).is_some()) {
        return true;
    }
    ["encoder", "decoder"].iter().any(|half| {
        let conv_in = at(&format!("{half}.conv_in.weight"));
        conv_in.is_some_and(|entry| [4, 5].contains(&entry.shape.len()))
            && at(&format!("{half}.norm_out.gamma")).is_some()
    })
}

/// That `vae`, whose names are today's, is of another class than `config`, both of which are run.
pub(super) fn beside(vae: &BTreeMap<String, Entry>, config: &VaeConfig) -> Option<Recognised> {
    let asked = config.class();
    let found = run_class(vae, asked);
    let is_other = match (asked, found) {
        _ if asked == found => false,
        (Class::AutoencoderTiny, _) => vae.contains_key("encoder.conv_in.weight"),
        // Where all else fits, the tensors that tell the class may have been lost, unless the config has
        // a factor, which only the class that was found knows.
        (
            Class::AutoencoderKLFlux2
            | Class::AsymmetricAutoencoderKL
            | Class::AutoencoderKLWan
            | Class::AutoencoderKLQwenImage
            | Class::AutoencoderDC
            | Class::AutoencoderKLHunyuanImage
            | Class::AutoencoderKLQwenImage21,
            Class::AutoencoderKL,
        ) => {
            let other = |spec: TensorSpec| {
                vae.get(&spec.name).is_some_and(|entry| entry.shape != spec.shape)
            };
            config.unknown().iter().any(|field| field == "scaling_factor")
                || half(vae).is_none() && expected_tensors(config).into_iter().any(other)
        }
        _ => true,
    };
    is_other.then_some(Recognised::Under { found, asked })
}

/// The same where the class that the config names cannot have its fields, and that of `vae` can.
pub(super) fn beside_invalid(vae: &BTreeMap<String, Entry>, text: &str) -> Option<Recognised> {
    let asked = VaeConfig::class_named(text)?;
    let found = run_class(vae, asked);
    let is_other = asked != found && !vae.is_empty() && VaeConfig::describes(text, found);
    is_other.then_some(Recognised::Under { found, asked })
}

/// The class that is run of which `vae` is, by the tensors that only one has; where it may be either of
/// two, the one that is asked for.
fn run_class(vae: &BTreeMap<String, Entry>, asked: Class) -> Class {
    let has_statistics = [RUNNING_MEAN, RUNNING_VAR].iter().any(|name| vae.contains_key(*name));
    if is_dc(vae) {
        Class::AutoencoderDC
    } else if is_hunyuan_image(vae) {
        Class::AutoencoderKLHunyuanImage
    } else if is_wan(vae) {
        match (is_over_one_frame(vae), asked) {
            (true, _) => Class::AutoencoderKLQwenImage21,
            // Both have one graph.
            (false, Class::AutoencoderKLQwenImage) => asked,
            (false, _) => Class::AutoencoderKLWan,
        }
    } else if is_tiny(vae) {
        Class::AutoencoderTiny
    } else if vae.keys().any(|name| name.starts_with(CONDITION_ENCODER)) {
        Class::AsymmetricAutoencoderKL
    } else if has_statistics {
        Class::AutoencoderKLFlux2
    } else {
        Class::AutoencoderKL
    }
}

fn first(rows: &[(&[&str], Recognised)], has: &dyn Fn(&str) -> bool) -> Option<Recognised> {
    rows.iter().find(|(names, _)| names.iter().all(|name| has(name))).map(|&(_, found)| found)
}
