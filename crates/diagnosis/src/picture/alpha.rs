//! The alpha of the user's picture beside the one that this VAE decodes.

use ndarray::Array4;

use super::super::codes::Cause;
use super::super::evidence::UserPicture;
use super::super::finding::Finding;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize_alpha;
use vae_fidelity_core::metrics::AlphaMetrics;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Alpha8;

/// From here on it is the expected one: what 16 bits, a lossy format or another draw make of hard edges stays
/// above.
const ALIKE_DB: f64 = 25.0;

/// From here on a change is what became of it.
const EXPLAINED_DB: f64 = 40.0;

/// What became of a level of ours, and what mends it.
type Change = (&'static str, fn(u8) -> u8, &'static str);

const CHANGES: [Change; 4] = [
    (
        "opaque throughout: alpha was left out",
        |_| 255,
        "save all four channels, in a format that has alpha",
    ),
    (
        "0 throughout: nothing of it can be seen",
        |_| 0,
        "denormalize the fourth channel as the colours, and save it",
    ),
    (
        "inverted: transparent is opaque",
        |level| 255 - level,
        "save the fourth channel as it is: 1 is opaque",
    ),
    (
        "taken for [0, 1] where it is in [-1, 1]",
        // 255 for 1, 0 for all below the middle.
        |level| (2 * i16::from(level) - 255).max(0) as u8,
        "denormalize the fourth channel as the colours: alpha / 2 + 0.5",
    ),
];

/// `cause`, where colours agree; `None` where one of the two has no alpha.
pub(super) fn finding(
    cause: &'static Cause,
    decoded: &Array4<f32>,
    picture: &UserPicture,
) -> Result<Option<Finding>> {
    let ours = denormalize_alpha(decoded.view(), Dtype::F32)?;
    let (Some(ours), Some(theirs)) = (ours, &picture.alpha) else { return Ok(None) };
    let metrics = AlphaMetrics::of(&ours, theirs)?;
    let Some(psnr_db) = metrics.psnr_db.filter(|psnr_db| *psnr_db < ALIKE_DB) else {
        return Ok(None);
    };
    let mut found = None;
    for (what, change, remedy) in CHANGES {
        let data = ours.data().iter().map(|&level| change(level)).collect();
        let changed = Alpha8::new(ours.width(), ours.height(), data)?;
        let explained = AlphaMetrics::of(&changed, theirs)?.psnr_db;
        if explained.is_none_or(|psnr_db| psnr_db >= EXPLAINED_DB) {
            found = Some((what, remedy));
            break;
        }
    }
    let title = match found {
        Some((what, _)) => format!("your picture's alpha is {what}"),
        None => format!("your picture's alpha is not what this VAE decodes ({psnr_db:.1} dB)"),
    };
    let finding = Finding::new(cause, title)
        .evidence("alpha_psnr_db", psnr_db)
        .evidence("mean_alpha_difference", metrics.mean_error);
    Ok(Some(match found {
        Some((_, remedy)) => finding.remedy(remedy),
        None => finding,
    }))
}
