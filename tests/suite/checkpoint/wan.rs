//! The files of Wan 2.1, Wan 2.2 and Qwen-Image: recognised by names and shapes without a config, under
//! diffusers' names and those of the original files, and told from AutoencoderKL's. They have the published
//! shapes and no values.

use serde_json::{Value, json};
use vae_fidelity::checkpoint::{Contents, OpenOptions, Source, expected_tensors};
use vae_fidelity::config::{Class, Family};
use vae_fidelity::scaling::Scaling;
use vae_fidelity::{Dtype, VaeConfig};

use super::families::{Model, contains, open, stable_diffusion};
use super::flux2::opened_with;

fn read(fields: &Value) -> VaeConfig {
    VaeConfig::from_json(&fields.to_string(), "a test").unwrap()
}

/// What the class's defaults are.
pub fn wan_21() -> VaeConfig {
    read(&json!({"_class_name": "AutoencoderKLWan"}))
}

fn qwen_image() -> VaeConfig {
    read(&json!({"_class_name": "AutoencoderKLQwenImage"}))
}

/// Its graph; the published statistics are the family's.
pub fn wan_22() -> VaeConfig {
    read(&json!({
        "_class_name": "AutoencoderKLWan", "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48,
        "is_residual": true, "in_channels": 12, "out_channels": 12, "patch_size": 2,
        "scale_factor_spatial": 16, "latents_mean": vec![0.0; 48], "latents_std": vec![1.0; 48],
    }))
}

/// As the original files call a tensor, by `vae2_1.py` and `vae2_2.py`.
pub fn original(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let block = |rest: &[&str]| match *rest {
        ["norm1", kind] => format!("residual.0.{kind}"),
        ["conv1", kind] => format!("residual.2.{kind}"),
        ["norm2", kind] => format!("residual.3.{kind}"),
        ["conv2", kind] => format!("residual.6.{kind}"),
        ["conv_shortcut", kind] => format!("shortcut.{kind}"),
        _ => rest.join("."),
    };
    match parts[..] {
        ["quant_conv", kind] => format!("conv1.{kind}"),
        ["post_quant_conv", kind] => format!("conv2.{kind}"),
        [half, "conv_in", kind] => format!("{half}.conv1.{kind}"),
        [half, "norm_out", kind] => format!("{half}.head.0.{kind}"),
        [half, "conv_out", kind] => format!("{half}.head.2.{kind}"),
        [half, "mid_block", "resnets", number, ref rest @ ..] => {
            let place = if number == "0" { 0 } else { 2 };
            format!("{half}.middle.{place}.{}", block(rest))
        }
        [half, "mid_block", "attentions", "0", ref rest @ ..] => {
            format!("{half}.middle.1.{}", rest.join("."))
        }
        // Of 2.2 each level is a list in the list of levels.
        ["encoder", "down_blocks", level, "resnets", number, ref rest @ ..] => {
            format!("encoder.downsamples.{level}.downsamples.{number}.{}", block(rest))
        }
        ["encoder", "down_blocks", level, "downsampler", ref rest @ ..] => {
            format!("encoder.downsamples.{level}.downsamples.2.{}", rest.join("."))
        }
        ["encoder", "down_blocks", number, ref rest @ ..] => {
            format!("encoder.downsamples.{number}.{}", block(rest))
        }
        ["decoder", "up_blocks", level, "upsampler", ref rest @ ..] => {
            format!("decoder.upsamples.{level}.upsamples.3.{}", rest.join("."))
        }
        ["decoder", "up_blocks", level, "upsamplers", "0", ref rest @ ..] => {
            let number = 4 * level.parse::<usize>().unwrap() + 3;
            format!("decoder.upsamples.{number}.{}", rest.join("."))
        }
        _ => name.to_owned(),
    }
}

/// Of 2.1, whose decoder's levels are one list.
pub fn original_21(name: &str) -> String {
    let name = original(name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["decoder", "up_blocks", level, "resnets", number, ref rest @ ..] => {
            let at = 4 * level.parse::<usize>().unwrap() + number.parse::<usize>().unwrap();
            let inside = original(&format!("encoder.down_blocks.0.{}", rest.join(".")));
            let inside = inside.strip_prefix("encoder.downsamples.0.").unwrap();
            format!("decoder.upsamples.{at}.{inside}")
        }
        _ => name,
    }
}

/// Of 2.2.
pub fn original_22(name: &str) -> String {
    let name = original(name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        ["decoder", "up_blocks", level, "resnets", number, ref rest @ ..] => {
            let inside = original(&format!("encoder.down_blocks.0.{}", rest.join(".")));
            let inside = inside.strip_prefix("encoder.downsamples.0.").unwrap();
            format!("decoder.upsamples.{level}.upsamples.{number}.{inside}")
        }
        _ => name,
    }
}

