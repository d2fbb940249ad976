//! The files of x-1.5 and x-2: recognised by names and shapes without a config, under diffusers' names and
//! those of the original, and told from AutoencoderKL's. They have the published shapes and no values.

use serde_json::json;
use vae_fidelity::VaeConfig;
use vae_fidelity::checkpoint::{Contents, OpenOptions, Source, expected_tensors};
use vae_fidelity::config::{Class, Family, SampleSize};

use super::families::{Model, contains, open, sixteen_channels, stable_diffusion};
use super::flux2::{opened_with, original as of_flux2};

/// The two configs that were published: of the decoder, widths and layers.
pub fn published() -> [VaeConfig; 2] {
    [([192, 384, 768, 768], 3), ([256, 512, 1024, 1024], 5)].map(|(widths, layers)| {
        let fields = json!({
            "_class_name": "AsymmetricAutoencoderKL", "in_channels": 3, "out_channels": 3,
            "down_block_types": vec!["DownEncoderBlock2D"; 4],
            "down_block_out_channels": [128, 256, 512, 512], "layers_per_down_block": 2,
            "up_block_types": vec!["UpDecoderBlock2D"; 4],
            "up_block_out_channels": widths, "layers_per_up_block": layers, "act_fn": "silu",
            "latent_channels": 4, "norm_num_groups": 32, "sample_size": 256, "scaling_factor": 0.18215,
        });
        VaeConfig::from_json(&fields.to_string(), "a test").unwrap()
    })
}

/// As the original files call a tensor.
pub fn original(name: &str) -> String {
    match name.strip_prefix("decoder.condition_encoder.") {
        Some(rest) => format!("decoder.encoder.{rest}"),
        None if name.contains("quant_conv") => name.to_owned(),
        None => of_flux2(name),
    }
}

#[test]
fn files_without_a_config_are_asymmetric_by_names_and_shapes() {
    // As diffusers counts them.
    let counted = [(194_300_519, 10), (406_130_151, 10)];
    for (config, (parameters, idle)) in published().into_iter().zip(counted) {
        // Beside the VAE the original has a discriminator, and layers that diffusers leaves out.
        let file = Model::new(&config, "").renamed(original).with("loss.logvar", &[]);
        let file = file.with("decoder.up_layers.0.weight", &[4, 4, 3, 3]);
        for model in [Model::new(&config, ""), Model::new(&config, "vae."), file] {
            let checkpoint = open(&model.write("asymmetric.safetensors"), None).unwrap();
            assert_eq!(checkpoint.config(), &config);
            assert_eq!(checkpoint.family(), Family::Asymmetric);
            assert_eq!(checkpoint.parameters(), parameters);
            let notes = checkpoint.notes().join("\n");
            contains(&notes, &["taken as asymmetric", "an encoder of masked pictures"]);
            let said = format!("{idle} tensors of decoder.condition_encoder");
            contains(&notes, &[&said, "meet no data"]);
            assert!(!notes.contains("unexpected"), "{notes}");
        }
    }
    // Other widths are nobody's.
    let narrow = json!({"_class_name": "AsymmetricAutoencoderKL"});
    let narrow = VaeConfig::from_json(&narrow.to_string(), "a test").unwrap();
    let error = Model::new(&narrow, "").open(None).unwrap_err();
    contains(&error.to_string(), &["no published family", "widths [64] and [64]"]);
}

#[test]
fn a_family_supplies_what_shapes_do_not_show() {
    let [config, _] = published();
    let model = Model::new(&config, "");
    let checkpoint = model.open(Some(Family::Asymmetric)).unwrap();
    let VaeConfig::AsymmetricAutoencoderKL(found) = checkpoint.config() else {
        panic!("another class")
    };
    assert_eq!((found.sample_size, found.scaling_factor), (SampleSize::Side(256), 0.18215));
    let wrong = model.open(Some(Family::Sd1)).unwrap_err();
    contains(&wrong.to_string(), &["sd1", "of the class AsymmetricAutoencoderKL"]);
    let wrong = Model::new(&stable_diffusion(), "").open(Some(Family::Asymmetric)).unwrap_err();
    contains(&wrong.to_string(), &["asymmetric", "of the class AutoencoderKL"]);
}

#[test]
fn one_class_under_the_config_of_the_other_is_named() {
    let [asymmetric, _] = published();
    let read = |class: &str| {
        VaeConfig::from_json(&json!({"_class_name": class}).to_string(), "a test").unwrap()
    };
    let (flux2, tiny) = (read("AutoencoderKLFlux2"), read("AutoencoderTiny"));
    let kl = stable_diffusion();
    let is_asymmetric = "an AsymmetricAutoencoderKL (x-1.5 or x-2 for inpainting)";
    for (weights, config, found) in [
        (&asymmetric, &kl, is_asymmetric),
        (&asymmetric, &flux2, is_asymmetric),
        (&asymmetric, &tiny, is_asymmetric),
        (&kl, &asymmetric, "an AutoencoderKL: it has no encoder of masked pictures"),
        (&sixteen_channels(), &asymmetric, "an AutoencoderKL: it has no encoder of masked"),
        (&flux2, &asymmetric, "an AutoencoderKLFlux2 (FLUX.2)"),
        (&tiny, &asymmetric, "an AutoencoderTiny (TAESD)"),
    ] {
        let error = opened_with(&Model::new(weights, ""), config).unwrap_err();
        let asked = format!("of the class {}", config.class().name());
        contains(error.problem(), &["holds", found, &asked]);
        contains(error.next(), &["config.json", weights.class().name()]);
    }
}

#[test]
fn what_has_lost_the_encoder_of_masked_pictures_is_not_run() {
    let [config, _] = published();
    let model = Model::new(&config, "").without("decoder.condition_encoder.");
    let error = opened_with(&model, &config).unwrap_err();
    contains(
        &error.to_string(),
        &["10 tensors missing (decoder.condition_encoder.layers.0.weight"],
    );
    let half = Model::new(&config, "").without("encoder.");
    let error = opened_with(&half, &config).unwrap_err();
    contains(&error.to_string(), &["holds the decoder of a VAE and not its encoder"]);
}

#[test]
fn what_inspect_sees_are_tensors_of_the_class_and_none_is_unexpected() {
    let [config, _] = published();
    let model = Model::new(&config, "");
    let path = model.write("asymmetric.safetensors");
    let contents = Contents::open(&Source::File { path }, &OpenOptions::default()).unwrap();
    assert_eq!(contents.config().unwrap().class(), Class::AsymmetricAutoencoderKL);
    assert_eq!(contents.family().0, Family::Asymmetric);
    contains(contents.family().1, &["taken as asymmetric"]);
    assert_eq!(contents.expected().len(), contents.tensors().len());
    assert_eq!(contents.expected(), expected_tensors(&config));
    contains(&contents.notes().join("\n"), &["meet no data: they are for a picture with a mask"]);
}
