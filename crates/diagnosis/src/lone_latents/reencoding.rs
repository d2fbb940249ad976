//! Latents judged by what their own picture encodes to.
//!
//! A trained VAE encodes what it decodes to nearly the same latents. Latents of another scale or with
//! their axes mixed up decode to a picture whose latents are others, and the change that was made to
//! them is the one whose undoing brings both together.

use ndarray::{Array4, Axis, s};

use super::super::affine::Affine;
use super::super::changes::{LAYOUT_SCRAMBLED, SYMMETRIES};
use super::super::colour_fit::least;
use super::super::competition::{Competition, Explanation, Outcome};
use super::super::evidence::LatentsScale;
use super::super::finding::Finding;
use super::super::fit::{rms_difference, spread};
use super::super::input::EXIF_IGNORED;
use super::super::latents::normalised::undone;
use super::super::latents::patched::another_form;
use super::super::latents_differ::LATENTS_DIFFER;
use super::super::layout::Layout;
use super::super::scaling::{
    LATENT_STATS_IGNORED, SCALING_FACTOR_MISMATCH, known_factors, unscaled,
};
use super::super::severity::Severity;
use super::evidence::{LatentsEvidence, Reencoded};
use super::patched::{self, Undone};
use vae_fidelity_core::scaling::Scaling;
use vae_fidelity_files::error::Result;

/// The least side of which anything can be said.
const LEAST: usize = 8;
/// A VAE whose own latents come back worse than this does not judge others'.
const SOUND: f64 = 0.3;
/// Latents that come back as well as this, or as `OWN` times this VAE's own, need no explanation.
const GOOD: f64 = 0.1;
const OWN: f64 = 1.6;
/// What an explanation may leave.
const EXPLAINED: f64 = 0.45;
/// Latents that nothing explains are another VAE's, or unfinished, from here on.
const FOREIGN: f64 = 0.6;
/// Latents that nothing explains are worth a word from here on, and from this many times what this VAE's own
/// leave: 54 whole latents (27 photographs, two VAEs) came back to 0.15 and 1.66 times at most, parts that were cut
/// out of larger ones to 0.9 and 19 times.
const FAR: f64 = 0.25;
const FAR_BESIDE_OWN: f64 = 3.0;
/// Latents of fewer a side may be cut out of larger ones, which norms see otherwise.
const CUT: usize = 16;
/// Latents a side on which explanations are tried first. Norms see another picture there: what is found
/// counts only where it holds on the whole.
const SIDE: usize = 32;
/// How many of the nearest are tried on the whole, and how much nearer they have to be.
const NEAREST: usize = 2;
const NEARER: f64 = 0.8;
/// A factor nearer to 1 than this, as a logarithm, is not told from 1.
const NO_FACTOR: f64 = 0.22;
/// A known factor may be this far from the fitted one, as a logarithm.
const KNOWN: f64 = 0.15;
/// Logarithms of factors that are tried on a part, how far apart, and how far from the best of them the
/// one of the whole may lie.
const FACTORS: f64 = 2.4;
const APART: f64 = 0.4;
const AROUND: f64 = 0.7;

/// What comes of it.
pub(super) struct Judged {
    pub reencoded: Reencoded,
    pub finding: Option<Finding>,
}