#[test]
fn files_without_a_config_are_wan_by_names_and_shapes() {
    // As diffusers counts them.
    let cases = [
        (
            wan_21(),
            original_21 as fn(&str) -> String,
            126_892_531,
            Family::Wan21,
            "and of qwen-image",
        ),
        (wan_22(), original_22, 704_688_668, Family::Wan22, "those of wan2.2"),
    ];
    for (config, original, parameters, family, says) in cases {
        // Names that others have too, beside the VAE.
        let file = Model::new(&config, "").renamed(original).with("head.weight", &[4]);
        let with_prefix = Model::new(&config, "vae.").with("conv1.weight", &[4, 4]);
        for model in [Model::new(&config, ""), with_prefix, file] {
            let checkpoint = open(&model.write("wan.safetensors"), None).unwrap();
            let found = checkpoint.config();
            assert_eq!(checkpoint.family(), family);
            assert_eq!(expected_tensors(found), expected_tensors(&config));
            assert_eq!(
                (found.downsampling(), checkpoint.parameters()),
                (config.downsampling(), parameters)
            );
            let notes = checkpoint.notes().join("\n");
            contains(&notes, &[&format!("taken as {family}"), says, "a clip of one frame"]);
            assert!(!notes.contains("unexpected"), "{notes}");
            let Scaling::PerChannel(rule) = checkpoint.scaling(Dtype::F32).unwrap() else {
                panic!()
            };
            assert_eq!(rule.mean.len(), config.latent_channels());
            assert!(rule.std.iter().all(|std| *std != 1.0));
        }
    }
}

#[test]
fn a_family_settles_the_class_of_one_graph() {
    let model = Model::new(&wan_21(), "").renamed(original_21);
    let checkpoint = model.open(Some(Family::QwenImage)).unwrap();
    assert_eq!(checkpoint.config(), &qwen_image_of_the_family());
    assert_eq!(checkpoint.family(), Family::QwenImage);
    let wrong = model.open(Some(Family::Wan22)).unwrap_err();
    contains(&wrong.to_string(), &["wan2.2", "z_dim: expected 48, found 16"]);
    let wrong = Model::new(&stable_diffusion(), "").open(Some(Family::Wan21)).unwrap_err();
    contains(&wrong.to_string(), &["wan2.1", "of the class AutoencoderKL"]);
    let wrong = model.open(Some(Family::Sd1)).unwrap_err();
    contains(&wrong.to_string(), &["sd1", "of the class AutoencoderKLWan"]);
}

#[test]
fn a_file_of_rgba_is_qwen_image_layereds() {
    let layered = read(&json!({"_class_name": "AutoencoderKLQwenImage", "input_channels": 4}));
    for model in [Model::new(&layered, ""), Model::new(&layered, "").renamed(original_21)] {
        let checkpoint = model.open(None).unwrap();
        assert_eq!(checkpoint.family(), Family::QwenImageLayered);
        assert_eq!(checkpoint.config().class(), Class::AutoencoderKLQwenImage);
        assert!(checkpoint.config().has_alpha());
        let wrong = model.open(Some(Family::QwenImage)).unwrap_err();
        contains(&wrong.to_string(), &["qwen-image", "expected 3, found 4"]);
    }
}

fn qwen_image_of_the_family() -> VaeConfig {
    Family::QwenImage.apply(wan_21().with_nothing_defaulted()).unwrap()
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let wan = Model::new(&wan_21(), "").renamed(original_21);
    let error = opened_with(&wan, &stable_diffusion()).unwrap_err();
    contains(&error.to_string(), &["AutoencoderKLWan or AutoencoderKLQwenImage", "AutoencoderKL"]);
    let kl = Model::new(&stable_diffusion(), "");
    let error = opened_with(&kl, &wan_21()).unwrap_err();
    contains(&error.to_string(), &["an AutoencoderKL: it has no norms over channels"]);
    // Both have one graph.
    assert!(opened_with(&wan, &qwen_image()).is_ok());
    let error = opened_with(&wan, &wan_22()).unwrap_err();
    contains(&error.to_string(), &["encoder.conv_in.weight: expected [160, 12, 3, 3, 3]"]);
}

#[test]
fn a_half_alone_is_named() {
    for half in ["encoder.", "decoder."] {
        let model = Model::new(&wan_21(), "").without(half);
        let error = model.open(None).unwrap_err();
        contains(&error.to_string(), &["of a VAE and not its"]);
        let error = opened_with(&model, &wan_21()).unwrap_err();
        contains(&error.to_string(), &["of a VAE and not its"]);
    }
}

#[test]
fn what_inspect_sees_are_tensors_of_the_class_and_none_is_unexpected() {
    let model = Model::new(&wan_22(), "").renamed(original_22);
    let path = model.write("wan.safetensors");
    let contents = Contents::open(&Source::File { path }, &OpenOptions::default()).unwrap();
    assert_eq!(contents.config().unwrap().class(), Class::AutoencoderKLWan);
    assert_eq!(contents.family().0, Family::Wan22);
    assert_eq!(contents.expected().len(), contents.tensors().len());
    contains(&contents.notes().join("\n"), &["meet no data"]);
}
