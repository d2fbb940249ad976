//! A device, a dtype or kernels beside others in f32, on the same weights and tensors.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, Reference};
use super::finding::Finding;
use super::fit::{rms_difference, spread};
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;

pub(super) const DEVICE_KERNEL_BROKEN: Cause = Cause {
    code: Code::DeviceKernelBroken,
    severity: Severity::Error,
    title: "the device computes something else than the CPU",
    meaning: "Some GPUs, drivers and backends compute half-precision convolutions wrongly, and \
              a few compute f32 wrongly: noise, black, or blocks of colour.",
    rule: "The same tensors through the same weights, on the device and on the CPU in f32, lie \
           further apart than the dtype explains (f32 on both: relative RMS above 1e-2). In a \
           build without libtorch the vector kernels are compared with plain ones.",
    remedy: "run the VAE on the CPU or in f32, and update driver and framework",
    diffusers: "vae.to('cpu', torch.float32), then update torch and the driver",
    comfyui: "start with --cpu-vae or --fp32-vae",
    ports: "compare one layer at a time with the CPU, beginning with the one that is named",
    sources: &[
        "pytorch/pytorch#58123",
        "comfyanonymous/ComfyUI#16433",
        "leejet/stable-diffusion.cpp#1471",
    ],
    decided_by: &[DecidedBy::CrossCheck],
};

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
    let other = (reference.load)()?;
    let expected = other.encode(evidence.sample.view(), None)?.latents;
    let mut parts = Vec::new();
    if let Some(found) = evidence.mean() {
        parts.push(("latents", rms_difference(&expected, &found) / spread(&expected).max(1e-12)));
    }
    let expected = other.decode(evidence.encoded.latents.view())?;
    let relative = rms_difference(&expected, evidence.decoded) / spread(&expected).max(1e-12);
    parts.push(("decoded", relative));
    let Some((what, difference)) =
        parts.into_iter().find(|(_, difference)| *difference > allowed(dtype))
    else {
        return Ok(Vec::new());
    };
    let title = format!(
        "{what} in {dtype} lie {:.0} % from those of {}; rounding explains {:.0} %",
        difference * 100.0,
        reference.name,
        allowed(dtype) * 100.0
    );
    let layer = super::divergence::first(evidence.vae, other.as_ref(), evidence)?;
    let mut finding = Finding::new(&DEVICE_KERNEL_BROKEN, title)
        .evidence("relative_rms", difference)
        .evidence("allowed", allowed(dtype))
        .evidence("compared_with", reference.name);
    finding.layer = layer;
    if let Some(remedy) = reference.remedy {
        finding = finding.remedy(remedy);
    }
    Ok(vec![finding])
}
