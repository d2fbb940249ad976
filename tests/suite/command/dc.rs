//! AutoencoderDC's class through every command: no posterior, and tiles of its own.

use serde_json::json;
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/dc/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_was_run() {
    let sandbox = sandbox("dc-sana-small");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["latents"]["shape"], json!([1, 8, 1, 2]));
    assert_eq!(report["latents"]["scaling"], json!({"kind": "factor", "scaling_factor": 0.41407}));
    assert_eq!(report["model"]["config"]["_class_name"], json!(null));
    // What a posterior or statistics in the checkpoint do cannot be asked.
    let open = report["not_decided"].to_string();
    for never in ["sample-vs-mode", "posterior-noise", "batch-norm-statistics", "tile-blend-units"]
    {
        assert!(!open.contains(never), "{never}: {open}");
    }
    assert!(open.contains("scaling-factor-mismatch"), "{open}");
}

#[test]
fn nothing_can_be_drawn() {
    let sandbox = sandbox("dc-sana-small");
    let arguments = ["check", "photo.png", "--repo", "model", "--sample", "--seed", "1"];
    sandbox.run(&arguments).exits(2).notes("AutoencoderDC");
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    let sandbox = sandbox("dc-uneven");
    check(&sandbox, &["--save-latents", "z.safetensors"]);
    let report = check(&sandbox, &["--latents", "z.safetensors", "--json"]).object();
    assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
}

#[test]
fn tiles_overlap_by_an_eighth() {
    let sandbox = sandbox("dc-mix-small");
    let run = |size: &str| {
        let arguments = ["check", "photo.png", "--repo", "model", "--tiling", "--tile-size", size];
        sandbox.run(&arguments)
    };
    run("128").exits(1);
    run("64").exits(2).notes("expected a multiple of 128").notes("by an eighth");
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("dc-sana-small");
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
    let sandbox = sandbox("dc-mix-small");
    let trace = ["trace", "photo.png", "--repo", "model", "--json"];
    let report = sandbox.run(&trace).object();
    let text = report.to_string();
    for module in ["encoder.down_blocks.3.0.attn.to_q", "decoder.up_blocks.1.1.norm"] {
        assert!(text.contains(module), "{module}");
    }
}
