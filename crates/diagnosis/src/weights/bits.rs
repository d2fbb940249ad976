//! Bits of one 16-bit type that were read as the other's.

use half::{bf16, f16};

use super::magnitudes::norm_factors;
use super::naming::{counted, layer, named};
use super::values::Measured;
use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use vae_fidelity_checkpoint::Contents;
use vae_fidelity_core::metrics::{LEAST_VALUES, WeightStatistics};

pub(crate) const WEIGHTS_MISREAD: Cause = Cause {
    code: Code::WeightsMisread,
    severity: Severity::Error,
    title: "bits of one 16-bit type were read as another's",
    meaning: "f16 and bf16 both take 16 bits, and mean different numbers by them. bf16 read as f16 \
              brings every weight near to 1 or 2, f16 read as bf16 makes nearly all of them vanish.",
    rule: "Layers have a spread or a kurtosis that no training leaves (bf16 read as f16: kurtosis \
           below 1.6 at more than 8 times the usual spread; f16 read as bf16: a hundredth of it), and \
           the same bits as the other type have usual ones: three layers or more. Or three of four \
           norms do: factors near 1.9, or below 0.05, and near 1 as the other type.",
    remedy: "read the tensors in the dtype that the file's header gives them, and write the file anew",
    diffusers: "save with save_pretrained; never view() a tensor in another dtype",
    comfyui: "load the file that this one was converted from",
    ports: "take each tensor's dtype from the file: F16 and BF16 both have two bytes",
    sources: &["vllm-project/vllm-omni#6224"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

/// Values of a tensor that are looked at, evenly spread over it.
const SAMPLES: usize = 2048;
/// Fewer layers may be odd for reasons of their own.
const LEAST_LAYERS: usize = 3;
const LEAST_NORMS: usize = 4;

/// One type's bits read as the other's.
struct Reading {
    /// What the bits are, and what they were read as.
    names: (&'static str, &'static str),
    /// The value that was meant, of one that was read.
    meant: fn(f32) -> Option<f32>,
    /// Whether a layer's spread, in units of `1 / sqrt(fan_in)`, and kurtosis are those of a misreading.
    layer: fn(f64, f64) -> bool,
    /// Whether the mean of a norm's factors is.
    norm: fn(f64) -> bool,
}

const READINGS: [Reading; 2] = [
    Reading {
        names: ("bf16", "f16"),
        meant: |read| {
            let bits = f16::from_f32(read);
            (bits.to_f32() == read).then(|| bf16::from_bits(bits.to_bits()).to_f32())
        },
        layer: |gain, kurtosis| gain > 8.0 && kurtosis < 1.6,
        norm: |mean| (1.6..2.2).contains(&mean),
    },
    Reading {
        names: ("f16", "bf16"),
        meant: |read| {
            let bits = bf16::from_f32(read);
            (bits.to_f32() == read).then(|| f16::from_bits(bits.to_bits()).to_f32())
        },
        layer: |gain, _| gain < 0.01,
        norm: |mean| mean.abs() < 0.05,
    },
];

/// `weights-misread`.
pub(super) fn misread(contents: &Contents, tensors: &[Measured]) -> Option<Finding> {
    READINGS.iter().find_map(|reading| {
        let layers: Vec<&Measured> = tensors
            .iter()
            .filter(|t| t.info.shape.len() >= 2 && t.info.name.ends_with(".weight"))
            .filter(|t| is_odd_layer(reading, contents, t))
            .collect();
        let norms: Vec<&Measured> = norm_factors(tensors).collect();
        let odd_norms: Vec<&Measured> =
            norms.iter().copied().filter(|t| is_odd_norm(reading, contents, t)).collect();
        let enough_norms = odd_norms.len() >= LEAST_NORMS && odd_norms.len() * 4 >= norms.len() * 3;
        if layers.len() < LEAST_LAYERS && !enough_norms {
            return None;
        }
        let of_norms = if enough_norms { odd_norms } else { Vec::new() };
        let mut names: Vec<&str> =
            of_norms.iter().chain(&layers).map(|t| t.info.name.as_str()).collect();
        names.sort_unstable();
        let (meant, read) = reading.names;
        let what = counted(&names, "tensor");
        let title = match of_norms.first().and_then(|t| t.statistics?.mean) {
            Some(mean) => format!(
                "{what}: bits of {meant} read as {read}; norms lie near {mean:.2}, and near 1 as {meant}"
            ),
            None => format!("{what}: bits of {meant} read as {read}"),
        };
        let finding = named(&WEIGHTS_MISREAD, title, &names).at(layer(names[0]));
        Some(
            finding
                .evidence("bits_of", meant)
                .evidence("read_as", read)
                .evidence("layers", layers.len())
                .evidence("norms", of_norms.len()),
        )
    })
}

/// Whether a layer is odd as it is read, and usual as it was meant.
fn is_odd_layer(reading: &Reading, contents: &Contents, tensor: &Measured) -> bool {
    let fan_in = tensor.info.shape[1..].iter().product::<usize>() as f64;
    let shape = |statistics: WeightStatistics| {
        Some((statistics.std? * fan_in.sqrt(), statistics.kurtosis?))
    };
    let read = tensor.statistics.filter(|statistics| statistics.values >= LEAST_VALUES);
    let Some((gain, kurtosis)) = read.and_then(shape) else { return false };
    if !(reading.layer)(gain, kurtosis) {
        return false;
    }
    let meant = meant(reading, contents, &tensor.info.name).and_then(shape);
    meant.is_some_and(|(gain, kurtosis)| {
        (0.02..30.0).contains(&gain) && (1.6..200.0).contains(&kurtosis)
    })
}

fn is_odd_norm(reading: &Reading, contents: &Contents, tensor: &Measured) -> bool {
    let Some(mean) = tensor.statistics.and_then(|statistics| statistics.mean) else { return false };
    if !(reading.norm)(mean) {
        return false;
    }
    let meant = meant(reading, contents, &tensor.info.name).and_then(|statistics| statistics.mean);
    meant.is_some_and(|mean| (0.3..3.0).contains(&mean) && !(reading.norm)(mean))
}

/// A tensor as it was meant; `None` where a value cannot have been read so.
fn meant(reading: &Reading, contents: &Contents, name: &str) -> Option<WeightStatistics> {
    let stored = contents.read(name)?;
    let count: usize = stored.shape.iter().product();
    let step = count.div_ceil(SAMPLES).max(1);
    let values: Option<Vec<f32>> =
        (0..count).step_by(step).map(|index| stored.value(index).and_then(reading.meant)).collect();
    let statistics = WeightStatistics::of(values?);
    (statistics.non_finite == 0).then_some(statistics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_type_is_found_from_what_was_read() {
        for value in [1.0f32, 0.875, -0.02, 1.17] {
            let as_f16 = f16::from_bits(bf16::from_f32(value).to_bits()).to_f32();
            assert_eq!((READINGS[0].meant)(as_f16), Some(bf16::from_f32(value).to_f32()));
            let as_bf16 = bf16::from_bits(f16::from_f32(value).to_bits()).to_f32();
            assert_eq!((READINGS[1].meant)(as_bf16), Some(f16::from_f32(value).to_f32()));
        }
        // An f32 that no 16 bits hold was not misread.
        assert_eq!((READINGS[0].meant)(0.1), None);
        assert_eq!((READINGS[1].meant)(0.1), None);
    }
}
