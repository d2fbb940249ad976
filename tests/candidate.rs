//! Files of another program, judged: exported inputs go in, and every way in which what comes back
//! can be wrong is a failure.

#[path = "command/mod.rs"]
mod command;
#[path = "support/toy.rs"]
mod toy;

use std::fs;
use std::path::Path;

use command::Sandbox;
use ndarray::{Array4, ArrayView4, Ix4};
use serde_json::{Value, json};
use toy::{TOY, Toy};
use vae_fidelity::checkpoint::{Checkpoint, Source};
use vae_fidelity::golden::{Check, Location, Outcome, Step, Suite, SuiteReport, TensorFormat};
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::pixels::encode_png;
use vae_fidelity::tensor_file::{read, to_npy, to_safetensors};
use vae_fidelity::trace::Stage;
use vae_fidelity::{Dtype, Rgb8, Vae};

/// The toy's suite, exported, and what the toy made of the exported files alone.
struct Port {
    folder: tempfile::TempDir,
}

impl Port {
    /// Reads `cases.json` and the tensors that it names, as a port in another language would.
    fn run(format: TensorFormat) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inputs = folder.path().join("inputs");
        Suite::open(TOY).unwrap().export(&inputs, format, |_| ()).unwrap();
        let listing: Value =
            serde_json::from_slice(&fs::read(inputs.join("cases.json")).unwrap()).unwrap();
        let port = Self { folder };
        for case in listing["cases"].as_array().unwrap() {
            port.case(&inputs, &listing, case, format);
        }
        port
    }

    fn case(&self, inputs: &Path, listing: &Value, case: &Value, format: TensorFormat) {
        let ending = if format == TensorFormat::Npy { "npy" } else { "safetensors" };
        let input = |name: &str| {
            let file = case["inputs"].get(name)?[ending].as_str()?;
            Some(sole(&inputs.join(file)))
        };
        let models = listing["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["name"] == case["model"]).unwrap();
        let bias = match format {
            TensorFormat::Npy => {
                let folder = inputs.join(model["weights_npy"].as_str().unwrap());
                read(&folder.join("quant_conv.bias.npy")).unwrap().remove(0).values
            }
            _ => {
                let tensors = read(&inputs.join(model["weights"].as_str().unwrap())).unwrap();
                let named = |t: &&vae_fidelity::tensor_file::FileTensor| {
                    t.name.as_deref() == Some("quant_conv.bias")
                };
                tensors.iter().find(named).unwrap().values.clone()
            }
        };
        let checkpoint = toy_checkpoint();
        let gain = bias.iter().take(3).map(|bias| 1.0 + bias).collect();
        let toy = Toy { gain, ..Toy::load(&checkpoint).unwrap() };
        let factor = model["scaling_factor"].as_f64().unwrap() as f32;
        let noise = input("noise");
        let encoded = toy.encode(input("sample").unwrap().view(), noise.as_ref().map(|n| n.view()));
        let encoded = encoded.unwrap();
        let decoded = toy.decode((input("scaled_latents").unwrap() / factor).view()).unwrap();
        let name = case["name"].as_str().unwrap();
        self.write(name, "moments", ending, encoded.moments.unwrap().view());
        self.write(name, "latents", ending, (encoded.latents * factor).view());
        self.write(name, "decoded", ending, decoded.view());
        let pixels = denormalize(decoded.view(), Dtype::F32).unwrap();
        fs::write(self.path(name, "decoded.png"), encode_png(&pixels).unwrap()).unwrap();
    }

    fn write(&self, case: &str, name: &str, ending: &str, tensor: ArrayView4<f32>) {
        let bytes = match ending {
            "npy" => to_npy(tensor.into_dyn()),
            _ => to_safetensors(&[(name, tensor)]).unwrap(),
        };
        fs::create_dir_all(self.path(case, "")).unwrap();
        fs::write(self.path(case, &format!("{name}.{ending}")), bytes).unwrap();
    }

    /// Changes one tensor of a case.
    fn change(&self, case: &str, name: &str, change: impl FnOnce(&mut Array4<f32>)) {
        let mut tensor = sole(&self.path(case, &format!("{name}.safetensors")));
        change(&mut tensor);
        self.write(case, name, "safetensors", tensor.view());
    }

    fn path(&self, case: &str, file: &str) -> std::path::PathBuf {
        self.folder.path().join("mine").join(case).join(file)
    }

    fn judged(&self) -> SuiteReport {
        Suite::open(TOY).unwrap().judge(self.folder.path().join("mine")).unwrap()
    }
}

