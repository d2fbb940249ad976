//! 8-bit weights that are stored beside a number to multiply them by, as ComfyUI writes them.
//!
//! `X.weight` is then worth `X.weight` as f32 times `X.scale_weight` (ComfyUI's older name) or
//! `X.weight_scale` (its present one, and diffusers'), one number for the whole tensor. Beside it may
//! stand a scale for the layer's inputs, which only 8-bit arithmetic needs, and notes on the format
//! (`comfy_quant`). ComfyUI's `QUANTIZATION.md` describes it.

use std::collections::BTreeMap;

use super::entry::{Entry, product};

/// What a weight is multiplied by.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
/// What arithmetic in 8 bits needs, and this crate's does not.
const NOT_NEEDED: [&str; 3] = [".scale_input", ".input_scale", ".comfy_quant"];
/// Parts of other ways to quantise, which scale each value more than once.
const OTHERS: [&str; 2] = [".weight_scale_2", ".pre_quant_scale"];

/// ComfyUI's mark of a file with scaled 8-bit weights; it holds nothing.
const MARK: &str = "scaled_fp8";

/// Takes the scales out of `vae` and gives each to its weight; `others` are the file's other tensors.
///
/// Errors, in words, when a scale cannot be applied, or none is found where there have to be some:
/// weights without theirs would be wrong by a factor, and nothing else would show it.
pub(super) fn apply(
    vae: &mut BTreeMap<String, Entry>,
    others: &BTreeMap<String, Entry>,
) -> Result<(), String> {
    if let Some(name) = vae.keys().find(|name| OTHERS.iter().any(|end| name.ends_with(end))) {
        return Err(format!("{name} says that it is quantised in a way that is not read"));
    }
    let scales: Vec<String> = ending_in(vae, &SCALES);
    for name in scales {
        let Some(scale) = vae.remove(&name) else { continue };
        let layer = SCALES.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let weight = format!("{layer}.weight");
        let Some(entry) = vae.get_mut(&weight) else {
            return Err(format!("{name} scales {weight}, which is not there"));
        };
        if entry.is_scaled() {
            return Err(format!("{weight} has two scales"));
        }
        let scale = number(&scale).map_err(|problem| format!("{name}: {problem}"))?;
        entry.set_scale(scale).map_err(|problem| format!("{weight} has a scale: {problem}"))?;
    }
    for name in ending_in(vae, &NOT_NEEDED) {
        vae.remove(&name);
    }
    if !vae.values().any(|entry| entry.encoding.is_8_bit()) {
        return Ok(());
    }
    // No layer of a VAE has a parameter called so.
    if let Some(name) = vae.keys().find(|name| last_part(name).contains("scale")) {
        return Err(format!("{name} is a scale of 8-bit weights by a name that is not read"));
    }
    let marked = vae.keys().chain(others.keys()).any(|name| is_mark(name));
    if marked && !vae.values().any(Entry::is_scaled) {
        return Err(format!(
            "{MARK} says that its 8-bit weights are scaled, and no scale is there"
        ));
    }
    Ok(())
}

/// Whether a tensor only says that 8-bit weights are scaled.
pub(super) fn is_mark(name: &str) -> bool {
    last_part(name) == MARK
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn ending_in(vae: &BTreeMap<String, Entry>, ends: &[&str]) -> Vec<String> {
    vae.keys().filter(|name| ends.iter().any(|end| name.ends_with(end))).cloned().collect()
}

/// The one value of a scale.
fn number(scale: &Entry) -> Result<f32, String> {
    let one = "expected one number for the whole tensor";
    if product(&scale.shape) != Some(1) {
        return Err(format!(
            "{one}, found shape {:?}: a scale for each block is not read",
            scale.shape
        ));
    }
    let values = scale.read().map(|tensor| tensor.to_f32());
    match values.as_deref() {
        Some(&[value]) if value.is_finite() => Ok(value),
        Some(&[value]) => Err(format!("{one}, found {value}")),
        _ => Err(format!("{one}, found {}", scale.encoding)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vae_fidelity_core::ElementType::{self, F32, Float8E4m3};

    use super::super::bytes::Bytes;
    use super::super::entry::Encoding;
    use super::*;

    /// 56 is 1 in e4m3; the four bytes after it are 0.5 as f32.
    const BYTES: &[u8] = &[56, 0, 0, 0, 63];

    fn vae(tensors: &[(&str, ElementType, &[usize])]) -> BTreeMap<String, Entry> {
        let file = Arc::new(Bytes::Embedded(BYTES));
        let place = |float| if float == Float8E4m3 { 0..1 } else { 1..5 };
        let entry = |&(name, float, shape): &(&str, ElementType, &[usize])| {
            let encoding = Encoding::Float(float);
            let entry = Entry::contiguous(&file, encoding, shape.to_vec(), place(float));
            (name.to_owned(), entry)
        };
        tensors.iter().map(entry).collect()
    }

    #[test]
    fn both_spellings_scale_and_what_arithmetic_needs_is_dropped() {
        for (scale, input) in [("scale_weight", "scale_input"), ("weight_scale", "input_scale")] {
            let mut vae = vae(&[
                ("a.weight", Float8E4m3, &[1]),
                (&format!("a.{scale}"), F32, &[]),
                (&format!("a.{input}"), F32, &[]),
                ("a.bias", F32, &[1]),
            ]);
            apply(&mut vae, &BTreeMap::new()).unwrap();
            assert_eq!(vae.keys().collect::<Vec<_>>(), ["a.bias", "a.weight"]);
            assert_eq!(vae["a.weight"].read().unwrap().to_f32(), [0.5]);
        }
    }

    #[test]
    fn scales_that_cannot_be_applied_are_refused() {
        let refused = |tensors: &[(&str, ElementType, &[usize])]| {
            let others = BTreeMap::new();
            apply(&mut vae(tensors), &others).unwrap_err()
        };
        let weight = ("a.weight", Float8E4m3, &[1][..]);
        let scale = ("a.scale_weight", F32, &[][..]);
        assert!(refused(std::slice::from_ref(&scale)).contains("a.weight, which is not there"));
        let plain = ("a.weight", F32, &[1][..]);
        assert!(refused(&[plain, scale]).contains("found f32"));
        let twice = ("a.weight_scale", F32, &[][..]);
        assert!(refused(&[weight, scale, twice]).contains("two scales"));
        let blocks = ("a.scale_weight", F32, &[2, 2][..]);
        assert!(refused(&[weight, blocks]).contains("each block"));
        let other = ("a.pre_quant_scale", F32, &[][..]);
        assert!(refused(&[weight, other]).contains("not read"));
        for name in ["a.weight_scale_inv", "a.scale"] {
            let scale = (name, F32, &[][..]);
            assert!(refused(&[weight, scale]).contains(name));
        }
        let mark = vae(&[(MARK, F32, &[])]);
        let unscaled = || vae(std::slice::from_ref(&weight));
        assert!(apply(&mut unscaled(), &mark).unwrap_err().contains("no scale is there"));
        assert!(apply(&mut unscaled(), &BTreeMap::new()).is_ok());
        let f32 = ("a.weight", F32, &[1][..]);
        assert!(apply(&mut vae(&[f32]), &mark).is_ok());
    }
}