/// What the picture's latents say of the given ones; `None` for latents too small to say anything.
pub(super) fn judged(evidence: &LatentsEvidence) -> Result<Option<Judged>> {
    let (_, _, height, width) = evidence.unscaled.dim();
    if height.min(width) < LEAST {
        return Ok(None);
    }
    let encoded = |decoded: &Array4<f32>| -> Result<Array4<f32>> {
        let picture = decoded.mapv(|x| x.clamp(-1.0, 1.0));
        Ok(evidence.vae.encode(picture.view(), None)?.latents)
    };
    let again = encoded(evidence.decoded)?;
    let before = difference(evidence.unscaled, &again);
    let judged = |own: Option<f64>, sound: bool, finding: Option<Finding>| {
        let finding = finding.map(|finding| {
            finding
                .evidence("relative_difference", before)
                .evidence("relative_difference_of_own", own)
        });
        let reencoded = Reencoded {
            relative_difference: before,
            relative_difference_of_own: own,
            judged: sound,
        };
        Ok(Some(Judged { reencoded, finding }))
    };
    let scaling = evidence.vae.scaling()?;
    // Of latents with the right values, only the form may be another.
    let form = match &scaling {
        Scaling::PatchedBatchNorm(rule) => {
            another_form(evidence.given.dim().1 == rule.mean.len(), evidence.scale)
        }
        _ => None,
    };
    if before <= GOOD {
        return judged(None, true, form);
    }
    let trips = Trips { evidence, scaling, encoded: &encoded };
    let own = trips.loss(&again)?;
    // NaN is not sound.
    let sound = own <= SOUND;
    if sound && before <= OWN * own {
        return judged(Some(own), true, form);
    }
    // What is wrong may be so wrong that the picture is nothing that a VAE can encode.
    if let Some((outcome, left, best)) = trips.explained(before, own)? {
        let own = trips.loss(&encoded(&evidence.vae.decode(best.view())?)?)?;
        let sound = own <= SOUND;
        let enough = GOOD.max(OWN * own);
        let finding = match outcome.finding("your latents ", true).filter(|_| sound) {
            Some(finding) if left > enough => Some(trips.in_part(finding, &best, enough)?),
            finding => finding,
        };
        return judged(Some(own), sound, finding);
    }
    judged(Some(own), sound, if sound { unexplained(before, own, height.min(width)) } else { None })
}

/// Latents that come back far from what they are, and nothing that was tried brings them nearer.
fn unexplained(before: f64, own: f64, side: usize) -> Option<Finding> {
    if before >= FOREIGN {
        let title = "your latents are none that this VAE encodes: another VAE's, or unfinished (still \
                     noisy) ones";
        let severity = if side < CUT { Severity::Warning } else { Severity::Error };
        return Some(Finding::new(&LATENTS_DIFFER, title).severity(severity));
    }
    (before >= FAR && before >= FAR_BESIDE_OWN * own && side >= SIDE).then(|| {
        let times = before / own;
        let title = format!(
            "your latents come back {times:.1} times as far from what they are as this VAE's own do: noise may \
             be left in them, or they were changed, or cut out of larger ones"
        );
        Finding::new(&LATENTS_DIFFER, title).severity(Severity::Warning)
    })
}

/// RMS difference over the spread; infinite where shapes differ.
fn difference(latents: &Array4<f32>, again: &Array4<f32>) -> f64 {
    match again.dim() == latents.dim() {
        true => rms_difference(latents, again) / spread(latents).max(1e-12),
        false => f64::INFINITY,
    }
}

struct Trips<'a> {
    evidence: &'a LatentsEvidence<'a>,
    /// How its latents are scaled.
    scaling: Scaling,
    /// What a decoded sample encodes to.
    encoded: &'a dyn Fn(&Array4<f32>) -> Result<Array4<f32>>,
}

