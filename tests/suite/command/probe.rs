//! What `probe` prints and writes, and how it exits.

use serde_json::Value;
use vae_fidelity::pixels;

use super::sandbox::{EARLIER, Ran, Sandbox, Tensor};

fn probe(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let model = ["probe", "--repo", "model", "--device", "cpu", "--size", "128"];
    sandbox.run(&[&model, arguments].concat())
}

#[test]
fn the_built_in_vae_passes_and_every_number_has_a_row() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["probe", "--size", "128", "--device", "cpu"]).exits(0);
    let ran = ran
        .says("charts   128 x 128, and a mosaic of them, 128 x 128")
        .says("verdict  pass")
        .says("sound VAEs have +6 dB");
    for label in ["grid", "colours", "resolution", "ringing", "drift", "points", "text"] {
        let row = |line: &&str| line.split_whitespace().next() == Some(label);
        ran.check(ran.stdout.lines().any(|line| row(&line)), label);
    }
    let rooms = ran.stdout.lines().filter(|line| line.starts_with("  ")).count();
    ran.check(rooms > 18, "expected a row for each number");
}

#[test]
fn weights_by_formula_fail_and_the_report_says_by_which_bars() {
    let sandbox = Sandbox::new();
    let files = ["--out", "charts.png", "--report", "card.html"];
    let ran = probe(&sandbox, &[&["--json"], &files[..]].concat()).exits(1);
    let report = ran.object();
    assert_eq!(
        (report["schema_version"].clone(), report["verdict"].clone()),
        (1.into(), "fail".into())
    );
    assert_eq!(
        (report["size_pixels"].clone(), report["trips_pixels"].clone()),
        (128.into(), 128.into())
    );
    let score = report["score_db"].as_f64().unwrap();
    assert!(score < 0.0);
    let judged = report["judged"].as_array().unwrap();
    let least = judged.iter().find(|of| of["name"] == report["score_limited_by"]).unwrap();
    assert_eq!(least["room_db"].as_f64(), Some(score));
    let missed = judged.iter().filter(|of| of["room_db"].as_f64().unwrap() < 0.0);
    let reasons: Vec<&str> =
        report["verdict_reasons"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for name in missed.map(|of| of["name"].as_str().unwrap()) {
        assert!(reasons.iter().any(|reason| reason.contains(name)), "{name}: {reasons:?}");
    }
    assert_eq!(report["trips"].as_array().unwrap().len(), 10);
    assert_eq!(report["saved"].as_array().unwrap().len(), 2);

    let sheet = pixels::open(&sandbox.path("charts.png")).unwrap().pixels;
    assert!(sheet.width() > 6 * 128 && sheet.height() > 4 * 128);
    let page = String::from_utf8(sandbox.read("card.html")).unwrap();
    let (_, inside) = page.split_once(r#"<script type="application/json" id="report">"#).unwrap();
    let inside: Value = serde_json::from_str(inside.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(inside, report);
    assert_eq!(page.matches("data:image/png;base64,").count(), 24);
    for part in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.contains(part), "the page must load nothing: {part}");
    }
}

#[test]
fn what_is_not_finite_fails_and_is_told_first() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors: &mut Vec<Tensor>| {
        let last = tensors.iter_mut().find(|of| of.name == "decoder.conv_out.bias").unwrap();
        last.values[0] = f32::NAN;
    });
    let ran = probe(&sandbox, &["--json"]).exits(1);
    let report = ran.object();
    assert_eq!(report["score_db"], -60.0);
    assert!(report["numbers"]["grid_rms_levels"].is_null());
    let codes: Vec<&Value> =
        report["findings"].as_array().unwrap().iter().map(|of| &of["code"]).collect();
    assert!(codes.iter().any(|code| **code == "non-finite-output"), "{codes:?}");
    probe(&sandbox, &[]).exits(1).says("NaN or infinite").says("not measured");
}

/// Weights of a file that has a decoder alone: no trip can be made.
#[test]
fn a_decoder_alone_is_not_judged() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors: &mut Vec<Tensor>| {
        tensors.retain(|of| of.name.starts_with("decoder") || of.name.starts_with("post_quant"));
    });
    let ran = probe(&sandbox, &["--json", "--out", "charts.png"]).exits(2);
    ran.check(ran.stdout.contains("weights-missing"), "expected the finding");
    assert!(!sandbox.path("charts.png").exists());
}

#[test]
fn what_cannot_be_judged_is_refused_before_anything_runs() {
    let sandbox = Sandbox::new();
    sandbox.write("decoded.png", EARLIER);
    let before = sandbox.contents();
    for (arguments, parts) in [
        (&["--size", "100"][..], &["--size 100", "multiple of 64"][..]),
        (&["--size", "64"], &["from 128"]),
        (&["--size", "large"], &["at least 128"]),
        (&["--size", "-64"], &["at least 128"]),
        (&["--repo", "missing"], &["missing"]),
        (&["--out", "charts.jpg"], &["writes PNG"]),
        (&["--report", "card.png"], &["writes HTML"]),
        (&["--report", "model/vae/config.json"], &["writes HTML"]),
        (&["--out", "same", "--report", "./same"], &["one file"]),
        (&["--width", "64"], &["--width"]),
        (&["--out", "model/vae/config.json"], &["would replace an input"]),
        (&["--report", "gone/card.html"], &["gone"]),
        (&["--out", "gone/charts.png"], &["gone"]),
    ] {
        let ran = probe(&sandbox, arguments).exits(2);
        for part in parts {
            ran.check(ran.stderr.contains(part), part);
        }
        probe(&sandbox, &[arguments, &["--json"]].concat()).exits(2).says(r#""verdict":null"#);
    }
    assert!(sandbox.contents() == before, "expected all files as they were");
}
