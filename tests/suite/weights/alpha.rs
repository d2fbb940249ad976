//! A trained VAE of RGBA whose alpha does not come back, and one whose alpha does.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vae_fidelity::Pipeline;
use vae_fidelity::diagnosis::{Code, Finding, Severity};
use vae_fidelity::pixels::{self, Alpha8, encode_rgba_png};
use vae_fidelity::{Engine, Rgb8};

use super::planted::{As, Folder, TRAINED, tensors};
use super::round_trip::photograph;

/// The trained VAE with a fourth channel, which the encoder does not look at and the decoder makes `alpha` of,
/// in [-1, 1].
fn with_alpha(alpha: f32) -> Folder {
    let model = TRAINED[0];
    let mut tensors = tensors(model);
    for (name, shape, values) in &mut tensors {
        match name.as_str() {
            "encoder.conv_in.weight" => {
                let of_one = shape[1] * shape[2] * shape[3];
                let widened = values.chunks_exact(of_one).flat_map(|kernel| {
                    kernel.iter().copied().chain(std::iter::repeat_n(0.0, shape[2] * shape[3]))
                });
                *values = widened.collect();
                shape[1] = 4;
            }
            "decoder.conv_out.weight" => {
                shape[0] = 4;
                values.resize(shape.iter().product(), 0.0);
            }
            "decoder.conv_out.bias" => {
                shape[0] = 4;
                values.push(alpha);
            }
            _ => {}
        }
    }
    let folder = Folder::of(model, &tensors, As::F32);
    let path = Path::new(folder.path()).join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for field in ["in_channels", "out_channels"] {
        config[field] = json!(4);
    }
    fs::write(&path, config.to_string()).unwrap();
    folder
}

fn found(model: &Folder, picture: &Path) -> Vec<Finding> {
    let pipeline = Pipeline::builder().repo(model.path()).engine(Engine::Fast).build().unwrap();
    let report = pipeline.check(picture).unwrap();
    assert!(report.alpha.is_some());
    report.findings
}

/// The photograph with what lies beyond `share` of its width cut out.
fn cut(folder: &Path, share: f64) -> PathBuf {
    let photo: Rgb8 = pixels::open(&photograph(folder, "coffee.jpg")).unwrap().pixels;
    let (width, height) = (photo.width(), photo.height());
    let last = (share * width as f64) as usize;
    let alpha = (0..width * height).map(|at| if at % width < last { 255 } else { 0 });
    let alpha = Alpha8::new(width, height, alpha.collect()).unwrap();
    let path = folder.join("cut.png");
    fs::write(&path, encode_rgba_png(&photo, Some(&alpha)).unwrap()).unwrap();
    path
}

#[test]
fn alpha_that_does_not_come_back_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let opaque = photograph(folder.path(), "coffee.jpg");
    let cut_out = cut(folder.path(), 0.6);
    // Invisible, half seen, and a cut-out that is shown.
    for (alpha, picture) in [(-1.0, &opaque), (0.0, &opaque), (1.0, &cut_out)] {
        let findings = found(&with_alpha(alpha), picture);
        let [finding] = findings.as_slice() else { panic!("{alpha}: {findings:?}") };
        assert_eq!((finding.code, finding.severity), (Code::AlphaLost, Severity::Error), "{alpha}");
        let decoded = finding.evidence["mean_decoded_alpha"].as_f64().unwrap();
        assert!((decoded - f64::from(alpha) * 127.5 - 127.5).abs() < 1e-3, "{alpha}: {decoded}");
    }
}

#[test]
fn alpha_that_nearly_comes_back_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let opaque = photograph(folder.path(), "coffee.jpg");
    for alpha in [1.3, 1.0, 0.97, 0.9] {
        let findings = found(&with_alpha(alpha), &opaque);
        assert!(findings.iter().all(|f| f.severity != Severity::Error), "{alpha}: {findings:?}");
    }
    // A strip of one pixel is all that differs.
    let strip = cut(folder.path(), 127.5 / 128.0);
    let findings = found(&with_alpha(1.0), &strip);
    assert!(findings.iter().all(|f| f.code != Code::AlphaLost), "{findings:?}");
}
