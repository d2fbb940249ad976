//! `decode` of FLUX.2's latents: patches, statistics in the checkpoint, and what was done to them.
//!
//! Only a trained VAE encodes what it decodes again, and FLUX.2's own is not at hand: its class with the
//! built-in VAE's weights is one, with the statistics of another photograph's latents.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use ndarray::{Array4, ArrayD, Axis, IxDyn, s};
use vae_fidelity::Dtype;
use vae_fidelity::scaling::{PatchedBatchNorm, RUNNING_MEAN, RUNNING_VAR, patched, unpatched};
use vae_fidelity::tensor_file::{read, read_named};

use super::sandbox::{Ran, Sandbox, Tensor, safetensors_of};

/// The built-in VAE's, in the fields of the other class.
const CONFIG: &str = r#"{
  "_class_name": "AutoencoderKLFlux2", "act_fn": "silu", "block_out_channels": [16, 32, 64, 112],
  "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
  "in_channels": 3, "out_channels": 3, "latent_channels": 16, "layers_per_block": 1, "norm_num_groups": 8,
  "sample_size": 256, "batch_norm_eps": 0.0001, "patch_size": [2, 2]
}"#;

fn golden(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden")).join(path)
}

/// A side at which every treatment of latents is told, and no more: what is not explained at once costs
/// some thirty round trips.
const SIDE: &str = "96";

/// A photograph's latents as the built-in VAE makes them, neither scaled nor patched.
fn made_of(sandbox: &Sandbox, photograph: &str) -> Array4<f32> {
    fs::copy(golden("images").join(photograph), sandbox.path(photograph)).unwrap();
    let saved = ["--save-latents", "z.safetensors", "--out", "check.png"];
    let size = ["--width", SIDE, "--height", SIDE];
    sandbox.run(&[&["check", photograph], &saved[..], &size[..]].concat()).exits(0);
    let latents = read_named(&sandbox.path("z.safetensors"), "latents").unwrap();
    latents.into_dimensionality::<ndarray::Ix4>().unwrap().mapv(|z| z / 0.428_93)
}

/// The model, and what it makes of a photograph.
struct Trained {
    weights: Vec<u8>,
    rule: PatchedBatchNorm,
    /// As the model makes them.
    latents: Array4<f32>,
    /// The picture that `check` decodes from them.
    picture: Vec<u8>,
}

static TRAINED: LazyLock<Trained> = LazyLock::new(|| {
    let sandbox = Sandbox::new();
    let of_another = patched(made_of(&sandbox, "coffee.jpg").view(), [2, 2]).unwrap();
    let latents = made_of(&sandbox, "astronaut.png");
    let of_channels = |measure: fn(&ndarray::ArrayView3<f32>) -> f32| -> Vec<f32> {
        of_another.axis_iter(Axis(1)).map(|channel| measure(&channel)).collect()
    };
    let mean = of_channels(|channel| channel.mean().unwrap());
    let variance = of_channels(|channel| channel.var(0.0));
    let weights = golden("models/builtin/vae/diffusion_pytorch_model.safetensors");
    let mut tensors: Vec<Tensor> = read(&weights)
        .unwrap()
        .into_iter()
        .map(|tensor| {
            let values: Vec<f32> = tensor.values.iter().copied().collect();
            Tensor::new(&tensor.name.unwrap(), tensor.values.shape(), &values)
        })
        .collect();
    tensors.push(Tensor::new(RUNNING_MEAN, &[64], &mean));
    tensors.push(Tensor::new(RUNNING_VAR, &[64], &variance));
    Trained {
        weights: safetensors_of(&tensors),
        rule: PatchedBatchNorm::new(mean, &variance, 1e-4, Dtype::F32).unwrap(),
        latents,
        picture: sandbox.read("check.png"),
    }
});

