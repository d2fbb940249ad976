//! `check --against` and `trace --against` name the same layer.

use serde_json::Value;

use super::sandbox::{Sandbox, parsed};
use super::trace::{save, trace, traced};
use super::trace_report::Report;

/// The layer of `trace-diverges` or its kin in what `check` says, with its severity.
fn layer_of_check(sandbox: &Sandbox) -> Option<(String, String)> {
    let check = ["check", "--repo", "model", "photo.png", "--against", "trace.json", "--json"];
    let ran = sandbox.run(&check);
    let object = ran.object();
    let findings = object["findings"].as_array().unwrap();
    let causes = ["trace-diverges", "symmetric-downsample-padding"];
    let finding = findings.iter().find(|found| causes.iter().any(|code| found["code"] == *code))?;
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    Some((text("layer"), text("severity")))
}

/// One sampled value is what a border shows of itself; it spreads from layer to layer.
#[test]
fn check_names_the_layer_that_trace_names() {
    let (sandbox, saved) = traced();
    let moved = |module: &str, stage: &str, part: f64| {
        let mut trace = saved.clone();
        let layers = trace[stage].as_array_mut().unwrap();
        let from = layers.iter().position(|layer| layer["module"] == module).unwrap();
        for (behind, layer) in layers[from..].iter_mut().enumerate() {
            let by = part * (1.0 + behind as f64 / 4.0) * layer["std"].as_f64().unwrap();
            let samples = layer["samples"].as_array_mut().unwrap();
            for sample in samples.iter_mut().take(1 + behind) {
                *sample = Value::from(sample.as_f64().unwrap() + by);
            }
            layer["sha256"] = Value::from("0".repeat(64));
        }
        save(&sandbox, &trace);
    };
    let named = || {
        let ran = trace(&sandbox, &["photo.png", "--against", "trace.json", "--json"]).exits(1);
        let stages = parsed::<Report>(&ran, 0).against.unwrap().stages;
        stages.into_iter().find_map(|stage| stage.first_beyond_rounding).unwrap()
    };
    for (stage, module) in [
        ("encode", "encoder.conv_in"),
        ("encode", "encoder.down_blocks.0.resnets.0.norm2"),
        ("encode", "encoder.mid_block.attentions.0.to_q"),
        ("encode", "encoder.conv_out"),
        ("decode", "decoder.mid_block.resnets.0.conv1"),
        ("decode", "decoder.up_blocks.0.resnets.0.conv2"),
        ("decode", "decoder.conv_out"),
    ] {
        moved(module, stage, 0.12);
        let (layer, severity) = layer_of_check(&sandbox).unwrap();
        assert_eq!((&*layer, &*severity), (module, "warning"));
        assert_eq!(named(), module);
        // Too little to be seen, and still more than f32 rounds.
        moved(module, stage, 0.002);
        let (layer, severity) = layer_of_check(&sandbox).unwrap();
        assert_eq!((&*layer, &*severity), (module, "info"));
        assert_eq!(named(), module);
    }
    save(&sandbox, &saved);
    assert_eq!(layer_of_check(&sandbox), None);
}
