//! The files of DC-AE: recognised by names and shapes without a config, under diffusers' names and those of its
//! authors, and told from other classes'. They have the published shapes and no values.

use serde_json::{Value, json};
use vae_fidelity::VaeConfig;
use vae_fidelity::checkpoint::{Contents, OpenOptions, Source, expected_tensors};
use vae_fidelity::config::{Class, Family};

use super::families::{Model, contains, open, stable_diffusion};
use super::flux2::opened_with;

/// The config that golden model `name` has.
fn golden(name: &str) -> VaeConfig {
    let path = format!("golden/dc/models/{name}/vae/config.json");
    VaeConfig::from_json(&std::fs::read_to_string(path).unwrap(), "a test").unwrap()
}

/// The two published ones of 32 pixels a latent.
pub fn published() -> [VaeConfig; 2] {
    ["dc-sana", "dc-f32-mix"].map(golden)
}

/// As its authors' files call a tensor; queries, keys and values lie in one there.
pub fn original(name: &str) -> String {
    let blocks = name
        .replace("encoder.down_blocks.", "encoder.stages.")
        .replace("decoder.up_blocks.", "decoder.stages.");
    let parts: Vec<&str> = blocks.split('.').collect();
    match parts[..] {
        ["encoder", "conv_in", kind] => format!("encoder.project_in.conv.{kind}"),
        ["encoder", "conv_in", "conv", kind] => format!("encoder.project_in.main.conv.conv.{kind}"),
        ["encoder", "conv_out", kind] => {
            format!("encoder.project_out.main.op_list.0.conv.{kind}")
        }
        ["decoder", "conv_in", kind] => format!("decoder.project_in.main.conv.{kind}"),
        ["decoder", "norm_out", kind] => format!("decoder.project_out.op_list.0.{kind}"),
        ["decoder", "conv_out", kind] => format!("decoder.project_out.op_list.2.conv.{kind}"),
        ["decoder", "conv_out", "conv", kind] => {
            format!("decoder.project_out.op_list.2.main.conv.conv.{kind}")
        }
        [half, "stages", level, number, ref rest @ ..] => {
            let inside = match *rest {
                ["attn", "to_out", kind] => format!("context_module.main.proj.conv.{kind}"),
                ["attn", "norm_out", kind] => format!("context_module.main.proj.norm.{kind}"),
                ["attn", "to_qkv_multiscale", "0", "proj_in", kind] => {
                    format!("context_module.main.aggreg.0.0.{kind}")
                }
                ["attn", "to_qkv_multiscale", "0", "proj_out", kind] => {
                    format!("context_module.main.aggreg.0.1.{kind}")
                }
                ["conv_out", "conv_inverted", kind] => {
                    format!("local_module.main.inverted_conv.conv.{kind}")
                }
                ["conv_out", "conv_depth", kind] => {
                    format!("local_module.main.depth_conv.conv.{kind}")
                }
                ["conv_out", "conv_point", kind] => {
                    format!("local_module.main.point_conv.conv.{kind}")
                }
                ["conv_out", "norm", kind] => format!("local_module.main.point_conv.norm.{kind}"),
                ["conv1", kind] => format!("main.conv1.conv.{kind}"),
                ["conv2", kind] => format!("main.conv2.conv.{kind}"),
                ["norm", kind] => format!("main.conv2.norm.{kind}"),
                ["conv", kind] => format!("main.conv.conv.{kind}"),
                ref other => other.join("."),
            };
            format!("{half}.stages.{level}.op_list.{number}.{inside}")
        }
        _ => blocks,
    }
}

/// A file as its authors publish it: of attention one tensor where diffusers has three.
pub fn original_file(config: &VaeConfig) -> Model {
    let mut file = Model::new(config, "").renamed(original);
    for spec in expected_tensors(config) {
        if spec.name.ends_with(".attn.to_q.weight") {
            let name = original(&spec.name);
            let attention = name.strip_suffix("attn.to_q.weight").unwrap();
            for part in ["to_q", "to_k", "to_v"] {
                file = file.without(&format!("{attention}attn.{part}."));
            }
            let (inner, width) = (spec.shape[0], spec.shape[1]);
            let qkv = format!("{attention}context_module.main.qkv.conv.weight");
            file = file.with(&qkv, &[3 * inner, width, 1, 1]);
        }
    }
    file
}