impl Trips<'_> {
    /// How far latents are from what their picture encodes to.
    fn loss(&self, latents: &Array4<f32>) -> Result<f64> {
        let again = (self.encoded)(&self.evidence.vae.decode(latents.view())?)?;
        Ok(difference(latents, &again))
    }

    /// The finding of what brings latents nearer, to `best`, and not as near as this VAE's own come: with what
    /// brings them there beside it, or with its doubt. (Latents that were cut out of larger ones, where the
    /// picture is plain, come back nearer if they are made larger.)
    fn in_part(&self, finding: Finding, best: &Array4<f32>, enough: f64) -> Result<Finding> {
        let nearest = self.nearer(&middle(best), rearranged(best))?.into_iter().next();
        if let Some((cause, what, latents)) = nearest
            && self.loss(&latents)? <= enough
        {
            let title = format!("{}; they also {what} ({})", finding.title, cause.code);
            let remedy = format!("{}; and {}", finding.remedy, cause.remedy);
            return Ok(Finding { title, ..finding }.remedy(remedy));
        }
        let title = format!(
            "{}: that brings them nearer to what comes back, but not as near as this VAE's own, so something \
             else was done as well, or they are cut out of larger latents",
            finding.title
        );
        Ok(Finding { title, ..finding }.severity(Severity::Warning))
    }

    /// How the competition of all that may have happened ends, what its winner leaves, and the latents that it
    /// undoes it to; `None` where nothing wins.
    fn explained(&self, before: f64, own: f64) -> Result<Option<(Outcome, f64, Array4<f32>)>> {
        let part = middle(self.evidence.unscaled);
        let mut competition = Competition::of_parts(0.02);
        let mut nearest: Option<(f64, Array4<f32>)> = None;
        let mut offer = |cause, what: String, free, latents: Array4<f32>| -> Result<f64> {
            let left = self.loss(&latents)?;
            competition.offer(Explanation::new(cause, what, before, left).fitted(free));
            if nearest.as_ref().is_none_or(|(least, _)| left < *least) {
                nearest = Some((left, latents));
            }
            Ok(left)
        };
        let mut least = f64::INFINITY;
        // Nothing betters what comes back as this VAE's own do.
        let enough = GOOD.max(OWN * own);
        // One number to each channel is much like one to all: where the statistics explain everything,
        // a fitted factor explains nothing more.
        let (scale, given) = (self.evidence.scale, self.evidence.given);
        let treated = match &self.scaling {
            Scaling::PatchedBatchNorm(rule) => patched::without_statistics(rule, scale, given)?,
            Scaling::PerChannel(rule) => undone(rule, scale, given)?,
            _ => Vec::new(),
        };
        for (cause, what, latents) in treated {
            least = least.min(offer(cause, what, 0, latents)?);
        }
        if least > enough
            && let Some((factor, what)) = self.factor()?
        {
            least = least.min(offer(&SCALING_FACTOR_MISMATCH, what, 1, self.divided(factor)?)?);
        }
        if let Some((cause, what, latents)) = self.without_statistics() {
            least = least.min(offer(cause, what, 0, latents)?);
        }
        if least > enough {
            for (cause, what, latents) in self.rearranged(&part)? {
                offer(cause, what, 0, latents)?;
            }
        }
        let outcome = competition.outcome(EXPLAINED);
        Ok(match outcome {
            Outcome::Unexplained | Outcome::InPart(_) | Outcome::Nearest(_) => None,
            outcome => nearest.map(|(left, latents)| (outcome, left, latents)),
        })
    }

    /// What may have happened to the axes, where undoing it brings a part of the latents back better.
    fn rearranged(&self, part: &Array4<f32>) -> Result<Vec<Undone>> {
        let LatentsEvidence { vae, scale, given, .. } = *self.evidence;
        let mut all = Vec::new();
        for (cause, what, latents) in rearranged(given) {
            all.push((cause, what, unscaled(vae, scale, latents)?));
        }
        if let Scaling::PatchedBatchNorm(rule) = &self.scaling {
            all.extend(patched::reordered(rule, scale, given)?);
        }
        self.nearer(part, all)
    }

    /// Those of `all` of which the middle comes back nearer than `part` does, the nearest first.
    fn nearer(&self, part: &Array4<f32>, all: Vec<Undone>) -> Result<Vec<Undone>> {
        let least = NEARER * self.loss(part)?;
        let mut candidates = Vec::new();
        for undone in all {
            let left = self.loss(&middle(&undone.2))?;
            candidates.push((left, undone));
        }
        candidates.retain(|(left, _)| *left <= least);
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        candidates.truncate(NEAREST);
        Ok(candidates.into_iter().map(|(_, undone)| undone).collect())
    }

    /// How many times as large as they should be the latents are, and what that is, where it is one.
    fn factor(&self) -> Result<Option<(f64, String)>> {
        let mut failed = None;
        let mut left = |is_part: bool, log: f64| {
            let latents = self.divided(log.exp());
            let latents = latents.map(|whole| if is_part { middle(&whole) } else { whole });
            latents.and_then(|latents| self.loss(&latents)).unwrap_or_else(|error| {
                failed = Some(error);
                f64::INFINITY
            })
        };
        let steps = (2.0 * FACTORS / APART).round() as usize;
        let coarse = (0..=steps).map(|step| APART * step as f64 - FACTORS);
        let of_part: Vec<(f64, f64)> = coarse.map(|log| (log, left(true, log))).collect();
        let first = of_part.into_iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let found =
            first.and_then(|(log, _)| least(|log| left(false, log), log - AROUND, log + AROUND, 7));
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(log) = found.filter(|log| log.abs() > NO_FACTOR) else { return Ok(None) };
        if self.scaling.factor().is_none() {
            // No factor is the class's own, so none of the known ones is likelier than another.
            return Ok(Some((
                log.exp(),
                format!("are about {:.2} times as large as they should be", log.exp()),
            )));
        }
        // The factor by which the given ones were multiplied.
        let affine = Affine::of(self.evidence.vae.config(), self.evidence.scale);
        let own = affine.line().0;
        let used = own * log.exp();
        let off = |known: f64| (used / known).ln().abs();
        // Those of this VAE's own factor come first; families share theirs.
        let mut known: Vec<(f64, String)> = Vec::new();
        for (factor, what) in known_factors(&affine) {
            let is_new = known.iter().all(|(other, _)| (factor / other - 1.0).abs() > 1e-3);
            if factor > 0.0 && off(factor) <= KNOWN && is_new {
                known.push((factor, what));
            }
        }
        let words = |times: f64| format!("{times:.3} times as large as they should be");
        Ok(Some(match known.as_slice() {
            [] => {
                (log.exp(), format!("are about {:.2} times as large as they should be", log.exp()))
            }
            [(first, what)] => (first / own, format!("{what}: {}", words(first / own))),
            [(first, what), (_, other), ..] => {
                (first / own, format!("{what}, or {other}: {}", words(first / own)))
            }
        }))
    }

    /// The latents as the model makes them, had the given ones been divided by `factor`.
    fn divided(&self, factor: f64) -> Result<Array4<f32>> {
        let LatentsEvidence { vae, scale, given, unscaled: raw, .. } = *self.evidence;
        let divided = |latents: &Array4<f32>| latents.mapv(|z| (f64::from(z) / factor) as f32);
        match self.scaling.factor() {
            Some(_) => Ok(divided(raw)),
            None => unscaled(vae, scale, divided(given)),
        }
    }

    /// The latents as they would be had the config's statistics not been applied.
    fn without_statistics(&self) -> Option<Undone> {
        let config = self.evidence.vae.config();
        let (factor, _) = config.scaling_factor().zip(config.latents_statistics())?;
        (self.evidence.scale == LatentsScale::Scaled).then(|| {
            let what = "are not normalised by the config's latents_mean and latents_std";
            let plain = self.evidence.given.mapv(|z| z / factor as f32);
            (&LATENT_STATS_IGNORED, what.to_owned(), plain)
        })
    }
}

