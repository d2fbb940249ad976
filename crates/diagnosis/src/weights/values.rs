//! The values of tensors: NaN, zeros, and weights that were never trained.

use std::collections::BTreeMap;

use super::naming::{counted, layer, named};
use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use vae_fidelity_checkpoint::{Contents, TensorInfo};
use vae_fidelity_core::metrics::{LEAST_VALUES, Moments, WeightStatistics};

pub(crate) const WEIGHTS_UNTRAINED: Cause = Cause {
    code: Code::WeightsUntrained,
    severity: Severity::Error,
    title: "weights look freshly initialised",
    meaning: "Layers that were never loaded, or a model that was never trained: noise.",
    rule: "Initialisation draws uniformly within 1 / sqrt(fan_in), and training leaves tails. \
           Weights are fresh when mean, largest value and kurtosis (1.8) all lie within five \
           standard errors of a uniform draw's: most of them, or single layers at PyTorch's own \
           bound. A warning where only the norms are as initialised (1 and 0).",
    remedy: "load the trained file, and check that the loader matched its names",
    diffusers: "AutoencoderKL.from_config makes random weights; use from_pretrained",
    comfyui: "'missing keys' in the log: the file was not understood",
    ports: "compare a few values of a loaded layer with those in the file",
    sources: &["Vchitect/Latte#66"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WEIGHTS_NON_FINITE: Cause = Cause {
    code: Code::WeightsNonFinite,
    severity: Severity::Error,
    title: "NaN or infinity in the weights",
    meaning: "One is enough for a black picture. Training that diverged, or a conversion to \
              f16 that overflowed, leaves them.",
    rule: "At least one value of a tensor is NaN or infinite.",
    remedy: "fetch the file again; if it stays, take an earlier checkpoint",
    diffusers: "torch.isfinite over the state dict",
    comfyui: "load another copy of the VAE",
    ports: "check on loading: it costs one pass",
    sources: &["Vchitect/Latte#66"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WEIGHTS_ZERO: Cause = Cause {
    code: Code::WeightsZero,
    severity: Severity::Error,
    title: "tensors that should carry weights are zero, or one value throughout",
    meaning: "A layer of zeros passes nothing on: grey, or missing detail. One of another value passes on \
              sums alone.",
    rule: "A layer's weight is one value throughout, or the factor of a norm is zero.",
    remedy: "fetch the file again, and check what converted it",
    diffusers: "compare with the original file's tensors",
    comfyui: "load another copy of the VAE",
    ports: "check that buffers were filled before they were written",
    sources: &["Vchitect/Latte#66"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

/// A tensor of a checkpoint, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Name, shape and dtype.
    pub info: TensorInfo,
    /// Its values in numbers; `None` where they cannot be read.
    pub statistics: Option<WeightStatistics>,
    moments: Moments,
}

impl Measured {
    /// Reads and measures every tensor of `contents`.
    pub fn all(contents: &Contents) -> Vec<Self> {
        let measured = |info: TensorInfo| {
            let mut moments = Moments::default();
            let stored = contents.read(&info.name);
            let statistics = stored.map(|stored| {
                stored.for_each_run(&mut |run| moments.add_all(run));
                moments.statistics()
            });
            // Pages of a mapped file are not needed again here.
            contents.forget(&info.name);
            Self { info, statistics, moments }
        };
        contents.tensors().into_iter().map(measured).collect()
    }

    /// Sums over its values, to be added to others.
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// A tensor of these values, which are none of a file's.
    pub fn of_values(name: &str, shape: &[usize], values: &[f32]) -> Self {
        let mut moments = Moments::default();
        values.iter().for_each(|&value| moments.add(value));
        let info = TensorInfo {
            name: name.to_owned(),
            shape: shape.to_vec(),
            dtype: "f32".to_owned(),
            readable: true,
        };
        Self { info, statistics: Some(moments.statistics()), moments }
    }
}

pub(super) fn non_finite(tensors: &[Measured]) -> Option<Finding> {
    let bad: Vec<(&str, usize)> = tensors
        .iter()
        .filter_map(|t| Some((t.info.name.as_str(), t.statistics?.non_finite)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    let first = names.first()?;
    let total: usize = bad.iter().map(|(_, count)| count).sum();
    let title = format!("{total} values NaN or infinite, in {}", counted(&names, "tensor"));
    let finding = named(&WEIGHTS_NON_FINITE, title, &names).at(layer(first));
    Some(finding.evidence("values", total))
}

/// Weights of layers that are one value throughout, and factors of norms that are zero. Biases may be.
pub(super) fn zero(tensors: &[Measured]) -> Option<Finding> {
    let is_zero = |t: &Measured| t.statistics.is_some_and(|s| s.is_zero());
    let is_constant = |t: &Measured| {
        t.info.shape.len() >= 2 && t.statistics.is_some_and(|s| s.constant && s.values > 1)
    };
    let weights = tensors.iter().filter(|t| t.info.name.ends_with(".weight"));
    let found: Vec<&Measured> = weights.filter(|t| is_zero(t) || is_constant(t)).collect();
    let names: Vec<&str> = found.iter().map(|t| t.info.name.as_str()).collect();
    let first = names.first()?;
    let all_zero = tensors.iter().filter(|t| t.statistics.is_some()).all(is_zero);
    let title = match found.iter().all(|t| is_zero(t)) {
        _ if all_zero => "every tensor is zero".to_owned(),
        true => format!("{} zero throughout", counted(&names, "tensor")),
        false => format!("{} one value throughout", counted(&names, "tensor")),
    };
    Some(named(&WEIGHTS_ZERO, title, &names).at(layer(first)))
}

/// How many times PyTorch's bound a layer's weights reach: 1 for fresh ones. `nn.Conv2d` and
/// `nn.Linear` draw uniformly within `1 / sqrt(fan_in)` (`kaiming_uniform_` with `a = sqrt(5)`).
fn of_default_bound(tensor: &Measured, bound: f64) -> f64 {
    bound * fan_in(tensor).sqrt()
}

fn fan_in(tensor: &Measured) -> f64 {
    tensor.info.shape[1..].iter().product::<usize>() as f64
}

/// Weights that chance alone explains.
pub(super) fn untrained(tensors: &[Measured]) -> Option<Finding> {
    let layers: Vec<&Measured> = tensors
        .iter()
        .filter(|t| t.info.shape.len() >= 2 && t.info.name.ends_with(".weight"))
        .filter(|t| t.statistics.is_some_and(|s| !s.is_zero()))
        .collect();
    let weighed = |tensors: &[&Measured]| -> usize {
        tensors.iter().filter_map(|t| t.statistics).map(|s| s.values).sum()
    };
    let fresh = |t: &&Measured| t.statistics.and_then(|s| s.uniform_bound()).is_some();
    let is_default = |t: &&Measured| {
        let bound = t.statistics.and_then(|s| s.uniform_bound());
        bound.is_some_and(|bound| (of_default_bound(t, bound) - 1.0).abs() < 0.1)
    };
    let large: Vec<&Measured> = layers
        .iter()
        .copied()
        .filter(|t| t.statistics.is_some_and(|s| s.values >= LEAST_VALUES))
        .collect();
    let uniform: Vec<&Measured> = large.iter().copied().filter(fresh).collect();
    let default: Vec<&Measured> = large.iter().copied().filter(is_default).collect();
    let (norms, untouched) = norms(tensors);

    // A model of few values is weighed as a whole: each layer in units of its own bound.
    let pooled = pooled(&layers);
    let pooled_bound = pooled.uniform_bound();
    let all_by_chance = match large.is_empty() {
        true => pooled_bound.is_some(),
        false => weighed(&uniform) * 2 > weighed(&large),
    };
    let by_default = match large.is_empty() {
        true => pooled_bound.is_some_and(|bound| (bound - 1.0).abs() < 0.1),
        false => default.len() * 2 > uniform.len(),
    };
    let evidence = |finding: Finding| {
        finding
            .evidence("layers", layers.len())
            .evidence("uniform_layers", uniform.len())
            .evidence("layers_within_default_bound", default.len())
            .evidence("kurtosis", pooled.kurtosis)
            .evidence("bound_of_default", pooled_bound)
            .evidence("norms", norms)
            .evidence("norms_as_initialised", untouched)
    };
    let kurtosis = pooled.kurtosis.unwrap_or(f64::NAN);
    if all_by_chance {
        let bound = match by_default {
            true => "PyTorch's bound, 1 / sqrt(fan_in)",
            false => "a bound of their own",
        };
        let title = format!(
            "the weights are uniform draws within {bound} (kurtosis {kurtosis:.2}; trained ones \
             have tails), and {untouched} of {norms} norms are as initialised"
        );
        return Some(evidence(Finding::new(&WEIGHTS_UNTRAINED, title)));
    }
    if !default.is_empty() {
        let names: Vec<&str> = default.iter().map(|t| t.info.name.as_str()).collect();
        let what = counted(&names, "layer");
        let title = format!("{what} as PyTorch initialises them; the others are trained");
        let finding = named(&WEIGHTS_UNTRAINED, title, &names).at(layer(names[0]));
        return Some(evidence(finding));
    }
    if norms > 0 && untouched == norms && !layers.is_empty() {
        let title = format!("all {norms} norms are as initialised (1 and 0); the layers are not");
        let finding = Finding::new(&WEIGHTS_UNTRAINED, title).severity(Severity::Warning);
        return Some(evidence(finding));
    }
    None
}

/// All layers' values, each in units of `1 / sqrt(fan_in)` of its layer, as far as their moments
/// show them.
fn pooled(layers: &[&Measured]) -> WeightStatistics {
    let mut moments = Moments::default();
    for tensor in layers {
        moments.merge(&tensor.moments, fan_in(tensor).sqrt());
    }
    moments.statistics()
}

/// How many norms there are, and how many have kept the factor 1 and the bias 0.
fn norms(tensors: &[Measured]) -> (usize, usize) {
    let by_name: BTreeMap<&str, &Measured> =
        tensors.iter().map(|t| (t.info.name.as_str(), t)).collect();
    let mut counts = (0, 0);
    for (name, factor) in &by_name {
        let over_channels = name.strip_suffix(".gamma");
        let Some(module) = name.strip_suffix(".weight").or(over_channels) else { continue };
        let is_factor = factor.info.shape.len() == 1 || over_channels.is_some();
        let Some(factor) = factor.statistics.filter(|_| is_factor) else { continue };
        let bias = by_name.get(format!("{module}.bias").as_str()).and_then(|t| t.statistics);
        counts.0 += 1;
        let is_one = factor.constant && factor.min == Some(1.0);
        counts.1 += usize::from(is_one && bias.is_none_or(|bias| bias.is_zero()));
    }
    counts
}
