//! A device or dtype beside the CPU in f32, on the same weights and tensors.

use super::Finding;
use super::evidence::{Evidence, Reference};
use super::fit::{rms_difference, spread};
use crate::dtype::Dtype;
use crate::error::Result;

/// Relative RMS that a dtype's rounding explains.
fn allowed(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 0.01,
        Dtype::F16 => 0.1,
        Dtype::Bf16 => 0.3,
    }
}

/// `device-kernel-broken`, with the first layer that parts; nothing where values are not finite,
/// which has findings of its own.
pub(super) fn findings(evidence: &Evidence, reference: Reference) -> Result<Vec<Finding>> {
    let finite = |values: &ndarray::Array4<f32>| values.iter().all(|value| value.is_finite());
    if !finite(&evidence.encoded.latents) || !finite(evidence.decoded) {
        return Ok(Vec::new());
    }
    let dtype = evidence.vae.dtype();
    let cpu = reference()?;
    let expected = cpu.encode(evidence.sample.view(), None)?.latents;
    let mut parts = Vec::new();
    if let Some(found) = evidence.mean() {
        parts.push(("latents", rms_difference(&expected, &found) / spread(&expected).max(1e-12)));
    }
    let expected = cpu.decode(evidence.encoded.latents.view())?;
    let relative = rms_difference(&expected, evidence.decoded) / spread(&expected).max(1e-12);
    parts.push(("decoded", relative));
    let Some((what, difference)) =
        parts.into_iter().find(|(_, difference)| *difference > allowed(dtype))
    else {
        return Ok(Vec::new());
    };
    let title = format!(
        "{what} in {dtype} lie {:.0} % from the CPU's in f32; rounding explains {:.0} %",
        difference * 100.0,
        allowed(dtype) * 100.0
    );
    let layer = super::divergence::first(evidence.vae, cpu.as_ref(), evidence)?;
    let mut finding = Finding::new("device-kernel-broken", title)
        .evidence("relative_rms", difference)
        .evidence("allowed", allowed(dtype));
    finding.layer = layer;
    Ok(vec![finding])
}
