//! AutoencoderKLHunyuanImage's class through every command: a posterior, squares of pixels, and tiles that diffusers
//! decodes alone.

use serde_json::json;
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/hunyuan/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png"], more].concat()).exits(1)
}

#[test]
fn text_and_json_say_what_was_run() {
    let sandbox = sandbox("hunyuanimage-small");
    let report = check(&sandbox, &["--json"]).object();
    assert_eq!(report["model"]["class"], "AutoencoderKLHunyuanImage");
    assert_eq!(report["latents"]["shape"], json!([1, 16, 1, 2]));
    assert_eq!(report["latents"]["scaling"], json!({"kind": "factor", "scaling_factor": 0.75289}));
    let open = report["not_decided"].to_string();
    for never in ["symmetric-downsample-padding", "batch-norm-statistics", "latent-patch-order"] {
        assert!(!open.contains(never), "{never}: {open}");
    }
    for possible in ["scaling-factor-mismatch", "sample-vs-mode"] {
        assert!(open.contains(possible), "{possible}: {open}");
    }
}

#[test]
fn a_draw_has_its_seed() {
    let sandbox = sandbox("hunyuanimage-uneven");
    let latents = |more: &[&str]| {
        check(&sandbox, &[&["--save-latents", "z.safetensors"], more].concat());
        read(&sandbox.path("z.safetensors")).unwrap()[0].values.clone()
    };
    let mode = latents(&[]);
    let drawn = latents(&["--sample", "--seed", "1"]);
    assert_eq!(drawn, latents(&["--sample", "--seed", "1"]));
    assert_ne!(mode, drawn);
}

#[test]
fn latents_that_were_saved_are_those_that_are_expected() {
    let sandbox = sandbox("hunyuanimage-uneven");
    check(&sandbox, &["--save-latents", "z.safetensors"]);
    let report = check(&sandbox, &["--latents", "z.safetensors", "--json"]).object();
    assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
    sandbox.decodes_what_check_saved(0.75289);
}

#[test]
fn diffusers_decodes_alone_in_tiles_and_that_is_said() {
    let sandbox = sandbox("hunyuanimage-uneven");
    let run = |more: &[&str]| {
        let saved = ["--save-latents", "z.safetensors", "--save-decoded", "d.safetensors"];
        let ran = check(&sandbox, &[&saved[..], more].concat());
        let values = ["z.safetensors", "d.safetensors"]
            .map(|name| read(&sandbox.path(name)).unwrap()[0].values.clone());
        (ran, values)
    };
    let (_, whole) = run(&[]);
    let (tiled, in_tiles) = run(&["--tiling", "--tile-size", "32"]);
    tiled.notes("pictures are encoded whole");
    assert_eq!(whole[0], in_tiles[0]);
    assert_ne!(whole[1], in_tiles[1]);
    let (_, one) = run(&["--tiling", "--tile-size", "80"]);
    assert_eq!(whole, one);
    let size = ["check", "photo.png", "--repo", "model", "--tiling", "--tile-size", "40"];
    sandbox.run(&size).exits(2).notes("expected a multiple of 16");
}

#[test]
fn memory_is_kept_within_a_limit() {
    let sandbox = sandbox("hunyuanimage-small");
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
    let sandbox = sandbox("hunyuanimage-uneven");
    let trace = ["trace", "photo.png", "--repo", "model", "--json"];
    let report = sandbox.run(&trace).object();
    let text = report.to_string();
    for module in ["encoder.mid_block.attentions.0.proj", "decoder.up_blocks.3.conv"] {
        assert!(text.contains(module), "{module}");
    }
    assert!(text.contains("HunyuanImageDownsample"), "{text:.300}");
}