/// A sandbox with the model and `check.png`, its rule, and a photograph's latents as the model makes them.
fn with_model() -> (Sandbox, &'static PatchedBatchNorm, &'static Array4<f32>) {
    let sandbox = Sandbox::new();
    let Trained { weights, rule, latents, picture } = &*TRAINED;
    sandbox
        .write("trained/vae/config.json", CONFIG)
        .write("trained/vae/diffusion_pytorch_model.safetensors", weights)
        .write("check.png", picture);
    (sandbox, rule, latents)
}

fn save(sandbox: &Sandbox, latents: &ArrayD<f32>) {
    let values: Vec<f32> = latents.iter().copied().collect();
    let tensor = Tensor::new("latents", latents.shape(), &values);
    sandbox.write("l.safetensors", safetensors_of(&[tensor]));
}

fn decoded(sandbox: &Sandbox, latents: &ArrayD<f32>, more: &[&str]) -> Ran {
    save(sandbox, latents);
    sandbox.run(
        &[&["decode", "l.safetensors", "--repo", "trained", "--engine", "fast", "--json"], more]
            .concat(),
    )
}

#[test]
fn every_form_gives_the_picture_of_check_and_passes() {
    let (sandbox, rule, made) = with_model();
    let scaled = rule.scale(made.view(), Dtype::F32).unwrap();
    let (_, channels, height, width) = scaled.dim();
    let tokens = ArrayD::from_shape_fn(IxDyn(&[1, height * width, channels]), |at| {
        scaled[[0, at[2], at[1] / width, at[1] % width]]
    });
    let raw: &[&str] = &["--latents-scale", "raw"];
    let patches = patched(made.view(), [2, 2]).unwrap();
    for (latents, more) in [
        (scaled.clone().into_dyn(), &[][..]),
        (scaled.index_axis(Axis(0), 0).to_owned().into_dyn(), &[]),
        (tokens, &[]),
        (made.clone().into_dyn(), raw),
        (patches.into_dyn(), raw),
    ] {
        let ran = decoded(&sandbox, &latents, &[more, &["--decoded-image", "check.png"]].concat());
        let ran = ran.exits(0);
        let report = ran.object();
        assert_eq!(report["reencoded"]["judged"], true, "{}", ran.stdout);
        assert_eq!(report["findings"].as_array().unwrap().len(), 0, "{}", ran.stdout);
        // Statistics were applied and taken back: a level here and there may differ.
        assert_eq!(report["files"][0]["agreement"], "same");
    }
    // On its own, and by the engine that is the default.
    save(&sandbox, &scaled.into_dyn());
    sandbox
        .run(&["decode", "l.safetensors", "--repo", "trained"])
        .exits(0)
        .says("(1, 64, 6, 6) scaled, taken back by the checkpoint's statistics (bn)")
        .says("verdict  pass");
}

