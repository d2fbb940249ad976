//! What a checkpoint's tensors say without running it.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Finding, Severity};
use vae_fidelity_checkpoint::{Contents, DamageKind, ResolvedConfig, TensorInfo, TensorSpec};
use vae_fidelity_core::metrics::{LEAST_VALUES, Moments, WeightStatistics};

/// How many names a title or a list of evidence gives.
const NAMED: usize = 5;

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
                stored.for_each(|value| moments.add(value));
                moments.statistics()
            });
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

/// How the tensors that are there and those that the config asks for differ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Misfit {
    /// Asked for, and not there.
    pub missing: Vec<TensorSpec>,
    /// There, and not asked for.
    pub unexpected: Vec<TensorInfo>,
    /// There with another shape than the one asked for, which comes first.
    pub misshapen: Vec<(Vec<usize>, TensorInfo)>,
}

impl Misfit {
    /// Holds the tensors of `contents` against its config; all fit where there is none.
    pub fn of(contents: &Contents) -> Self {
        if contents.config().is_none() {
            return Self::default();
        }
        let mut found: BTreeMap<String, TensorInfo> =
            contents.tensors().into_iter().map(|info| (info.name.clone(), info)).collect();
        let mut misfit = Self::default();
        for spec in contents.expected() {
            match found.remove(&spec.name) {
                None => misfit.missing.push(spec.clone()),
                Some(info) if info.shape != spec.shape => {
                    misfit.misshapen.push((spec.shape.clone(), info));
                }
                Some(_) => {}
            }
        }
        misfit.unexpected = found.into_values().collect();
        misfit
    }
}

/// Every finding that files, config and values of a checkpoint support, gravest causes first.
pub fn checkpoint_findings(
    contents: &Contents,
    misfit: &Misfit,
    tensors: &[Measured],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = contents.damages().iter().map(damage).collect();
    if let ResolvedConfig::OtherClass(class) = contents.resolved_config() {
        let title = format!("the config's class is {class}, not AutoencoderKL");
        findings.push(Finding::new("wrong-class", title).evidence("class", class));
    }
    findings.extend(config_defaults(contents));
    findings.extend(wrong_channels(contents));
    // What a damaged file does not give is no news.
    if contents.damages().is_empty() {
        findings.extend(missing(misfit, tensors));
    }
    findings.extend(misshapen(misfit));
    findings.extend(unexpected(misfit));
    findings.extend(non_finite(tensors));
    findings.extend(zero(tensors));
    findings.extend(untrained(tensors));
    findings
}

fn damage(damage: &vae_fidelity_checkpoint::Damage) -> Finding {
    let code = match damage.kind {
        DamageKind::LfsPointer => "lfs-pointer",
        DamageKind::Truncated => "file-truncated",
        DamageKind::Checksum => "file-damaged",
    };
    let path = damage.path.display();
    Finding::new(code, format!("{path} {}", damage.problem)).evidence("path", path.to_string())
}

fn config_defaults(contents: &Contents) -> Option<Finding> {
    let ResolvedConfig::Config(config) = contents.resolved_config() else { return None };
    if !config.defaulted.contains(&"block_out_channels") {
        return None;
    }
    let width = width_of(contents, "encoder.conv_in.weight", 0);
    let fits = width.is_none_or(|width| width == config.block_out_channels[0]);
    let title = match width {
        Some(width) if !fits => format!(
            "the config leaves out block_out_channels: diffusers would build {:?}, the first \
             convolution has {width} channels",
            config.block_out_channels
        ),
        _ => "the config leaves out block_out_channels: diffusers' defaults stand in".to_owned(),
    };
    let finding = Finding::new("config-defaults", title).evidence("defaulted", &config.defaulted);
    Some(if fits { finding.severity(Severity::Info) } else { finding })
}

fn wrong_channels(contents: &Contents) -> Option<Finding> {
    let ResolvedConfig::Config(config) = contents.resolved_config() else { return None };
    let found = width_of(contents, "decoder.conv_in.weight", 1)?;
    let asked = config.latent_channels;
    if found == asked {
        return None;
    }
    let title = format!("the weights have {found} latent channels, the config {asked}");
    let finding = Finding::new("wrong-family-channels", title).at("decoder.conv_in");
    Some(finding.evidence("config", asked).evidence("weights", found))
}

fn width_of(contents: &Contents, name: &str, dimension: usize) -> Option<usize> {
    let info = contents.tensors().into_iter().find(|info| info.name == name)?;
    (info.shape.len() == 4).then(|| info.shape[dimension])
}

fn missing(misfit: &Misfit, tensors: &[Measured]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !misfit.missing.is_empty() {
        let names: Vec<&str> = misfit.missing.iter().map(|spec| spec.name.as_str()).collect();
        let title = format!("{} not in the files", counted(&names, "tensor"));
        let finding = named("weights-missing", title, &names);
        findings.push(match renamed(misfit) {
            None => finding,
            Some((wanted, there)) => finding.evidence("perhaps_named", there).remedy(format!(
                "as many unexpected tensors have the same shapes: is {wanted} named {there} \
                     here? Give them diffusers' names, or use the converter of diffusers"
            )),
        });
    }
    let unreadable: Vec<&Measured> = tensors.iter().filter(|t| !t.info.readable).collect();
    if let Some(first) = unreadable.first() {
        let names: Vec<&str> = unreadable.iter().map(|t| t.info.name.as_str()).collect();
        let what = counted(&names, "tensor");
        let title = format!("{what} stored as {}, which is not read", first.info.dtype);
        findings.push(named("weights-missing", title, &names));
    }
    findings
}

