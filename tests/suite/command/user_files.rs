//! Files of the user's own pipeline, through the command line: what is wrong with them is named, what
//! is right passes, and what cannot be read is refused.

use serde_json::Value;
use vae_fidelity::pixels::{self, encode_png};
use vae_fidelity::tensor_file::read;
use vae_fidelity::{Rgb8, image_processor};

use super::sandbox::{EARLIER, Ran, Sandbox, Tensor, picture, safetensors_of};

/// The tensor of this name in a safetensors file.
fn tensor(sandbox: &Sandbox, file: &str, name: &str) -> Tensor {
    let tensors = read(&sandbox.path(file)).unwrap();
    let found = tensors.into_iter().find(|tensor| tensor.name.as_deref() == Some(name)).unwrap();
    let shape = found.values.shape().to_vec();
    Tensor { name: name.to_owned(), shape, values: found.values.into_iter().collect() }
}

/// Version 1.0 of numpy's format.
fn npy(tensor: &Tensor) -> Vec<u8> {
    let shape: Vec<String> = tensor.shape.iter().map(usize::to_string).collect();
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", shape.join(", "));
    header.push_str(&" ".repeat(63 - (header.len() + 10) % 64));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn errors(ran: &Ran) -> Vec<(String, Option<String>)> {
    let object = ran.object();
    let findings = object["findings"].as_array().unwrap();
    let errors = findings.iter().filter(|finding| finding["severity"] == "error");
    let text = |value: &Value| value.as_str().map(str::to_owned);
    errors.map(|f| (text(&f["code"]).unwrap(), text(&f["layer"]))).collect()
}

/// Fails with this code among the errors.
#[track_caller]
fn fails_with(ran: Ran, code: &str) {
    let ran = ran.exits(1);
    let found = errors(&ran);
    ran.check(found.iter().any(|(found, _)| found == code), &format!("expected {code}: {found:?}"));
}

/// A run of the small model that keeps its latents, input and trace.
fn saved() -> Sandbox {
    let sandbox = Sandbox::new();
    let keep = ["--save-latents", "z.safetensors", "--save-trace", "trace.json"];
    sandbox.check(&[&["photo.png", "--save-input", "seen.png"], &keep[..]].concat()).exits(0);
    sandbox
}

#[test]
fn latents_are_judged_by_their_factor() {
    let sandbox = saved();
    let same = sandbox.check(&["photo.png", "--latents", "z.safetensors", "--json"]).exits(0);
    let file = &same.object()["files"][0];
    assert_eq!((&file["file"], &file["agreement"]), (&"latents".into(), &"same".into()));
    same.check(file["summary"].as_str().unwrap().starts_with("this VAE's mode, "), "what it is");
    let mut latents = tensor(&sandbox, "z.safetensors", "latents");
    for value in &mut latents.values {
        *value /= 0.18215;
    }
    sandbox.write("raw.npy", npy(&latents));
    sandbox.check(&["photo.png", "--latents", "raw.npy", "--latents-scale", "raw"]).exits(0);
    fails_with(
        sandbox.check(&["photo.png", "--latents", "raw.npy", "--json"]),
        "scaling-factor-mismatch",
    );
    latents.values[3] = f32::NAN;
    sandbox.write("nan.npy", npy(&latents));
    fails_with(
        sandbox.check(&["photo.png", "--latents", "nan.npy", "--json"]),
        "non-finite-output",
    );
}

#[test]
fn what_was_fed_is_judged_by_its_range_and_channels() {
    let sandbox = saved();
    let seen = pixels::open(&sandbox.path("seen.png")).unwrap().pixels;
    let sample = image_processor::normalize(&seen, vae_fidelity::Dtype::F32);
    let fed = |values: Vec<f32>| {
        safetensors_of(&[
            Tensor::new("other", &[1], &[0.0]),
            Tensor { name: "preprocessed".into(), shape: sample.shape().to_vec(), values },
        ])
    };
    let check = |bytes: Vec<u8>| {
        sandbox.write("fed.safetensors", bytes);
        sandbox.check(&["photo.png", "--preprocessed", "fed.safetensors", "--json"])
    };
    check(fed(sample.iter().copied().collect())).exits(0);
    fails_with(check(fed(sample.iter().map(|x| x / 2.0 + 0.5).collect())), "input-not-normalised");
    let swapped = sample.select(ndarray::Axis(1), &[2, 1, 0]);
    fails_with(check(fed(swapped.iter().copied().collect())), "channel-swap");
}

/// Aspect buckets: the shorter side is brought to the size, and the middle taken.
#[test]
fn a_crop_of_a_covering_resize_is_a_resize_and_is_named() {
    let sandbox = Sandbox::new();
    let photo = pixels::open("golden/images/astronaut.png".as_ref()).unwrap().pixels;
    let photo = pixels::resize_bicubic(&photo, 96, 80).unwrap();
    sandbox.write("photo.png", encode_png(&photo).unwrap());
    let covering = pixels::resize_bicubic(&photo, 77, 64).unwrap();
    let middle = (0..64 * 64).flat_map(|i| covering.pixel(6 + i % 64, i / 64)).collect();
    let fed =
        image_processor::normalize(&Rgb8::new(64, 64, middle).unwrap(), vae_fidelity::Dtype::F32);
    let tensor = Tensor {
        name: "preprocessed".into(),
        shape: fed.shape().to_vec(),
        values: fed.iter().copied().collect(),
    };
    sandbox.write("fed.npy", npy(&tensor));
    let size = ["--width", "64", "--height", "64", "--preprocessed", "fed.npy", "--json"];
    let ran = sandbox.check(&[&["photo.png"], &size[..]].concat());
    let found = ran.object()["findings"].to_string();
    ran.check(found.contains("bicubic filter to cover the size"), &found);
    fails_with(ran, "resize-mismatch");
}

#[test]
fn a_decoded_picture_is_judged_by_its_channels_and_rounding() {
    let sandbox = Sandbox::new();
    let photo = pixels::open("golden/images/astronaut.png".as_ref()).unwrap().pixels;
    let small = pixels::resize_bicubic(&photo, 96, 80).unwrap();
    sandbox.write("photo.png", encode_png(&small).unwrap());
    sandbox.run(&["check", "photo.png", "--device", "cpu"]).exits(0);
    let decoded = pixels::open(&sandbox.path("decoded.png")).unwrap().pixels;
    let check = |change: &dyn Fn([u8; 3]) -> [u8; 3]| {
        let changed = decoded.data().chunks_exact(3).flat_map(|p| change([p[0], p[1], p[2]]));
        let changed = Rgb8::new(96, 80, changed.collect()).unwrap();
        sandbox.write("mine.png", encode_png(&changed).unwrap());
        let arguments = ["check", "photo.png", "--decoded-image", "mine.png", "--json"];
        sandbox.run(&[&arguments[..], &["--device", "cpu", "--out", "again.png"]].concat())
    };
    let same = check(&|pixel| pixel).exits(0);
    same.check(errors(&same).is_empty(), "expected no error");
    let file = &same.object()["files"][0];
    assert_eq!((&file["file"], &file["psnr_db"]), (&"decoded_image".into(), &Value::Null));
    assert_eq!(file["largest_difference"], 0.0);
    let lighter = check(&|pixel| pixel.map(|level| level.saturating_add(40)));
    let file = &lighter.object()["files"][0];
    assert_eq!(
        (&file["agreement"], &file["largest_difference"]),
        (&"differs".into(), &40.0.into())
    );
    fails_with(lighter, "levels-changed");
    fails_with(check(&|[r, g, b]| [b, g, r]), "channel-swap");
    // The range converted a second time.
    fails_with(check(&|pixel| pixel.map(|level| level / 2 + 128)), "output-not-denormalised");
}

#[test]
fn a_trace_is_held_against_the_first_layer_that_parts() {
    let sandbox = saved();
    sandbox.check(&["photo.png", "--against", "trace.json", "--json"]).exits(0);
    let mut trace: Value = serde_json::from_slice(&sandbox.read("trace.json")).unwrap();
    let module = "encoder.down_blocks.0.downsamplers.0.conv";
    let layers = trace["encode"].as_array_mut().unwrap();
    let at = layers.iter().position(|layer| layer["module"] == module).unwrap();
    for layer in &mut layers[at..] {
        for sample in layer["samples"].as_array_mut().unwrap() {
            *sample = Value::from(sample.as_f64().unwrap() + 0.5);
        }
    }
    sandbox.write("spoilt.json", trace.to_string());
    let ran = sandbox.check(&["photo.png", "--against", "spoilt.json", "--json"]).exits(1);
    let found = errors(&ran);
    let named = found.iter().any(|(_, layer)| layer.as_deref() == Some(module));
    ran.check(named, &format!("expected {module}: {found:?}"));
}

#[test]
fn what_cannot_be_read_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write("decoded.png", EARLIER);
    sandbox.write("text.npy", "no tensor at all");
    let two = [Tensor::new("a", &[1], &[0.0]), Tensor::new("b", &[1], &[0.0])];
    sandbox.write("two.safetensors", safetensors_of(&two));
    sandbox.write("cut.png", &picture(40, 24, 0)[..200]);
    for (flag, file, part) in [
        ("--latents", "nowhere.npy", "nowhere.npy"),
        ("--latents", "text.npy", "text.npy"),
        (
            "--latents",
            "two.safetensors",
            "expected one tensor, or one named latents, found 2: a (1), b (1)",
        ),
        ("--preprocessed", "two.safetensors", "one named preprocessed"),
        ("--decoded-image", "cut.png", "cut.png"),
        ("--against", "text.npy", "is not a trace"),
    ] {
        sandbox.refuses(&["photo.png", flag, file], &[part]);
    }
}
