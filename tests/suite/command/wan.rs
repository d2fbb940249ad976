//! Wan's classes and Qwen-Image's through every command, as one picture.

use ndarray::Ix4;
use serde_json::{Value, json};
use vae_fidelity::scaling::Scaling;
use vae_fidelity::tensor_file::{read, to_safetensors};
use vae_fidelity::{Dtype, VaeConfig};

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/wan/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_was_run_and_what_was_not() {
    let small = sandbox("wan-small");
    check(&small, &[])
        .says("resized to 72 x 56")
        .says("(1, 16, 7, 9) normalised by the config's latents_mean and latents_std")
        .notes("one picture is a clip of one frame")
        .notes("meet no data")
        .says("clamped to [-1, 1] by the model");
    let report = check(&small, &["--json"]).object();
    assert_eq!(report["decoded"]["clamped_fraction"], Value::Null);
    assert_eq!(report["latents"]["scaling"]["kind"], "per_channel");
    assert_eq!(report["latents"]["scaling"]["mean"][0], json!(-0.7571));
    assert_eq!(report["latents"]["scaling"]["std"][15], json!(1.916));
    assert_eq!(report["model"]["config"]["temperal_downsample"], json!([false, true, true]));
    // What a factor, tiles or statistics in the checkpoint do cannot be asked.
    let open = report["not_decided"].to_string();
    for code in ["scaling-factor-mismatch", "tile-blend-units", "batch-norm-statistics"] {
        assert!(!open.contains(code), "{code}: {open}");
    }
    assert!(open.contains("latent-stats-ignored") && open.contains("sample-vs-mode"), "{open}");
    check(&sandbox("wan2.2-small"), &[]).says("resized to 64 x 48").says("(1, 8, 3, 4)");
    check(&sandbox("qwen-image-small"), &[]).says("(1, 16, 7, 9)");
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    for model in ["wan-uneven", "wan2.2-small"] {
        let sandbox = sandbox(model);
        for draw in [&[][..], &["--sample", "--seed", "3"]] {
            check(&sandbox, &[draw, &["--save-latents", "z.safetensors"]].concat());
            let more = [draw, &["--latents", "z.safetensors", "--json"]].concat();
            let report = check(&sandbox, &more).object();
            assert_eq!(report["files"][0]["agreement"], "same", "{model}: {}", report["files"]);
        }
    }
}

#[test]
fn latents_without_the_statistics_are_named() {
    let sandbox = sandbox("wan-small");
    check(&sandbox, &["--save-latents", "z.safetensors"]);
    let saved = read(&sandbox.path("z.safetensors")).unwrap();
    let latents = saved.iter().find(|t| t.name.as_deref() == Some("latents")).unwrap();
    let latents = latents.values.view().into_dimensionality::<Ix4>().unwrap();
    let text = std::fs::read_to_string(sandbox.path("model/vae/config.json")).unwrap();
    let config = VaeConfig::from_json(&text, "the model").unwrap();
    let raw = Scaling::of_config(&config).unwrap().unscale(latents, Dtype::F32).unwrap();
    sandbox.write("z.safetensors", to_safetensors(&[("latents", raw.view())]).unwrap());
    let more = ["--latents", "z.safetensors", "--latents-scale", "scaled", "--json"];
    let found = check(&sandbox, &more).object()["findings"].to_string();
    assert!(found.contains("latent-stats-ignored"), "{found}");
}

#[cfg(feature = "tch")]
#[test]
fn both_engines_decode_tiles_to_one_picture() {
    let sandbox = sandbox("wan-small");
    let [reference, fast] = ["reference", "fast"].map(|engine| {
        let tiles = ["--tiling", "--tile-size", "32", "--save-decoded", "d.safetensors"];
        check(&sandbox, &[&["--engine", engine][..], &tiles].concat());
        read(&sandbox.path("d.safetensors")).unwrap()[0].values.clone()
    });
    check(&sandbox, &["--tiling"]).says("clamped to [-1, 1] by the model");
    let qwen = self::sandbox("qwen-image-small");
    check(&qwen, &["--tiling"]).says("outside [-1, 1]");
    let off = reference.iter().zip(&fast).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-3, "{off}");
    assert!(reference.iter().all(|value| value.abs() <= 1.0));
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("wan2.2-small");
    let ways: [&[&str]; 2] = [&[], &["--max-memory", "1G"]];
    let [whole, limited] = ways.map(|more| {
        let fast = ["--engine", "fast", "--save-decoded", "d.safetensors"];
        check(&sandbox, &[&fast[..], more].concat());
        read(&sandbox.path("d.safetensors")).unwrap()[0].values.clone()
    });
    assert_eq!(whole, limited);
}

#[test]
fn traces_name_the_modules_that_ran() {
    for (model, modules) in [
        ("wan-small", ["encoder.down_blocks.2.resample.1", "(1, 16, 56, 72)"]),
        ("wan2.2-small", ["encoder.down_blocks.1.avg_shortcut", "(1, 24, 24, 32)"]),
        ("qwen-image-small", ["decoder.up_blocks.0.upsamplers.0", "(1, 16, 56, 72)"]),
    ] {
        let sandbox = sandbox(model);
        let trace = ["trace", "photo.png", "--repo", "model", "--device", "cpu"];
        let ran = sandbox.run(&[&trace[..], &["--save-trace", "t.json"]].concat()).exits(0);
        assert!(!ran.stdout.contains("time_conv"), "it did not run: {}", ran.stdout);
        ran.says(modules[0]).says(modules[1]).says("verdict  pass");
        sandbox.run(&[&trace[..], &["--against", "t.json"]].concat()).exits(0);
    }
}

#[test]
fn inspect_shows_class_fields_and_what_meets_no_data() {
    let sandbox = sandbox("wan2.1");
    let report: Value = sandbox.run(&["inspect", "model", "--json"]).object();
    assert_eq!(report["config"]["class"], "AutoencoderKLWan");
    assert_eq!(report["config"]["values"]["num_res_blocks"], 2);
    assert_eq!(report["family"]["name"], "wan2.1", "{}", report["family"]);
    sandbox.run(&["inspect", "model"]).says("of the class AutoencoderKLWan").notes("65 %");
}