fn toy_checkpoint() -> Checkpoint {
    let path = Path::new(TOY).join("models/toy");
    Checkpoint::open(&Source::Folder { path, subfolder: None }, None).unwrap()
}

fn sole(path: &Path) -> Array4<f32> {
    let tensor = read(path).unwrap().remove(0);
    tensor.values.into_dimensionality::<Ix4>().unwrap()
}

fn check<'a>(report: &'a SuiteReport, case: &str, step: Step) -> &'a Check {
    let case = report.cases.iter().find(|found| found.case == case).unwrap();
    case.checks.iter().find(|check| check.tensor == step).unwrap()
}

/// Every failed check as `case/tensor`.
fn failed(report: &SuiteReport) -> Vec<String> {
    report
        .failures()
        .map(|(case, check)| format!("{}/{}", case.case, check.tensor.name()))
        .collect()
}

#[test]
fn a_port_that_knows_only_the_exported_files_passes() {
    for format in [TensorFormat::Safetensors, TensorFormat::Npy, TensorFormat::Both] {
        let report = Port::run(format).judged();
        report.assert_pass();
        assert_eq!(report.summary.cases, 3);
        // Each case: moments, latents, decoded, to_rgb8, end_to_end.
        assert_eq!((report.summary.tensors_judged, report.summary.tensors_not_judged), (15, 0));
        assert!(report.summary.tensors_bit_identical >= 14, "{report}");
        assert_eq!(report.notes, [] as [String; 0]);
    }
}

