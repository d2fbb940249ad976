//! The posterior by itself: clamped log-variances, and the spread of the latents.

use ndarray::s;

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::fit::spread;
use super::natural::is_natural;
use super::scaling::SCALING_FACTOR_MISMATCH;
use super::severity::Severity;
use vae_fidelity_core::config::Family;

pub(super) const POSTERIOR_COLLAPSED: Cause = Cause {
    code: Code::PosteriorCollapsed,
    severity: Severity::Warning,
    title: "log-variances lie at the clamp",
    meaning: "Log-variances at -30 or 20 say that the second half of the moments is not what \
              the VAE was trained to put out: draws have no noise, or nothing but noise.",
    rule: "More than 10 % of the log-variances are at most -30, or at least 20, before \
           clamping.",
    remedy: "check encoder.conv_out and quant_conv: their second half of channels is the \
             log-variance",
    diffusers: "compare vae.encode(x).latent_dist.logvar with the original weights'",
    comfyui: "load another copy of the VAE and compare",
    ports: "check that the moments are split into halves along the channels, not interleaved",
    sources: &[],
    decided_by: &[DecidedBy::Check],
};

pub(super) const WRONG_FAMILY_VALUES: Cause = Cause {
    code: Code::WrongFamilyValues,
    severity: Severity::Warning,
    title: "the latents' spread is another family's",
    meaning: "The VAEs of Stable Diffusion 1 and SDXL have the same names and shapes: either \
              loads in the other's place, and colours go wrong.",
    rule: "The spread of the raw latents of a natural picture, times the config's factor, lies \
           outside 0.5 to 2, and another family of the same graph brings it nearer to 1.",
    remedy: "check that weights and config come from one repository",
    diffusers: "load the vae subfolder of the same repository",
    comfyui: "use the checkpoint's own VAE output",
    ports: "keep weights and config together",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#12182"],
    decided_by: &[DecidedBy::Check],
};

const CLAMP: (f32, f32) = (-30.0, 20.0);
const CLAMPED_SHARE: f64 = 0.1;
/// Spread of the scaled latents of a natural picture; 1 is meant.
const SPREAD: (f64, f64) = (0.33, 3.0);

/// `posterior-collapsed`, `scaling-factor-mismatch` and `wrong-family-values` as warnings. Weights that
/// are `useless` spread their latents somehow, and no factor is to blame for it.
pub(super) fn findings(evidence: &Evidence, useless: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(evidence.known(collapsed(evidence)));
    let config = evidence.vae.config();
    if !useless
        && config.latents_statistics().is_none()
        && let Some(factor) = config.scaling_factor()
        && is_natural(evidence.seen)
        && let Some(mean) = evidence.mean()
    {
        let mut families = Family::with_graph_of(config);
        families.retain(|_| evidence.knows(Code::WrongFamilyValues));
        findings.extend(evidence.known(unusual_spread(spread(&mean), factor, &families)));
    }
    findings
}

fn collapsed(evidence: &Evidence) -> Option<Finding> {
    let moments = evidence.encoded.moments.as_ref()?;
    let logvar = moments.slice(s![.., moments.dim().1 / 2.., .., ..]);
    let clamped = logvar.iter().filter(|&&value| value <= CLAMP.0 || value >= CLAMP.1).count();
    let share = clamped as f64 / logvar.len().max(1) as f64;
    (share > CLAMPED_SHARE).then(|| {
        let percent = share * 100.0;
        Finding::new(
            &POSTERIOR_COLLAPSED,
            format!("{percent:.0} % of the log-variances lie at or beyond the clamp of -30 and 20"),
        )
        .at(evidence.vae.config().last_of_encoder())
        .evidence("clamped_share", share)
    })
}

/// What the spread of raw latents says about the factor, beside the families of one graph.
fn unusual_spread(raw: f64, scaling_factor: f64, families: &[Family]) -> Option<Finding> {
    let scaled = raw * scaling_factor.abs();
    if scaled == 0.0 || (SPREAD.0..=SPREAD.1).contains(&scaled) {
        return None;
    }
    let fits = |family: &&Family| {
        let factor = family.scaling_factor();
        factor.is_some_and(|factor| (0.5..=2.0).contains(&(raw * factor)))
    };
    let finding = match families.iter().find(fits) {
        Some(family) => Finding::new(
            &WRONG_FAMILY_VALUES,
            format!(
                "scaled latents of a natural picture spread by {scaled:.2}, not about 1; the \
                 factor of {family}, which has the same graph, would bring them to {:.2}",
                raw * family.scaling_factor().unwrap_or_default()
            ),
        )
        .evidence("family", family.to_string()),
        None => Finding::new(
            &SCALING_FACTOR_MISMATCH,
            format!(
                "scaled latents of a natural picture spread by {scaled:.2}, not about 1: \
                 scaling_factor {scaling_factor} does not belong to these weights"
            ),
        )
        .severity(Severity::Warning),
    };
    Some(
        finding
            .evidence("raw_std", raw)
            .evidence("scaled_std", scaled)
            .evidence("scaling_factor", scaling_factor)
            .evidence("factor_for_1", 1.0 / raw),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_family_that_fits_is_named() {
        let families = [Family::Sd1, Family::Sd2, Family::Sdxl];
        assert_eq!(unusual_spread(5.49, 0.18215, &families), None);
        // SDXL's weights under Stable Diffusion 1's config: 7.68 x 0.18215 is 1.4, too near to 1.
        assert_eq!(unusual_spread(7.68, 0.18215, &families), None);
        let found = unusual_spread(5.49, 1.5305, &families).unwrap();
        assert_eq!((found.code, found.severity), (Code::WrongFamilyValues, Severity::Warning));
        let found = unusual_spread(2.3, 0.04, &[]).unwrap();
        assert_eq!((found.code, found.severity), (Code::ScalingFactorMismatch, Severity::Warning));
        assert_eq!(unusual_spread(0.0, 0.04, &[]), None);
    }
}
