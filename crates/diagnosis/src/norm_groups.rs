//! A number of groups that the weights were not trained with. No tensor's shape shows it: every one loads,
//! and the picture is a little off.

use ndarray::{Array4, s};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, Regrouped};
use super::finding::Finding;
use super::natural::is_natural;
use super::passes_nothing::{Loss, NEAR_DB};
use super::severity::Severity;
use vae_fidelity_core::config::{Family, VaeConfig};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

pub(super) const NORM_NUM_GROUPS: Cause = Cause {
    code: Code::NormNumGroups,
    severity: Severity::Error,
    title: "norm_num_groups is not what the weights were trained with",
    meaning: "GroupNorm normalizes channels in groups, and no tensor's shape shows how many there are: with \
              another number every tensor loads, and colours and contrast are off.",
    rule: "The config is no published family's, and its `norm_num_groups` is not 32, or left out. On a \
           photograph that comes back below 30 dB, its middle comes back nearer by 1 dB or more with another \
           power of two, up to 32, that divides every width.",
    remedy: "set norm_num_groups in config.json to the number that was trained with",
    diffusers: "compare config.json with the training code's; diffusers takes 32 where it is left out",
    comfyui: "its VAE takes 32: weights trained with another number need a node of their own",
    ports: "take the number from config.json, not from the width",
    sources: &["huggingface/diffusers#621"],
    decided_by: &[DecidedBy::Check],
};

/// What every published family has.
const PUBLISHED: usize = 32;
/// Numbers of groups that are tried.
const TRIED: [usize; 6] = [32, 16, 8, 4, 2, 1];
/// Pixels of a side that are enough to tell: the rest of a picture would only take longer.
const SIDE: usize = 256;
/// How much nearer the picture has to come back. Trained with 8 groups, the nearest of other numbers is 1.2 dB
/// behind.
const GAIN_DB: f64 = 1.0;
/// Numbers that are as near as this are not told apart.
const ALIKE_DB: f64 = 0.5;

/// `norm-num-groups`, where another number brings the picture back clearly nearer.
pub(super) fn finding(evidence: &Evidence) -> Result<Option<Finding>> {
    let config = evidence.vae.config();
    let (Some(with), Some(groups)) = (evidence.regrouped, config.norm_num_groups()) else {
        return Ok(None);
    };
    let may_be_wrong = groups != PUBLISHED || config.defaulted().contains(&"norm_num_groups");
    let is_asked = evidence.family == Family::Unknown && evidence.knows(Code::NormNumGroups);
    if !(may_be_wrong && is_asked) {
        return Ok(None);
    }
    let part = middle(evidence.sample, config);
    if !is_natural(&denormalize(part.view(), Dtype::F32)?) {
        return Ok(None);
    }
    let own_db = trip(evidence.vae, &part)?.trip_db();
    if !own_db.is_finite() || own_db >= NEAR_DB {
        return Ok(None);
    }
    Ok(best_of(tried(with, groups, &part)?, groups, own_db))
}

/// A trip of the same `part` with each other number of groups that fits the widths, the nearest first.
fn tried(with: Regrouped, own: usize, part: &Array4<f32>) -> Result<Vec<(usize, Loss)>> {
    let mut tried = Vec::new();
    for groups in TRIED.into_iter().filter(|&groups| groups != own) {
        if let Some(vae) = with(groups)? {
            tried.push((groups, trip(vae.as_ref(), part)?));
        }
    }
    // Weights that do no better than one colour for each block do not say what they were trained with.
    tried.retain(|(_, loss)| loss.trip_db().is_finite() && loss.trip_db() > loss.blocks_db());
    tried.sort_by(|(_, a), (_, b)| b.trip_db().total_cmp(&a.trip_db()));
    Ok(tried)
}

fn best_of(tried: Vec<(usize, Loss)>, own: usize, own_db: f64) -> Option<Finding> {
    let best_db = tried.first()?.1.trip_db();
    if best_db < own_db + GAIN_DB {
        return None;
    }
    let alike = tried.iter().take_while(|(_, loss)| loss.trip_db() > best_db - ALIKE_DB);
    let named: Vec<String> = alike.map(|(groups, _)| groups.to_string()).collect();
    let title = format!(
        "norm_num_groups is {own}, and with {} the middle of the picture comes back at {best_db:.1} dB in \
         place of {own_db:.1}: these weights were trained with that",
        named.join(" or "),
    );
    let psnr_db: Vec<_> = tried.iter().map(|(groups, loss)| (*groups, loss.trip_db())).collect();
    Some(
        Finding::new(&NORM_NUM_GROUPS, title)
            .evidence("norm_num_groups", own)
            .evidence("psnr_db", own_db)
            .evidence("psnr_db_of_other_numbers", psnr_db)
            .remedy(format!("set norm_num_groups to {} in config.json", named.join(" or "))),
    )
}

/// At most [`SIDE`] pixels a side out of the middle of a sample (1, 3, H, W).
fn middle(sample: &Array4<f32>, config: &VaeConfig) -> Array4<f32> {
    let range = |length: usize| {
        let part = length.min(SIDE);
        let part = part - part % config.multiple_of();
        let from = (length - part) / 2;
        from..from + part
    };
    let (_, _, height, width) = sample.dim();
    sample.slice(s![0..1, .., range(height), range(width)]).to_owned()
}

fn trip(vae: &dyn Vae, part: &Array4<f32>) -> Result<Loss> {
    let latents = vae.encode(part.view(), None)?.latents;
    let decoded = vae.decode(latents.view())?;
    Ok(Loss::of(part.view(), decoded.view(), vae.config().downsampling()))
}
