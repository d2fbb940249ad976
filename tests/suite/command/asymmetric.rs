//! AsymmetricAutoencoderKL's class through every command, without a mask: its halves of other widths, and
//! what it has not.

use serde_json::{Value, json};
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/asymmetric/models/asymmetric-{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_was_run_and_what_was_not() {
    let sandbox = sandbox("small");
    check(&sandbox, &[])
        .says("resized to 72 x 56")
        .says("(1, 4, 7, 9) scaled by 0.18215")
        .notes("10 tensors of decoder.condition_encoder")
        .notes("meet no data: they are for a picture with a mask, and none is given");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["latents"]["shape"], json!([1, 4, 7, 9]));
    assert_eq!(report["latents"]["scaling"], json!({"kind": "factor", "scaling_factor": 0.18215}));
    assert_eq!(report["model"]["config"]["up_block_out_channels"], json!([24, 48, 48, 48]));
    assert_eq!(report["model"]["config"]["layers_per_up_block"], 3);
    // What tiles or statistics in the checkpoint do cannot be asked.
    let open = report["not_decided"].to_string();
    assert!(
        !open.contains("tile-blend-units") && !open.contains("batch-norm-statistics"),
        "{open}"
    );
    assert!(open.contains("scaling-factor-mismatch") && open.contains("sample-vs-mode"), "{open}");
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    let sandbox = sandbox("uneven");
    for draw in [&[][..], &["--sample", "--seed", "3"]] {
        check(&sandbox, &[draw, &["--save-latents", "z.safetensors"]].concat());
        let tensors = read(&sandbox.path("z.safetensors")).unwrap();
        let latents = tensors.iter().find(|t| t.name.as_deref() == Some("latents")).unwrap();
        assert_eq!(latents.values.shape(), [1, 5, 14, 18]);
        let more = [draw, &["--latents", "z.safetensors", "--json"]].concat();
        let report = check(&sandbox, &more).object();
        assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
    }
}

#[test]
fn tiles_and_slices_are_refused_as_diffusers_has_none() {
    let sandbox = sandbox("small");
    for (flags, says) in [
        (&["--tiling"][..], "diffusers has no tiling for AsymmetricAutoencoderKL"),
        (&["--tiling", "--tile-size", "64"], "--tiling"),
        (&["--slicing"], "diffusers has no slicing for AsymmetricAutoencoderKL"),
    ] {
        let arguments = [&["check", "photo.png", "--repo", "model"], flags].concat();
        sandbox.run(&arguments).exits(2).notes(says).notes("--max-memory");
    }
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("small");
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
    let sandbox = sandbox("small");
    let trace = ["trace", "photo.png", "--repo", "model", "--device", "cpu"];
    let ran = sandbox.run(&[&trace[..], &["--save-trace", "t.json"]].concat()).exits(0);
    assert!(!ran.stdout.contains("condition_encoder"), "it did not run: {}", ran.stdout);
    ran.says("encoder.down_blocks.3.resnets.1")
        .says("decoder.up_blocks.3.resnets.3")
        .says("(1, 24, 56, 72)")
        .says("verdict  pass");
    sandbox.run(&[&trace[..], &["--against", "t.json"]].concat()).exits(0);
}

#[test]
fn latents_alone_are_decoded() {
    sandbox("small").decodes_what_check_saved(0.18215);
}

#[test]
fn inspect_shows_class_fields_and_what_meets_no_data() {
    let sandbox = sandbox("x-1.5");
    let report: Value = sandbox.run(&["inspect", "model", "--json"]).object();
    assert_eq!(report["config"]["class"], "AsymmetricAutoencoderKL");
    assert_eq!(report["config"]["values"]["layers_per_up_block"], 3);
    assert_eq!(report["family"]["name"], "asymmetric", "{}", report["family"]);
    assert!(report.to_string().contains("decoder.condition_encoder.layers.4.bias"));
    sandbox
        .run(&["inspect", "model"])
        .says("of the class AsymmetricAutoencoderKL")
        .notes("meet no data");
}

#[test]
fn probe_judges_it_too() {
    let sandbox = sandbox("uneven");
    let ran = sandbox.run(&["probe", "--repo", "model", "--size", "128", "--json"]).exits(1);
    let report: Value = ran.object();
    assert_eq!(report["model"]["config"]["layers_per_down_block"], 1);
    assert!(report["score_db"].as_f64().unwrap() < 0.0, "{}", ran.stdout);
}
