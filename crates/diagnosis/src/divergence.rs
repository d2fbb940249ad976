//! Two traces of one VAE: the first layer at which they part.

use std::collections::HashMap;

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::padded::{SYMMETRIC_DOWNSAMPLE_PADDING, first_padding};
use super::severity::Severity;
use vae_fidelity_core::trace::{Activation, Stage, Trace, TraceFile};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

pub(super) const TRACE_DIVERGES: Cause = Cause {
    code: Code::TraceDiverges,
    severity: Severity::Warning,
    title: "a layer gives another output than the trace it is compared with",
    meaning: "Two runs of one VAE part at this layer: everything before it agrees. The fault \
              is in that layer, its weights, or what happens right before it.",
    rule: "Layers in the order in which they finish: the first whose shape is another, or that has \
           NaN or infinity on one side only, or that parts by more than 0.03 of its standard \
           deviation and six times as far as any layer before it, since rounding grows slowly and a \
           fault jumps. What parts is the root mean square of the sampled values' differences, a \
           third of the largest of them, the mean, or the standard deviation. Where no layer does, \
           the first with a value that is 5e-4 off is an info: f32 does not round so, 16 bits do. \
           Same file format as the golden traces.",
    remedy: "look at the named layer: its weights, its padding, and what feeds it",
    diffusers: "register a forward hook on the named module and compare its input with yours",
    comfyui: "modules have LDM names there: down_blocks.i is down.i, up_blocks.i is up.(n-1-i)",
    ports: "feed the layer the reference's input: if the output is right, the fault lies before",
    sources: &[],
    decided_by: &[DecidedBy::Against],
};

/// Largest difference, in standard deviations of the layer, that half precision may leave.
const TOLERANCE: f64 = 0.03;
/// How much larger than anything before it a difference has to be: rounding grows slowly from
/// layer to layer, a fault jumps.
const JUMP: f64 = 6.0;
/// Below this nothing counts as a jump.
const ROUNDING: f64 = 1e-4;
/// The largest of the 32 sampled differences of a layer that is off everywhere is about three times their root
/// mean square. One that is further out is what a border or a channel does, which the mean square hides.
const OUTLIER: f64 = 3.0;
/// More than kernels that add up in another order leave in f32, in standard deviations.
const BEYOND_F32: f64 = 5e-4;

/// `trace-diverges` or `symmetric-downsample-padding`, by the earliest stage that parts; where none does, an
/// info about the first layer that differs by more than f32 rounds.
pub(super) fn findings(evidence: &Evidence, theirs: &TraceFile) -> Result<Vec<Finding>> {
    let mut drifted = None;
    for (stage, input) in
        [(Stage::Encode, evidence.sample.view()), (Stage::Decode, evidence.encoded.latents.view())]
    {
        if theirs.stage(stage).is_empty() {
            continue;
        }
        let Some(ours) = evidence.vae.trace(stage, input) else { continue };
        let ours = ours?;
        if let Some(finding) = compared(evidence, &ours, theirs.stage(stage)) {
            return Ok(evidence.known(finding).into_iter().collect());
        }
        drifted = drifted.or_else(|| beyond_f32(&ours, theirs.stage(stage)));
    }
    Ok(evidence.known(drifted).into_iter().collect())
}

/// An info about the first layer of `theirs` that differs by more than f32 rounds.
fn beyond_f32(ours: &Trace, theirs: &Trace) -> Option<Finding> {
    let by_name = by_name(theirs);
    ours.iter().find_map(|expected| {
        let most = largest(expected, by_name.get(expected.module.as_str())?);
        (most > BEYOND_F32).then(|| {
            let title = format!(
                "no layer parts from this VAE's at once; the first that differs by more than f32 \
                 rounds is {}, by {most:.4} of its standard deviation",
                expected.module
            );
            let remedy = "nothing, if that run was in 16 bits or took weights from such a file; if not, \
                          look at the layer's own numbers, its eps above all";
            Finding::new(&TRACE_DIVERGES, title)
                .severity(Severity::Info)
                .remedy(remedy)
                .at(&expected.module)
                .evidence("class", &expected.kind)
                .evidence("difference_in_std", most)
        })
    })
}

fn by_name(trace: &Trace) -> HashMap<&str, &Activation> {
    trace.iter().map(|activation| (activation.module.as_str(), activation)).collect()
}

/// The first layer at which `vae` parts from `reference`, where both can trace.
pub(super) fn first(
    vae: &dyn Vae,
    reference: &dyn Vae,
    evidence: &Evidence,
) -> Result<Option<String>> {
    for (stage, input) in
        [(Stage::Encode, evidence.sample.view()), (Stage::Decode, evidence.encoded.latents.view())]
    {
        let (Some(found), Some(expected)) =
            (vae.trace(stage, input), reference.trace(stage, input))
        else {
            continue;
        };
        if let Some(finding) = compared(evidence, &expected?, &found?) {
            return Ok(finding.layer);
        }
    }
    Ok(None)
}

