//! How large weights are: 8-bit floats without their scale, and all weights times one factor.

use super::naming::{counted, layer, named};
use super::values::Measured;
use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;

pub(crate) const WEIGHTS_SCALE_LOST: Cause = Cause {
    code: Code::WeightsScaleLost,
    severity: Severity::Error,
    title: "8-bit floats whose scale was lost",
    meaning: "Weights kept in 8 bits are divided by a number of their own for each tensor, so that \
              the largest is the largest that 8 bits hold. A loader or converter that leaves the \
              number out keeps weights that are hundreds of times too large: NaN, or noise.",
    rule: "In two weights of layers or more the largest value is exactly 448 (float8_e4m3fn) or \
           57344 (float8_e5m2), which no training leaves.",
    remedy: "multiply each weight by its scale (scale_weight or weight_scale) when converting, or \
             take the file in f16, bf16 or f32",
    diffusers: "load the repository's own f16 or f32 weights: plain loading ignores such scales",
    comfyui: "load the scaled file itself, which ComfyUI reads, not one converted from it",
    ports: "weight = float8 value * scale, the scale read from the tensor beside it",
    sources: &["Lightricks/LTX-2#172", "leejet/stable-diffusion.cpp#1898"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WEIGHTS_SCALED: Cause = Cause {
    code: Code::WeightsScaled,
    severity: Severity::Warning,
    title: "weights times a factor",
    meaning: "A merge with a model that lacks the VAE leaves a part of every weight, and so does a \
              running average (EMA) that began at zero and was saved too early. Pictures fade.",
    rule: "The factors of norms begin at 1 and training moves them apart. Here their means agree with \
           one another (nine of ten within 15 % of their median), and the median is less than 0.85 or \
           more than 1.18.",
    remedy: "take the original weights; vae-fidelity inspect ORIGINAL THESE gives the exact factor",
    diffusers: "load the original repository's vae subfolder",
    comfyui: "load the original VAE with Load VAE: a merge should take it whole from one model",
    ports: "divide a running average by 1 - decay^steps, or begin it at the weights",
    sources: &["ltdrdata/ComfyUI-Impact-Pack#103"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

/// The largest values of torch's `float8_e4m3fn` and `float8_e5m2`.
const LARGEST_OF_8_BITS: [(f32, &str); 2] = [(448.0, "float8_e4m3fn"), (57344.0, "float8_e5m2")];
/// One tensor may reach such a number by chance.
const LEAST_LOST: usize = 2;

/// Fewer norms do not agree on anything.
const LEAST_NORMS: usize = 8;
/// Norms whose factors are one another's, as a share of their median.
const AGREE: f64 = 0.15;
/// A factor this near to 1 is what training does.
const USUAL: (f64, f64) = (0.85, 1.18);

/// `weights-scale-lost`.
pub(super) fn scale_lost(tensors: &[Measured]) -> Option<Finding> {
    let of = |(largest, dtype): (f32, &'static str)| {
        let reaches = |t: &&Measured| {
            t.info.shape.len() >= 2
                && t.statistics.and_then(|statistics| statistics.max_abs()) == Some(largest)
        };
        let names: Vec<&str> =
            tensors.iter().filter(reaches).map(|t| t.info.name.as_str()).collect();
        (names, largest, dtype)
    };
    let (names, largest, dtype) =
        LARGEST_OF_8_BITS.map(of).into_iter().max_by_key(|(names, ..)| names.len())?;
    if names.len() < LEAST_LOST {
        return None;
    }
    let title = format!(
        "the largest value is exactly {largest} in {}: {dtype} whose scale was lost",
        counted(&names, "tensor")
    );
    let finding = named(&WEIGHTS_SCALE_LOST, title, &names).at(layer(names[0]));
    Some(finding.evidence("largest", largest).evidence("dtype", dtype))
}

/// `weights-scaled`.
pub(super) fn scaled(tensors: &[Measured]) -> Option<Finding> {
    let mut means: Vec<f64> = norm_factors(tensors).filter_map(|t| t.statistics?.mean).collect();
    means.sort_by(f64::total_cmp);
    if means.len() < LEAST_NORMS {
        return None;
    }
    let median = means[means.len() / 2];
    let near = |mean: &&f64| (*mean - median).abs() <= AGREE * median;
    let agreeing = means.iter().filter(near).count();
    if (USUAL.0..=USUAL.1).contains(&median) || agreeing * 10 < means.len() * 9 {
        return None;
    }
    let title = format!(
        "{agreeing} of {} norms agree on a factor of {median:.2}, and training begins at 1: weights \
         times {median:.2}, as a merge with a model that lacks them or a running average that began \
         at zero leaves them",
        means.len()
    );
    let finding = Finding::new(&WEIGHTS_SCALED, title).evidence("norms", means.len());
    Some(finding.evidence("agreeing", agreeing).evidence("median_of_norms", median))
}

/// The factors of norms; of a norm over channels as Wan has it they are called `gamma`.
pub(super) fn norm_factors(tensors: &[Measured]) -> impl Iterator<Item = &Measured> {
    tensors.iter().filter(|t| {
        let name = &t.info.name;
        name.ends_with(".gamma") || (t.info.shape.len() == 1 && name.ends_with(".weight"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn norms(factors: impl IntoIterator<Item = f32>) -> Vec<Measured> {
        let norm = |(at, factor): (usize, f32)| {
            Measured::of_values(&format!("norm{at}.weight"), &[2], &[factor * 0.99, factor * 1.01])
        };
        factors.into_iter().enumerate().map(norm).collect()
    }

    #[test]
    fn norms_that_agree_on_another_factor_are_told_from_trained_ones() {
        assert_eq!(scaled(&norms([1.0; 12])), None);
        assert_eq!(scaled(&norms([0.5; 7])), None, "too few");
        for factor in [0.39, 0.5, 0.8, 1.3] {
            assert!(scaled(&norms([factor; 12])).is_some(), "{factor}");
        }
        // Long training moves them apart, and then they say nothing.
        let apart = (0..12).map(|i| 0.2 + 0.05 * i as f32);
        assert_eq!(scaled(&norms(apart)), None);
        assert_eq!(scaled(&norms([f32::NAN; 12])), None);
    }

    #[test]
    fn one_tensor_at_448_is_chance_and_two_are_a_lost_scale() {
        let layer = |name: &str, largest| Measured::of_values(name, &[1, 2], &[largest, -1.0]);
        let one = [layer("a.weight", 448.0), layer("b.weight", 447.0)];
        assert_eq!(scale_lost(&one), None);
        for (largest, dtype) in [(-448.0, "float8_e4m3fn"), (57344.0, "float8_e5m2")] {
            let two = [layer("a.weight", largest), layer("b.weight", largest)];
            let found = scale_lost(&two).unwrap();
            assert!(found.title.contains(dtype), "{}", found.title);
        }
    }
}
