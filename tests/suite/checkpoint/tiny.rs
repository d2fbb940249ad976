//! TAESD's files: recognised by names and shapes without a config, under diffusers' names, those of
//! `taesd.py` and ComfyUI's, alone and as two halves, and told from other classes. They have the published
//! shapes and no values.

use std::fs;

use serde_json::json;
use vae_fidelity::checkpoint::{Contents, OpenOptions, ResolvedConfig, expected_tensors};
use vae_fidelity::config::{Class, Family};
use vae_fidelity::{Checkpoint, Source, VaeConfig};

use super::families::{Model, contains, open, sixteen_channels};

fn config(more: serde_json::Value) -> VaeConfig {
    let mut fields = json!({"_class_name": "AutoencoderTiny"});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    VaeConfig::from_json(&fields.to_string(), "a test").unwrap()
}

pub fn published(latents: usize) -> VaeConfig {
    config(json!({"latent_channels": latents, "use_midblock_gn": latents == 32}))
}

/// As `taesd.py` has a tensor, whose decoder begins with a clamp; behind `half` of each.
fn as_published(name: &str, [encoder, decoder]: [&str; 2]) -> String {
    let parts: Vec<&str> = name.splitn(4, '.').collect();
    match parts[..] {
        ["encoder", "layers", index, rest] => format!("{encoder}{index}.{rest}"),
        ["decoder", "layers", index, rest] => {
            format!("{decoder}{}.{rest}", index.parse::<usize>().unwrap() + 1)
        }
        _ => panic!("{name}"),
    }
}

fn of_module(name: &str) -> String {
    as_published(name, ["encoder.", "decoder."])
}

pub fn of_comfyui(name: &str) -> String {
    as_published(name, ["taesd_encoder.", "taesd_decoder."])
}

fn bare(name: &str) -> String {
    as_published(name, ["", ""])
}

#[test]
fn files_without_a_config_are_taesds_by_names_and_shapes() {
    for (latents, family, others) in [
        (4, Family::Taesd, "shapes are those of taesd and of taesdxl"),
        (16, Family::Taesd3, "shapes are those of taesd3 and of taef1"),
        (32, Family::Taef2, "shapes are those of taef2"),
    ] {
        let config = published(latents);
        let models = [
            Model::new(&config, ""),
            Model::new(&config, "vae."),
            Model::new(&config, "").renamed(of_module),
            Model::new(&config, "").renamed(of_comfyui).with("vae_scale", &[1]),
        ];
        for model in models {
            let checkpoint = open(&model.write("taesd.safetensors"), None).unwrap();
            let found = checkpoint.config();
            assert_eq!((found.class(), checkpoint.family()), (Class::AutoencoderTiny, family));
            assert_eq!(expected_tensors(found), expected_tensors(&config));
            contains(&checkpoint.notes().join("\n"), &[others]);
            assert!(found.defaulted().is_empty(), "{:?}", found.defaulted());
        }
        let asked = Model::new(&config, "").open(Some(family)).unwrap();
        assert_eq!(asked.family(), family);
    }
    // As diffusers counts those of the class's defaults.
    let parameters: usize = expected_tensors(&published(4))
        .iter()
        .map(|spec| spec.shape.iter().product::<usize>())
        .sum();
    assert_eq!(parameters, 2_445_063);
    let xl = Model::new(&published(4), "").open(Some(Family::Taesdxl)).unwrap();
    assert_eq!(xl.family(), Family::Taesdxl);
    let wrong = Model::new(&published(4), "").open(Some(Family::Taef1)).unwrap_err();
    contains(&format!("{wrong} | {}", wrong.next()), &["latent_channels: expected 16", "taesd"]);
    // Other widths are nobody's.
    let narrow = config(json!({"encoder_block_out_channels": [16, 16, 16, 16]}));
    let error = Model::new(&narrow, "").open(None).unwrap_err();
    contains(&error.to_string(), &["no published family", "widths [16, 16, 16, 16], [1, 3, 3, 3]"]);
}

#[test]
fn uneven_levels_are_read_off_the_list() {
    let uneven = config(json!({
        "encoder_block_out_channels": vec![12; 5], "decoder_block_out_channels": vec![20; 3],
        "num_encoder_blocks": [0, 2, 1, 1, 1], "num_decoder_blocks": [1, 0, 2],
        "upsampling_scaling_factor": 4, "latent_channels": 5,
    }));
    let model = Model::new(&uneven, "");
    let source = Source::File { path: model.write("model.safetensors") };
    let contents = Contents::open(&source, &OpenOptions::default()).unwrap();
    let ResolvedConfig::Graph(VaeConfig::AutoencoderTiny(found), families) =
        contents.resolved_config()
    else {
        panic!("{:?}", contents.resolved_config())
    };
    assert_eq!(found.num_encoder_blocks, [0, 2, 1, 1, 1]);
    assert_eq!(found.num_decoder_blocks, [1, 0, 2]);
    assert_eq!(found.upsampling_scaling_factor, 4);
    assert!(families.is_empty());
    assert_eq!(contents.expected(), expected_tensors(&uneven));
}

