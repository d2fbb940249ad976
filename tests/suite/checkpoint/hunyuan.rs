//! The files of HunyuanImage 2.1: recognised by names and shapes without a config, under diffusers' names and
//! those of its authors, and told from other classes'. They have the published shapes and no values.

use serde_json::{Value, json};
use vae_fidelity::VaeConfig;
use vae_fidelity::checkpoint::{Contents, OpenOptions, Source, expected_tensors};
use vae_fidelity::config::{Class, Family};

use super::dc;
use super::families::{Model, contains, open, stable_diffusion};
use super::flux2::opened_with;

fn text(name: &str) -> String {
    let path = format!("golden/hunyuan/models/{name}/vae/config.json");
    std::fs::read_to_string(path).unwrap()
}

/// The config that golden model `name` has.
fn golden(name: &str) -> VaeConfig {
    VaeConfig::from_json(&text(name), "a test").unwrap()
}

/// The published one.
pub fn published() -> VaeConfig {
    golden("hunyuanimage")
}

/// As its authors' file calls a tensor of the published model: by level, with two resnets in each of the encoder
/// and three in each of the decoder, and LDM's names for what lies in them.
pub fn original(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts[..] {
        [half, "down_blocks" | "up_blocks", number, ref rest @ ..] => {
            let (levels, resample, resnets) = match half {
                "encoder" => ("down", "downsample", 2),
                _ => ("up", "upsample", 3),
            };
            let number: usize = number.parse().unwrap();
            let (level, block) = (number / (resnets + 1), number % (resnets + 1));
            match *rest {
                ["conv", kind] => format!("{half}.{levels}.{level}.{resample}.conv.{kind}"),
                _ => format!("{half}.{levels}.{level}.block.{block}.{}", rest.join(".")),
            }
        }
        [half, "mid_block", "resnets", number, ref rest @ ..] => {
            let number = number.parse::<usize>().unwrap() + 1;
            format!("{half}.mid.block_{number}.{}", rest.join("."))
        }
        [half, "mid_block", "attentions", "0", part, kind] => {
            let part = match part {
                "to_q" => "q",
                "to_k" => "k",
                "to_v" => "v",
                "proj" => "proj_out",
                other => other,
            };
            format!("{half}.mid.attn_1.{part}.{kind}")
        }
        _ => name.to_owned(),
    }
}

/// A file as its authors publish it, whose prefix is `vae.`.
fn original_behind_vae(name: &str) -> String {
    format!("vae.{}", original(name))
}

#[test]
fn files_without_a_config_are_hunyuan_image_by_names_and_shapes() {
    let config = published();
    for model in [
        Model::new(&config, ""),
        Model::new(&config, "vae."),
        Model::new(&config, "").renamed(original),
        Model::new(&config, "").renamed(original_behind_vae),
    ] {
        let checkpoint = open(&model.write("hunyuan_image_2.1_vae.safetensors"), None).unwrap();
        assert_eq!(checkpoint.config(), &config);
        assert_eq!(checkpoint.family(), Family::HunyuanImage);
        contains(&checkpoint.notes().join("\n"), &["taken as hunyuanimage"]);
    }
}

#[test]
fn kernels_over_one_frame_are_taken_without_it() {
    let config = published();
    let mut model = Model::new(&config, "").renamed(original);
    for name in ["encoder.conv_in.weight", "decoder.mid.attn_1.q.weight"] {
        let side = if name.contains("attn") { 1 } else { 3 };
        let (out, inputs) = if name.contains("attn") { (1024, 1024) } else { (128, 3) };
        model = model.without(name).with(name, &[out, inputs, 1, side, side]);
    }
    let checkpoint = open(&model.write("pytorch_model.safetensors"), None).unwrap();
    assert_eq!(checkpoint.tensor("encoder.conv_in.weight").unwrap().shape, [128, 3, 3, 3]);
    let to_q = "decoder.mid_block.attentions.0.to_q.weight";
    assert_eq!(checkpoint.tensor(to_q).unwrap().shape, [1024, 1024, 1, 1]);
}

#[test]
fn a_family_supplies_the_factor_and_is_checked_against_the_shapes() {
    let config = published();
    let model = Model::new(&config, "");
    let checkpoint = model.open(Some(Family::HunyuanImage)).unwrap();
    assert_eq!(checkpoint.config().scaling_factor(), Some(0.75289));
    let wrong = model.open(Some(Family::Sana)).unwrap_err();
    contains(&wrong.to_string(), &["sana", "of the class AutoencoderKLHunyuanImage"]);
    let wrong = Model::new(&stable_diffusion(), "").open(Some(Family::HunyuanImage)).unwrap_err();
    contains(&wrong.to_string(), &["hunyuanimage", "of the class AutoencoderKL"]);
    let error = Model::new(&golden("hunyuanimage-small"), "").open(None).unwrap_err();
    contains(&error.to_string(), &["no published family", "16 latent channels"]);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let (hunyuan, kl, [dc, _]) = (published(), stable_diffusion(), dc::published());
    let is_hunyuan = "an AutoencoderKLHunyuanImage (HunyuanImage 2.1): its blocks are one list";
    let is_kl = "an AutoencoderKL: its blocks are no one list for all levels";
    for (weights, config, found) in [
        (&hunyuan, &kl, is_hunyuan),
        (&hunyuan, &dc, is_hunyuan),
        (&kl, &hunyuan, is_kl),
        (&dc, &hunyuan, "an AutoencoderDC (DC-AE, as in Sana)"),
    ] {
        let error = opened_with(&Model::new(weights, ""), config).unwrap_err();
        let asked = format!("of the class {}", config.class().name());
        contains(error.problem(), &["holds", found, &asked]);
        contains(error.next(), &["config.json", weights.class().name()]);
    }
    // Under the original names as well.
    let error = opened_with(&Model::new(&hunyuan, "").renamed(original), &kl).unwrap_err();
    contains(error.problem(), &[is_hunyuan]);
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
    let config = published();
    let model = Model::new(&config, "").renamed(original);
    let path = model.write("vae.safetensors");
    let contents = Contents::open(&Source::File { path }, &OpenOptions::default()).unwrap();
    assert_eq!(contents.config().unwrap().class(), Class::AutoencoderKLHunyuanImage);
    assert_eq!(contents.expected(), expected_tensors(&config));
    assert_eq!(contents.expected().len(), contents.tensors().len());
}

#[test]
fn what_diffusers_would_not_run_is_refused_by_the_field() {
    let mut fields: Value = serde_json::from_str(&text("hunyuanimage-uneven")).unwrap();
    fields["downsample_match_channel"] = json!(false);
    let error = VaeConfig::from_json(&fields.to_string(), "config.json").unwrap_err().to_string();
    contains(&error, &["downsample_match_channel", "diffusers itself fails to run such a model"]);
    // All levels have the same channels there.
    assert!(VaeConfig::from_json(&text("hunyuanimage-flat"), "config.json").is_ok());
}
