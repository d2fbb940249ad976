//! `decode`: latents without the picture that they were made from.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use ndarray::{Array4, Axis, s};
use vae_fidelity::pixels::encode_png;
use vae_fidelity::tensor_file::{read_named, to_safetensors};
use vae_fidelity::{Rgb8, pixels};

use super::sandbox::{Ran, Sandbox, Tensor, safetensors_of};

/// What `check` makes of a photograph.
struct Checked {
    /// What the encoder was given.
    input: Vec<u8>,
    /// Its latents, scaled as pipelines do.
    latents: Vec<u8>,
    /// The picture decoded from them.
    picture: Vec<u8>,
}

/// By the built-in VAE, at a size at which every change of latents is told, and no larger: what is not
/// explained at once costs some thirty round trips.
static CHECKED: LazyLock<Checked> = LazyLock::new(|| {
    let sandbox = Sandbox::new();
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/astronaut.png"));
    fs::copy(golden, sandbox.path("astronaut.png")).unwrap();
    let size = ["--width", "96", "--height", "96"];
    let saved = ["--save-input", "i.png", "--save-latents", "z.safetensors", "--out", "check.png"];
    sandbox.run(&[&["check", "astronaut.png"], &size[..], &saved[..]].concat()).exits(0);
    let [input, latents, picture] =
        ["i.png", "z.safetensors", "check.png"].map(|name| sandbox.read(name));
    Checked { input, latents, picture }
});

/// A sandbox with `z.safetensors` and `check.png` of the photograph, and its latents.
fn with_latents() -> (Sandbox, Array4<f32>) {
    let sandbox = Sandbox::new();
    sandbox.write("z.safetensors", &CHECKED.latents).write("check.png", &CHECKED.picture);
    let latents = read_named(&sandbox.path("z.safetensors"), "latents").unwrap();
    (sandbox, latents.into_dimensionality().unwrap())
}

fn save(sandbox: &Sandbox, name: &str, latents: &Array4<f32>) {
    let latents = latents.as_standard_layout();
    sandbox.write(name, to_safetensors(&[("latents", latents.view())]).unwrap());
}

fn decoded(sandbox: &Sandbox, more: &[&str]) -> Ran {
    sandbox.run(&[&["decode", "l.safetensors", "--json"], more].concat())
}

#[test]
fn sound_latents_give_the_picture_of_check_and_pass() {
    let (sandbox, latents) = with_latents();
    let text =
        sandbox.run(&["decode", "z.safetensors", "--save-decoded", "d.safetensors"]).exits(0);
    let text = text.says("again").says("verdict  pass");
    text.check(
        sandbox.read("decoded.png") == sandbox.read("check.png"),
        "expected check's picture",
    );
    assert!(sandbox.exists("d.safetensors"));
    save(&sandbox, "l.safetensors", &latents);
    let ran = decoded(&sandbox, &["--decoded-image", "check.png"]).exits(0);
    let object = ran.object();
    assert_eq!(object["latents"]["taken_as"], "scaled");
    assert_eq!(object["reencoded"]["judged"], true);
    assert_eq!(object["files"][0]["agreement"], "same");
    assert_eq!(object["findings"].as_array().unwrap().len(), 0, "{}", ran.stdout);
    // Raw ones, where that is said.
    save(&sandbox, "l.safetensors", &latents.mapv(|z| z / 0.428_93));
    decoded(&sandbox, &["--latents-scale", "raw"]).exits(0);
}

#[test]
fn what_was_done_to_latents_is_told_without_the_original() {
    let (sandbox, latents) = with_latents();
    let found = |latents: &Array4<f32>, code: &str, title: &str| {
        save(&sandbox, "l.safetensors", latents);
        let ran = decoded(&sandbox, &[]).exits(1);
        let object = ran.object();
        let first = &object["findings"][0];
        let told = first["title"].as_str().unwrap_or_default();
        ran.check(first["code"] == code && told.contains(title), "expected another finding");
    };
    let factor = 0.428_93;
    found(&latents.mapv(|z| z / factor), "scaling-factor-mismatch", "as the model makes them");
    found(&latents.mapv(|z| z * factor), "scaling-factor-mismatch", "scaled twice");
    let (_, c, h, w) = latents.dim();
    let hwc = latents.index_axis(Axis(0), 0).permuted_axes([1, 2, 0]);
    let reread = hwc.iter().copied().collect();
    let reread = Array4::from_shape_vec((1, c, h, w), reread).unwrap();
    found(&reread, "layout-scrambled", "(H, W, C) in memory read as (C, H, W)");
    let mut turned = latents.clone();
    turned.swap_axes(2, 3);
    found(&turned, "layout-scrambled", "with rows and columns exchanged");
    found(&latents.mapv(|z| -z), "scaling-factor-mismatch", "have the opposite sign");
    found(&latents.mapv(|z| z * 1e-38), "latents-differ", "as good as constant");
    found(
        &turned.mapv(|z| z * factor),
        "scaling-factor-mismatch",
        "with rows and columns exchanged",
    );
    let mut bad = latents.clone();
    bad[[0, 1, 2, 3]] = f32::NAN;
    found(&bad, "non-finite-output", "1 values of your latents");
    found(&Array4::from_elem((1, c, 8, 8), 0.5), "latents-differ", "one constant");
    found(&latents.slice(s![.., ..4, .., ..]).to_owned(), "wrong-family-channels", "16 channels");
}

