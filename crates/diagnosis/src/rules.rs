//! Every rule in turn, and what could not be decided.

use serde::Serialize;

use super::evidence::Evidence;
use super::{
    Finding, cross_check, divergence, input, latents, overflow, picture, posterior, preprocessed,
    round_trip,
};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_files::error::Result;

/// What the rules say of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
    /// What would have needed more than was given.
    pub not_decided: Vec<NotDecided>,
}

/// Causes that a run cannot see, and the flag that would let it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotDecided {
    /// Their codes.
    pub codes: Vec<&'static str>,
    /// What decides them, for example `--latents`.
    pub needs: &'static str,
}

/// Causes that show in each kind of file.
const LATENTS: [&str; 5] = [
    "scaling-factor-mismatch",
    "shift-factor-dropped",
    "latent-stats-ignored",
    "sample-vs-mode",
    "layout-scrambled",
];
const PREPROCESSED: [&str; 2] = ["resize-mismatch", "input-not-normalised"];
const DECODED: [&str; 6] = [
    "output-not-denormalised",
    "u8-truncated",
    "u8-wraparound",
    "banding",
    "tile-seams",
    "tile-blend-units",
];
const AGAINST: [&str; 2] = ["trace-diverges", "symmetric-downsample-padding"];

/// Applies every rule to `evidence`; `cross_check` also compares with `evidence.reference`.
///
/// Rules on the user's files run the VAE again where they try an explanation, and only where a
/// file is not what is expected. Errors when the VAE refuses to run.
pub fn diagnose(evidence: &Evidence, cross_check: bool) -> Result<Diagnosis> {
    let mut findings = input::findings(evidence);
    let broken = overflow::findings(evidence)?;
    let sound = broken.is_empty();
    findings.extend(broken);
    findings.extend(posterior::findings(evidence));
    if sound {
        findings.extend(round_trip::findings(evidence));
    }
    if let (true, Some(reference)) = (cross_check, evidence.reference) {
        findings.extend(cross_check::findings(evidence, reference)?);
    }
    // Without a sound run of this VAE there is nothing to hold the user's files against.
    let files = evidence.files;
    if let (true, Some(tensor)) = (sound, &files.preprocessed) {
        findings.extend(preprocessed::findings(evidence, tensor)?);
    }
    if let (true, Some(tensor)) = (sound, &files.latents) {
        findings.extend(latents::findings(evidence, tensor)?);
    }
    if let (true, Some(theirs)) = (sound, &files.decoded_image) {
        findings.extend(picture::findings(evidence, theirs)?);
    }
    if let Some(theirs) = &files.against {
        findings.extend(divergence::findings(evidence, theirs)?);
    }
    merge(&mut findings);
    if findings.is_empty() {
        findings.extend(expected_loss(evidence)?);
    }
    let mut not_decided = not_decided(evidence, cross_check);
    // What one file showed needs no other.
    for open in &mut not_decided {
        open.codes.retain(|code| findings.iter().all(|finding| finding.code != *code));
    }
    not_decided.retain(|open| !open.codes.is_empty());
    Ok(Diagnosis { findings, not_decided })
}

/// One finding a code and severity: the first, which has the evidence nearest to the cause.
fn merge(findings: &mut Vec<Finding>) {
    let mut seen = Vec::new();
    findings.retain(|finding| {
        let key = (finding.code, finding.severity);
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
}

fn not_decided(evidence: &Evidence, cross_check: bool) -> Vec<NotDecided> {
    let files = evidence.files;
    let mut list = Vec::new();
    let mut needs = |given: bool, codes: &[&'static str], needs| {
        if !given {
            list.push(NotDecided { codes: codes.to_vec(), needs });
        }
    };
    needs(files.latents.is_some(), &LATENTS, "--latents");
    needs(files.preprocessed.is_some(), &PREPROCESSED, "--preprocessed");
    needs(files.decoded_image.is_some(), &DECODED, "--decoded-image");
    needs(files.against.is_some(), &AGAINST, "--against");
    let other = evidence.reference.is_some();
    needs(cross_check || !other, &["device-kernel-broken"], "--cross-check");
    list
}

fn expected_loss(evidence: &Evidence) -> Result<Option<Finding>> {
    // Of several releases the family's first, which its plain config belongs to.
    let Some(published) = evidence.family.published_quality().first() else { return Ok(None) };
    let (mean, spread) = (published.psnr_db, published.psnr_db_spread);
    let decoded = denormalize(evidence.decoded.view(), Dtype::F32)?;
    let psnr = picture::psnr(evidence.seen, &decoded);
    let within = (psnr - mean).abs() <= spread;
    Ok(within.then(|| {
        let title = format!(
            "{psnr:.1} dB lies within what {} is published with ({mean} +- {spread} dB)",
            evidence.family
        );
        Finding::new("expected-loss", title)
            .evidence("psnr_db", psnr)
            .evidence("published_mean_db", mean)
            .evidence("published_std_db", spread)
    }))
}
