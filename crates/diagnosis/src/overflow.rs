//! NaN and infinity: which layer makes them, and whether f16 is to blame.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::fit::{rms_difference, spread};
use super::non_finite::non_finite_output;
use super::scaling::SCALING_FACTOR_MISMATCH;
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::trace::{Activation, Extreme, Stage, Trace};
use vae_fidelity_files::error::Result;

pub(super) const FP16_OVERFLOW_DECODER: Cause = Cause {
    code: Code::Fp16OverflowDecoder,
    severity: Severity::Error,
    title: "the decoder's activations pass what f16 holds",
    meaning: "f16 ends at 65504. An activation beyond it becomes infinity, then NaN, and the \
              picture black. SDXL's VAE is known for it.",
    rule: "Run in f16: a layer of the decoder is the first that is not finite, and in f32 the \
           largest activation up to it passes 65504. Run in f32 or bf16: an activation passes \
           32768; then it is a warning about f16. (On CUDA that takes `forecast`.)",
    remedy: "run the VAE in f32 or bf16, or take weights made for f16",
    diffusers: "vae.to(torch.float32) (pipelines do it where config.force_upcast is true), or \
                load madebyollin/sdxl-vae-fp16-fix",
    comfyui: "start with --fp32-vae or --bf16-vae, or load the fp16-fix VAE with Load VAE",
    ports: "run the decoder in f32 or bf16; if it must be f16, scale the named layers down and \
            up again around the overflow",
    sources: &["huggingface/candle#1060", "comfyanonymous/ComfyUI#1401", "invoke-ai/InvokeAI#4532"],
    decided_by: &[DecidedBy::Check, DecidedBy::HalfPrecision, DecidedBy::Forecast],
};

pub(super) const FP16_OVERFLOW_ENCODER: Cause = Cause {
    code: Code::Fp16OverflowEncoder,
    severity: Severity::Error,
    title: "the encoder's activations pass what f16 holds",
    meaning: "As fp16-overflow-decoder, in the encoder: latents are NaN, and so is all that \
              follows.",
    rule: "As fp16-overflow-decoder, for the layers of the encoder.",
    remedy: "encode in f32 or bf16, or take weights made for f16",
    diffusers: "vae.to(torch.float32) before encode, or load madebyollin/sdxl-vae-fp16-fix",
    comfyui: "start with --fp32-vae or --bf16-vae, or load the fp16-fix VAE with Load VAE",
    ports: "run the encoder in f32 or bf16",
    sources: &["huggingface/diffusers#7188"],
    decided_by: &[DecidedBy::Check, DecidedBy::HalfPrecision, DecidedBy::Forecast],
};

/// The largest finite f16.
pub const F16_MAX: f32 = 65504.0;
/// Half of it: a picture that is a little brighter may pass the limit.
pub const F16_WARN: f32 = Extreme::WATCHED;

/// `fp16-overflow-encoder`, `fp16-overflow-decoder`, `non-finite-output`.
pub(super) fn findings(evidence: &Evidence) -> Result<Vec<Finding>> {
    let count = |values: &ndarray::Array4<f32>| values.iter().filter(|v| !v.is_finite()).count();
    if let Some(finding) = evidence.known(lost_in_scaling(evidence)?) {
        return Ok(vec![finding]);
    }
    let (latents, decoded) = (count(&evidence.encoded.latents), count(evidence.decoded));
    let dtype = evidence.vae.dtype();
    let Some(plain) = non_finite_output(latents, decoded, dtype) else { return Ok(Vec::new()) };
    let (stage, input, cause) = match latents {
        0 => (Stage::Decode, &evidence.encoded.latents, &FP16_OVERFLOW_DECODER),
        _ => (Stage::Encode, evidence.sample, &FP16_OVERFLOW_ENCODER),
    };
    let only = |finding: Finding| Ok(Vec::from_iter(evidence.known(finding)));
    let Some(trace) = evidence.vae.trace(stage, input.view()) else { return only(plain) };
    let trace = trace?;
    let Some(at) = trace.iter().position(|activation| activation.non_finite > 0) else {
        return only(plain);
    };
    let module = trace[at].module.clone();
    if dtype == Dtype::F16
        && evidence.knows(cause.code)
        && let Some(reference) = evidence.reference
        && let Some(reference) = (reference.load)()?.trace(stage, input.view())
    {
        let reference = reference?;
        let until = reference.iter().position(|activation| activation.module == module);
        let upto = &reference[..=until.unwrap_or(reference.len().saturating_sub(1))];
        if let Some((layer, largest)) = largest(upto)
            && largest > F16_MAX
        {
            let title = format!(
                "{module} is the first layer that is not finite in f16; in f32 {layer} reaches \
                 {largest:.0}, and f16 ends at 65504"
            );
            let finding = Finding::new(cause, title)
                .at(module)
                .evidence("largest_in_f32", largest)
                .evidence("largest_at", layer)
                .evidence("f16_max", F16_MAX)
                .evidence("latents_non_finite", latents)
                .evidence("decoded_non_finite", decoded);
            return Ok(vec![finding]);
        }
    }
    let title = format!("{}; {module} is the first layer that is not finite", plain.title);
    only(Finding { title, ..plain }.at(module))
}

