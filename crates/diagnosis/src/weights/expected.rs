//! The tensors that are there beside those that the config asks for: names, shapes and dtypes.

use std::collections::BTreeMap;

use super::naming::{counted, named};
use super::values::Measured;
use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use vae_fidelity_checkpoint::{Contents, TensorInfo, TensorSpec};

pub(crate) const WEIGHTS_MISSING: Cause = Cause {
    code: Code::WeightsMissing,
    severity: Severity::Error,
    title: "tensors that the config asks for are not in the file",
    meaning: "A loader that goes on leaves those layers at random: noise or garbage.",
    rule: "The config's names less the file's, after renaming old and LDM names, are not empty; \
           or a tensor is stored in a dtype that is not read.",
    remedy: "fetch the complete file, or the config that belongs to it",
    diffusers: "from_pretrained warns 'newly initialized': take it for an error",
    comfyui: "'missing keys' in the log: load the VAE as a file of its own",
    ports: "refuse to run with a missing tensor",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WEIGHTS_UNEXPECTED: Cause = Cause {
    code: Code::WeightsUnexpected,
    severity: Severity::Warning,
    title: "the file has tensors that the config does not ask for",
    meaning: "Either something beside the VAE lies in the file, or the config has fewer layers \
              than the weights.",
    rule: "The file's names less the config's, other models' left aside, are not empty.",
    remedy: "check layers_per_block, use_quant_conv and the number of levels in the config",
    diffusers: "'Some weights were not used': compare the config with the authors'",
    comfyui: "'unexpected keys' in the log: the wrong VAE class was detected",
    ports: "list the names that are left over after loading",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const WEIGHTS_SHAPE: Cause = Cause {
    code: Code::WeightsShape,
    severity: Severity::Error,
    title: "tensors have another shape than the config gives them",
    meaning: "The config belongs to another model, or the file was converted wrongly.",
    rule: "A tensor's shape is not the one expected. Attention weights as (C, C, 1, 1) are \
           squeezed, not refused.",
    remedy: "take config and weights of one release",
    diffusers: "load with the config that lies beside the weights; never ignore_mismatched_sizes",
    comfyui: "load the VAE of the model's own family",
    ports: "convolutions are (out, in, kh, kw) in files; MLX and TensorFlow want them otherwise",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

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

pub(super) fn missing(misfit: &Misfit, tensors: &[Measured]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !misfit.missing.is_empty() {
        let names: Vec<&str> = misfit.missing.iter().map(|spec| spec.name.as_str()).collect();
        let title = format!("{} not in the files", counted(&names, "tensor"));
        let finding = named(&WEIGHTS_MISSING, title, &names);
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
        findings.push(named(&WEIGHTS_MISSING, title, &names));
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

pub(super) fn misshapen(misfit: &Misfit) -> Option<Finding> {
    let (expected, first) = misfit.misshapen.first()?;
    let names: Vec<&str> = misfit.misshapen.iter().map(|(_, info)| info.name.as_str()).collect();
    let what = counted(&names, "tensor");
    let title = format!(
        "{what} of another shape: {} is {:?}, the config asks for {expected:?}",
        first.name, first.shape
    );
    Some(named(&WEIGHTS_SHAPE, title, &names))
}

pub(super) fn unexpected(misfit: &Misfit) -> Option<Finding> {
    let names: Vec<&str> = misfit.unexpected.iter().map(|info| info.name.as_str()).collect();
    if names.is_empty() {
        return None;
    }
    let title = format!("{} that the config does not ask for", counted(&names, "tensor"));
    Some(named(&WEIGHTS_UNEXPECTED, title, &names))
}
