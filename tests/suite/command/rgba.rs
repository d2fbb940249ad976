//! Pictures with alpha, through a VAE that takes it and through one that does not.

use std::fs;
use std::path::PathBuf;

use ndarray::{Array4, Ix4, s};
use serde_json::{Value, json};
use vae_fidelity::image_processor::normalize_rgba;
use vae_fidelity::pixels::{Alpha8, encode_rgba_png, open};
use vae_fidelity::tensor_file::{read_named, to_npy};
use vae_fidelity::{Dtype, Rgb8};

use super::sandbox::{Ran, Sandbox};

/// With a model of RGBA, and a photograph whose right third is transparent.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::of_golden("golden/wan/models/qwen-image-layered-small");
    let photo = open(&sandbox.path("photo.png")).unwrap().pixels;
    let (width, height) = (photo.width(), photo.height());
    let alpha = (0..width * height).map(|at| if at % width > 2 * width / 3 { 0 } else { 255 });
    let alpha = Alpha8::new(width, height, alpha.collect()).unwrap();
    sandbox.write("cut.png", encode_rgba_png(&photo, Some(&alpha)).unwrap());
    sandbox
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, picture: &str, more: &[&str]) -> Ran {
    let size = ["--width", "40", "--height", "32"];
    sandbox.check(&[&[picture], &size[..], more].concat()).exits(1)
}

fn tensor(sandbox: &Sandbox, file: &str, name: &str) -> Array4<f32> {
    read_named(&sandbox.path(file), name).unwrap().into_dimensionality::<Ix4>().unwrap()
}

/// The alpha of a picture's file.
fn alpha(sandbox: &Sandbox, file: &str) -> Alpha8 {
    open(&sandbox.path(file)).unwrap().into_rgba().unwrap().1
}

