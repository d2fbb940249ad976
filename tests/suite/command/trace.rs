//! What `trace` prints and saves, what it compares, and how it exits.

use std::path::Path;

use serde_json::Value;

use super::sandbox::{Ran, Refusal, Sandbox, parsed, picture};
use super::trace_report::{Fault, Report};

const MODEL: [&str; 5] = ["trace", "--repo", "model", "--device", "cpu"];

pub(super) fn trace(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    sandbox.run(&[&MODEL, arguments].concat())
}

/// A sandbox with the trace of its picture in `trace.json`.
pub(super) fn traced() -> (Sandbox, Value) {
    let sandbox = Sandbox::new();
    trace(&sandbox, &["photo.png", "--save-trace", "trace.json", "--quiet"]).exits(0);
    let saved = serde_json::from_slice(&sandbox.read("trace.json")).unwrap();
    (sandbox, saved)
}

pub(super) fn save(sandbox: &Sandbox, trace: &Value) {
    sandbox.write("trace.json", serde_json::to_vec(trace).unwrap());
}

fn at<'a>(trace: &'a mut Value, stage: &str, module: &str) -> &'a mut Value {
    let layers = trace[stage].as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["module"] == module).unwrap()
}

#[test]
fn every_layer_is_a_row_of_the_table() {
    let sandbox = Sandbox::new();
    let ran = trace(&sandbox, &["photo.png"]).exits(0);
    let ran = ran.says("PNG RGB, 40 x 24").says("verdict  pass");
    for names in [
        ["encoder.conv_in", "Conv2d", "(1, 8, 24, 40)"],
        ["encoder.mid_block.attentions.0.to_q", "Linear", "(1, 15, 8)"],
        ["decoder", "Decoder", "(1, 3, 24, 40)"],
    ] {
        let found = ran.stdout.lines().find(|line| {
            let start: Vec<&str> = line.split_whitespace().take(2).collect();
            start == names[..2] && line.contains(names[2])
        });
        ran.check(found.is_some(), names[0]);
    }
    // Columns end where their header does.
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let header = lines.iter().position(|line| line.contains("f16 room")).unwrap();
    let rows = lines[header + 1..].iter().take_while(|line| line.starts_with("  encoder")).count();
    ran.check(rows > 40, "expected every layer of the encoder");
    for line in &lines[header..=header + rows] {
        ran.check(line.len() == lines[header].len(), "expected rows of one length");
    }
    assert!(!sandbox.exists("decoded.png"), "trace writes no picture");
}

#[test]
fn json_has_what_the_file_has() {
    let (sandbox, saved) = traced();
    let ran = trace(&sandbox, &["photo.png", "--save-trace", "again.json", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.schema_version, report.verdict.as_str()), (1, "pass"));
    assert!(report.verdict_reasons.is_empty() && report.against.is_none());
    assert_eq!(report.saved.as_deref(), Some("again.json"));
    assert_eq!(report.input["width"], 40);
    assert_eq!(report.model["engine"], vae_fidelity::Engine::default().to_string());
    assert_eq!(report.posterior["kind"], "mode");
    assert!(report.notes.iter().all(|note| !note.contains("built-in")));
    for (stage, layers) in [("encode", &report.encode), ("decode", &report.decode)] {
        let saved = saved[stage].as_array().unwrap();
        assert_eq!(saved.len(), layers.len());
        for (saved, layer) in saved.iter().zip(layers) {
            assert_eq!(saved["module"], *layer.module);
            assert_eq!(saved["kind"], *layer.kind);
            assert_eq!(saved["sha256"], *layer.sha256);
            assert_eq!(layer.sha256.len(), 64);
            assert_eq!(saved["samples"].as_array().unwrap().len(), layer.samples.len());
            assert_eq!((layer.samples.len(), layer.non_finite), (32, 0));
            assert!(!layer.shape.is_empty() && layer.std.is_some() && layer.mean.is_some());
            let largest = layer.min.unwrap().abs().max(layer.max.unwrap().abs());
            let room = layer.f16_headroom.unwrap();
            assert!((room * largest - 65504.0).abs() < 1.0, "{}: {room}", layer.module);
        }
    }
    // As check saves it.
    sandbox.check(&["photo.png", "--save-trace", "check.json", "--quiet"]).exits(0);
    assert_eq!(sandbox.read("check.json"), sandbox.read("again.json"));
}

