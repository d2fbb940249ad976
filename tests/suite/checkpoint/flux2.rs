//! FLUX.2's files: recognised by names and shapes without a config, under diffusers' names and those of the
//! original, and told from AutoencoderKL's. They have the published shapes and no values.

use std::path::Path;

use ndarray::{Array4, s};
use serde_json::json;
use vae_fidelity::checkpoint::{Contents, OpenOptions, ResolvedConfig, expected_tensors};
use vae_fidelity::config::{Class, Family};
use vae_fidelity::diagnosis::{Measured, Misfit, checkpoint_findings};
use vae_fidelity::tensor_file::read;
use vae_fidelity::{Checkpoint, Dtype, Error, Source, VaeConfig};

use super::families::{Model, contains, open, sixteen_channels};

/// The config of FLUX.2 that was published, which is the class's defaults.
pub fn published(decoder: Option<[usize; 4]>) -> VaeConfig {
    let fields =
        json!({"_class_name": "AutoencoderKLFlux2", "decoder_block_out_channels": decoder});
    VaeConfig::from_json(&fields.to_string(), "a test").unwrap()
}

/// As the original file, and ComfyUI's flux2-vae, call a tensor.
pub fn original(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    let leaf = |part: &str| part.replace("conv_shortcut", "nin_shortcut");
    match parts[..] {
        ["quant_conv", kind] => format!("encoder.quant_conv.{kind}"),
        ["post_quant_conv", kind] => format!("decoder.post_quant_conv.{kind}"),
        [half, "conv_norm_out", kind] => format!("{half}.norm_out.{kind}"),
        ["encoder", "down_blocks", level, "resnets", layer, part, kind] => {
            format!("encoder.down.{level}.block.{layer}.{}.{kind}", leaf(part))
        }
        ["encoder", "down_blocks", level, "downsamplers", "0", "conv", kind] => {
            format!("encoder.down.{level}.downsample.conv.{kind}")
        }
        ["decoder", "up_blocks", level, ref rest @ ..] => {
            let level = 3 - level.parse::<usize>().unwrap();
            match rest {
                ["resnets", layer, part, kind] => {
                    format!("decoder.up.{level}.block.{layer}.{}.{kind}", leaf(part))
                }
                rest => format!("decoder.up.{level}.upsample.conv.{}", rest[rest.len() - 1]),
            }
        }
        [half, "mid_block", "resnets", layer, part, kind] => {
            let layer = layer.parse::<usize>().unwrap() + 1;
            format!("{half}.mid.block_{layer}.{}.{kind}", leaf(part))
        }
        [half, "mid_block", "attentions", "0", ref rest @ ..] => {
            let part = match rest[0] {
                "group_norm" => "norm",
                "to_q" => "q",
                "to_k" => "k",
                "to_v" => "v",
                _ => "proj_out",
            };
            format!("{half}.mid.attn_1.{part}.{}", rest[rest.len() - 1])
        }
        _ => name.to_owned(),
    }
}

pub(super) fn opened_with(model: &Model, config: &VaeConfig) -> Result<Checkpoint, Error> {
    let file = model.folder.path().join("given.json");
    let mut fields = json!(config);
    fields["_class_name"] = json!(config.class().name());
    std::fs::write(&file, fields.to_string()).unwrap();
    let source = Source::File { path: model.write("model.safetensors") };
    Checkpoint::open(&source, Some(&file))
}

