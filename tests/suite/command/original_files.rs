//! The one file that people have of a VAE, and no flag beside it: a verdict, or one question. The files have
//! the published names and shapes and no values, so that nothing comes back from them.

use std::path::Path;

use crate::checkpoint::families::{Model, stable_diffusion};
use crate::checkpoint::{asymmetric, dc, flux2, hunyuan, qwen_image_21, tiny, wan};

use super::sandbox::{Ran, Sandbox, picture};

fn check(model: &Path, more: &[&str]) -> Ran {
    let sandbox = Sandbox::new();
    sandbox.write("small.png", picture(16, 16, 0));
    let file = model.to_str().unwrap();
    sandbox.run(&[&["check", "small.png", "--repo", file], more].concat())
}

/// It is run as what it is; that it has no values is said of it, and nothing else is blamed.
fn is_run_as(model: &Path, class: &str, family: &str) {
    let ran = check(model, &["--json"]).exits(1);
    let report = ran.object();
    let model = &report["model"];
    assert_eq!([&model["class"], &model["family"]], [class, family]);
    let findings = report["findings"].as_array().unwrap().iter();
    let errors = findings.filter(|finding| finding["severity"] == "error");
    let codes: Vec<&str> = errors.map(|finding| finding["code"].as_str().unwrap()).collect();
    let of_zeros = ["weights-zero", "dead-encoder", "dead-decoder", "passes-nothing"];
    assert!(!codes.is_empty() && codes.iter().all(|code| of_zeros.contains(code)), "{codes:?}");
}

#[test]
fn flux2_has_a_verdict() {
    let file = Model::new(&flux2::published(None), "").renamed(flux2::original);
    is_run_as(&file.write("flux2-vae.safetensors"), "AutoencoderKLFlux2", "flux2");
}

#[test]
fn tiny_ones_have_a_verdict() {
    for (latents, family) in [(4, "taesd"), (16, "taesd3"), (32, "taef2")] {
        let config = tiny::published(latents);
        let file = Model::new(&config, "").renamed(tiny::of_comfyui).with("vae_scale", &[1]);
        is_run_as(&file.write("tiny.safetensors"), "AutoencoderTiny", family);
    }
}

#[test]
fn asymmetric_ones_have_a_verdict() {
    let [narrow, _] = asymmetric::published();
    let file = Model::new(&narrow, "").renamed(asymmetric::original).with("loss.logvar", &[]);
    is_run_as(&file.write("x-1-5.safetensors"), "AsymmetricAutoencoderKL", "asymmetric");
}

#[test]
fn dc_has_a_verdict() {
    let [sana, _] = dc::published();
    let file = dc::original_file(&sana);
    is_run_as(&file.write("dc-ae-f32c32-sana-1.0.safetensors"), "AutoencoderDC", "sana");
}

#[test]
#[ignore = "takes 2.5 GB: .ci/full runs it"]
fn hunyuan_image_has_a_verdict() {
    let file = Model::new(&hunyuan::published(), "").renamed(hunyuan::original);
    let path = file.write("hunyuan_image_2.1_vae_fp16.safetensors");
    is_run_as(&path, "AutoencoderKLHunyuanImage", "hunyuanimage");
}

#[test]
fn wan_has_a_verdict() {
    let file = Model::new(&wan::wan_21(), "").renamed(wan::original_21);
    is_run_as(&file.write("wan_2.1_vae.safetensors"), "AutoencoderKLWan", "wan2.1");
}

#[test]
fn qwen_image_2_1_has_a_verdict() {
    let file = qwen_image_21::original_file();
    let path = file.write("qwen_image_2.1_vae_bf16.safetensors");
    is_run_as(&path, "AutoencoderKLQwenImage21", "qwen-image-2.1");
}

#[test]
#[ignore = "takes 4 GB: .ci/full runs it"]
fn wan_2_2_has_a_verdict() {
    let file = Model::new(&wan::wan_22(), "").renamed(wan::original_22);
    is_run_as(&file.write("wan2.2_vae.safetensors"), "AutoencoderKLWan", "wan2.2");
}

/// Stable Diffusion 1, 2 and XL have one graph, and other factors.
#[test]
fn stable_diffusion_is_asked_for_its_family() {
    let model = Model::new(&stable_diffusion(), "");
    let file = model.write("vae-ft-mse.safetensors");
    let asked = check(&file, &[]).exits(2);
    for part in ["sd1", "sdxl", "--family"] {
        asked.check(asked.stderr.contains(part), part);
    }
    let ran = check(&file, &["--family", "sdxl", "--json"]).exits(1);
    assert_eq!(ran.object()["model"]["family"], "sdxl");
}
