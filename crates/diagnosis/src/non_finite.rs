//! NaN and infinity in what a VAE puts out.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;

pub(super) const NON_FINITE_OUTPUT: Cause = Cause {
    code: Code::NonFiniteOutput,
    severity: Severity::Error,
    title: "NaN or infinity in what the VAE made",
    meaning: "A picture hides it: on the way to 8 bits NaN becomes black, and infinity black \
              or white.",
    rule: "At least one value of the latents or the decoded tensor is NaN or infinite. The \
           layer is the first whose output is. Or your decoded picture is black all over, and \
           what this VAE decodes is not.",
    remedy: "find the first layer that is not finite: f16 overflow, or NaN in the weights",
    diffusers: "run in float32 first; if that is finite, the dtype is at fault, else the \
                weights: fetch them again",
    comfyui: "start with --fp32-vae; if the picture stays black, load another copy of the VAE",
    ports: "check each layer's output for NaN, beginning with the one that is named; never \
            cast to 8 bits without checking",
    sources: &["huggingface/diffusers#6815"],
    decided_by: &[
        DecidedBy::Check,
        DecidedBy::Latents,
        DecidedBy::Preprocessed,
        DecidedBy::DecodedImage,
    ],
};

/// What a picture that is black all over says, where the VAE decodes another.
pub(super) fn black_picture() -> Finding {
    let title = "your picture is black all over, as NaN is on the way to 8 bits; what this VAE decodes is not";
    Finding::new(&NON_FINITE_OUTPUT, title).remedy(
        "look for NaN in the tensor that your decoder puts out, before it becomes 8 bits, and then in the \
         latents: in f16, activations beyond 65504 become NaN, which float32 or a repaired VAE ends. If \
         nothing is NaN, it is zeros that were saved",
    )
}

/// A finding where latents or the decoded sample hold NaN or infinity; the arguments count them,
/// and `dtype` is the arithmetic they came from.
///
/// A picture hides both: on its way to 8 bits NaN becomes black and infinity black or white.
///
/// ```
/// use vae_fidelity_core::Dtype;
/// use vae_fidelity_diagnosis::{Code, non_finite_output};
/// assert_eq!(non_finite_output(0, 0, Dtype::F32), None);
/// assert_eq!(non_finite_output(0, 7, Dtype::F16).unwrap().code, Code::NonFiniteOutput);
/// ```
pub fn non_finite_output(latents: usize, decoded: usize, dtype: Dtype) -> Option<Finding> {
    let title = match (latents, decoded) {
        (0, 0) => return None,
        (0, _) => format!("{} NaN or infinite: the decoder made them", values("decoded", decoded)),
        (_, 0) => format!("{} NaN or infinite", values("latent", latents)),
        _ => format!(
            "{} and {} NaN or infinite: the encoder made the first",
            values("latent", latents),
            values("decoded", decoded)
        ),
    };
    let remedy = match dtype {
        Dtype::F16 => {
            "run with `dtype` f32: if that is finite, activations exceed 65504, the largest f16"
        }
        Dtype::F32 | Dtype::Bf16 => {
            "vae-fidelity inspect names weights that are NaN or infinite: fetch or convert the file again"
        }
    };
    let finding = Finding::new(&NON_FINITE_OUTPUT, title)
        .at(if latents > 0 { "encoder" } else { "decoder" })
        .evidence("latents_non_finite", latents)
        .evidence("decoded_non_finite", decoded)
        .evidence("dtype", dtype)
        .remedy(remedy);
    Some(finding)
}

fn values(of: &str, count: usize) -> String {
    let verb = if count == 1 { " is" } else { "s are" };
    format!("{count} {of} value{verb}")
}
