//! Latents as other programs keep them, through the command line: read, taken as their program means them,
//! and each row of several judged by itself.

use serde_json::Value;
use vae_fidelity::tensor_file::read;

use super::sandbox::{Ran, Sandbox, Tensor, safetensors_of};

/// A run of the small model, and its latents before they are scaled.
fn saved() -> (Sandbox, Vec<f32>, Vec<usize>) {
    let sandbox = Sandbox::new();
    sandbox.check(&["photo.png", "--save-latents", "z.safetensors"]).exits(0);
    let tensors = read(&sandbox.path("z.safetensors")).unwrap();
    let latents = tensors.into_iter().find(|t| t.name.as_deref() == Some("latents")).unwrap();
    let shape = latents.values.shape().to_vec();
    let raw = latents.values.iter().map(|value| value / 0.18215).collect();
    (sandbox, raw, shape)
}

fn check(sandbox: &Sandbox, file: &str, more: &[&str]) -> Ran {
    sandbox.check(&[&["photo.png", "--latents", file, "--json"], more].concat())
}

/// Findings about the latents: code and title.
fn found(ran: &Ran) -> Vec<(String, String)> {
    let object = ran.object();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let codes =
        ["latents-differ", "scaling-factor-mismatch", "wrong-family-channels", "size-mismatch"];
    let findings = object["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| (text(&finding["code"]), text(&finding["title"])))
        .filter(|(code, _)| codes.contains(&code.as_str()) || code == "non-finite-output")
        .collect()
}

#[test]
fn what_comfyui_saves_is_taken_as_raw() {
    let (sandbox, raw, shape) = saved();
    let mark = Tensor::new("latent_format_version_0", &[0], &[]);
    let tensor = Tensor { name: "latent_tensor".into(), shape: shape.clone(), values: raw.clone() };
    sandbox.write("mine.latent", safetensors_of(&[mark, tensor]));
    let ran =
        check(&sandbox, "mine.latent", &[]).exits(0).notes("taken as raw, since ComfyUI keeps");
    assert_eq!(found(&ran), []);
    let source = &ran.object()["latents_file"];
    assert_eq!(source["container"], "comfy-ui");
    assert_eq!(source["taken_as"], "raw");
    assert_eq!(source["tensor"], "latent_tensor");
    // Who says otherwise is believed, and the reason is his.
    let ran = check(&sandbox, "mine.latent", &["--latents-scale", "scaled"]).exits(1);
    assert_eq!(found(&ran)[0].0, "scaling-factor-mismatch");
    assert_eq!(ran.object()["latents_file"]["taken_as"], "scaled");
    // Before the mark it was scaled by 0.18215.
    let scaled = raw.iter().map(|value| value * 0.18215).collect();
    let tensor = Tensor { name: "latent_tensor".into(), shape, values: scaled };
    sandbox.write("old.latent", safetensors_of(&[tensor]));
    let ran = check(&sandbox, "old.latent", &[]).exits(0);
    assert_eq!(found(&ran), []);
}

#[test]
fn a_plain_file_is_scaled_as_before() {
    let (sandbox, raw, shape) = saved();
    let ran = check(&sandbox, "z.safetensors", &[]).exits(0);
    assert_eq!(ran.object()["latents_file"]["taken_as"], "scaled");
    assert!(!ran.stderr.contains("latents are"), "{}", ran.stderr);
    let tensor = Tensor { name: "latents".into(), shape, values: raw };
    sandbox.write("raw.safetensors", safetensors_of(&[tensor]));
    assert_eq!(
        found(&check(&sandbox, "raw.safetensors", &[]).exits(1))[0].0,
        "scaling-factor-mismatch"
    );
    check(&sandbox, "raw.safetensors", &["--latents-scale", "raw"]).exits(0);
}

#[test]
fn axes_of_length_one_are_dropped() {
    let (sandbox, raw, shape) = saved();
    let scaled: Vec<f32> = raw.iter().map(|value| value * 0.18215).collect();
    let (c, h, w) = (shape[1], shape[2], shape[3]);
    for shape in [vec![c, 1, h, w], vec![1, c, 1, h, w], vec![1, 1, c, h, w]] {
        let name = format!("latents_1x{h}x{w}_float32");
        let tensor = Tensor { name, shape: shape.clone(), values: scaled.clone() };
        sandbox.write("cache.safetensors", safetensors_of(&[tensor]));
        let ran = check(&sandbox, "cache.safetensors", &[]).exits(0);
        assert_eq!(found(&ran), [], "{shape:?}");
        assert_eq!(ran.object()["latents_file"]["container"], "musubi");
    }
}

#[test]
fn rows_of_a_batch_are_judged_one_by_one() {
    let (sandbox, raw, shape) = saved();
    let scaled: Vec<f32> = raw.iter().map(|value| value * 0.18215).collect();
    let other: Vec<f32> =
        (0..scaled.len()).map(|i| ((i * 7919 % 101) as f32 - 50.0) / 50.0).collect();
    let batch = |rows: &[&[f32]]| {
        let values = rows.concat();
        let shape = vec![rows.len(), shape[1], shape[2], shape[3]];
        sandbox.write(
            "batch.safetensors",
            safetensors_of(&[Tensor { name: "latents".into(), shape, values }]),
        );
        check(&sandbox, "batch.safetensors", &[])
    };
    assert_eq!(found(&batch(&[&scaled, &scaled]).exits(0)), []);
    let ran = batch(&[&scaled, &other, &scaled]);
    let titles = found(&ran);
    assert_eq!(titles.len(), 1, "{titles:?}");
    let (code, title) = &titles[0];
    assert_eq!(code, "latents-differ");
    assert!(title.contains("row 1: your latents are not this picture's"), "{title}");
    assert!(title.contains("rows 0, 2 of 3 are this picture's"), "{title}");
    // A row with a fault of its own is named with it.
    let mut broken = scaled.clone();
    broken[0] = f32::NAN;
    let titles = found(&batch(&[&scaled, &broken]).exits(1));
    assert!(titles[0].1.contains("row 1: 1 values of your latents are NaN"), "{titles:?}");
    let titles = found(&batch(&[&raw, &raw]).exits(1));
    assert_eq!(titles[0].0, "scaling-factor-mismatch");
    assert!(titles[0].1.starts_with("rows 0, 1: "), "{titles:?}");
    // Whatever else is said of them.
    let ran = batch(&[&other, &other]);
    let said = ran.object()["findings"].to_string();
    assert!(said.contains("none of 2 rows is this picture's"), "{said}");
}

#[test]
fn several_tensors_are_a_question_that_a_flag_answers() {
    let (sandbox, raw, shape) = saved();
    let scaled: Vec<f32> = raw.iter().map(|value| value * 0.18215).collect();
    let two = ["a", "b"].map(|name| Tensor {
        name: name.into(),
        shape: shape.clone(),
        values: if name == "a" { scaled.clone() } else { raw.clone() },
    });
    sandbox.write("two.safetensors", safetensors_of(&two));
    sandbox.refuses(&["photo.png", "--latents", "two.safetensors"], &["found 2: a (1, 4, "]);
    check(&sandbox, "two.safetensors", &["--latents-key", "a"]).exits(0);
    check(&sandbox, "two.safetensors", &["--latents-key", "b"]).exits(1);
    sandbox.refuses(
        &["photo.png", "--latents", "two.safetensors", "--latents-key", "c"],
        &["--latents-key c", "has a (1, 4, "],
    );
}
