//! AutoencoderTiny's class through every command: its latents, tiles, traces, charts and files, and what it
//! has not.

use serde_json::{Value, json};
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/tiny/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_the_latents_are() {
    let sandbox = sandbox("tiny-small");
    check(&sandbox, &[]).says("resized to 72 x 56").says("(1, 4, 7, 9) scaled by 1");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["latents"]["shape"], json!([1, 4, 7, 9]));
    assert_eq!(report["latents"]["scaling"], json!({"kind": "factor", "scaling_factor": 1.0}));
    assert_eq!(report["posterior"], json!({"kind": "deterministic", "seed": null}));
    assert_eq!(report["model"]["config"]["num_encoder_blocks"], json!([1, 3, 3, 3]));
    assert_eq!(report["model"]["config"]["latent_magnitude"], 3.0);
    // Of statistics in the checkpoint nothing can be asked.
    assert!(!report["not_decided"].to_string().contains("batch-norm-statistics"));
    let tensors = {
        check(&sandbox, &["--save-latents", "z.safetensors"]);
        read(&sandbox.path("z.safetensors")).unwrap()
    };
    let names: Vec<_> = tensors.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    assert_eq!(names, ["latents"], "there are no moments");
    let report = check(&sandbox, &["--latents", "z.safetensors", "--json"]).object();
    assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
}

#[test]
fn a_draw_is_refused() {
    let sandbox = sandbox("tiny-small");
    for command in ["check", "trace"] {
        let arguments = [command, "photo.png", "--repo", "model", "--sample", "--seed", "3"];
        let ran = sandbox.run(&arguments).exits(2);
        ran.notes("AutoencoderTiny: the encoder gives latents").notes("leave out --sample");
    }
}

#[test]
fn sides_are_rounded_up_in_the_encoder() {
    // Five levels: 16 pixels a latent, and 8 of the last are padded.
    let sandbox = sandbox("tiny-uneven");
    let report = check(&sandbox, &["--width", "40", "--height", "72", "--json"]).object();
    assert_eq!(report["latents"]["shape"], json!([1, 5, 5, 3]));
    assert_eq!(report["decoded"]["shape"], json!([1, 3, 80, 48]));
}

#[test]
fn tiles_are_the_classes_own() {
    let small = sandbox("tiny-small");
    let report = check(&small, &["--tiling", "--json"]).object();
    let tiles = json!({"tile_sample_min_size": 512, "tile_latent_min_size": 64});
    assert_eq!(report["model"]["tiling"], tiles);
    check(&small, &["--tiling", "--tile-size", "128"]).says("in tiles of 128");
    let refused = |sandbox: &Sandbox, more: &[&str], says: &str| {
        let arguments = [&["check", "photo.png", "--repo", "model", "--tiling"], more].concat();
        sandbox.run(&arguments).exits(2).notes(says);
    };
    refused(&small, &["--tile-size", "96"], "expected a multiple of 64 pixels from 128, found 96");
    refused(&small, &["--dtype", "bf16"], "does not take in bf16");
    refused(&sandbox("tiny-uneven"), &[], "as if latents were 2^out_channels times smaller");
    refused(&sandbox("taesd3"), &[], "to 4 channels alone, and fails for the 16 of this model");
}

#[test]
fn traces_name_its_modules() {
    let sandbox = sandbox("tiny-small");
    let trace = ["trace", "photo.png", "--repo", "model", "--device", "cpu"];
    let ran = sandbox.run(&[&trace[..], &["--save-trace", "t.json"]].concat()).exits(0);
    ran.says("encoder.layers.12.conv.4").says("decoder.layers.18").says("verdict  pass");
    sandbox.run(&[&trace[..], &["--against", "t.json"]].concat()).exits(0);
    let report = sandbox.run(&[&trace[..], &["--json"]].concat()).exits(0).object();
    assert_eq!(report["posterior"]["kind"], "deterministic");
}

#[test]
fn latents_alone_are_decoded() {
    sandbox("tiny-small").decodes_what_check_saved(1.0);
}

#[test]
fn inspect_shows_class_and_fields() {
    let sandbox = sandbox("taesd3");
    let report = sandbox.run(&["inspect", "model", "--json"]).object();
    assert_eq!(report["config"]["class"], "AutoencoderTiny");
    assert_eq!(report["config"]["values"]["latent_channels"], 16);
    assert_eq!(report["config"]["values"].get("use_midblock_gn"), None);
    assert!(report.to_string().contains("decoder.layers.18.bias"));
    sandbox.run(&["inspect", "model"]).says("of the class AutoencoderTiny");
}

#[test]
fn probe_judges_it_too() {
    let sandbox = sandbox("tiny-small");
    let ran = sandbox.run(&["probe", "--repo", "model", "--size", "128", "--json"]).exits(1);
    let report: Value = ran.object();
    assert_eq!(report["model"]["config"]["act_fn"], "relu");
    assert!(report["score_db"].as_f64().unwrap() < 0.0, "{}", ran.stdout);
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("tiny-small");
    let ways: [&[&str]; 2] = [&[], &["--max-memory", "1G"]];
    let [whole, limited] = ways.map(|more| {
        let fast = ["--engine", "fast", "--save-decoded", "d.safetensors"];
        check(&sandbox, &[&fast[..], more].concat());
        read(&sandbox.path("d.safetensors")).unwrap()[0].values.clone()
    });
    assert_eq!(whole, limited);
}