/// The middle of latents, square where rows and columns may be exchanged.
fn middle(latents: &Array4<f32>) -> Array4<f32> {
    let (_, _, height, width) = latents.dim();
    let span = |side: usize| {
        let start = side.saturating_sub(SIDE) / 2;
        start..start + side.min(SIDE)
    };
    latents.slice(s![.., .., span(height), span(width)]).to_owned()
}

/// Latents with what may have happened to their axes or their sign undone.
fn rearranged(latents: &Array4<f32>) -> Vec<Undone> {
    let first = latents.index_axis(Axis(0), 0);
    let layouts = Layout::ALL.map(|(layout, name)| {
        (
            &LAYOUT_SCRAMBLED,
            format!("have their axes mixed up: {name}"),
            layout.undone().apply(first),
        )
    });
    let turned = SYMMETRIES.map(|(symmetry, name)| {
        let cause = if symmetry.transposed { &LAYOUT_SCRAMBLED } else { &EXIF_IGNORED };
        (cause, format!("are {name}"), symmetry.undone().apply(first))
    });
    let negated =
        (&SCALING_FACTOR_MISMATCH, "have the opposite sign".to_owned(), first.mapv(|value| -value));
    layouts
        .into_iter()
        .chain(turned)
        .chain([negated])
        .map(|(cause, what, latents)| (cause, what, latents.insert_axis(Axis(0))))
        .collect()
}
