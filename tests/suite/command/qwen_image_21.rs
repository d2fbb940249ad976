//! Qwen-Image 2.1's class through every command: pictures in RGBA, latents 16 times smaller, tiles that are clamped.

use ndarray::Ix4;
use serde_json::{Value, json};
use vae_fidelity::tensor_file::{read, read_named};

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/wan/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_was_run() {
    let sandbox = sandbox("qwen-image-2.1-small");
    check(&sandbox, &[])
        .says("resized to 64 x 48")
        .says("(1, 16, 3, 4) normalised by the config's latents_mean and latents_std")
        .notes("those of time_conv, meet no data")
        .says("clamped to [-1, 1] by the model");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["model"]["class"], "AutoencoderKLQwenImage21");
    assert_eq!(report["input"]["mode"], "RGB");
    assert_eq!(report["alpha"]["source_is_opaque"], true);
    assert_eq!(report["decoded"]["shape"], json!([1, 4, 48, 64]));
    assert_eq!(report["latents"]["scaling"]["kind"], "per_channel");
    assert_eq!(report["latents"]["scaling"]["form"], "quotient");
    assert_eq!(report["latents"]["scaling"]["std"][0], json!(3.2001));
    let open = report["not_decided"].to_string();
    for code in ["scaling-factor-mismatch", "tile-blend-units", "batch-norm-statistics"] {
        assert!(!open.contains(code), "{code}: {open}");
    }
    assert!(open.contains("latent-stats-ignored") && open.contains("sample-vs-mode"), "{open}");
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    for model in ["qwen-image-2.1-small", "qwen-image-2.1-uneven"] {
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
fn tiles_are_clamped_when_they_are_one_picture() {
    let sandbox = sandbox("qwen-image-2.1-small");
    let tiles = ["--tiling", "--tile-size", "64", "--width", "112", "--height", "80"];
    check(&sandbox, &[&tiles[..], &["--save-decoded", "d.safetensors"]].concat())
        .says("clamped to [-1, 1] by the model");
    let decoded = read_named(&sandbox.path("d.safetensors"), "decoded").unwrap();
    let decoded = decoded.into_dimensionality::<Ix4>().unwrap();
    assert_eq!(decoded.dim(), (1, 4, 80, 112));
    assert!(decoded.iter().all(|value| value.abs() <= 1.0));
    let bad = ["check", "photo.png", "--repo", "model", "--tiling", "--tile-size", "72"];
    sandbox.run(&bad).exits(2).notes("expected a multiple of 64");
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("qwen-image-2.1-small");
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
    for (model, module) in [
        ("qwen-image-2.1-small", "encoder.down_blocks.1.avg_shortcut"),
        ("qwen-image-2.1-uneven", "decoder.up_blocks.0.upsamplers.0"),
    ] {
        let sandbox = sandbox(model);
        let trace = ["trace", "photo.png", "--repo", "model", "--device", "cpu"];
        let ran = sandbox.run(&[&trace[..], &["--save-trace", "t.json"]].concat()).exits(0);
        assert!(!ran.stdout.contains("time_conv"), "it did not run: {}", ran.stdout);
        ran.says(module).says("verdict  pass");
        sandbox.run(&[&trace[..], &["--against", "t.json"]].concat()).exits(0);
    }
}

#[test]
fn inspect_shows_class_and_family() {
    let sandbox = sandbox("qwen-image-2.1");
    let report: Value = sandbox.run(&["inspect", "model", "--json"]).object();
    assert_eq!(report["config"]["class"], "AutoencoderKLQwenImage21");
    assert_eq!(report["config"]["values"]["dim_mult"], json!([1, 2, 4, 8, 8]));
    assert_eq!(report["family"]["name"], "qwen-image-2.1", "{}", report["family"]);
}