#[test]
fn what_is_missing_fails_and_everything_else_is_still_judged() {
    let port = Port::run(TensorFormat::Safetensors);
    fs::remove_file(port.path("mode", "moments.safetensors")).unwrap();
    fs::remove_dir_all(port.path("sample", "")).unwrap();
    fs::write(port.path("hashed", "latents.npy"), b"").unwrap();
    fs::write(port.path("hashed", "latent.npy"), b"").unwrap();
    fs::create_dir(port.path("hasched", "")).unwrap();
    let report = port.judged();
    assert_eq!(failed(&report), ["mode/moments", "sample/load", "hashed/latents"]);
    let text = report.to_string();
    for part in [
        "holds no moments.safetensors and no moments.npy",
        "or narrow the run with --only",
        "holds both latents.safetensors and latents.npy",
        "not the name of a case, ignored: hasched",
        "files of no meaning, ignored: latent.npy",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let only = Suite::open(TOY).unwrap().only("hashed");
    fs::remove_file(port.path("hashed", "latents.npy")).unwrap();
    let report = only.judge(port.folder.path().join("mine")).unwrap();
    assert!(report.passed, "--only leaves the others out: {report}");
    assert_eq!(report.summary.cases_not_run, 2);
}

#[test]
fn wrong_values_shapes_nan_and_broken_files_fail() {
    let port = Port::run(TensorFormat::Safetensors);
    port.change("mode", "decoded", |tensor| tensor[[0, 1, 2, 3]] += 0.01);
    port.change("mode", "latents", |tensor| tensor[[0, 0, 0, 0]] = f32::NAN);
    port.change("sample", "moments", |tensor| *tensor = tensor.clone().permuted_axes([0, 1, 3, 2]));
    fs::write(port.path("sample", "decoded.safetensors"), b"no tensors").unwrap();
    fs::write(port.path("hashed", "decoded.png"), b"no picture").unwrap();
    let report = port.judged();
    let expected = [
        "mode/latents",
        "mode/decoded",
        "mode/to_rgb8",
        "sample/moments",
        "sample/decoded",
        "hashed/to_rgb8",
        "hashed/end_to_end",
    ];
    let found = failed(&report);
    // A picture of the decoded sample before the change may or may not differ in one level.
    assert!(found.iter().all(|name| expected.contains(&name.as_str())), "{found:?}");
    for name in expected.iter().filter(|name| **name != "mode/to_rgb8") {
        assert!(found.contains(&(*name).to_owned()), "{name} of {found:?}");
    }
    let shape = check(&report, "sample", Step::Moments).comparison.as_ref().unwrap();
    assert_eq!(shape.judged, 0, "values of another shape are not compared");
    let worst = check(&report, "mode", Step::Decoded).comparison.as_ref().unwrap();
    assert_eq!(worst.worst.as_ref().unwrap().index, [0, 1, 2, 3]);
    assert_eq!(check(&report, "mode", Step::Latents).comparison.as_ref().unwrap().non_finite, 1);
}

#[test]
fn a_port_s_own_pixels_are_judged_as_a_conversion() {
    let port = Port::run(TensorFormat::Safetensors);
    let decoded = sole(&port.path("mode", "decoded.safetensors"));
    let (_, _, height, width) = decoded.dim();
    let levels = |to_level: fn(f32) -> u8| {
        let picture = decoded.index_axis(ndarray::Axis(0), 0);
        let data: Vec<u8> =
            picture.permuted_axes([1, 2, 0]).iter().map(|&value| to_level(value)).collect();
        let png = encode_png(&Rgb8::new(width, height, data).unwrap()).unwrap();
        fs::write(port.path("mode", "decoded.png"), png).unwrap();
        port.judged()
    };
    // Samples of the toy are exact levels: shifted by half of one, rounding and cutting off differ.
    let report = levels(|value| (((value / 2.0 + 0.5) * 255.0 - 0.3).clamp(0.0, 255.0)) as u8);
    assert_eq!(failed(&report)[0], "mode/to_rgb8");
    let text = check(&report, "mode", Step::ToRgb8).looks_like.clone().unwrap();
    assert!(text.contains("one too low") && text.contains("round"), "{text}");
    port.change("mode", "decoded", |tensor| *tensor *= 1.3);
    let report = levels(|value| ((value * 1.3 / 2.0 + 0.5) * 255.0).round() as i32 as u8);
    let text = check(&report, "mode", Step::ToRgb8).looks_like.clone().unwrap();
    assert!(text.contains("wrap around"), "{text}");
    fs::remove_file(port.path("mode", "decoded.png")).unwrap();
    let report = port.judged();
    assert_eq!(check(&report, "mode", Step::ToRgb8).outcome, Outcome::NotJudged);
    assert_ne!(check(&report, "mode", Step::EndToEnd).outcome, Outcome::NotJudged);
}

#[test]
fn mistakes_with_scaling_and_the_posterior_are_named() {
    let port = Port::run(TensorFormat::Safetensors);
    for (factor, words) in [(0.25, "scaled twice"), (4.0, "not scaled")] {
        port.change("mode", "latents", |tensor| *tensor *= factor);
        let report = port.judged();
        let text = check(&report, "mode", Step::Latents).looks_like.clone().unwrap();
        assert!(text.contains(words), "{text}");
        port.change("mode", "latents", |tensor| *tensor /= factor);
    }
    let moments = sole(&port.path("sample", "moments.safetensors"));
    let means = moments.slice(ndarray::s![.., ..3, .., ..]).mapv(|mean| mean * 0.25);
    port.change("sample", "latents", |tensor| *tensor = means);
    let report = port.judged();
    let text = check(&report, "sample", Step::Latents).looks_like.clone().unwrap();
    assert!(text.contains("the mode was taken"), "{text}");
}

#[test]
fn a_trace_of_the_port_s_own_locates_a_failure() {
    let port = Port::run(TensorFormat::Safetensors);
    let toy = Toy::load(&toy_checkpoint()).unwrap();
    let inputs = port.folder.path().join("inputs/cases/mode");
    let latents = sole(&inputs.join("scaled_latents.safetensors")) / 0.25;
    let mut decode = toy.trace(Stage::Decode, latents.view()).unwrap().unwrap();
    decode[0].samples[3] = Some(7.0);
    port.change("mode", "decoded", |tensor| tensor[[0, 0, 0, 0]] = 7.0);
    let located = |report: &SuiteReport| {
        check(report, "mode", Step::Decoded).location.clone().unwrap().to_string()
    };
    assert!(located(&port.judged()).contains("holds no trace.json"));

    let trace = json!({"schema_version": 1, "decode": decode}).to_string();
    fs::write(port.path("mode", "trace.json"), trace).unwrap();
    let report = port.judged();
    let location = check(&report, "mode", Step::Decoded).location.as_ref().unwrap();
    assert!(
        matches!(location, Location::Module { module, .. } if module == "decoder"),
        "{location}"
    );

    fs::write(port.path("mode", "trace.json"), "{\"schema_version\": 2}").unwrap();
    assert!(located(&port.judged()).contains("expected schema_version 1, found 2"));
    fs::remove_file(port.path("mode", "trace.json")).unwrap();
    let wrong = sole(&port.path("mode", "decoded.safetensors"));
    let tensors = to_safetensors(&[("decoder", wrong.view())]).unwrap();
    fs::write(port.path("mode", "trace.safetensors"), tensors).unwrap();
    let report = port.judged();
    let location = check(&report, "mode", Step::Decoded).location.as_ref().unwrap();
    assert!(
        matches!(location, Location::Module { module, .. } if module == "decoder"),
        "{location}"
    );
}

mod cli {
    use super::*;

    fn toy() -> String {
        format!("{}/{TOY}", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn a_candidate_is_judged_with_exit_codes_and_json() {
        let sandbox = Sandbox::new();
        let port = Port::run(TensorFormat::Safetensors);
        let mine = port.folder.path().join("mine");
        let toy = toy();
        let verify = ["golden", "verify", "--golden", &toy, "--candidate", mine.to_str().unwrap()];
        sandbox.run(&verify).exits(0).says("3 cases run, 0 failed");
        port.change("mode", "decoded", |tensor| tensor[[0, 0, 0, 0]] += 1.0);
        let ran = sandbox.run(&[&verify[..], &["--json"]].concat()).exits(1);
        assert_eq!(ran.object()["passed"], false);
        let text = sandbox.run(&verify).exits(1);
        text.says("FAILED mode / decoded").says("next:   vae-fidelity compare");
        let gone = ["golden", "verify", "--golden", &toy, "--candidate", "gone", "--json"];
        let refusal = sandbox.run(&gone).exits(2).object();
        assert_eq!(refusal["error"]["code"], "golden");
    }

    #[test]
    fn an_export_is_whole_or_not_there() {
        let sandbox = Sandbox::new();
        let toy = toy();
        let export = |folder: &'static str| ["golden", "export", folder, "--golden", &toy];
        let ran = sandbox.run(&export("out")).exits(0);
        ran.notes("3 cases of 1 models").says("out/README.md");
        let readme = String::from_utf8(sandbox.read("out/README.md")).unwrap();
        assert!(readme.contains("golden verify --candidate"));
        assert!(!sandbox.exists("out/cases/mode/decoded.safetensors"), "nothing expected is told");
        sandbox.run(&export("out")).exits(2).notes("expected an empty or new folder");
        sandbox.run(&export("photo.png")).exits(2).notes("found a file");
        sandbox.run(&export("a/b")).exits(2).notes("mkdir -p a");
        let left: Vec<_> = sandbox.contents().into_iter().map(|(path, _)| path).collect();
        assert!(left.iter().all(|path| !path.to_string_lossy().contains(".vae-fidelity-")));
        let only = [&export("one")[..], &["--only", "mode", "--format", "both", "--json"]].concat();
        let object = sandbox.run(&only).exits(0).object();
        assert_eq!((&object["cases"], &object["models"]), (&json!(1), &json!(1)));
        assert!(sandbox.exists("one/cases/mode/sample.npy"));
        assert!(sandbox.exists("one/models/toy/weights/encoder.conv_in.weight.npy"));
        assert!(!sandbox.exists("one/cases/sample/sample.npy"));
    }
}
