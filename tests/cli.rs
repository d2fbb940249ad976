//! What the commands print and how they exit.

mod command;

use command::{Ran, Sandbox, Tensor, picture, safetensors_of};
use serde::Deserialize;

type Tensors = vae_fidelity::metrics::TensorMetrics;
type Pixels = vae_fidelity::metrics::PixelMetrics;

/// Fails on any field that is missing, new or renamed.
#[track_caller]
fn parsed<T: for<'a> Deserialize<'a>>(ran: &Ran, line: usize) -> T {
    let value = ran.lines().into_iter().nth(line);
    ran.check(value.is_some(), &format!("expected line {line}"));
    serde_json::from_value(value.unwrap()).unwrap_or_else(|error| {
        ran.check(false, &error.to_string());
        unreachable!()
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    schema_version: u32,
    verdict: Option<String>,
    error: ErrorBody,
    input: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorBody {
    code: String,
    message: String,
    next: String,
}

mod compare {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pictures {
        schema_version: u32,
        verdict: String,
        verdict_reasons: Vec<String>,
        a: String,
        b: String,
        kind: String,
        sizes: [[usize; 2]; 2],
        metrics: Option<Pixels>,
        thresholds: vae_fidelity::verdict::Thresholds,
        notes: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Files {
        schema_version: u32,
        verdict: String,
        verdict_reasons: Vec<String>,
        a: String,
        b: String,
        kind: String,
        tensors: Vec<Pair>,
        tolerance: Option<vae_fidelity::golden::Tolerance>,
        notes: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        name: Option<String>,
        shapes: [Option<Vec<usize>>; 2],
        dtypes: [Option<String>; 2],
        metrics: Option<Tensors>,
        outside_tolerance: Option<usize>,
    }

    #[test]
    fn a_picture_with_itself() {
        let sandbox = Sandbox::new();
        let same = ["compare", "photo.png", "photo.png"];
        sandbox.run(&same).exits(0).says("pass").says("infinite");
        let ran = sandbox.run(&[&same[..], &["--json"]].concat()).exits(0);
        let report: Pictures = parsed(&ran, 0);
        assert_eq!((report.schema_version, report.kind.as_str()), (1, "images"));
        assert_eq!((report.verdict.as_str(), report.verdict_reasons.len()), ("pass", 0));
        assert_eq!(report.sizes, [[40, 24]; 2]);
        assert_eq!((report.a.as_str(), report.b.as_str()), ("photo.png", "photo.png"));
        let metrics = report.metrics.unwrap();
        assert_eq!((metrics.identical, metrics.psnr_db, metrics.ssim), (true, None, Some(1.0)));
        assert!(report.notes.is_empty());
    }

    #[test]
    fn pictures_pass_by_what_is_asked_and_by_nothing_else() {
        let sandbox = Sandbox::new();
        sandbox.write("other.png", picture(40, 24, 3));
        let with =
            |flags: &[&str]| sandbox.run(&[&["compare", "photo.png", "other.png"], flags].concat());
        with(&[]).exits(1).says("fail").says("960 pixels differ");
        with(&["--min-psnr", "10", "--min-ssim", "0.5"]).exits(0).says("pass");
        with(&["--min-psnr", "90"]).exits(1).says("90 dB were asked for");
        with(&["--min-ssim", "1"]).exits(1).says("1 were asked for");
        let ran = with(&["--min-psnr", "90", "--json"]).exits(1);
        let report: Pictures = parsed(&ran, 0);
        assert_eq!(report.thresholds.min_psnr, Some(90.0));
        assert_eq!(report.verdict_reasons.len(), 1);
    }

    #[test]
    fn pictures_of_other_sizes_differ() {
        let sandbox = Sandbox::new();
        sandbox.write("small.png", picture(8, 8, 0));
        let ran = sandbox.run(&["compare", "photo.png", "small.png", "--json"]).exits(1);
        let report: Pictures = parsed(&ran, 0);
        assert_eq!((report.verdict.as_str(), report.metrics), ("fail", None));
        assert_eq!(report.verdict_reasons, ["sizes differ: 40 x 24 and 8 x 8"]);
        let least = ["compare", "photo.png", "small.png", "--min-psnr", "1"];
        sandbox.run(&least).exits(1).says("sizes differ");
    }

    fn tensors(sandbox: &Sandbox, name: &str, tensors: &[(&str, &[f32])]) {
        let tensors: Vec<Tensor> = tensors
            .iter()
            .map(|(name, values)| Tensor::new(name, &[values.len()], values))
            .collect();
        sandbox.write(name, safetensors_of(&tensors));
    }

    fn npy(values: &[f32]) -> Vec<u8> {
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}\n", values.len());
        let length = (header.len() as u16).to_le_bytes();
        let data: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
    }

    #[test]
    fn tensors_by_name_and_within_what_is_asked() {
        let sandbox = Sandbox::new();
        tensors(&sandbox, "a.safetensors", &[("x", &[1.0, 2.0]), ("y", &[0.0])]);
        tensors(&sandbox, "b.safetensors", &[("x", &[1.0, 2.5]), ("y", &[0.0])]);
        let with = |flags: &[&str]| {
            sandbox.run(&[&["compare", "a.safetensors", "b.safetensors"], flags].concat())
        };
        with(&[]).exits(1).says("x: 1 of 2 values differ").says("identical");
        with(&["--atol", "0.5"]).exits(0);
        with(&["--atol", "0.4"]).exits(1).says("1 of 2 values outside the tolerance");
        with(&["--rtol", "0.2"]).exits(0);
        with(&["--rtol", "0.19"]).exits(1);
        let ran = with(&["--rtol", "0.19", "--json"]).exits(1);
        let report: Files = parsed(&ran, 0);
        assert_eq!((report.schema_version, report.kind.as_str()), (1, "tensors"));
        assert_eq!((report.a.as_str(), report.b.as_str()), ("a.safetensors", "b.safetensors"));
        assert_eq!((report.verdict.as_str(), report.verdict_reasons.len()), ("fail", 1));
        assert_eq!(report.tolerance.map(|t| (t.atol(), t.rtol())), Some((0.0, 0.19)));
        let [x, y] = report.tensors.as_slice() else { panic!("{:?}", report.tensors) };
        assert_eq!((x.name.as_deref(), x.outside_tolerance), (Some("x"), Some(1)));
        assert_eq!(x.metrics.as_ref().unwrap().max_abs_diff, Some(0.5));
        assert!(y.metrics.as_ref().unwrap().identical && report.notes.is_empty());
        assert_eq!(y.dtypes, [Some("f32".to_owned()), Some("f32".to_owned())]);
    }

    #[test]
    fn missing_and_misshapen_tensors_differ() {
        let sandbox = Sandbox::new();
        tensors(&sandbox, "a.safetensors", &[("x", &[1.0, 2.0]), ("y", &[0.0])]);
        tensors(&sandbox, "b.safetensors", &[("x", &[1.0]), ("z", &[0.0])]);
        let compared = ["compare", "a.safetensors", "b.safetensors", "--atol", "1000"];
        let ran = sandbox.run(&[&compared[..], &["--json"]].concat()).exits(1);
        let report: Files = parsed(&ran, 0);
        let names: Vec<_> = report.tensors.iter().map(|pair| pair.name.as_deref()).collect();
        assert_eq!(names, [Some("x"), Some("y"), Some("z")]);
        assert_eq!(report.tensors[1].shapes, [Some(vec![1]), None]);
        assert_eq!(report.verdict_reasons.len(), 3);
        sandbox.run(&compared).exits(1).says("missing in b.safetensors").says("shapes differ");
    }

    #[test]
    fn an_npy_file_is_compared_with_the_one_tensor_of_another() {
        let sandbox = Sandbox::new();
        tensors(&sandbox, "a.safetensors", &[("x", &[1.0, 2.0])]);
        sandbox.write("same.npy", npy(&[1.0, 2.0])).write("other.npy", npy(&[1.0, 2.1]));
        sandbox.run(&["compare", "a.safetensors", "same.npy"]).exits(0);
        sandbox.run(&["compare", "other.npy", "a.safetensors"]).exits(1);
    }

    #[test]
    fn nan_passes_no_comparison_not_even_with_itself() {
        let sandbox = Sandbox::new();
        tensors(&sandbox, "nan.safetensors", &[("x", &[f32::NAN, 1.0])]);
        let same = ["compare", "nan.safetensors", "nan.safetensors"];
        sandbox.run(&same).exits(1).says("1 NaN or infinite in a");
        sandbox.run(&[&same[..], &["--atol", "1e300", "--rtol", "1e300"]].concat()).exits(1);
        sandbox.run(&["compare", "nan.safetensors", "nan.safetensors", "--atol", "inf"]).exits(2);
        sandbox.run(&["compare", "nan.safetensors", "nan.safetensors", "--atol", "nan"]).exits(2);
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let sandbox = Sandbox::new();
        sandbox.write("broken.safetensors", "no header");
        sandbox
            .write("deep.npy", [b"\x93NUMPY\x01\x00\xff\xff".as_slice(), &[b'('; 0xffff]].concat());
        tensors(&sandbox, "a.safetensors", &[("x", &[1.0])]);
        let refused = |arguments: &[&str], part: &str| {
            let ran = sandbox.run(&[&["compare"], arguments].concat()).exits(2).notes(part);
            ran.check(
                ran.stdout.is_empty() && ran.stderr.contains(" next: "),
                "expected one error",
            );
            let ran = sandbox.run(&[&["compare"], arguments, &["--json"]].concat()).exits(2);
            let refusal: Refusal = parsed(&ran, 0);
            ran.check(refusal.error.message.contains(part), part);
            ran.check(!refusal.error.next.is_empty() && !refusal.error.code.is_empty(), "next");
            assert_eq!((refusal.schema_version, refusal.verdict), (1, None));
            assert!(refusal.input.is_none());
        };
        refused(&["photo.png", "gone.png"], "gone.png");
        refused(&["photo.png", "a.safetensors"], "two pictures or two tensor files");
        refused(&["broken.safetensors", "a.safetensors"], "broken.safetensors");
        refused(&["a.safetensors", "deep.npy"], "deep.npy");
        refused(&["a.safetensors", "a.safetensors", "--min-psnr", "3"], "--min-psnr");
        refused(&["photo.png", "photo.png", "--atol", "3"], "--atol");
        sandbox.write("tiny.png", picture(8, 8, 0));
        refused(&["tiny.png", "tiny.png", "--min-ssim", "0.5"], "8 x 8");
    }
}

mod usage {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_json_for_those_who_asked() {
        let sandbox = Sandbox::new();
        for arguments in [&["--json", "nonsense"][..], &["compare", "a.png", "--json"]] {
            let ran = sandbox.run(arguments).exits(2);
            let refusal: Refusal = parsed(&ran, 0);
            ran.check(refusal.error.code == "option", "code");
            ran.check(ran.stderr.is_empty(), "expected nothing on stderr");
        }
        let ran = sandbox.run(&["compare", "a.png", "b.png", "--min-ssim", "1.5"]).exits(2);
        ran.notes("at most 1").check(true, "");
    }

    #[test]
    fn help_and_version_are_results() {
        let sandbox = Sandbox::new();
        let ran = sandbox.run(&["--version"]).exits(0).says(env!("CARGO_PKG_VERSION"));
        ran.check(ran.stdout.contains("libtorch"), "expected libtorch's version");
        sandbox.run(&["--help"]).exits(0).says("Exit codes: 0 pass");
        sandbox.run(&["compare", "--help"]).exits(0).says("--rtol");
        sandbox.run::<&str>(&[]).exits(2).notes("Usage:");
    }

    /// A reader that goes away is no reason to complain, nor to change the verdict.
    #[test]
    fn a_broken_pipe_is_quiet() {
        let sandbox = Sandbox::new();
        sandbox.write("other.png", picture(40, 24, 3));
        for (arguments, code) in [
            (&["compare", "photo.png", "photo.png"][..], 0),
            (&["compare", "photo.png", "other.png", "--json"], 1),
            (&["--help"], 0),
        ] {
            // The sleep lets `true` close the pipe first.
            let script = "(sleep 0.3; \"$0\" \"$@\"; echo $? > code) | true; sleep 1; cat code";
            let ran = Ran::of(sandbox.shell(script, arguments));
            ran.check(ran.stdout.trim() == code.to_string(), "expected the verdict's exit code");
            ran.check(ran.stderr.is_empty(), "expected nothing on stderr");
        }
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        let sandbox = Sandbox::new();
        let same = ["compare", "photo.png", "photo.png"];
        let ran = sandbox.run(&same);
        ran.check(!ran.stdout.contains('\x1b'), "expected no colour in a pipe");
        let mut command = sandbox.command(&same);
        command.env("CLICOLOR_FORCE", "1");
        Ran::of(command).exits(0).says("\x1b[");
        let mut command = sandbox.command(&same);
        command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
        let ran = Ran::of(command).exits(0);
        ran.check(!ran.stdout.contains('\x1b'), "expected NO_COLOR to win");
    }

    #[test]
    fn quiet_leaves_the_exit_code() {
        let sandbox = Sandbox::new();
        let ran = sandbox.run(&["compare", "photo.png", "photo.png", "--quiet"]).exits(0);
        ran.check(ran.stdout.is_empty() && ran.stderr.is_empty(), "expected nothing");
        let ran = sandbox.run(&["compare", "-q", "photo.png", "photo.png", "--json"]).exits(0);
        ran.object();
    }
}

#[cfg(not(feature = "tch"))]
#[test]
fn without_libtorch_check_says_why_it_is_not_there() {
    let sandbox = Sandbox::new();
    sandbox.run(&["check", "photo.png", "--sample"]).exits(2).notes("built without libtorch");
    let ran = sandbox.run(&["check", "photo.png", "--json"]).exits(2);
    let refusal: Refusal = parsed(&ran, 0);
    ran.check(refusal.error.message.contains("built without libtorch"), "message");
}

#[cfg(feature = "tch")]
mod check {
    use std::collections::BTreeMap;

    use serde_json::Value;
    use vae_fidelity::pixels;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Report {
        schema_version: u32,
        verdict: String,
        verdict_reasons: Vec<String>,
        input: Input,
        model: Model,
        posterior: Posterior,
        latents: Latents,
        decoded: Decoded,
        metrics: Option<Pixels>,
        thresholds: vae_fidelity::verdict::Thresholds,
        findings: Vec<Value>,
        notes: Vec<String>,
        timings_ms: BTreeMap<String, f64>,
        peak_rss_bytes: Option<u64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Input {
        path: String,
        format: String,
        mode: String,
        source_width: usize,
        source_height: usize,
        width: usize,
        height: usize,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Model {
        source: String,
        revision: Option<String>,
        family: String,
        config: Value,
        parameters: usize,
        device: String,
        dtype: String,
        engine: String,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Posterior {
        kind: String,
        seed: Option<i64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Latents {
        shape: [usize; 4],
        scaled_by: f64,
        mean: Option<f64>,
        std: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
        non_finite: usize,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Decoded {
        path: Option<String>,
        shape: [usize; 4],
        min: Option<f64>,
        max: Option<f64>,
        non_finite: usize,
        clamped_fraction: Option<f64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SummaryLine {
        schema_version: u32,
        summary: Summary,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Summary {
        images: usize,
        passed: usize,
        failed: usize,
        not_judged: usize,
    }

    #[test]
    fn one_image_as_json() {
        let sandbox = Sandbox::new();
        sandbox.write("odd.png", picture(45, 31, 0));
        let ran = sandbox.check(&["odd.png", "--json"]).exits(0).notes("vae/");
        let report: Report = parsed(&ran, 0);
        assert_eq!(report.schema_version, 1);
        assert_eq!((report.verdict.as_str(), report.verdict_reasons.len()), ("pass", 0));
        let input = &report.input;
        assert_eq!((input.path.as_str(), input.format.as_str()), ("odd.png", "PNG"));
        assert_eq!((input.mode.as_str(), input.width, input.height), ("RGB", 40, 24));
        assert_eq!((input.source_width, input.source_height), (45, 31));
        let model = &report.model;
        assert_eq!((model.source.as_str(), model.family.as_str()), ("model", "unknown"));
        assert_eq!((model.device.as_str(), model.dtype.as_str()), ("cpu", "f32"));
        assert_eq!((model.engine.as_str(), &model.revision), ("reference", &None));
        assert_eq!(model.config["latent_channels"], 4);
        assert!(model.parameters > 1000);
        assert_eq!((report.posterior.kind.as_str(), report.posterior.seed), ("mode", None));
        let latents = &report.latents;
        assert_eq!((latents.shape, latents.scaled_by), ([1, 4, 3, 5], 0.18215));
        assert_eq!(latents.non_finite, 0);
        assert!(latents.min.unwrap() < latents.mean.unwrap());
        assert!(latents.mean.unwrap() < latents.max.unwrap() && latents.std.unwrap() > 0.0);
        let decoded = &report.decoded;
        assert_eq!((decoded.shape, decoded.non_finite), ([1, 3, 24, 40], 0));
        assert!(decoded.min.unwrap() < decoded.max.unwrap());
        assert!((0.0..=1.0).contains(&decoded.clamped_fraction.unwrap()));
        assert_eq!(decoded.path.as_deref(), Some("decoded.png"));
        assert!(!report.metrics.unwrap().identical && report.findings.is_empty());
        assert_eq!(report.thresholds, vae_fidelity::verdict::Thresholds::default());
        let steps: Vec<_> = report.timings_ms.keys().map(String::as_str).collect();
        assert_eq!(steps, ["decode", "encode", "load", "total"]);
        assert!(report.timings_ms.values().all(|&time| time > 0.0));
        assert_eq!(report.peak_rss_bytes.is_some(), cfg!(target_os = "linux"));
        assert!(report.notes.iter().any(|note| note.contains("vae/")));
        let written = pixels::open(&sandbox.path("decoded.png")).unwrap().pixels;
        assert_eq!((written.width(), written.height()), (40, 24));
    }

    #[test]
    fn the_text_says_what_the_gist_says_and_more() {
        let sandbox = Sandbox::new();
        sandbox
            .check(&["--image", "photo.png", "--out", "back.png", "--hf_token_env", "NONE"])
            .exits(0)
            .says("latents  (1, 4, 3, 5) scaled by 0.18215")
            .says("decoded  (1, 3, 24, 40)")
            .says("saved    back.png")
            .says("PSNR")
            .says("verdict  pass");
        assert!(sandbox.exists("back.png") && !sandbox.exists("decoded.png"));
    }

    #[test]
    fn the_built_in_vae_is_named_and_so_is_the_way_to_another() {
        let sandbox = Sandbox::new();
        let ran = sandbox.run(&["check", "photo.png", "--device", "cpu"]).exits(0);
        ran.notes("built-in").says("builtin").notes("--repo").check(true, "");
    }

    #[test]
    fn metrics_are_those_of_the_files_written() {
        let sandbox = Sandbox::new();
        let ran = sandbox.check(&["photo.png", "--save-input", "seen.png", "--json"]).exits(0);
        let report: Report = parsed(&ran, 0);
        let ran = sandbox.run(&["compare", "seen.png", "decoded.png", "--json"]).exits(1);
        let metrics: Pixels = serde_json::from_value(ran.object()["metrics"].clone()).unwrap();
        assert_eq!(report.metrics, Some(metrics));
        assert_eq!(sandbox.read("seen.png"), sandbox.read("photo.png"));
    }

    #[test]
    fn what_is_asked_decides_the_verdict() {
        let sandbox = Sandbox::new();
        let ran = sandbox.check(&["photo.png", "--min-psnr", "99", "--json"]).exits(1);
        let report: Report = parsed(&ran, 0);
        assert_eq!((report.verdict.as_str(), report.thresholds.min_psnr), ("fail", Some(99.0)));
        assert!(report.verdict_reasons[0].starts_with("PSNR is "), "{:?}", report.verdict_reasons);
        sandbox.check(&["photo.png", "--min-ssim", "0.999"]).exits(1).says("verdict  fail");
        sandbox.check(&["photo.png", "--min-psnr", "-99", "--min-ssim", "-1"]).exits(0);
    }

    #[test]
    fn a_seed_makes_a_draw_repeatable_and_a_drawn_one_is_recorded() {
        let sandbox = Sandbox::new();
        let draw = |flags: &[&str], saved: &str| {
            let arguments = [&["photo.png", "--json", "--save-latents", saved], flags].concat();
            let ran = sandbox.check(&arguments).exits(0);
            let report: Report = parsed(&ran, 0);
            report.posterior
        };
        let first = draw(&["--sample", "--seed", "5"], "a.safetensors");
        assert_eq!((first.kind.as_str(), first.seed), ("sample", Some(5)));
        draw(&["--sample", "--seed", "5"], "b.safetensors");
        sandbox.run(&["compare", "a.safetensors", "b.safetensors"]).exits(0);
        let drawn = draw(&["--sample"], "c.safetensors").seed.unwrap();
        sandbox.run(&["compare", "a.safetensors", "c.safetensors"]).exits(1).says("noise");
        draw(&["--sample", "--seed", &drawn.to_string()], "d.safetensors");
        sandbox.run(&["compare", "c.safetensors", "d.safetensors"]).exits(0);
        let mode = draw(&["--seed", "5"], "e.safetensors");
        assert_eq!((mode.kind.as_str(), mode.seed), ("mode", None));
        sandbox.check(&["photo.png", "--seed", "5"]).exits(0).notes("no effect without --sample");
        let text = sandbox.check(&["photo.png", "--sample"]).exits(0);
        text.says("drawn with seed ").check(true, "");
    }

    #[test]
    fn saved_tensors_have_their_names() {
        let sandbox = Sandbox::new();
        let saved = ["--save-latents", "l.safetensors", "--save-decoded", "d.safetensors"];
        sandbox.check(&[&["photo.png", "--sample"], &saved[..]].concat()).exits(0);
        let names = |file: &str| -> Vec<(String, Vec<usize>)> {
            let tensors = vae_fidelity::tensor_file::read(&sandbox.path(file)).unwrap();
            tensors.into_iter().map(|t| (t.name.unwrap(), t.values.shape().to_vec())).collect()
        };
        let named = |name: &str, shape: [usize; 4]| (name.to_owned(), shape.to_vec());
        let expected = [
            named("latents", [1, 4, 3, 5]),
            named("moments", [1, 8, 3, 5]),
            named("noise", [1, 4, 3, 5]),
        ];
        assert_eq!(names("l.safetensors"), expected);
        assert_eq!(names("d.safetensors"), [named("decoded", [1, 3, 24, 40])]);
    }

    #[test]
    fn one_bad_image_does_not_stop_the_others() {
        let sandbox = Sandbox::new();
        sandbox.write("bad.png", "no picture").write("more.png", picture(16, 16, 9));
        let images = ["photo.png", "bad.png", "more.png", "--out-dir", "new/out"];
        let ran = sandbox.check(&[&images[..], &["--json"]].concat()).exits(2);
        assert_eq!(ran.lines().len(), 4);
        let first: Report = parsed(&ran, 0);
        assert_eq!(first.decoded.path.as_deref(), Some("new/out/photo.png"));
        let refusal: Refusal = parsed(&ran, 1);
        assert_eq!((refusal.error.code.as_str(), refusal.verdict), ("image", None));
        assert_eq!(refusal.input.unwrap()["path"], "bad.png");
        let _: Report = parsed(&ran, 2);
        let last: SummaryLine = parsed(&ran, 3);
        let expected = Summary { images: 3, passed: 2, failed: 0, not_judged: 1 };
        assert_eq!((last.schema_version, last.summary), (1, expected));
        assert!(sandbox.exists("new/out/more.png") && !sandbox.exists("new/out/bad.png"));
        let text =
            sandbox.check(&images).exits(2).says("3 images: 2 passed, 0 failed, 1 not judged");
        text.notes("bad.png").check(true, "");
        let worst = ["photo.png", "more.png", "--out-dir", "out", "--min-psnr", "99"];
        sandbox.check(&worst).exits(1);
    }

    #[test]
    fn bf16_is_judged_by_the_decoded_tensor() {
        let sandbox = Sandbox::new();
        let ran = sandbox.check(&["photo.png", "--dtype", "bf16", "--json"]).exits(0).notes("bf16");
        let report: Report = parsed(&ran, 0);
        assert_eq!((report.model.dtype.as_str(), report.metrics), ("bf16", None));
        assert_eq!(report.decoded.path, None);
        assert!(!sandbox.exists("decoded.png"));
    }

    #[test]
    fn a_vae_that_halves_more_often_is_compared_where_both_are() {
        let sandbox = Sandbox::new();
        let deeper = command::CONFIG
            .replace("[8, 8, 8, 8]", "[8, 8, 8, 8, 8]")
            .replace("[\"Down", "[\"DownEncoderBlock2D\", \"Down")
            .replace("[\"Up", "[\"UpDecoderBlock2D\", \"Up");
        sandbox.write("model/vae/config.json", deeper);
        let ran = sandbox.check(&["photo.png", "--json", "--sample"]).exits(0).notes("32 x 16");
        let report: Report = parsed(&ran, 0);
        assert_eq!((report.latents.shape, report.decoded.shape), ([1, 4, 1, 2], [1, 3, 16, 32]));
        assert_eq!((report.input.width, report.input.height), (40, 24));
        assert!(report.metrics.is_some());
    }

    #[test]
    fn the_last_of_a_repeated_flag_counts_as_in_the_gist() {
        let sandbox = Sandbox::new();
        sandbox.check(&["photo.png", "--out", "a.png", "--out", "b.png"]).exits(0);
        assert!(sandbox.exists("b.png") && !sandbox.exists("a.png"));
    }
}