/// The two files of a pair, as they were published.
fn pair(config: &VaeConfig, stem: &str) -> Model {
    let encoder = Model::new(config, "").without("decoder.").renamed(bare);
    let decoder = Model::new(config, "").without("encoder.").renamed(bare);
    let path = decoder.write("decoder");
    encoder.write(&format!("{stem}_encoder.safetensors"));
    fs::copy(path, encoder.folder.path().join(format!("{stem}_decoder.safetensors"))).unwrap();
    encoder
}

#[test]
fn a_folder_of_two_halves_is_one_vae() {
    for latents in [4, 16, 32] {
        let config = published(latents);
        let model = pair(&config, "taesd");
        let folder = model.folder.path().to_owned();
        let source = Source::Folder { path: folder.clone(), subfolder: None };
        let checkpoint = Checkpoint::open(&source, None).unwrap();
        assert_eq!(expected_tensors(checkpoint.config()), expected_tensors(&config));
        let said = "the encoder in taesd_encoder.safetensors and the decoder in taesd_decoder";
        contains(&checkpoint.notes().join("\n"), &[said]);
        assert_eq!(checkpoint.files().len(), 2);
        let contents = Contents::open(&source, &OpenOptions::default()).unwrap();
        assert_eq!(contents.family().0, checkpoint.family());
        // Another encoder beside them makes no pair, and a second pair is a question.
        fs::copy(folder.join("taesd_encoder.safetensors"), folder.join("b_encoder.safetensors"))
            .unwrap();
        assert!(Checkpoint::open(&source, None).is_ok());
        fs::copy(folder.join("taesd_decoder.safetensors"), folder.join("b_decoder.safetensors"))
            .unwrap();
        let error = Checkpoint::open(&source, None).unwrap_err();
        contains(&format!("{error} | {}", error.next()), &["several VAEs: b, taesd", "a folder"]);
    }
}

#[test]
fn a_half_alone_is_named_as_that() {
    let config = published(4);
    for (half, other) in [("encoder", "decoder."), ("decoder", "encoder.")] {
        let model = Model::new(&config, "").without(other).renamed(bare);
        let error = model.open(None).unwrap_err();
        let text = format!("{error} | {}", error.next());
        contains(&text, &[&format!("the {half} alone of a tiny autoencoder"), "one folder"]);
        for renamed in [of_module, of_comfyui] {
            let model = Model::new(&config, "").without(other).renamed(renamed);
            contains(
                &model.open(None).unwrap_err().to_string(),
                &[&format!("holds the {half} of")],
            );
        }
    }
    // As `taesana_encoder.pth` begins: 32 times smaller, with two convolutions before the first block.
    let sana = Model::new(&config, "").without("").with("0.weight", &[32, 3, 3, 3]);
    let sana = sana.with("2.weight", &[64, 32, 3, 3]).with("4.conv.0.weight", &[64, 64, 3, 3]);
    contains(&sana.open(None).unwrap_err().to_string(), &["encoder alone", "TAESD for Sana"]);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let (tiny, kl) = (published(16), sixteen_channels());
    let flux2 = VaeConfig::from_json(r#"{"_class_name": "AutoencoderKLFlux2"}"#, "a test").unwrap();
    for (weights, config, found) in [
        (&tiny, &kl, "an AutoencoderTiny (TAESD)"),
        (&tiny, &flux2, "an AutoencoderTiny (TAESD)"),
        (&kl, &tiny, "an AutoencoderKL: it has other shapes"),
        (&flux2, &tiny, "an AutoencoderKLFlux2 (FLUX.2)"),
    ] {
        let model = Model::new(weights, "");
        let file = model.folder.path().join("given.json");
        let mut fields = json!(config);
        fields["_class_name"] = json!(config.class().name());
        fs::write(&file, fields.to_string()).unwrap();
        let source = Source::File { path: model.write("model.safetensors") };
        let error = Checkpoint::open(&source, Some(&file)).unwrap_err();
        contains(error.problem(), &[found, &format!("of the class {}", config.class().name())]);
        let options = OpenOptions { config: Some(file), ..OpenOptions::default() };
        let contents = Contents::open(&source, &options).unwrap();
        let class = ResolvedConfig::OtherClass(weights.class().name().to_owned());
        assert_eq!(contents.resolved_config(), &class);
    }
}