#[test]
fn the_same_run_again_is_identical() {
    let (sandbox, _) = traced();
    let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    let against = report.against.unwrap();
    assert_eq!(against.path, "trace.json");
    assert!(against.tolerance.atol > 0.0 && against.tolerance.rtol > 0.0);
    assert!(against.fault.is_none());
    let [encode, decode] = &against.stages[..] else { panic!("{ran:?}", ran = against.stages) };
    assert_eq!((encode.stage.as_str(), decode.stage.as_str()), ("encode", "decode"));
    for stage in [encode, decode] {
        assert_eq!(stage.identical, stage.layers.len());
        assert_eq!((stage.within_rounding, stage.beyond_rounding), (0, 0));
        assert!(stage.first_not_identical.is_none() && stage.first_beyond_rounding.is_none());
        assert!(stage.last_that_agrees.is_none() && stage.absent.is_empty());
        for layer in &stage.layers {
            assert_eq!(layer.agreement, "identical", "{} ({})", layer.module, layer.kind);
            assert_eq!((layer.largest_in_std, &layer.difference), (Some(0.0), &None));
        }
    }
    trace(&sandbox, &["photo.png", "--against", "trace.json"]).exits(0).says("identical");
}

#[test]
fn one_ulp_is_rounding_and_a_tenth_of_the_spread_is_not() {
    let (sandbox, saved) = traced();
    let module = "encoder.down_blocks.1.resnets.0.conv1";
    let mut near = saved.clone();
    let layer = at(&mut near, "encode", module);
    let value = layer["samples"][0].as_f64().unwrap() as f32;
    layer["samples"][0] = value.next_up().into();
    layer["sha256"] = "0".repeat(64).into();
    save(&sandbox, &near);
    let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    let stage = &report.against.unwrap().stages[0];
    assert_eq!((stage.within_rounding, stage.beyond_rounding), (1, 0));
    assert_eq!(stage.first_not_identical.as_deref(), Some(module));

    let mut far = saved;
    let layer = at(&mut far, "encode", module);
    let off = layer["samples"][0].as_f64().unwrap() + 0.1 * layer["std"].as_f64().unwrap();
    layer["samples"][0] = (off as f32).into();
    save(&sandbox, &far);
    let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(1);
    let report: Report = parsed(&ran, 0);
    assert_eq!(report.verdict, "fail");
    let [reason] = &report.verdict_reasons[..] else { panic!("{:?}", report.verdict_reasons) };
    for part in [module, "first layer of encode", "1 of 32 sampled values", "norm1 and all before"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    let against = report.against.unwrap();
    let Some(Fault::CannotTell { reason }) = &against.fault else { panic!("{:?}", against.fault) };
    assert!(reason.contains("whole tensors"), "{reason}");
    let stage = &against.stages[0];
    assert_eq!(stage.first_beyond_rounding.as_deref(), Some(module));
    let norm = "encoder.down_blocks.1.resnets.0.norm1";
    assert_eq!(stage.last_that_agrees.as_deref(), Some(norm));
    let text = trace(&sandbox, &["photo.png", "--against", "trace.json"]).exits(1);
    text.says("beyond rounding").says("cannot tell whether it is broken here or inherited");
    // What was asked for goes before what was measured.
    let loose = ["photo.png", "--against", "trace.json", "--atol", "0.2"];
    trace(&sandbox, &loose).exits(0).says("rounding is 2e-1");
}

/// Another picture is another input; the decoder is told that its latents differ already.
#[test]
fn another_picture_differs_from_the_first_layer_on() {
    let (sandbox, _) = traced();
    sandbox.write("other.png", picture(40, 24, 90));
    let ran = trace(&sandbox, &["other.png", "--against", "trace.json"]).exits(1);
    ran.says("encoder.conv_in is the first layer of encode")
        .says("look at its input as well")
        .says("post_quant_conv is the first layer of decode that differs beyond rounding")
        .says("the latents that it is given differ already");
    let ran = trace(
        &sandbox,
        &["photo.png", "--width", "24", "--height", "24", "--against", "trace.json"],
    );
    ran.exits(1).says("shape [1, 8, 24, 24], expected [1, 8, 24, 40]");
}

#[test]
fn a_changed_weight_is_named_where_it_is() {
    let (sandbox, _) = traced();
    sandbox.store_weights(|tensors| {
        let name = "decoder.up_blocks.1.resnets.0.conv2.bias";
        let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        tensor.values[3] += 0.5;
    });
    let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(1);
    let report: Report = parsed(&ran, 0);
    let against = report.against.unwrap();
    assert_eq!(against.stages[0].beyond_rounding, 0, "the encoder is as it was");
    let first = against.stages[1].first_beyond_rounding.as_deref();
    assert_eq!(first, Some("decoder.up_blocks.1.resnets.0.conv2"));
}

#[test]
fn the_first_layer_with_nan_fails_without_another_trace() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| {
        let name = "decoder.mid_block.resnets.1.conv1.bias";
        tensors.iter_mut().find(|tensor| tensor.name == name).unwrap().values[0] = f32::NAN;
    });
    let module = "decoder.mid_block.resnets.1.conv1";
    let ran = trace(&sandbox, &["photo.png", "--save-trace", "nan.json"]).exits(1);
    ran.says(&format!("{module} is the first layer with NaN or infinity: 15 values"));
    // Nor does it agree with itself.
    let again = trace(&sandbox, &["photo.png", "--against", "nan.json"]).exits(1);
    again.says(&format!("{module} is the first layer of decode that differs beyond rounding"));
}

