//! FLUX.2's class through every command: sizes, latents in patches, tiles, draws, traces and files.

use serde_json::Value;
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox, picture};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

fn codes(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[test]
fn text_and_json_say_which_rule_was_applied() {
    let sandbox = sandbox("flux2-small");
    check(&sandbox, &[])
        .says("resized to 64 x 48")
        .says("(1, 32, 3, 4) patched 2 x 2 and normalised by the checkpoint's statistics (bn)");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["latents"]["shape"], serde_json::json!([1, 32, 3, 4]));
    assert_eq!(report["latents"]["scaled_by"], Value::Null);
    let scaling = &report["latents"]["scaling"];
    assert_eq!(scaling["kind"], "patched_batch_norm");
    assert_eq!(scaling["patch_size"], serde_json::json!([2, 2]));
    let numbers = |field: &str| -> Vec<f64> {
        let list = scaling[field].as_array().unwrap().iter();
        list.map(|number| number.as_f64().unwrap()).collect()
    };
    // The recipe's variances lie within 10 % of 4, its means within 0.2 of 0.
    assert_eq!((numbers("mean").len(), numbers("std").len()), (32, 32));
    assert!(numbers("std").iter().all(|std| (1.89..2.1).contains(std)), "{scaling}");
    assert!(numbers("mean").iter().all(|mean| mean.abs() <= 0.2), "{scaling}");
    assert_eq!(report["model"]["config"]["batch_norm_eps"], 1e-4);
    // What can be decided is this class's.
    let open = report["not_decided"].to_string();
    assert!(open.contains("latent-patch-order") && !open.contains("scaling-factor-mismatch"));
}

#[test]
fn sides_are_multiples_of_16() {
    let sandbox = sandbox("flux2-small");
    for command in ["check", "trace"] {
        let arguments =
            [command, "photo.png", "--repo", "model", "--width", "72", "--height", "64"];
        let ran = sandbox.run(&arguments).exits(2);
        ran.notes("--width: expected a multiple of 16, at least 16, found 72")
            .notes("use 64 or 80");
    }
    check(&sandbox, &["--width", "80", "--height", "48"]).says("(1, 32, 3, 5)");
    sandbox.write("photo.png", picture(9, 5, 0));
    check(&sandbox, &[]).says("(1, 32, 1, 1)");
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    let sandbox = sandbox("flux2-small");
    for draw in [&[][..], &["--sample", "--seed", "3"]] {
        check(&sandbox, &[draw, &["--save-latents", "z.safetensors"]].concat());
        let tensors = read(&sandbox.path("z.safetensors")).unwrap();
        let latents = tensors.iter().find(|t| t.name.as_deref() == Some("latents")).unwrap();
        assert_eq!(latents.values.shape(), [1, 32, 3, 4]);
        let more = [draw, &["--latents", "z.safetensors", "--json"]].concat();
        let report = check(&sandbox, &more).object();
        assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
        let of_latents = ["batch-norm-statistics", "latent-patch-order", "latents-differ"];
        assert!(codes(&report).iter().all(|code| !of_latents.contains(code)), "{report}");
    }
    // The draw is no mode.
    let report = check(&sandbox, &["--latents", "z.safetensors", "--json"]).object();
    assert!(codes(&report).contains(&"sample-vs-mode"), "{:?}", codes(&report));
}

#[test]
fn tiles_and_traces_are_those_of_its_halves() {
    let sandbox = sandbox("flux2-small-decoder");
    let report = check(&sandbox, &["--tiling", "--json"]).object();
    let tiles = serde_json::json!({"tile_sample_min_size": 32, "tile_latent_min_size": 4});
    assert_eq!(report["model"]["tiling"], tiles);
    assert_eq!(report["latents"]["shape"], serde_json::json!([1, 32, 3, 4]));
    let trace = ["trace", "photo.png", "--repo", "model", "--device", "cpu"];
    let saved = [&trace[..], &["--save-trace", "t.json"]].concat();
    sandbox
        .run(&saved)
        .exits(0)
        .says("encoder.down_blocks.3.resnets.1")
        .says("(1, 48, 6, 8)")
        .says("verdict  pass");
    let against = [&trace[..], &["--against", "t.json"]].concat();
    sandbox.run(&against).exits(0);
}

#[test]
fn inspect_shows_class_fields_and_statistics() {
    let sandbox = sandbox("flux2-small-decoder");
    let report = sandbox.run(&["inspect", "model", "--json"]).object();
    assert_eq!(
        report["config"]["values"]["decoder_block_out_channels"].to_string(),
        "[12,24,24,48]"
    );
    assert_eq!(report["config"]["class"], "AutoencoderKLFlux2");
    assert!(report.to_string().contains("bn.running_var"));
    sandbox.run(&["inspect", "model"]).says("of the class AutoencoderKLFlux2");
}

/// Charts know nothing of the class.
#[test]
fn probe_judges_it_too() {
    let sandbox = sandbox("flux2-small");
    let ran = sandbox.run(&["probe", "--repo", "model", "--size", "128", "--json"]).exits(1);
    let report = ran.object();
    assert_eq!(report["model"]["config"]["batch_norm_eps"], 1e-4);
    assert!(report["score_db"].as_f64().unwrap() < 0.0, "{}", ran.stdout);
    assert_eq!(report["trips"].as_array().unwrap().len(), 10);
}