#[test]
fn what_was_done_to_them_is_told_without_the_original() {
    let (sandbox, rule, made) = with_model();
    let patches = patched(made.view(), [2, 2]).unwrap();
    let scaled = rule.normalised(&patches, Dtype::F32);
    let found_of = |latents: ArrayD<f32>, more: &[&str], exit: i32, code: &str, title: &str| {
        let ran = decoded(&sandbox, &latents, more).exits(exit);
        let object = ran.object();
        let first = &object["findings"][0];
        let told = first["title"].as_str().unwrap_or_default();
        ran.check(
            first["code"] == code && told.contains(title),
            &format!("expected {code}: {title}"),
        );
        ran.check(object["findings"].as_array().unwrap().len() == 1, "expected one finding");
    };
    let found = |latents: Array4<f32>, code: &str, title: &str| {
        found_of(latents.into_dyn(), &[], 1, code, title);
    };
    const STATISTICS: &str = "batch-norm-statistics";
    const ORDER: &str = "latent-patch-order";
    found(patches.clone(), STATISTICS, "are patched and not normalised by bn");
    found(made.clone(), STATISTICS, "are as the model makes them: neither patched nor normalised");
    found(rule.normalised(&scaled, Dtype::F32), STATISTICS, "are normalised by bn twice");
    found(rule.denormalised(&patches, Dtype::F32), STATISTICS, "the wrong way round");
    let raw = ["--latents-scale", "raw"];
    found_of(
        scaled.clone().into_dyn(),
        &raw,
        1,
        STATISTICS,
        "are normalised by bn, and are called raw",
    );
    // (c, pw, ph), and (ph, pw, c).
    let columns_first: Vec<usize> =
        (0..64).map(|at| at / 4 * 4 + at % 2 * 2 + at / 2 % 2).collect();
    found(scaled.select(Axis(1), &columns_first), ORDER, "(c, pw, ph)");
    let channels_last: Vec<usize> = (0..64).map(|at| at % 16 * 4 + at / 16).collect();
    found(scaled.select(Axis(1), &channels_last), ORDER, "(ph, pw, c)");
    // FIBO 2's form is decoded, and said to be that.
    let fibo = unpatched(scaled.clone(), [2, 2]).unwrap().into_dyn();
    found_of(fibo, &[], 0, ORDER, "normalised and not patched");
    // What is no treatment of FLUX.2's is not blamed on its statistics.
    found(scaled.mapv(|z| z * 0.3611), "scaling-factor-mismatch", "times as large");
    let mut turned = scaled.clone();
    turned.swap_axes(2, 3);
    found(turned, "layout-scrambled", "with rows and columns exchanged");
    let reread = scaled.index_axis(Axis(0), 0).permuted_axes([1, 2, 0]).iter().copied().collect();
    let reread = Array4::from_shape_vec(scaled.dim(), reread).unwrap();
    found(reread, "layout-scrambled", "(H, W, C) in memory read as (C, H, W)");
    found(
        scaled.slice(s![.., ..48, ..6, ..5]).to_owned(),
        "wrong-family-channels",
        "64 or 16 channels",
    );
}

#[test]
fn a_picture_decoded_from_them_otherwise_is_explained() {
    let (sandbox, rule, made) = with_model();
    let scaled = rule.scale(made.view(), Dtype::F32).unwrap();
    // Decoded without taking the statistics back.
    let so = unpatched(scaled.clone(), [2, 2]).unwrap();
    decoded(&sandbox, &so.into_dyn(), &["--latents-scale", "raw", "--out", "theirs.png"]).exits(1);
    let ran = decoded(&sandbox, &scaled.into_dyn(), &["--decoded-image", "theirs.png"]).exits(1);
    assert_eq!(ran.object()["findings"][0]["code"], "batch-norm-statistics", "{}", ran.stdout);
}

#[test]
fn drawn_weights_say_nothing_of_latents() {
    let sandbox = Sandbox::new();
    for file in ["config.json", "recipe.json"] {
        let bytes = fs::read(golden("models/flux2-small/vae").join(file)).unwrap();
        sandbox.write(&format!("trained/vae/{file}"), bytes);
    }
    let values = |shape: &[usize]| {
        ArrayD::from_shape_fn(IxDyn(shape), |at| ((at[1] * 7 + at[2] * 3 + at[3]) as f32).sin())
    };
    let of_latents = |ran: &Ran| {
        let report = ran.object();
        let codes: Vec<String> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect();
        assert!(codes.iter().all(|code| code.starts_with("weights")), "{codes:?}");
        report
    };
    for shape in [[1, 32, 6, 8], [1, 8, 12, 16]] {
        let ran = decoded(&sandbox, &values(&shape), &[]);
        let report = of_latents(&ran);
        assert_eq!(report["decoded"]["shape"], serde_json::json!([1, 3, 96, 128]), "{report}");
        assert_ne!(report["reencoded"]["judged"], true);
        assert_eq!(report["latents"]["divided_by"], serde_json::Value::Null);
    }
    // No patches are in sides like these.
    let ran = decoded(&sandbox, &values(&[1, 8, 7, 8]), &[]).exits(2);
    let message = ran.object()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("multiples of 2"), "{message}");
}
