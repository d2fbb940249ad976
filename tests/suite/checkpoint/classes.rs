//! Files of other classes, halves and other widths: called what they are, by opening and by looking into them.
//! Names and shapes are those of the published files; `vae_fidelity_tools.conformance.other_classes` holds
//! every class of diffusers against this.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use vae_fidelity::checkpoint::{Contents, OpenOptions, ResolvedConfig, expected_tensors};
use vae_fidelity::config::Class;
use vae_fidelity::diagnosis::{Measured, Misfit, checkpoint_findings};
use vae_fidelity::{Checkpoint, Error, Source, VaeConfig};

/// A file whose tensors hold zeros.
fn file(folder: &TempDir, tensors: &[(&str, &[usize])]) -> PathBuf {
    let largest = tensors.iter().map(|(_, shape)| shape.iter().product::<usize>()).max().unwrap();
    let zeros = vec![0; 4 * largest];
    let views = tensors.iter().map(|(name, shape)| {
        let bytes = &zeros[..4 * shape.iter().product::<usize>()];
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    let path = folder.path().join("model.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

fn open(path: &Path, config: Option<&Path>) -> Error {
    let source = Source::File { path: path.to_owned() };
    Checkpoint::open(&source, config).unwrap_err()
}

fn look(path: &Path) -> Result<Contents, Error> {
    let source = Source::File { path: path.to_owned() };
    Contents::open(&source, &OpenOptions::default())
}

const CONV: &[usize] = &[8, 8, 3, 3];

#[test]
fn other_classes_are_named_from_their_tensors() {
    let folder = TempDir::new().unwrap();
    let (one, two, five) = (&[8][..], &[8, 8][..], &[8, 3, 3, 3, 3][..]);
    type Shapes<'a> = &'a [(&'a str, &'a [usize])];
    let cases: &[(&str, Shapes)] = &[
        (
            "an AutoencoderKLHunyuanVideo (",
            &[
                ("encoder.down_blocks.0.resnets.0.conv1.conv.weight", five),
                ("quant_conv.weight", &[4, 4, 1, 1, 1]),
            ],
        ),
        (
            "an AutoencoderKLLTXVideo",
            &[
                ("vae.encoder.conv_in.conv.weight", five),
                ("vae.per_channel_statistics.mean-of-means", one),
            ],
        ),
        (
            "an AutoencoderKLTemporalDecoder (Stable Video Diffusion)",
            &[("encoder.conv_in.weight", CONV), ("decoder.time_conv_out.weight", &[3, 3, 3, 1, 1])],
        ),
        ("a VQModel", &[("encoder.conv_in.weight", CONV), ("quantize.embedding.weight", two)]),
    ];
    for (class, tensors) in cases {
        let path = file(&folder, tensors);
        let error = open(&path, None);
        assert!(error.problem().contains(class), "{class}: {error}");
        assert!(error.problem().contains("not run yet; run is: AutoencoderKL"), "{error}");
        let contents = look(&path).unwrap();
        assert!(matches!(contents.resolved_config(), ResolvedConfig::OtherClass(_)), "{class}");
        let findings =
            checkpoint_findings(&contents, &Misfit::of(&contents), &Measured::all(&contents));
        let named =
            findings.iter().any(|f| f.code.to_string() == "wrong-class" && f.title.contains(class));
        assert!(named, "{class}: {findings:?}");
    }
}

#[test]
fn models_without_a_vae_are_called_what_they_are() {
    let folder = TempDir::new().unwrap();
    for (what, name) in [
        ("a U-Net", "model.diffusion_model.time_embed.0.weight"),
        ("FLUX's transformer", "double_blocks.0.img_attn.qkv.weight"),
        ("a diffusion transformer", "transformer_blocks.0.attn.to_q.weight"),
        ("CLIP's text encoder", "text_model.embeddings.token_embedding.weight"),
        ("a LoRA", "lora_unet_down_blocks_0.lora_down.weight"),
    ] {
        let path = file(&folder, &[(name, &[2, 2])]);
        for error in [open(&path, None), look(&path).unwrap_err()] {
            assert!(error.problem().contains(what), "{what}: {error}");
            assert!(error.problem().contains("no VAE"), "{error}");
        }
    }
}

/// A small `AutoencoderKL`, and the names and shapes of its tensors.
fn small() -> (String, Vec<(String, Vec<usize>)>) {
    let config = r#"{"_class_name": "AutoencoderKL", "block_out_channels": [8, 16], "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "norm_num_groups": 4,
        "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "act_fn": "silu", "sample_size": 32,
        "scaling_factor": 0.18215}"#;
    let parsed = VaeConfig::from_json(config, "config").unwrap();
    let tensors = expected_tensors(&parsed).into_iter().map(|spec| (spec.name, spec.shape));
    (config.to_owned(), tensors.collect())
}

fn borrowed(tensors: &[(String, Vec<usize>)]) -> Vec<(&str, &[usize])> {
    tensors.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect()
}

#[test]
fn a_config_that_names_another_class_is_said_to() {
    let folder = TempDir::new().unwrap();
    let (config, tensors) = small();
    let source = Source::File { path: file(&folder, &borrowed(&tensors)) };
    // As published by training tools and hubs: a list of a value a latent channel, and `null` for none.
    let config = config.replace("\"sample_size\"", "\"latents_mean\": null, \"sample_size\"");
    let others = Class::ALL.into_iter().filter(|class| *class != Class::AutoencoderKL);
    for asked in others.map(Class::name) {
        let given = folder.path().join("given.json");
        fs::write(&given, config.replace("AutoencoderKL", asked)).unwrap();
        let error = Checkpoint::open(&source, Some(&given)).unwrap_err();
        let said = format!("its config is of the class {asked}");
        assert!(error.problem().contains("holds an AutoencoderKL: "), "{asked}: {error}");
        assert!(error.problem().ends_with(&said), "{asked}: {error}");
        assert!(error.next().contains("its _class_name is AutoencoderKL"), "{}", error.next());
        let options = OpenOptions { config: Some(given.clone()), ..OpenOptions::default() };
        let contents = Contents::open(&source, &options).unwrap();
        let measured = Measured::all(&contents);
        let findings = checkpoint_findings(&contents, &Misfit::of(&contents), &measured);
        let first = findings.first().map(|finding| finding.code.as_str());
        assert_eq!(first, Some("wrong-class"), "{asked}: {findings:?}");
        // What no class can have is said as that.
        let broken = config.replace("\"latent_channels\": 4", "\"latent_channels\": -1");
        fs::write(&given, broken.replace("AutoencoderKL", asked)).unwrap();
        let error = Checkpoint::open(&source, Some(&given)).unwrap_err();
        assert!(!error.problem().contains("holds an AutoencoderKL"), "{asked}: {error}");
        assert_eq!(Contents::open(&source, &options).unwrap_err().kind(), error.kind(), "{asked}");
    }
}

#[test]
fn half_a_vae_is_said_to_be_one() {
    let folder = TempDir::new().unwrap();
    let (config, tensors) = small();
    let config_file = folder.path().join("given.json");
    fs::write(&config_file, config).unwrap();
    for (half, other) in [("encoder", "decoder"), ("decoder", "encoder")] {
        let of_half: Vec<_> =
            tensors.iter().filter(|(name, _)| name.starts_with(half)).cloned().collect();
        let said = format!("holds the {half} of a VAE and not its {other}");
        let path = file(&folder, &borrowed(&of_half));
        for error in [open(&path, None), open(&path, Some(&config_file)), look(&path).unwrap_err()]
        {
            assert!(error.problem().contains(&said), "{error}");
            assert!(error.next().contains("the whole VAE"), "{}", error.with_next());
        }
        // As `decoder.state_dict()` alone is saved.
        let bare: Vec<_> = of_half
            .iter()
            .map(|(name, shape)| (name[half.len() + 1..].to_owned(), shape.clone()))
            .collect();
        let path = file(&folder, &borrowed(&bare));
        let said = format!("the {half} of a VAE alone");
        for error in [open(&path, None), look(&path).unwrap_err()] {
            assert!(error.problem().contains(&said), "{error}");
        }
        // With a config everything is missing, and why is a note.
        let options = OpenOptions { config: Some(config_file.clone()), ..OpenOptions::default() };
        let contents = Contents::open(&Source::File { path }, &options).unwrap();
        assert!(contents.notes().iter().any(|note| note.contains(&said)), "{:?}", contents.notes());
    }
}

#[test]
fn other_widths_than_the_configs_are_said_in_numbers() {
    let folder = TempDir::new().unwrap();
    let (config, tensors) = small();
    let path = file(&folder, &borrowed(&tensors));
    // A config of other widths.
    let wider = folder.path().join("wider.json");
    fs::write(&wider, config.replace("[8, 16]", "[12, 24]")).unwrap();
    let error = open(&path, Some(&wider));
    let said = "the weights have block_out_channels [8, 16], the config [12, 24]";
    assert!(error.problem().contains(said), "{error}");
    let source = Source::File { path: path.clone() };
    let options = OpenOptions { config: Some(wider), ..OpenOptions::default() };
    let contents = Contents::open(&source, &options).unwrap();
    assert!(contents.notes().iter().any(|note| note.contains(said)), "{:?}", contents.notes());
    // A decoder that is narrower than its encoder.
    let narrow = VaeConfig::from_json(&config.replace("[8, 16]", "[4, 12]"), "config").unwrap();
    let decoder = expected_tensors(&narrow).into_iter().map(|spec| (spec.name, spec.shape));
    let decoder = decoder.filter(|(name, _)| name.starts_with("decoder."));
    let mixed: Vec<_> = tensors
        .iter()
        .filter(|(name, _)| !name.starts_with("decoder."))
        .cloned()
        .chain(decoder)
        .collect();
    let given = folder.path().join("given.json");
    fs::write(&given, config).unwrap();
    let error = open(&file(&folder, &borrowed(&mixed)), Some(&given));
    assert!(
        error.problem().contains("an encoder of widths [8, 16] and a decoder of [4, 12]"),
        "{error}"
    );
    assert!(error.next().contains("narrower"), "{}", error.with_next());
}
