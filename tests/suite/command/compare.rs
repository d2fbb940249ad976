//! `compare`: pictures and tensors, what is printed, and how it exits.

use serde::Deserialize;

use super::sandbox::{Refusal, Sandbox, Tensor, parsed, picture, safetensors_of};

type Tensors = vae_fidelity::metrics::TensorMetrics;
type Pixels = vae_fidelity::metrics::PixelMetrics;

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
    sandbox.write("large.png", picture(176, 176, 0));
    sandbox.write("shifted.png", picture(176, 176, 3));
    let least = |least| ["compare", "large.png", "shifted.png", "--min-ms-ssim", least];
    sandbox.run(&least("0")).exits(0).says("pass");
    sandbox.run(&least("1")).exits(1).says("MS-SSIM is ");
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
    let tensors: Vec<Tensor> =
        tensors.iter().map(|(name, values)| Tensor::new(name, &[values.len()], values)).collect();
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
fn missing_tensors_and_other_shapes_differ() {
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
fn f64_is_compared_as_such() {
    let sandbox = Sandbox::new();
    let npy = |values: [f64; 2]| {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n";
        let length = (header.len() as u16).to_le_bytes();
        let data = values.map(f64::to_le_bytes).concat();
        [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), &data].concat()
    };
    sandbox.write("a.npy", npy([0.1, 1.0])).write("b.npy", npy([0.1 + 1e-12, 1.0]));
    sandbox.run(&["compare", "a.npy", "a.npy"]).exits(0);
    // f32 would hold the two for the same.
    sandbox.run(&["compare", "a.npy", "b.npy"]).exits(1).says("1 of 2 values differ");
    sandbox.run(&["compare", "a.npy", "b.npy", "--atol", "1e-11"]).exits(0);
    sandbox.run(&["compare", "a.npy", "b.npy", "--atol", "1e-13"]).exits(1);
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
    sandbox.write("deep.npy", [b"\x93NUMPY\x01\x00\xff\xff".as_slice(), &[b'('; 0xffff]].concat());
    tensors(&sandbox, "a.safetensors", &[("x", &[1.0])]);
    let refused = |arguments: &[&str], part: &str| {
        let ran = sandbox.run(&[&["compare"], arguments].concat()).exits(2).notes(part);
        ran.check(ran.stdout.is_empty() && ran.stderr.contains(" next: "), "expected one error");
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
    refused(&["a.safetensors", "a.safetensors", "--min-ms-ssim", "0.5"], "--min-ms-ssim");
    refused(&["photo.png", "photo.png", "--atol", "3"], "--atol");
    sandbox.write("tiny.png", picture(8, 8, 0));
    refused(&["tiny.png", "tiny.png", "--min-ssim", "0.5"], "8 x 8");
    refused(&["photo.png", "photo.png", "--min-ms-ssim", "0.5"], "40 x 24");
}
