//! NaN and infinity in what a VAE puts out.

use super::Finding;
use vae_fidelity_core::dtype::Dtype;

/// A finding where latents or the decoded sample hold NaN or infinity; the arguments count them,
/// and `dtype` is the arithmetic they came from.
///
/// A picture hides both: on its way to 8 bits NaN becomes black and infinity black or white.
///
/// ```
/// use vae_fidelity_core::Dtype;
/// use vae_fidelity_diagnosis::non_finite_output;
/// assert_eq!(non_finite_output(0, 0, Dtype::F32), None);
/// assert_eq!(non_finite_output(0, 7, Dtype::F16).unwrap().code, "non-finite-output");
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
            "run with --dtype f32: if that is finite, activations exceed 65504, the largest f16"
        }
        Dtype::F32 | Dtype::Bf16 => {
            "vae-fidelity inspect names weights that are NaN or infinite: fetch or convert the file again"
        }
    };
    let finding = Finding::new("non-finite-output", title)
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
