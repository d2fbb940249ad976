//! Faults in the values of weights, by the code that has to name each.

use half::{bf16, f16};

use super::planted::{As, Tensors, e4m3, each, grouped, is_layer, largest, layers};

/// Code, what was done, how it is stored, and what does it.
pub type Fault = (&'static str, &'static str, As, fn(&mut Tensors));

pub fn faults() -> [Fault; 14] {
    [
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
    ]
}

fn unscaled(values: &mut [f32], most: f32, round: impl Fn(f32) -> f32) {
    let scale = largest(values) / most;
    values.iter_mut().for_each(|value| *value = round(*value / scale));
}
