//! Which engine runs, in which arithmetic, and what it is held against: as flags, in JSON and as text.

use std::path::Path;

use ndarray::ArrayD;
use vae_fidelity::tensor_file::read;
use vae_fidelity::{Dtype, Engine};

use super::check_report::Report;
use super::sandbox::{Sandbox, parsed};

fn golden(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(path).to_str().unwrap().to_owned()
}

fn tensor(file: &Path, name: &str) -> ArrayD<f32> {
    let tensors = read(file).unwrap().into_iter();
    tensors.filter(|t| t.name.as_deref() == Some(name)).map(|t| t.values).next().unwrap()
}

#[test]
fn text_and_json_say_which_engine_ran() {
    let sandbox = Sandbox::new();
    let engine = Engine::default().to_string();
    sandbox.check(&["photo.png"]).exits(0).says(&format!("f32 on cpu, {engine} engine"));
    let ran = sandbox.check(&["photo.png", "--engine", "fast", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.model.engine.as_str(), report.model.arithmetic.as_str()), ("fast", "f32"));
    ran.check(report.notes.iter().any(|note| note.contains("rounds otherwise")), "its error");
    sandbox.check(&["photo.png", "--engine", "fast"]).exits(0).says("f32 on cpu, fast engine");
    let help = sandbox.run(&["check", "--help"]).exits(0);
    help.says(&format!("[default: {engine}]"));
}

#[cfg(feature = "tch")]
#[test]
fn the_fast_engine_gives_the_picture_of_the_reference_engine() {
    use vae_fidelity::{metrics::PixelMetrics, pixels};
    let sandbox = Sandbox::new();
    for engine in ["fast", "reference"] {
        sandbox.run(&["check", "photo.png", "--engine", engine, "--out", &format!("{engine}.png")]);
    }
    let [fast, reference] =
        ["fast.png", "reference.png"].map(|name| pixels::open(&sandbox.path(name)).unwrap().pixels);
    let metrics = PixelMetrics::of(&reference, &fast).unwrap();
    assert!(metrics.psnr_db.is_none_or(|psnr_db| psnr_db >= 60.0), "{metrics:?}");
}

/// What was built without libtorch says so, and how to get it.
#[cfg(not(feature = "tch"))]
#[test]
fn what_needs_libtorch_is_refused_with_the_way_to_get_it() {
    let sandbox = Sandbox::new();
    let refused = |flags: &[&str], code: &str, message: &str, next: &str| {
        for command in ["check", "trace"] {
            let arguments = [&[command, "photo.png"], flags].concat();
            sandbox.run(&arguments).exits(2).notes(message).notes(next);
            let ran = sandbox.run(&[&arguments[..], &["--json"]].concat()).exits(2);
            let refusal: super::sandbox::Refusal = parsed(&ran, 0);
            assert_eq!((refusal.error.code.as_str(), refusal.verdict), (code, None));
            ran.check(refusal.error.message.contains(message), message);
            ran.check(refusal.error.next.contains(next), next);
            ran.check(refusal.error.next.contains("--features tch"), "how to get it");
        }
        assert!(!sandbox.exists("decoded.png"));
    };
    let without = "this binary was built without it";
    refused(&["--engine", "reference"], "option", without, "cargo install vae-fidelity");
    for device in ["cuda", "cuda:1"] {
        refused(&["--device", device], "device", without, "scripts/libtorch.py --cuda");
        let fast = ["--device", device, "--engine", "fast"];
        refused(&fast, "device", without, "scripts/libtorch.py --cuda");
    }
    refused(&["--device", "mps"], "device", without, "--device cpu");
    let verify = ["golden", "verify", "--engine", "reference", "--only", "sd-small-mode"];
    sandbox.run(&verify).exits(2).notes(without);
}

#[cfg(feature = "tch")]
#[test]
fn the_fast_engine_refuses_what_it_cannot_do() {
    use vae_fidelity::autoencoder_kl::DeviceChoice;
    let sandbox = Sandbox::new();
    let fast = ["check", "photo.png", "--engine", "fast"];
    let refused = |more: &[&str], says: &str| {
        sandbox.run(&[&fast, more].concat()).exits(2).notes(says);
    };
    refused(&["--device", "mps"], "runs on the CPU and on CUDA alone");
    if Engine::Fast.execution(DeviceChoice::Cuda(0), None, None).is_err() {
        refused(&["--device", "cuda"], "no CUDA");
    }
}

/// The same numbers as torch's, whichever engine draws them.
#[test]
fn a_seed_draws_the_noise_of_the_golden() {
    let sandbox = Sandbox::new();
    for (case, model, dtype, seed) in [
        ("builtin-sample-42", "builtin", "f32", "42"),
        ("builtin-sample-64-bits", "builtin", "f32", "1234567890123"),
        ("builtin-sample-tiny", "builtin", "f32", "7"),
        ("builtin-f16-sample", "builtin", "f16", "1"),
        ("sd-small-bf16-sample", "sd-small", "bf16", "1"),
    ] {
        let expected =
            tensor(golden(&format!("cases/{case}/latents.safetensors")).as_ref(), "noise");
        let [height, width] = [2, 3].map(|axis| (expected.shape()[axis] * 8).to_string());
        let repo = if model == "builtin" { model.to_owned() } else { golden("models/sd-small") };
        let arguments = [
            "check",
            "photo.png",
            "--repo",
            &repo,
            "--engine",
            "fast",
            "--device",
            "cpu",
            "--dtype",
            dtype,
            "--width",
            &width,
            "--height",
            &height,
            "--sample",
            "--seed",
            seed,
            "--save-latents",
            "drawn.safetensors",
        ];
        let ran = sandbox.run(&arguments);
        ran.check(ran.code != Some(2), "expected a verdict");
        assert_eq!(tensor(&sandbox.path("drawn.safetensors"), "noise"), expected, "{case}");
    }
}

