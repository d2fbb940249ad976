//! The files of Qwen-Image 2.1: recognised by names and shapes without a config, under diffusers' names and those
//! of ComfyUI's file, and told from Wan's. They have the published shapes and no values.

use vae_fidelity::checkpoint::{Contents, OpenOptions, Source, expected_tensors};
use vae_fidelity::config::{Class, Family};
use vae_fidelity::scaling::{PerChannelForm, Scaling};
use vae_fidelity::{Dtype, VaeConfig};

use super::families::{Model, contains, open, stable_diffusion};
use super::flux2::opened_with;
use super::wan::{original_22, wan_21, wan_22};

/// What the class's defaults are.
pub fn published() -> VaeConfig {
    let text = r#"{"_class_name": "AutoencoderKLQwenImage21"}"#;
    VaeConfig::from_json(text, "a test").unwrap()
}

/// The kernels of convolutions that diffusers' own file calls causal have a frame in ComfyUI's.
fn with_a_frame(name: &str, shape: &[usize]) -> Vec<usize> {
    let of_images = [".resample.1.", ".to_qkv.", ".proj."].iter().any(|part| name.contains(part));
    let is_causal = name.ends_with(".weight") && !of_images;
    match *shape {
        [out, inputs, height, width] if is_causal => vec![out, inputs, 1, height, width],
        _ => shape.to_vec(),
    }
}

/// ComfyUI's file: the names of Wan 2.2's, and kernels over one frame.
pub fn original_file() -> Model {
    Model::new(&published(), "").reshaped(with_a_frame).renamed(original_22)
}

#[test]
fn files_without_a_config_are_qwen_image_2_1_by_names_and_shapes() {
    let config = published();
    // ComfyUI's names over kernels without a frame are taken, too.
    let without_frames = Model::new(&config, "").renamed(original_22);
    let models =
        [Model::new(&config, ""), Model::new(&config, "vae."), original_file(), without_frames];
    for model in models {
        let path = model.write("qwen_image_2.1_vae_bf16.safetensors");
        let checkpoint = open(&path, None).unwrap();
        assert_eq!(checkpoint.config(), &config.clone().with_nothing_defaulted());
        assert_eq!(checkpoint.family(), Family::QwenImage21);
        assert_eq!(checkpoint.parameters(), 337_740_404);
        let notes = checkpoint.notes().join("\n");
        contains(
            &notes,
            &["taken as qwen-image-2.1", "2 % of all values, those of time_conv, meet"],
        );
        let Scaling::PerChannel(rule) = checkpoint.scaling(Dtype::F32).unwrap() else { panic!() };
        assert_eq!((rule.mean.len(), rule.form), (64, PerChannelForm::Quotient));
    }
}

#[test]
fn kernels_are_read_without_their_frame() {
    let checkpoint = original_file().open(None).unwrap();
    for (name, shape) in [
        ("encoder.conv_in.weight", [96, 4, 3, 3]),
        ("quant_conv.weight", [128, 128, 1, 1]),
        ("decoder.up_blocks.0.upsampler.time_conv.weight", [2304, 1152, 1, 1]),
        ("decoder.conv_out.weight", [4, 144, 3, 3]),
    ] {
        assert_eq!(checkpoint.tensor(name).unwrap().shape, shape, "{name}");
    }
}

#[test]
fn a_family_is_checked_against_the_shapes() {
    let model = Model::new(&published(), "");
    assert_eq!(model.open(Some(Family::QwenImage21)).unwrap().family(), Family::QwenImage21);
    let wrong = model.open(Some(Family::Wan22)).unwrap_err();
    contains(&wrong.to_string(), &["wan2.2", "of the class AutoencoderKLQwenImage21"]);
    let wrong = Model::new(&wan_21(), "").open(Some(Family::QwenImage21)).unwrap_err();
    contains(&wrong.to_string(), &["qwen-image-2.1", "of the class AutoencoderKLWan"]);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let (qwen, kl) = (published(), stable_diffusion());
    let over_one_frame = "an AutoencoderKLQwenImage21 (Qwen-Image 2.1): its norms are over channels, and \
                          its kernels over one frame";
    let over_time = "(one graph): its kernels are over time";
    for (weights, config, found) in [
        (&qwen, &kl, over_one_frame),
        (&qwen, &wan_21(), over_one_frame),
        (&qwen, &wan_22(), over_one_frame),
        (&wan_21(), &qwen, over_time),
        (&wan_22(), &qwen, over_time),
        (&kl, &qwen, "an AutoencoderKL: it has no norms over channels"),
    ] {
        let error = opened_with(&Model::new(weights, ""), config).unwrap_err();
        let asked = format!("of the class {}", config.class().name());
        contains(error.problem(), &["holds", found, &asked]);
        contains(error.next(), &["config.json", weights.class().name()]);
    }
    // Under the names of ComfyUI's file as well.
    let error = opened_with(&original_file(), &wan_22()).unwrap_err();
    contains(error.problem(), &[over_one_frame]);
    assert!(opened_with(&original_file(), &qwen).is_ok());
}

#[test]
fn a_half_is_called_that() {
    for (name, half) in [("encoder.", "decoder"), ("decoder.", "encoder")] {
        let error = Model::new(&published(), "").without(name).open(None).unwrap_err();
        contains(&error.to_string(), &[&format!("holds the {half} of a VAE and not its")]);
    }
}

#[test]
fn what_inspect_sees_are_tensors_of_the_class() {
    let model = original_file();
    let path = model.write("vae.safetensors");
    let contents = Contents::open(&Source::File { path }, &OpenOptions::default()).unwrap();
    assert_eq!(contents.config().unwrap().class(), Class::AutoencoderKLQwenImage21);
    assert_eq!(contents.expected(), expected_tensors(&published()));
    assert_eq!(contents.expected().len(), contents.tensors().len());
}