#[test]
fn alpha_goes_in_and_comes_out_as_a_fourth_channel() {
    let sandbox = sandbox();
    let saved = ["--save-decoded", "d.safetensors", "--save-input", "i.png", "--out", "o.png"];
    let text = check(&sandbox, "cut.png", &[&saved[..], &["--report", "page.html"]].concat());
    assert!(String::from_utf8(sandbox.read("page.html")).unwrap().contains("PSNR of alpha alone"));
    text.says("RGBA").says("alpha    PSNR").notes("also of those below transparent pixels");
    let decoded = tensor(&sandbox, "d.safetensors", "decoded");
    assert_eq!(decoded.dim().1, 4);
    let came = alpha(&sandbox, "o.png");
    for ((y, x), value) in decoded.slice(s![0, 3, .., ..]).indexed_iter() {
        let level = ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even();
        assert_eq!(f32::from(came.value(x, y)), level, "x {x} y {y}");
    }
    let seen = alpha(&sandbox, "i.png");
    assert_eq!((seen.value(0, 0), seen.value(seen.width() - 1, 0)), (255, 0));
    let report = check(&sandbox, "cut.png", &["--json"]).object();
    assert_eq!(report["input"]["mode"], "RGBA");
    assert_eq!(report["alpha"]["source_is_opaque"], false);
    assert!(!report["notes"].to_string().contains("alpha is dropped"), "{}", report["notes"]);
    let error: f64 =
        seen.data().iter().zip(came.data()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
            / seen.data().len() as f64;
    let said = report["alpha"]["mae"].as_f64().unwrap();
    assert!((said - error).abs() < 1e-9, "{said}, expected {error}");
}

#[test]
fn what_has_no_alpha_is_opaque_and_what_is_saved_agrees() {
    let sandbox = sandbox();
    for (picture, opaque) in [("photo.png", true), ("cut.png", false)] {
        let saved = ["--save-latents", "z.safetensors", "--out", "o.png", "--json"];
        let saved = check(&sandbox, picture, &saved).object();
        assert_eq!(saved["alpha"]["source_is_opaque"], opaque, "{picture}");
        let files = ["--latents", "z.safetensors", "--decoded-image", "o.png", "--json"];
        let report = check(&sandbox, picture, &files).object();
        for file in report["files"].as_array().unwrap() {
            assert_eq!(file["agreement"], "same", "{picture}: {file}");
        }
    }
    let latents = |picture: &str| {
        check(&sandbox, picture, &["--save-latents", "z.safetensors"]);
        tensor(&sandbox, "z.safetensors", "latents")
    };
    assert_ne!(latents("photo.png"), latents("cut.png"), "alpha does not reach the encoder");
}

#[test]
fn decode_gives_alpha_too() {
    let sandbox = sandbox();
    check(&sandbox, "cut.png", &["--save-latents", "z.safetensors", "--out", "o.png"]);
    let decode = ["decode", "z.safetensors", "--repo", "model", "--out", "again.png"];
    sandbox.run(&decode).exits(1);
    assert_eq!(sandbox.read("again.png"), sandbox.read("o.png"));
    let files: Vec<PathBuf> = ["again.png", "o.png"].map(|name| sandbox.path(name)).into();
    assert!(files.iter().all(|file| open(file).unwrap().mode == "RGBA"));
}

/// Rules try conversions of what was decoded, which has four channels.
#[test]
fn a_picture_of_other_colours_is_judged_by_its_colours() {
    let sandbox = sandbox();
    check(&sandbox, "cut.png", &["--out", "o.png"]);
    let own = open(&sandbox.path("o.png")).unwrap().pixels;
    let levels = own.data().iter().map(|&level| level / 2 + 60).collect();
    let theirs = Rgb8::new(own.width(), own.height(), levels).unwrap();
    sandbox.write("theirs.png", encode_rgba_png(&theirs, None).unwrap());
    let report = check(&sandbox, "cut.png", &["--decoded-image", "theirs.png", "--json"]).object();
    assert_eq!(report["files"][0]["agreement"], "differs", "{}", report["files"]);
}

#[test]
fn alpha_that_was_fed_is_judged() {
    let sandbox = sandbox();
    check(&sandbox, "cut.png", &["--save-input", "i.png"]);
    let (seen, opacity) = open(&sandbox.path("i.png")).unwrap().into_rgba().unwrap();
    let sample = normalize_rgba(&seen.pixels, &opacity, Dtype::F32).unwrap();
    type Change = fn(usize, f32) -> f32;
    let changes: [(&str, &str, Change); 7] = [
        ("", "", |_, value| value),
        ("preprocessed-differs", "opaque throughout", |c, v| if c == 3 { 1.0 } else { v }),
        ("preprocessed-differs", "nothing but transparent", |c, v| if c == 3 { -1.0 } else { v }),
        ("preprocessed-differs", "inverted", |c, v| if c == 3 { -v } else { v }),
        (
            "preprocessed-differs",
            "in [0, 1], beside",
            |c, v| if c == 3 { (v + 1.0) / 2.0 } else { v },
        ),
        ("preprocessed-differs", "is not the picture's", |c, v| if c == 3 { v * 0.7 } else { v }),
        ("input-not-normalised", "", |_, value| (value + 1.0) / 2.0),
    ];
    for (code, words, change) in changes {
        let mut fed = sample.clone();
        fed.indexed_iter_mut().for_each(|((_, c, ..), value)| *value = change(c, *value));
        sandbox.write("fed.npy", to_npy(fed.view().into_dyn()));
        let report = check(&sandbox, "cut.png", &["--preprocessed", "fed.npy", "--json"]).object();
        if code.is_empty() {
            assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
            continue;
        }
        let findings = report["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["code"] == code);
        let title = found.unwrap_or_else(|| panic!("{code}: {findings:?}"))["title"].to_string();
        assert!(title.contains(words), "{title}");
        assert!(!findings.iter().any(|f| f["code"] == "levels-changed"), "{words}: {findings:?}");
    }
}

#[test]
fn alpha_of_the_users_picture_is_judged() {
    let sandbox = sandbox();
    check(&sandbox, "cut.png", &["--save-latents", "z.safetensors", "--out", "o.png"]);
    let (opened, own) = open(&sandbox.path("o.png")).unwrap().into_rgba().unwrap();
    type Change = fn(u8) -> u8;
    let changes: [(&str, Change); 5] = [
        ("opaque throughout", |_| 255),
        ("0 throughout", |_| 0),
        ("inverted", |level| 255 - level),
        ("taken for [0, 1]", |level| (2 * i16::from(level) - 255).max(0) as u8),
        ("not what this VAE decodes", |level| level / 4 + 20),
    ];
    for (words, change) in changes {
        let data = own.data().iter().map(|&level| change(level)).collect();
        let alpha = Alpha8::new(own.width(), own.height(), data).unwrap();
        sandbox.write("theirs.png", encode_rgba_png(&opened.pixels, Some(&alpha)).unwrap());
        let decode =
            ["decode", "z.safetensors", "--repo", "model", "--decoded-image", "theirs.png"];
        let decoded = sandbox.run(&[&decode[..], &["--json"]].concat()).exits(1).object();
        let checked = check(&sandbox, "cut.png", &["--decoded-image", "theirs.png", "--json"]);
        for report in [decoded, checked.object()] {
            let findings = report["findings"].as_array().unwrap();
            let found = findings.iter().find(|finding| finding["code"] == "decoded-differs");
            let title =
                found.unwrap_or_else(|| panic!("{words}: {findings:?}"))["title"].to_string();
            assert!(title.contains("your picture's alpha is") && title.contains(words), "{title}");
        }
    }
    // Colours alone are compared with what has none.
    sandbox.write("theirs.png", encode_rgba_png(&opened.pixels, None).unwrap());
    let report = check(&sandbox, "cut.png", &["--decoded-image", "theirs.png", "--json"]).object();
    assert_eq!(report["files"][0]["agreement"], "same", "{}", report["files"]);
}

#[test]
fn every_other_command_runs_such_a_vae() {
    let sandbox = sandbox();
    let traced = sandbox.run(&["trace", "cut.png", "--repo", "model", "--json"]).exits(0).object();
    let shapes = traced["encode"].as_array().unwrap();
    assert!(!shapes.is_empty());
    let probed = sandbox.run(&["probe", "--repo", "model", "--size", "128", "--json"]).exits(1);
    assert!(probed.object()["score_db"].is_number());
    if cfg!(feature = "evaluate") {
        fs::create_dir(sandbox.path("data")).unwrap();
        for picture in ["photo.png", "cut.png"] {
            fs::copy(sandbox.path(picture), sandbox.path("data").join(picture)).unwrap();
        }
        let evaluate = ["evaluate", "data", "--repo", "model", "--out", "result", "--json"];
        let result: Value = sandbox.run(&evaluate).exits(0).object();
        // A data set's pictures are taken as opaque, so that both are one.
        let psnr = &result["models"][0]["metrics"]["psnr_db"];
        assert_eq!(psnr["std"], json!(0.0), "{psnr}");
    }
}

#[test]
fn a_vae_of_rgb_leaves_it_out_and_says_so() {
    let of_rgb = Sandbox::of_golden("golden/wan/models/qwen-image-small");
    of_rgb.write("cut.png", sandbox().read("cut.png"));
    let report = check(&of_rgb, "cut.png", &["--json"]).notes("alpha is dropped").object();
    assert_eq!(report.get("alpha"), None);
    assert_eq!(report["decoded"]["shape"][1], 3);
}
