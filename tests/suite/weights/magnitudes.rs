//! What `inspect` says of values.

use vae_fidelity::report::InspectReport;

use super::planted::{As, Draws, Folder, TRAINED, Tensors, e4m3, largest, layers, tensors};
use super::values::faults;

/// Codes that `inspect` finds in `model` once it was changed.
fn found(model: &str, stored: As, change: &dyn Fn(&mut Tensors)) -> Vec<String> {
    let mut tensors = tensors(model);
    change(&mut tensors);
    let folder = Folder::of(model, &tensors, stored);
    let report = InspectReport::of(&folder.contents()).unwrap();
    report.findings.iter().map(|finding| finding.code.to_string()).collect()
}

fn tuned(tensors: &mut Tensors, by: f32) {
    let mut draws = Draws(1);
    for (_, _, values) in tensors {
        let size = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|value| *value += by * size.sqrt() * draws.normal());
    }
}

#[test]
fn every_fault_of_magnitude_is_found_by_its_name() {
    for model in TRAINED {
        for (code, what, stored, change) in &faults() {
            let found = found(model, *stored, change);
            assert_eq!(
                found.first().map(String::as_str),
                Some(*code),
                "{model}, {what}: {found:?}"
            );
        }
    }
}

#[test]
fn rounded_and_tuned_weights_are_left_alone() {
    type Clean = (&'static str, As, fn(&mut Tensors));
    let clean: [Clean; 9] = [
        ("f32", As::F32, |_| {}),
        ("f16", As::F16, |_| {}),
        ("bf16", As::Bf16, |_| {}),
        ("8 bits with their scale", As::Scaled8, |_| {}),
        ("rounded to 8 bits, kept in bf16", As::Bf16, |t| {
            layers(t, "", |_, values| {
                let scale = largest(values) / 448.0;
                values.iter_mut().for_each(|value| *value = e4m3(*value / scale) * scale);
            });
        }),
        ("8 bits without scale", As::F16, |t| {
            layers(t, "", |_, values| values.iter_mut().for_each(|value| *value = e4m3(*value)));
        }),
        ("tuned by 1 %", As::F32, |t| tuned(t, 0.01)),
        ("tuned by 5 %", As::F16, |t| tuned(t, 0.05)),
        // Long training moves norms apart, and then their size says nothing.
        ("norms far from 1", As::F32, |t| {
            let norms = t.iter_mut().filter(|(name, shape, _)| {
                shape.len() == 1 && name.contains("norm") && name.ends_with(".weight")
            });
            for (at, (_, _, values)) in norms.enumerate() {
                let factor = 0.2 + 0.05 * (at % 20) as f32;
                values.iter_mut().for_each(|value| *value *= factor);
            }
        }),
    ];
    for model in TRAINED {
        for (what, stored, change) in &clean {
            let found = found(model, *stored, change);
            assert!(found.is_empty(), "{model}, {what}: {found:?}");
        }
    }
}