#[test]
fn files_without_a_config_are_dc_by_names_and_shapes() {
    let [sana, mix] = published();
    for model in [Model::new(&sana, ""), Model::new(&sana, "vae."), original_file(&sana)] {
        let checkpoint = open(&model.write("dc.safetensors"), None).unwrap();
        assert_eq!(checkpoint.config(), &sana);
        assert_eq!(checkpoint.family(), Family::Sana);
        contains(&checkpoint.notes().join("\n"), &["taken as sana"]);
    }
    // Models that were trained on ImageNet alone have its shapes, and other factors.
    for model in [Model::new(&mix, ""), original_file(&mix)] {
        let asked = open(&model.write("dc.safetensors"), None).unwrap_err();
        contains(&asked.to_string(), &["only dc-ae-f32-mix has its shapes"]);
        let checkpoint = model.open(Some(Family::DcAeF32Mix)).unwrap();
        assert_eq!(checkpoint.config(), &mix);
    }
}

#[test]
fn a_family_supplies_the_factor() {
    let [sana, mix] = published();
    let model = Model::new(&sana, "");
    let checkpoint = model.open(Some(Family::Sana)).unwrap();
    assert_eq!(checkpoint.config().scaling_factor(), Some(0.41407));
    let wrong = model.open(Some(Family::DcAeF32Mix)).unwrap_err();
    contains(&wrong.to_string(), &["dc-ae-f32-mix", "encoder_layers_per_block"]);
    let wrong = Model::new(&stable_diffusion(), "").open(Some(Family::Sana)).unwrap_err();
    contains(&wrong.to_string(), &["sana", "of the class AutoencoderKL"]);
    let narrow = golden("dc-mix-small");
    let error = Model::new(&narrow, "").open(None).unwrap_err();
    contains(&error.to_string(), &["no published family"]);
    assert_ne!(sana, mix);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let [dc, _] = published();
    let kl = stable_diffusion();
    let is_dc = "an AutoencoderDC (DC-AE, as in Sana)";
    for (weights, config, found) in
        [(&dc, &kl, is_dc), (&kl, &dc, "an AutoencoderKL: its levels are no plain lists of blocks")]
    {
        let error = opened_with(&Model::new(weights, ""), config).unwrap_err();
        let asked = format!("of the class {}", config.class().name());
        contains(error.problem(), &["holds", found, &asked]);
        contains(error.next(), &["config.json", weights.class().name()]);
    }
}

#[test]
fn what_inspect_sees_are_tensors_of_the_class_and_counts_of_training_are_left_alone() {
    let [_, config] = published();
    let counted = "decoder.up_blocks.1.1.norm.num_batches_tracked";
    let model = Model::new(&config, "").with(counted, &[]);
    let path = model.write("dc.safetensors");
    let contents = Contents::open(&Source::File { path }, &OpenOptions::default()).unwrap();
    assert_eq!(contents.config().unwrap().class(), Class::AutoencoderDC);
    assert_eq!(contents.expected().len(), contents.tensors().len());
    assert_eq!(contents.expected(), expected_tensors(&config));
}

#[test]
fn what_diffusers_would_not_run_is_refused_by_the_field() {
    let text = std::fs::read_to_string("golden/dc/models/dc-mix-small/vae/config.json").unwrap();
    let mut fields: Value = serde_json::from_str(&text).unwrap();
    fields["decoder_norm_types"] = json!("batch_norm");
    let error = VaeConfig::from_json(&fields.to_string(), "config.json").unwrap_err().to_string();
    contains(&error, &["decoder_norm_types", "not supported in a level of EfficientViTBlock"]);
}
