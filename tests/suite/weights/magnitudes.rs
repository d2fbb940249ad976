//! What `inspect` says of values.

use half::{bf16, f16};
use vae_fidelity::report::InspectReport;

use super::planted::{
    As, Draws, Folder, TRAINED, Tensors, e4m3, each, grouped, is_layer, largest, layers, tensors,
};

/// Codes that `inspect` finds in `model` once it was changed.
fn found(model: &str, stored: As, change: &dyn Fn(&mut Tensors)) -> Vec<String> {
    let mut tensors = tensors(model);
    change(&mut tensors);
    let folder = Folder::of(model, &tensors, stored);
    let report = InspectReport::of(&folder.contents()).unwrap();
    report.findings.iter().map(|finding| finding.code.to_string()).collect()
}

fn unscaled(values: &mut [f32], most: f32, round: impl Fn(f32) -> f32) {
    let scale = largest(values) / most;
    values.iter_mut().for_each(|value| *value = round(*value / scale));
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
    type Fault = (&'static str, &'static str, As, fn(&mut Tensors));
    let faults: [Fault; 14] = [
        ("weights-scale-lost", "e4m3 in bf16", As::Bf16, |t| {
            layers(t, "", |_, values| unscaled(values, 448.0, e4m3));
        }),
        ("weights-scale-lost", "e4m3 in f32, a part", As::F32, |t| {
            layers(t, "up_blocks", |_, values| unscaled(values, 448.0, e4m3));
        }),
        ("weights-scale-lost", "e5m2", As::F32, |t| {
            layers(t, "", |_, values| unscaled(values, 57344.0, |value| value));
        }),
        ("weights-misread", "bf16 as f16", As::F16, |t| {
            each(t, |v| f16::from_bits(bf16::from_f32(v).to_bits()).to_f32());
        }),
        ("weights-misread", "bf16 as f16, kept as f32", As::F32, |t| {
            each(t, |v| f16::from_bits(bf16::from_f32(v).to_bits()).to_f32());
        }),
        ("weights-misread", "norms alone", As::F16, |t| {
            for (name, _, values) in t.iter_mut().filter(|(name, ..)| name.contains("norm")) {
                assert!(!is_layer(name, &[1]));
                for v in values.iter_mut() {
                    *v = f16::from_bits(bf16::from_f32(*v).to_bits()).to_f32();
                }
            }
        }),
        ("weights-misread", "f16 as bf16", As::Bf16, |t| {
            each(t, |v| bf16::from_bits(f16::from_f32(v).to_bits()).to_f32());
        }),
        ("weights-misread", "layers alone, f16 as bf16", As::F32, |t| {
            layers(t, "", |_, values| {
                for v in values.iter_mut() {
                    *v = bf16::from_bits(f16::from_f32(*v).to_bits()).to_f32();
                }
            });
        }),
        ("weights-scaled", "half", As::F16, |t| each(t, |v| v * 0.5)),
        ("weights-scaled", "four fifths", As::F32, |t| each(t, |v| v * 0.8)),
        ("weights-scaled", "a cold average", As::Bf16, |t| each(t, |v| v * 0.39)),
        ("weights-quantised", "4 bits", As::F16, |t| {
            layers(t, "", |_, values| grouped(values, 64, 16));
        }),
        ("weights-quantised", "3 bits", As::Bf16, |t| {
            layers(t, "", |_, values| grouped(values, 64, 8));
        }),
        ("weights-quantised", "4 bits for 32 values", As::F32, |t| {
            layers(t, "", |_, values| grouped(values, 32, 16));
        }),
    ];
    for model in TRAINED {
        for (code, what, stored, change) in &faults {
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