#[test]
fn half_precision_is_rounded_to_and_said_to_be() {
    let sandbox = Sandbox::new();
    let run = |dtype: &str, more: &[&str]| {
        let saved = ["--save-latents", "l.safetensors", "--save-decoded", "d.safetensors"];
        let arguments = ["photo.png", "--engine", "fast", "--json", "--dtype", dtype];
        let ran = sandbox.check(&[&arguments[..], &saved, more].concat()).exits(0);
        let tensors = [("l.safetensors", "latents"), ("l.safetensors", "moments")];
        let tensors = tensors.into_iter().chain([("d.safetensors", "decoded")]);
        let tensors: Vec<_> = tensors.map(|(f, name)| tensor(&sandbox.path(f), name)).collect();
        (parsed::<Report>(&ran, 0), tensors)
    };
    let (_, exact) = run("f32", &[]);
    for (name, dtype) in [("f16", Dtype::F16), ("bf16", Dtype::Bf16)] {
        let (report, tensors) = run(name, &[]);
        assert_eq!((report.model.dtype.as_str(), report.model.engine.as_str()), (name, "fast"));
        let arithmetic = format!("f32, with weights and every layer's output rounded to {name}");
        assert_eq!(report.model.arithmetic, arithmetic);
        assert!(report.notes.iter().any(|note| note.contains("not computed in")), "{report:?}");
        assert_eq!(report.metrics.is_some(), dtype == Dtype::F16, "bf16 has no picture");
        for (found, exact) in tensors.iter().zip(&exact) {
            assert!(found.iter().all(|&value| dtype.round(value) == value), "{name}: not rounded");
            assert!(exact.iter().any(|&value| dtype.round(value) != value), "{name}: f32 is not");
        }
        // Nothing hangs on how many threads there are.
        assert_eq!(run(name, &["--threads", "1"]).1, run(name, &["--threads", "3"]).1);
    }
}

/// Nor does a limit of memory change what is rounded.
#[cfg(target_os = "linux")]
#[test]
fn half_precision_within_a_limit_of_memory_is_the_same() {
    let sandbox = Sandbox::new();
    let picture = golden("images/astronaut.png");
    let decoded = |more: &[&str]| {
        let arguments =
            ["check", &picture, "--engine", "fast", "--device", "cpu", "--dtype", "f16"];
        let saved = ["--save-decoded", "d.safetensors"];
        sandbox.run(&[&arguments[..], &saved, more].concat()).exits(0);
        tensor(&sandbox.path("d.safetensors"), "decoded")
    };
    assert_eq!(decoded(&["--max-memory", "1G"]), decoded(&[]));
}

/// Overflow is found as in f16 itself: weights that f16 holds, and an activation that it does not.
#[test]
fn overflow_is_found_where_f16_is_rounded_to() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| {
        let name = "decoder.mid_block.resnets.0.conv1.weight";
        let conv = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        conv.values.iter_mut().for_each(|value| *value *= 1e5);
    });
    let run = |dtype| {
        let arguments = ["photo.png", "--engine", "fast", "--json", "--dtype", dtype];
        sandbox.check(&arguments)
    };
    let object = run("f16").exits(1).object();
    let finding = &object["findings"][0];
    assert_eq!(finding["code"], "fp16-overflow-decoder", "{object}");
    assert_eq!(finding["layer"], "decoder.mid_block.resnets.0.conv1");
    run("f32").exits(0);
}

#[test]
fn goldens_in_half_precision_are_not_run_by_rounding() {
    let sandbox = Sandbox::new();
    let verify = ["golden", "verify", "--engine", "fast", "--json"];
    let cases = ["sd-small-mode", "sd-small-f16-mode", "sd-small-bf16-mode", "sd-small-cuda"];
    let only: Vec<_> = cases.iter().flat_map(|case| ["--only", case]).collect();
    let object = sandbox.run(&[&verify[..], &only].concat()).exits(0).object();
    assert_eq!(object["cases"].as_array().unwrap().len(), 1, "{object}");
    let not_run: Vec<_> = object["not_run"].as_array().unwrap().iter().collect();
    for case in &cases[1..3] {
        let row = not_run.iter().find(|row| row["case"] == *case).unwrap();
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.contains("rounds after each layer"), "{case}: {reason}");
    }
    sandbox.run(&[&verify[..], &["--only", "sd-small-f16-mode"]].concat()).exits(2);
}

#[test]
fn a_cross_check_names_what_it_compares() {
    let sandbox = Sandbox::new();
    let check = |flags: &[&str]| {
        let arguments = [&["photo.png", "--engine", "fast"], flags].concat();
        sandbox.check(&arguments).exits(0)
    };
    let other = match cfg!(feature = "tch") {
        true => "this run with the reference engine on the CPU in f32",
        false => "the vector kernels with the plain ones in f32",
    };
    check(&["--cross-check"]).says(&format!("compared {other}"));
    for dtype in ["f32", "f16", "bf16"] {
        let ran = check(&["--cross-check", "--json", "--dtype", dtype]);
        let report: Report = parsed(&ran, 0);
        assert_eq!(report.cross_check.as_deref(), Some(other));
        let open: Vec<_> = report.not_decided.iter().map(|row| &row["needs"]).collect();
        assert!(!open.iter().any(|needs| *needs == "--cross-check"), "{open:?}");
        assert!(report.findings.iter().all(|f| f["code"] != "device-kernel-broken"), "{dtype}");
    }
    let report: Report = parsed(&check(&["--json"]), 0);
    assert_eq!(report.cross_check, None);
    assert!(report.not_decided.iter().any(|row| row["needs"] == "--cross-check"));
}
