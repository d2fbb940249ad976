//! Where the error lies, and energy over frequency.

use serde_json::Value;

use super::evaluate::{data, evaluate};
use super::sandbox::{Sandbox, picture};

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

#[test]
fn errors_over_position_add_up_to_the_mean_and_shares_of_energy_to_one() {
    let sandbox = Sandbox::new();
    for (name, start) in [("a", 0), ("b", 90)] {
        sandbox.write(&format!("data/{name}.png"), picture(80, 96, start));
    }
    let run = ["evaluate", "data", "--repo", "builtin", "--engine", "fast", "--out", "out"];
    let ran = sandbox.run(&[&run[..], &["--json"]].concat()).exits(0);
    let report = ran.object();
    let model = &report["models"][0];
    let map = &model["error_map"];
    let rows = map["rmse"].as_array().unwrap();
    let parts: Vec<f64> = rows.iter().flat_map(numbers).collect();
    assert_eq!((rows.len(), parts.len()), (16, 256));
    // Both sides are multiples of 16, so that all parts are of one size.
    let mean = parts.iter().map(|rmse| rmse * rmse).sum::<f64>() / 256.0;
    let mse = model["metrics"]["mse"]["mean"].as_f64().unwrap();
    assert!((mean / mse - 1.0).abs() < 1e-9, "{mean} {mse}");
    let [border, interior] = ["border_rmse", "interior_rmse"].map(|of| map[of].as_f64().unwrap());
    let mean = (60.0 * border * border + 196.0 * interior * interior) / 256.0;
    assert!((mean / mse - 1.0).abs() < 1e-9, "{mean} {mse}");
    for of in ["input", "decoded", "latents"] {
        let shares = numbers(&model["spectrum"][of]);
        assert_eq!(shares.len(), 15, "{of}");
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{of}: {shares:?}");
    }
    let page = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(page.contains("Where the error lies") && page.contains("Energy over frequency"));
}

#[test]
fn latents_smaller_than_a_block_have_no_spectrum() {
    let sandbox = Sandbox::new();
    data(&sandbox, 2);
    let ran = evaluate(&sandbox, "out", &["--repo", "builtin", "--json"]).exits(0);
    let report = ran.object();
    assert!(report["models"][1]["spectrum"].is_null());
    assert!(report["models"][1]["error_map"]["border_rmse"].is_number());
}

#[test]
fn maps_of_other_pictures_are_refused() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    evaluate(&sandbox, "out", &[]).exits(0);
    let maps: Value = serde_json::from_slice(&sandbox.read("out/maps.json")).unwrap();
    let mut others = maps.clone();
    others[0]["pictures"] = 2.into();
    sandbox.write("out/maps.json", others.to_string());
    evaluate(&sandbox, "out", &[]).exits(2).notes("has maps of 2 pictures, and rows of 3");
    let mut others = maps.clone();
    others[0]["errors"]["squares"].as_array_mut().unwrap().pop();
    sandbox.write("out/maps.json", others.to_string());
    evaluate(&sandbox, "out", &[])
        .exits(2)
        .notes("expected the maps of as many models as there are, 1, found others");
    sandbox.write("out/maps.json", maps.to_string());
    evaluate(&sandbox, "out", &[]).exits(0);
}
