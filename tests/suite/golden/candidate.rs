//! Files of another program, judged: exported inputs go in, and every way in which what comes back
//! can be wrong is a failure.

use std::fs;

use serde_json::json;
use vae_fidelity::golden::{Check, Location, Outcome, Step, Suite, SuiteReport, TensorFormat};
use vae_fidelity::pixels::encode_png;
use vae_fidelity::tensor_file::to_safetensors;
use vae_fidelity::trace::Stage;
use vae_fidelity::{Rgb8, Vae};

use super::toy::{TOY, Toy};
use super::toy_port::{Port, sole, toy_checkpoint};

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
        "or narrow the run with `only`",
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