/// The finding about `theirs`, or `None` where it agrees with `ours`.
fn compared(evidence: &Evidence, ours: &Trace, theirs: &Trace) -> Option<Finding> {
    let by_name = by_name(theirs);
    let mut largest = ROUNDING;
    let mut before: Option<&Activation> = None;
    let mut compared = 0;
    for expected in ours {
        let Some(found) = by_name.get(expected.module.as_str()) else { continue };
        compared += 1;
        let difference = difference(expected, found);
        if difference > TOLERANCE && difference > JUMP * largest {
            let padding = evidence.knows(Code::SymmetricDownsamplePadding)
                && is_padding(evidence, expected, found, difference);
            return Some(parted(expected, found, before, [difference, largest], padding));
        }
        largest = largest.max(difference);
        before = Some(expected);
    }
    (compared == 0).then(|| {
        let names = |trace: &Trace| trace.first().map(|first| first.module.clone());
        Finding::new(&TRACE_DIVERGES, "the trace names no module that this VAE has")
            .evidence("expected_like", names(ours))
            .evidence("found_like", names(theirs))
    })
}

/// How far a layer parts, in its standard deviations: RMS of sampled values, or a third of the largest; or mean
/// or standard deviation. Infinite for another shape, and where values are not finite on one side only.
fn difference(expected: &Activation, found: &Activation) -> f64 {
    let other_shape = expected.shape != found.shape;
    if other_shape || (expected.non_finite == 0) != (found.non_finite == 0) {
        return f64::INFINITY;
    }
    let std = deviation(expected);
    let squares: Vec<f64> = differences(expected, found).map(|off| off.powi(2)).collect();
    let rms = (squares.iter().sum::<f64>() / squares.len().max(1) as f64).sqrt();
    // 32 values can miss what a border does to a whole layer.
    let moved = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or(0.0, |(a, b)| (a - b).abs());
    let statistics = moved(expected.mean, found.mean).max(moved(expected.std, found.std));
    (rms.max(statistics) / std).max(largest(expected, found) / OUTLIER)
}

/// The largest difference of a sampled value, in standard deviations of the layer.
fn largest(expected: &Activation, found: &Activation) -> f64 {
    differences(expected, found).fold(0.0, |most, off| f64::max(most, off.abs()))
        / deviation(expected)
}

/// Of sampled values that are finite on both sides.
fn differences(expected: &Activation, found: &Activation) -> impl Iterator<Item = f64> {
    let pairs = expected.samples.iter().zip(&found.samples);
    pairs.filter_map(|(a, b)| Some(f64::from(b.as_ref()? - a.as_ref()?)))
}

fn deviation(activation: &Activation) -> f64 {
    activation.std.unwrap_or(0.0).max(1e-12)
}

/// Whether it is the first convolution with a stride, and only its values differ.
fn is_padding(
    evidence: &Evidence,
    expected: &Activation,
    found: &Activation,
    difference: f64,
) -> bool {
    let within = |name: String| {
        let rest = expected.module.strip_prefix(&name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    first_padding(evidence.vae.config()).is_some_and(within)
        && expected.shape == found.shape
        && difference.is_finite()
}

fn parted(
    expected: &Activation,
    found: &Activation,
    before: Option<&Activation>,
    [difference, largest]: [f64; 2],
    padding: bool,
) -> Finding {
    let module = &expected.module;
    let how = if expected.shape != found.shape {
        format!("is {:?}, expected {:?}", found.shape, expected.shape)
    } else if difference.is_infinite() {
        format!("has {} NaNs and infinities, expected {}", found.non_finite, expected.non_finite)
    } else {
        format!("differs by {difference:.2} of its standard deviation")
    };
    let so_far = match before {
        Some(before) => format!("{} and all before it agree", before.module),
        None => "it is the first layer: look at its input as well".to_owned(),
    };
    let cause = if padding { &SYMMETRIC_DOWNSAMPLE_PADDING } else { &TRACE_DIVERGES };
    let finding = Finding::new(cause, format!("{module} {how}; {so_far}"))
        .at(module)
        .evidence("class", &expected.kind)
        .evidence("difference_in_std", Some(difference).filter(|d| d.is_finite()))
        .evidence("largest_difference_before", largest)
        .evidence("last_that_agrees", before.map(|before| before.module.clone()));
    match likely(module, &expected.kind) {
        Some(remedy) if !padding => finding.remedy(remedy),
        _ => finding,
    }
}

/// What goes wrong in such a layer, in ports that have been seen.
fn likely(module: &str, class: &str) -> Option<&'static str> {
    Some(match class {
        "GroupNorm" => {
            "its input agrees, so look at the number of groups, eps (1e-6) and the affine weights"
        }
        "Linear" if module.ends_with("to_out.0") => {
            "its projections agree, so look at attention itself: one head, 1 / sqrt(channels), softmax over the keys"
        }
        "Linear" => {
            "look at the order of group norm and flattening, and at the weight's transposition"
        }
        "Conv2d" if module.contains("downsamplers") => {
            "look at the padding: right and bottom only, then stride 2"
        }
        "Conv2d" if module.contains("upsamplers") => {
            "look at the upsampling before it: nearest, times 2"
        }
        "Conv2d" if module.ends_with("conv_out") => {
            "look at the activation before it: SiLU, whatever act_fn says"
        }
        "Conv2d" if module.ends_with("conv1") || module.ends_with("conv2") => {
            "look at the activation before it (act_fn), its weights, and padding of 1"
        }
        "Conv2d" if module.ends_with("conv_in") => {
            "look at what it is fed: range, channel order, resizing, scaling of the latents"
        }
        "Conv2d" if module == "post_quant_conv" => {
            "look at what it is fed: latents divided by scaling_factor"
        }
        _ => return None,
    })
}
