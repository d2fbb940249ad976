//! What `explain-gap` says of two results, and that its effects are the gap.

use std::fs;

use serde_json::Value;

use super::evaluate::{data, evaluate};
use super::sandbox::{Ran, Sandbox};

/// Two evaluations of five pictures, in `a` and `b`.
fn evaluated(a: &[&str], b: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    data(&sandbox, 5);
    evaluate(&sandbox, "a", a).exits(0);
    evaluate(&sandbox, "b", b).exits(0);
    sandbox
}

/// By the engine that evaluated.
pub fn explain_gap(sandbox: &Sandbox, more: &[&str]) -> Ran {
    let run = ["explain-gap", "--device", "cpu", "--engine", "fast"];
    sandbox.run(&[&run[..], more].concat())
}

pub fn metric<'a>(report: &'a Value, name: &str) -> &'a Value {
    let metrics = report["metrics"].as_array().unwrap();
    metrics.iter().find(|of| of["metric"] == name).unwrap_or_else(|| panic!("no {name}: {report}"))
}

pub fn choices(metric: &Value) -> Vec<&str> {
    let effects = metric["effects"].as_array().unwrap();
    effects.iter().map(|of| of["choice"].as_str().unwrap()).collect()
}

/// That effects add up to the sample's gap.
pub fn adds_up(metric: &Value) {
    let effects = metric["effects"].as_array().unwrap();
    let sum: f64 = effects.iter().map(|of| of["effect"].as_f64().unwrap()).sum();
    let of = |field: &str| metric[field].as_f64().unwrap();
    assert!((sum - (of("b_of_sample") - of("a_of_sample"))).abs() < 1e-9, "{metric}");
    assert!((of("gap") - sum - of("not_explained")).abs() < 1e-9, "{metric}");
}

#[test]
fn every_picture_anew_explains_all_of_the_gap() {
    let sandbox = evaluated(&["--protocol", "llamagen"], &["--protocol", "lightningdit"]);
    let report = explain_gap(&sandbox, &["a", "b", "--json"]).exits(0).object();
    assert_eq!((report["sampled"].clone(), report["left_out"].clone()), (5.into(), 0.into()));
    let ssim = metric(&report, "ssim");
    for choice in ["metrics.ssim.range", "metrics.ssim.window", "metrics.ssim.zero", "input"] {
        assert!(choices(ssim).contains(&choice), "{choice}: {ssim}");
    }
    let range =
        ssim["effects"].as_array().unwrap().iter().find(|of| of["choice"] == "metrics.ssim.range");
    assert_eq!((&range.unwrap()["a"], &range.unwrap()["b"]), (&"2".into(), &"1".into()));
    // What SSIM is of decides nothing of PSNR.
    let psnr = metric(&report, "psnr_db");
    assert!(choices(psnr).iter().all(|choice| !choice.contains("ssim")), "{psnr}");
    for of in report["metrics"].as_array().unwrap() {
        adds_up(of);
        assert!(of["not_explained"].as_f64().unwrap().abs() < 1e-9, "{of}");
    }
    let text = explain_gap(&sandbox, &["a/result.json", "b/result.json"]).exits(0);
    text.says("metrics.ssim.range: 2 to 1").says("100.0 % is explained");
}

#[test]
fn another_vae_is_a_choice_among_the_others() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    evaluate(&sandbox, "a", &["--protocol", "vae-fidelity-256"]).exits(0);
    let run = ["evaluate", "data", "--repo", "builtin", "--engine", "fast", "--device", "cpu"];
    sandbox.run(&[&run[..], &["--out", "b", "--protocol", "lavinal712"]].concat()).exits(0);
    let report = explain_gap(&sandbox, &["a", "b", "--json"]).exits(0).object();
    let psnr = metric(&report, "psnr_db");
    assert_eq!(choices(psnr)[0], "model", "{psnr}");
    let model = &psnr["effects"][0];
    assert_eq!((&model["a"], &model["b"]), (&"model".into(), &"builtin".into()));
    assert!(model["effect"].as_f64().unwrap() > 0.0, "the built-in VAE is trained");
    report["metrics"].as_array().unwrap().iter().for_each(adds_up);
}

#[test]
fn other_pictures_are_a_choice_too() {
    let sandbox = evaluated(&[], &[]);
    fs::rename(sandbox.path("data"), sandbox.path("more")).unwrap();
    data(&sandbox, 3);
    fs::remove_dir_all(sandbox.path("b")).unwrap();
    evaluate(&sandbox, "b", &[]).exits(0);
    let run = ["a", "b", "--data", "more", "--data", "data", "--json"];
    let report = explain_gap(&sandbox, &run).exits(0).object();
    assert_eq!(choices(metric(&report, "psnr_db")), ["pictures"]);
    report["metrics"].as_array().unwrap().iter().for_each(adds_up);
}

#[test]
fn what_the_sample_does_not_explain_is_said() {
    let sandbox = evaluated(&[], &["--protocol", "vae-fidelity-256"]);
    let mut result: Value = serde_json::from_slice(&sandbox.read("a/result.json")).unwrap();
    let mean = &mut result["models"][0]["metrics"]["ssim"]["mean"];
    *mean = (mean.as_f64().unwrap() - 0.3).into();
    sandbox.write("painted.json", result.to_string());
    let ran = explain_gap(&sandbox, &["painted.json", "b"]).exits(1);
    ran.says("missed   ssim: the sample explains").says("take more pictures");
}

#[test]
fn what_cannot_be_had_is_refused_and_named() {
    let sandbox = evaluated(&[], &["--protocol", "vae-fidelity-256"]);
    let refused = |more: &[&str], said: &str| {
        explain_gap(&sandbox, &[&["a"], more].concat()).exits(2).notes(said);
    };
    refused(&["data/b/000.png"], "is no text");
    sandbox.write("other.json", "{}");
    refused(&["other.json"], "is no result of an evaluation");
    refused(&["nothing.json"], "no such file");
    let mut result: Value = serde_json::from_slice(&sandbox.read("b/result.json")).unwrap();
    result["protocol"]["choices"]["input"]["size"] = 0.into();
    sandbox.write("zero.json", result.to_string());
    refused(&["zero.json"], "input.size: expected at least 1, found 0");
    refused(&["b", "--repo", "builtin"], "has other weights than the result's");
    refused(&["b", "--model-b", "1"], "expected below 1, found 1");
    refused(&["b", "--sample", "0"], "at least 1");
    refused(&["b", "--data", "model"], "holds no picture");
    sandbox.write("data/one_more.png", sandbox.read("data/b/000.png"));
    refused(&["b"], "is not the data set of the result");
}