/// `scaling-factor-mismatch`: a factor that no dtype brings the latents back from.
fn lost_in_scaling(evidence: &Evidence) -> Result<Option<Finding>> {
    let raw = &evidence.encoded.latents;
    if !raw.iter().all(|value| value.is_finite()) || spread(raw) == 0.0 {
        return Ok(None);
    }
    let back = evidence.vae.unscale(evidence.latents.view())?;
    let lost = rms_difference(raw, &back) > 0.1 * spread(raw)
        || evidence.latents.iter().any(|value| !value.is_finite());
    let factor = evidence.vae.config().scaling_factor();
    Ok(factor.filter(|_| lost).map(|factor| {
        let title = format!(
            "scaling_factor {factor} is out of all bounds: the latents do not come back from it"
        );
        Finding::new(&SCALING_FACTOR_MISMATCH, title)
            .evidence("scaling_factor", factor)
            .evidence("raw_std", spread(raw))
            .evidence("scaled_std", spread(evidence.latents))
    }))
}

/// The largest absolute activation of `trace`, and its module.
pub(super) fn largest(trace: &[Activation]) -> Option<(&str, f32)> {
    trace
        .iter()
        .filter_map(|activation| Some((activation.module.as_str(), extreme(activation)?)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// The largest finite absolute value of a module's output.
pub fn extreme(activation: &Activation) -> Option<f32> {
    Some(activation.min?.abs().max(activation.max?.abs()))
}

/// What f16 would do, from traces of an f32 run: a finding for each half that passes
/// [`F16_WARN`].
pub fn f16_headroom(encode: &Trace, decode: &Trace) -> Vec<Finding> {
    let extremes = |trace: &Trace| {
        let extreme = |activation: &Activation| {
            let largest = extreme(activation).filter(|largest| *largest > F16_WARN)?;
            Some(Extreme { module: activation.module.clone(), largest })
        };
        trace.iter().filter_map(extreme).collect::<Vec<_>>()
    };
    f16_extremes(&extremes(encode), &extremes(decode))
}

/// The same, from what a run watched ([`vae_fidelity_core::Vae::extremes`]).
pub fn f16_extremes(encode: &[Extreme], decode: &[Extreme]) -> Vec<Finding> {
    let halves: [(&'static Cause, _); 2] =
        [(&FP16_OVERFLOW_ENCODER, encode), (&FP16_OVERFLOW_DECODER, decode)];
    let mut findings = Vec::new();
    for (cause, extremes) in halves {
        let most = extremes.iter().max_by(|a, b| a.largest.total_cmp(&b.largest));
        let (Some(first), Some(Extreme { module, largest })) = (extremes.first(), most) else {
            continue;
        };
        let what = match *largest > F16_MAX {
            true => "f16, which ends at 65504, would overflow",
            false => "that is over half of what f16 holds (65504)",
        };
        findings.push(
            Finding::new(cause, format!("in f32 {module} reaches {largest:.0}: {what}"))
                .severity(Severity::Warning)
                .at(&first.module)
                .evidence("largest_in_f32", largest)
                .evidence("largest_at", module)
                .evidence("f16_max", F16_MAX)
                .evidence("headroom", F16_MAX / largest),
        );
    }
    findings
}