#[test]
fn the_users_picture_is_held_against_the_decoded_one() {
    let (sandbox, latents) = with_latents();
    save(&sandbox, "l.safetensors", &latents);
    let picture = pixels::open(&sandbox.path("check.png")).unwrap().pixels;
    let bgr = picture.data().chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect();
    let bgr = Rgb8::new(picture.width(), picture.height(), bgr).unwrap();
    sandbox.write("theirs.png", encode_png(&bgr).unwrap());
    let ran = decoded(&sandbox, &["--decoded-image", "theirs.png"]).exits(1);
    assert_eq!(ran.object()["findings"][0]["code"], "channel-swap", "{}", ran.stdout);
    sandbox.write("theirs.png", &CHECKED.input);
    let ran = decoded(&sandbox, &["--decoded-image", "theirs.png"]).exits(1);
    let object = ran.object();
    let finding = &object["findings"][0];
    assert_eq!(finding["code"], "decoded-differs", "{}", ran.stdout);
    // There is no input to compare with.
    assert!(finding["evidence"].get("psnr_of_reference_to_input_db").is_none());
}

#[test]
fn a_file_of_several_gives_a_result_for_each() {
    let (sandbox, latents) = with_latents();
    // The second is told without a round trip.
    let two = ndarray::concatenate![Axis(0), latents, Array4::from_elem(latents.dim(), 0.5)];
    save(&sandbox, "l.safetensors", &two);
    let ran = decoded(&sandbox, &[]).exits(2);
    assert!(ran.object()["error"]["message"].as_str().unwrap().contains("2"), "{}", ran.stdout);
    let ran = decoded(&sandbox, &["--out-dir", "all"]).exits(1);
    let lines = ran.lines();
    assert_eq!((lines.len(), &lines[0]["row"], &lines[1]["row"]), (3, &0.into(), &1.into()));
    assert_eq!((&lines[0]["verdict"], &lines[1]["verdict"]), (&"pass".into(), &"fail".into()));
    assert_eq!(lines[2]["summary"]["failed"], 1);
    assert!(sandbox.exists("all/l-0.png") && sandbox.exists("all/l-1.png"));
}

#[test]
fn what_cannot_be_decoded_is_one_error_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let values: Vec<f32> = (0..4 * 6 * 6).map(|i| ((i * 37) % 19) as f32 / 9.0 - 1.0).collect();
    sandbox
        .write("l.safetensors", safetensors_of(&[Tensor::new("latents", &[1, 4, 6, 6], &values)]));
    let before = sandbox.contents();
    for (more, part) in [
        (&["--repo", "model", "--out", "l.safetensors"][..], "expected"),
        (&["--repo", "model", "--save-decoded", "l.safetensors"], "would replace an input"),
        (&["--repo", "model", "--dtype", "bf16", "--out", "a.png"], "bf16"),
        (&["--repo", "gone"], "gone"),
        (&["--repo", "model", "--latents-key", "z"], "latents"),
    ] {
        let ran = decoded(&sandbox, more).exits(2);
        let message = ran.object()["error"]["message"].as_str().unwrap_or_default().to_owned();
        ran.check(part == "expected" || message.contains(part), part);
    }
    sandbox.run(&["decode", "photo.png", "--repo", "model"]).exits(2).notes("picture");
    sandbox.run(&["decode", "gone.npy", "--repo", "model"]).exits(2).notes("gone.npy");
    assert_eq!(sandbox.contents(), before);
    // Random weights encode nothing again: nothing is said of the latents.
    let ran = decoded(&sandbox, &["--repo", "model"]).exits(0);
    assert_eq!(ran.object()["reencoded"], serde_json::Value::Null);
}