#[cfg(feature = "tch")]
#[test]
fn the_fast_engine_is_within_rounding_of_the_reference() {
    let (sandbox, _) = traced();
    let arguments = ["photo.png", "--engine", "fast", "--against", "trace.json", "--json"];
    let ran = trace(&sandbox, &arguments).exits(0);
    let report: Report = parsed(&ran, 0);
    assert_eq!(report.model["engine"], "fast");
    let stages = report.against.unwrap().stages;
    assert!(stages.iter().all(|stage| stage.beyond_rounding == 0));
    assert!(stages.iter().any(|stage| stage.within_rounding > 0), "it rounds otherwise");
}

/// What f16 kernels were measured to do holds for rounding to f16, too.
#[test]
fn f16_by_rounding_is_within_what_f16_rounds() {
    let (sandbox, _) = traced();
    let f16 = ["photo.png", "--against", "trace.json", "--engine", "fast", "--dtype", "f16"];
    let ran = trace(&sandbox, &[&f16[..], &["--json"]].concat()).exits(0);
    let report: Report = parsed(&ran, 0);
    assert!(report.model["arithmetic"].as_str().unwrap().contains("rounded to f16"));
    let against = report.against.unwrap();
    assert!(against.tolerance.atol > 0.01 && against.stages.iter().all(|s| s.identical == 0));
}

/// A golden's trace, which the reference script's model wrote, and a posterior sample.
#[test]
fn goldens_and_draws_are_compared() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let image = golden.join("images/astronaut.png");
    let against = golden.join("cases/builtin-blocks/trace.json");
    let [image, against] = [&image, &against].map(|path| path.to_str().unwrap());
    let sandbox = Sandbox::new();
    let size = ["--width", "16", "--height", "8", "--device", "cpu"];
    let base = [&["trace", image, "--against", against], &size[..]].concat();
    sandbox.run(&base).exits(0).says("0 beyond it").notes("built-in");
    let drawn = [&base[..], &["--sample", "--seed", "5"]].concat();
    sandbox.run(&drawn).exits(1).says("first layer of decode");
    let again = |name: &str, seed: &str| {
        trace(&sandbox, &["photo.png", "--sample", "--seed", seed, "--save-trace", name]).exits(0);
        sandbox.read(name)
    };
    assert_eq!(again("a.json", "7"), again("b.json", "7"));
    assert_ne!(again("a.json", "7"), again("b.json", "8"));
}