#[test]
fn files_without_a_config_are_flux2_by_names_and_shapes() {
    for decoder in [None, Some([96, 192, 384, 384])] {
        let config = published(decoder);
        let count = Model::new(&config, "").with("bn.num_batches_tracked", &[]);
        for model in [count, Model::new(&config, "vae."), Model::new(&config, "").renamed(original)]
        {
            let checkpoint = open(&model.write("flux2-vae.safetensors"), None).unwrap();
            let found = checkpoint.config();
            assert_eq!(found.class(), Class::AutoencoderKLFlux2);
            assert_eq!(checkpoint.family(), Family::Flux2);
            assert_eq!(found.decoder_widths(), config.decoder_widths());
            assert_eq!(expected_tensors(found), expected_tensors(&config));
            assert_eq!(found.multiple_of(), 16);
            contains(&checkpoint.notes().join("\n"), &["taken as flux2", "statistics bn"]);
            assert!(found.defaulted().is_empty(), "{:?}", found.defaulted());
        }
    }
    // What Klein's file was counted to have, its count of batches aside; the last are the statistics.
    let config = published(None);
    let parameters: usize =
        expected_tensors(&config).iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!((expected_tensors(&config).len(), parameters), (250, 84_046_115 + 256));
    // Other widths are nobody's.
    let narrow =
        json!({"_class_name": "AutoencoderKLFlux2", "block_out_channels": [32, 64, 64, 64]});
    let narrow = VaeConfig::from_json(&narrow.to_string(), "a test").unwrap();
    let error = Model::new(&narrow, "").open(None).unwrap_err();
    contains(&error.to_string(), &["no published family", "32 latent channels"]);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let (flux2, kl) = (published(None), sixteen_channels());
    let cases = [
        (&flux2, &kl, "an AutoencoderKLFlux2 (FLUX.2)", "of the class AutoencoderKL"),
        (
            &kl,
            &flux2,
            "an AutoencoderKL: it has no statistics bn",
            "of the class AutoencoderKLFlux2",
        ),
    ];
    for (weights, config, found, asked) in cases {
        let model = Model::new(weights, "");
        let error = opened_with(&model, config).unwrap_err();
        contains(error.problem(), &["holds", found, asked]);
        contains(error.next(), &["config.json", weights.class().name()]);
        let options = OpenOptions {
            config: Some(model.folder.path().join("given.json")),
            ..OpenOptions::default()
        };
        let source = Source::File { path: model.folder.path().join("model.safetensors") };
        let contents = Contents::open(&source, &options).unwrap();
        let class = ResolvedConfig::OtherClass(weights.class().name().to_owned());
        assert_eq!(contents.resolved_config(), &class);
        let findings =
            checkpoint_findings(&contents, &Misfit::of(&contents), &Measured::all(&contents));
        let named = findings.iter().find(|finding| finding.code.as_str() == "wrong-class").unwrap();
        contains(&named.title, &[found, config.class().name()]);
    }
}

#[test]
fn flux2_without_its_statistics_is_not_run() {
    let config = published(None);
    let model = Model::new(&config, "").without("bn.");
    let error = opened_with(&model, &config).unwrap_err();
    contains(&error.to_string(), &["2 tensors missing (bn.running_mean, bn.running_var)"]);
    let error = model.open(None).unwrap_err();
    contains(&error.to_string(), &["no published family", "32 latent channels"]);
    // Statistics of zeros alone can be divided by, thanks to eps.
    assert!(
        open(&Model::new(&config, "").write("zeros.safetensors"), None)
            .unwrap()
            .scaling(Dtype::F32)
            .is_ok()
    );
}

#[test]
fn what_cannot_be_run_is_refused_by_its_field() {
    let refused = |changes: &str, says: &[&str]| {
        let text = format!(r#"{{"_class_name": "AutoencoderKLFlux2", {changes}}}"#);
        let error = VaeConfig::from_json(&text, "a test").unwrap_err();
        contains(&format!("{error} | {}", error.next()), says);
    };
    refused(r#""patch_size": [1, 1]"#, &["patch_size", "[2, 2]"]);
    refused(r#""batch_norm_eps": -1.0"#, &["batch_norm_eps"]);
    refused(r#""decoder_block_out_channels": [96, 192]"#, &["decoder_block_out_channels"]);
    refused(
        r#""decoder_block_out_channels": [96, 192, 384, 385]"#,
        &["decoder_block_out_channels"],
    );
    refused(r#""latent_channels": 0"#, &["latent_channels"]);
}

#[test]
fn the_rule_gives_the_bits_of_the_pipelines_functions() {
    for (case, model, dtype) in [
        ("flux2-small-mode", "flux2-small", Dtype::F32),
        ("flux2-small-f16-mode", "flux2-small", Dtype::F16),
        ("flux2-small-bf16-mode", "flux2-small", Dtype::Bf16),
        ("flux2-96x64", "flux2", Dtype::F32),
    ] {
        let path = format!("golden/cases/{case}/latents.safetensors");
        let tensors = read(Path::new(&path)).unwrap();
        let tensor = |name: &str| -> Array4<f32> {
            let tensor =
                tensors.iter().find(|tensor| tensor.name.as_deref() == Some(name)).unwrap();
            tensor.values.clone().into_dimensionality().unwrap()
        };
        let (moments, latents) = (tensor("moments"), tensor("latents"));
        let mean = moments.slice(s![.., ..moments.dim().1 / 2, .., ..]);
        let source = Source::parse(&format!("golden/models/{model}"), None).unwrap();
        let scaling = Checkpoint::open(&source, None).unwrap().scaling(dtype).unwrap();
        let scaled = scaling.scale(mean, dtype).unwrap();
        assert_eq!(scaled.dim(), latents.dim(), "{case}");
        let bits = |values: &Array4<f32>| values.iter().map(|z| z.to_bits()).collect::<Vec<_>>();
        assert!(bits(&scaled) == bits(&latents), "{case}: other bits than the pipeline's");
    }
}