/// The first missing tensor and the unexpected one of its shape, where unexpected tensors have the
/// shapes of all that are missing: those were renamed rather than left out.
fn renamed(misfit: &Misfit) -> Option<(&str, &str)> {
    let mut left: Vec<&TensorInfo> = misfit.unexpected.iter().collect();
    let mut first = None;
    for spec in &misfit.missing {
        // Of several, the one with the longest common end is the likeliest.
        let alike = |info: &TensorInfo| {
            let pairs = spec.name.bytes().rev().zip(info.name.bytes().rev());
            pairs.take_while(|(a, b)| a == b).count()
        };
        let of_shape = left.iter().enumerate().filter(|(_, info)| info.shape == spec.shape);
        let (at, _) = of_shape.max_by_key(|(_, info)| alike(info))?;
        let twin = left.swap_remove(at);
        first.get_or_insert((spec.name.as_str(), twin.name.as_str()));
    }
    first
}

fn misshapen(misfit: &Misfit) -> Option<Finding> {
    let (expected, first) = misfit.misshapen.first()?;
    let names: Vec<&str> = misfit.misshapen.iter().map(|(_, info)| info.name.as_str()).collect();
    let what = counted(&names, "tensor");
    let title = format!(
        "{what} of another shape: {} is {:?}, the config asks for {expected:?}",
        first.name, first.shape
    );
    Some(named("weights-shape", title, &names))
}

fn unexpected(misfit: &Misfit) -> Option<Finding> {
    let names: Vec<&str> = misfit.unexpected.iter().map(|info| info.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let title = format!("{} that the config does not ask for", counted(&names, "tensor"));
    Some(named("weights-unexpected", title, &names))
}

fn non_finite(tensors: &[Measured]) -> Option<Finding> {
    let bad: Vec<(&str, usize)> = tensors
        .iter()
        .filter_map(|t| Some((t.info.name.as_str(), t.statistics?.non_finite)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let names: Vec<&str> = bad.iter().map(|(name, _)| *name).collect();
    let first = names.first()?;
    let total: usize = bad.iter().map(|(_, count)| count).sum();
    let title = format!("{total} values NaN or infinite, in {}", counted(&names, "tensor"));
    let finding = named("weights-non-finite", title, &names).at(layer(first));
    Some(finding.evidence("values", total))
}

/// Weights of layers, and the factors of norms, that are zero throughout. Biases may be.
fn zero(tensors: &[Measured]) -> Option<Finding> {
    let is_zero = |t: &&Measured| {
        t.info.name.ends_with(".weight") && t.statistics.is_some_and(|s| s.is_zero())
    };
    let names: Vec<&str> = tensors.iter().filter(is_zero).map(|t| t.info.name.as_str()).collect();
    let first = names.first()?;
    let all = tensors.iter().filter_map(|t| t.statistics).all(|s| s.is_zero());
    let title = match all {
        true => "every tensor is zero".to_owned(),
        false => format!("{} zero throughout", counted(&names, "tensor")),
    };
    Some(named("weights-zero", title, &names).at(layer(first)))
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
fn untrained(tensors: &[Measured]) -> Option<Finding> {
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
        return Some(evidence(Finding::new("weights-untrained", title)));
    }
    if !default.is_empty() {
        let names: Vec<&str> = default.iter().map(|t| t.info.name.as_str()).collect();
        let what = counted(&names, "layer");
        let title = format!("{what} as PyTorch initialises them; the others are trained");
        let finding = named("weights-untrained", title, &names).at(layer(names[0]));
        return Some(evidence(finding));
    }
    if norms > 0 && untouched == norms && !layers.is_empty() {
        let title = format!("all {norms} norms are as initialised (1 and 0); the layers are not");
        let finding = Finding::new("weights-untrained", title).severity(Severity::Warning);
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
        let Some(module) = name.strip_suffix(".weight") else { continue };
        let (Some(factor), 1) = (factor.statistics, factor.info.shape.len()) else { continue };
        let bias = by_name.get(format!("{module}.bias").as_str()).and_then(|t| t.statistics);
        counts.0 += 1;
        let is_one = factor.constant && factor.min == Some(1.0);
        counts.1 += usize::from(is_one && bias.is_none_or(|bias| bias.is_zero()));
    }
    counts
}

/// The module that a tensor belongs to.
fn layer(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(module, _)| module)
}

/// `3 tensors (a, b, ...)`.
fn counted(names: &[&str], what: &str) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = if names.len() > NAMED { ", ..." } else { "" };
    let shown = names[..names.len().min(NAMED)].join(", ");
    format!("{} {what}{plural} ({shown}{more})", names.len())
}

fn named(code: &str, title: String, names: &[&str]) -> Finding {
    let shown: Vec<&str> = names.iter().copied().take(20).collect();
    Finding::new(code, title).evidence("count", names.len()).evidence("tensors", json!(shown))
}