/// Beside some goldens' traces there are whole tensors, by which a fault is told from its effects.
#[test]
fn against_a_golden_with_whole_tensors_the_block_is_run_alone() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let path = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let sandbox = Sandbox::new();
    let block = "decoder.up_blocks.2";
    let recipe = serde_json::json!({
        "schema_version": 1, "hash": "fnv1a64-splitmix64",
        "multiply": {format!("{block}.resnets.1.conv1.weight"): 2},
    });
    let config = std::fs::read(golden.join("models/sd-small/vae/config.json")).unwrap();
    sandbox.write("spoiled/vae/config.json", config);
    sandbox.write("spoiled/vae/recipe.json", recipe.to_string());
    let fault = |repo: &str, image: &str| {
        let against = path("cases/sd-small-blocks/trace.json");
        let ran = sandbox.run(&[
            "trace",
            image,
            "--repo",
            repo,
            "--against",
            &against,
            "--width",
            "16",
            "--height",
            "8",
            "--device",
            "cpu",
            "--json",
        ]);
        let report: Report = parsed(&ran.exits(1), 0);
        report.against.unwrap().fault.unwrap()
    };
    let found = fault("spoiled", &path("images/astronaut.png"));
    let Fault::BrokenHere { block: named, difference, broken } = &found else {
        panic!("{found:?}")
    };
    assert_eq!((named.as_str(), &broken[..]), (block, &[block.to_owned()][..]));
    assert!(difference.contains("values"), "{difference}");
    // The model is right, and the picture is another one.
    let found = fault(&path("models/sd-small"), "photo.png");
    let Fault::Inherited { block, broken } = &found else { panic!("{found:?}") };
    assert_eq!((block.as_str(), broken.len()), ("encoder.conv_in", 0));
}

#[track_caller]
fn refuses(sandbox: &Sandbox, arguments: &[&str], part: &str) {
    let before = sandbox.contents();
    let text = trace(sandbox, arguments).exits(2).notes(part).notes("\n next: ");
    text.check(text.stdout.is_empty(), "expected nothing on stdout");
    let json = trace(sandbox, &[arguments, &["--json"]].concat()).exits(2);
    let refusal: Refusal = parsed(&json, 0);
    assert_eq!((refusal.schema_version, refusal.verdict), (1, None));
    assert!(refusal.error.message.contains(part), "{}", refusal.error.message);
    text.check(sandbox.contents() == before, "expected all files as they were");
}

#[test]
fn what_cannot_be_judged_is_said() {
    let (sandbox, saved) = traced();
    refuses(&sandbox, &["none.png"], "none.png");
    refuses(&sandbox, &["photo.png", "--against", "none.json"], "none.json");
    refuses(&sandbox, &["photo.png", "--against", "photo.png"], "is not a trace");
    refuses(&sandbox, &["photo.png", "--save-trace", "photo.png"], "would replace an input");
    refuses(&sandbox, &["photo.png", "--save-trace", "none/t.json"], "none");
    let both = ["photo.png", "--save-trace", "trace.json", "--against", "trace.json"];
    refuses(&sandbox, &both, "would replace an input");
    refuses(&sandbox, &["photo.png", "--save-trace", "model/vae/config.json"], "replace an input");
    refuses(&sandbox, &["photo.png", "--width", "12", "--height", "8"], "12");
    let mut other = saved.clone();
    for stage in ["encode", "decode"] {
        for layer in other[stage].as_array_mut().unwrap() {
            layer["module"] = format!("first_stage_model.{}", layer["module"]).into();
        }
    }
    save(&sandbox, &other);
    refuses(
        &sandbox,
        &["photo.png", "--against", "trace.json"],
        "names no layer that this VAE has",
    );
    let mut other = saved.clone();
    other["schema_version"] = 2.into();
    save(&sandbox, &other);
    refuses(&sandbox, &["photo.png", "--against", "trace.json"], "expected schema_version 1");
    save(&sandbox, &serde_json::json!({"schema_version": 1}));
    refuses(&sandbox, &["photo.png", "--against", "trace.json"], "names no module");
    for flags in [&["--atol", "1"][..], &["--atol", "-1", "--against", "trace.json"], &["more.png"]]
    {
        trace(&sandbox, &[&["photo.png"], flags].concat()).exits(2);
    }
}

/// A port may record one stage, some modules, and no hashes: what it has is compared.
#[test]
fn a_trace_may_leave_out_what_it_does_not_have() {
    let (sandbox, mut saved) = traced();
    saved.as_object_mut().unwrap().remove("encode");
    let layers = saved["decode"].as_array_mut().unwrap();
    layers.retain(|layer| layer["kind"] == "Conv2d");
    layers.iter_mut().for_each(|layer| {
        layer.as_object_mut().unwrap().remove("sha256");
    });
    let mut extra = layers[0].clone();
    extra["module"] = "decoder.conv_act".into();
    layers.push(extra);
    save(&sandbox, &saved);
    let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    let [stage] = &report.against.unwrap().stages[..] else { panic!("one stage") };
    assert_eq!(stage.absent, ["decoder.conv_act"]);
    assert_eq!((stage.identical, stage.beyond_rounding), (0, 0));
    assert!(stage.within_rounding > 10, "without a hash, equal bits are not known");
}
