//! `check --frames`: a still picture, a folder and animations as clips.

use ndarray::{Array4, Ix4};
use serde_json::{Value, json};
use vae_fidelity::pixels::{encode_frames_png, open, open_frames};
use vae_fidelity::tensor_file::read_named;

use super::sandbox::{Ran, Sandbox};

fn sandbox(model: &str) -> Sandbox {
    Sandbox::of_golden(&format!("golden/wan/models/{model}"))
}

/// Drawn weights are said to be untrained, so that no run passes.
fn check(sandbox: &Sandbox, clip: &str, more: &[&str]) -> Ran {
    sandbox.check(&[&[clip, "--frames", "5"], more].concat()).exits(1)
}

fn tensor(sandbox: &Sandbox, file: &str, name: &str) -> Array4<f32> {
    read_named(&sandbox.path(file), name).unwrap().into_dimensionality::<Ix4>().unwrap()
}

/// Pictures of `golden/images` as the frames of a clip, in a folder.
fn folder(sandbox: &Sandbox, names: &[&str]) {
    std::fs::create_dir(sandbox.path("clip")).unwrap();
    for (number, name) in names.iter().enumerate() {
        let bytes = std::fs::read(format!("golden/images/{name}")).unwrap();
        sandbox.write(&format!("clip/{number}-{name}"), bytes);
    }
}

const FILES: [&str; 6] =
    ["--save-latents", "z.safetensors", "--save-decoded", "d.safetensors", "--out", "o.png"];

#[test]
fn a_folder_is_the_golden_clip() {
    let small = sandbox("wan-small");
    let names = ["astronaut.png", "progressive_420.jpg", "coffee.jpg", "cmyk.jpg", "astronaut.png"];
    folder(&small, &names);
    let size = ["--width", "40", "--height", "32"];
    let report = check(&small, "clip", &[&FILES[..], &size, &["--json"]].concat()).object();
    let clip = &report["clip"];
    assert_eq!((&clip["frames"], &clip["still"]), (&json!(5), &json!(false)));
    assert_eq!(clip["latents"]["shape"], json!([2, 16, 4, 5]));
    assert_eq!(clip["decoded"]["shape"], json!([5, 3, 32, 40]));
    assert_eq!(clip["metrics"].as_array().unwrap().len(), 5);
    let of_picture = &report["metrics"]["psnr_db"];
    assert_eq!(&clip["metrics"][0]["psnr_db"], of_picture, "the first frame is the picture");
    assert_ne!(&clip["metrics"][1]["psnr_db"], of_picture);
    let latents = tensor(&small, "z.safetensors", "latents");
    let path = "golden/wan/cases/wan-small-clip/latents.safetensors";
    let golden = read_named(path.as_ref(), "latents").unwrap();
    let apart = (&latents.into_dyn() - &golden).mapv(f32::abs).into_iter().fold(0.0, f32::max);
    assert!(apart <= 1e-4, "{apart}");
    // What was decoded is an animation, whose first picture readers show that know no more.
    let frames = open_frames(&small.path("o.png"), 9).unwrap();
    assert_eq!(frames.len(), 5);
    assert_eq!(frames[0].pixels, open(&small.path("o.png")).unwrap().pixels);
    let decoded = tensor(&small, "d.safetensors", "decoded");
    let frame = |number: usize| decoded.slice(ndarray::s![number..=number, .., .., ..]).to_owned();
    for (number, opened) in frames.iter().enumerate() {
        let level = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) * 127.5).round_ties_even() as u8;
        let expected = level(frame(number)[[0, 0, 3, 4]]);
        let found = opened.pixels.data()[3 * (3 * opened.pixels.width() + 4)];
        assert!(found.abs_diff(expected) <= 1, "frame {number}: {found}, {expected}");
    }
    // The same frames as an animation: the same latents.
    let seen: Vec<_> = frames.iter().map(|frame| (&frame.pixels, None)).collect();
    small.write("again.png", encode_frames_png(&seen).unwrap());
    let twice = check(&small, "again.png", &["--json"]).object();
    assert_eq!((&twice["clip"]["frames"], &twice["clip"]["still"]), (&json!(5), &json!(false)));
}

#[test]
fn a_still_picture_is_repeated() {
    for model in ["wan2.2-small", "qwen-image-small"] {
        let sandbox = sandbox(model);
        let ran = check(&sandbox, "photo.png", &["--sample", "--seed", "4"]);
        ran.says("5 frames of one still picture; latents (2, ").says("PSNR by frame, dB: ");
        let report = check(&sandbox, "photo.png", &["--json"]).object();
        assert_eq!(report["clip"]["still"], json!(true));
        let notes = report["notes"].to_string();
        assert!(!notes.contains("meet no data"), "{notes}");
        let alone = sandbox.check(&["photo.png", "--json"]).exits(1).object();
        assert_eq!(alone["clip"], Value::Null);
        assert!(alone["notes"].to_string().contains("--frames sends a clip through"), "{alone}");
    }
}

#[test]
fn every_frame_has_to_reach_what_is_asked() {
    let small = sandbox("wan-small");
    let report = check(&small, "photo.png", &["--min-psnr", "90", "--json"]).object();
    let reasons = report["verdict_reasons"].to_string();
    assert!(reasons.contains("frame 1: PSNR is ") && reasons.contains("frame 4: "), "{reasons}");
}

#[test]
fn what_is_no_clip_is_refused() {
    let small = sandbox("wan-small");
    folder(&small, &["astronaut.png", "coffee.jpg"]);
    small.refuses(&["clip", "--frames", "5"], &["clip", "expected 5 frames, found 2"]);
    small.refuses(&["photo.png", "--frames", "4"], &["--frames", "5, 9, 13"]);
    small.refuses(
        &["photo.png", "--frames", "5", "--max-memory", "1G", "--engine", "fast"],
        &["max-memory", "single pictures"],
    );
    Sandbox::new().refuses(&["photo.png", "--frames", "5"], &["AutoencoderKL", "single pictures"]);
}
