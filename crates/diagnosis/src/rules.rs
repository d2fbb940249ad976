//! Every rule in turn, and what could not be decided.

use super::codes::Code;
use super::compared::{ComparedFile, Judged, UserFile};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::not_decided::NotDecided;
use super::severity::Severity;
use super::{
    alpha, cross_check, divergence, expected_loss, input, latent_rows, norm_groups, overflow,
    passes_nothing, picture, posterior, preprocessed, round_trip,
};
use vae_fidelity_files::error::Result;

/// What the rules say of one run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Diagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How far each file of the user's is from what is expected of it; none where this VAE gave
    /// nothing to hold it against.
    pub files: Vec<ComparedFile>,
    /// What would have needed more than was given.
    pub not_decided: Vec<NotDecided>,
}

/// Applies every rule to `evidence`; `cross_check` also compares with `evidence.reference`.
///
/// Rules on the user's files run the VAE again where they try an explanation, and only where a
/// file is not what is expected. Errors when the VAE refuses to run.
pub fn diagnose(evidence: &Evidence, cross_check: bool) -> Result<Diagnosis> {
    // What the weights say is nearest to the cause.
    let known = |found: &Finding| evidence.knows(found.code);
    let weights: Vec<_> = evidence.weights.iter().filter(|found| known(found)).cloned().collect();
    let mut findings = weights.clone();
    findings.extend(input::findings(evidence).into_iter().filter(known));
    let broken = overflow::findings(evidence)?;
    let sound = broken.is_empty();
    findings.extend(broken);
    let trip = if sound { round_trip::findings(evidence) } else { Vec::new() };
    // Where a range or an order of channels explains the loss, the weights do their job.
    let lost = match sound && trip.is_empty() {
        true => match norm_groups::finding(evidence)? {
            Some(finding) => vec![finding],
            None => passes_nothing::findings(evidence)?,
        },
        false => Vec::new(),
    };
    let untrained =
        |found: &Finding| found.code == Code::WeightsUntrained && found.severity == Severity::Error;
    let useless = !lost.is_empty() || weights.iter().any(untrained);
    if sound && !useless {
        findings.extend(evidence.known(alpha::finding(evidence)));
    }
    findings.extend(lost);
    findings.extend(posterior::findings(evidence, useless));
    findings.extend(trip);
    if let (true, Some(reference)) = (cross_check, evidence.reference) {
        findings.extend(cross_check::findings(evidence, reference)?.into_iter().filter(known));
    }
    // Without a sound run of this VAE there is nothing to hold the user's files against.
    let files = evidence.files;
    let mut compared = Vec::new();
    let mut judge = |file: UserFile, judged: Judged| {
        compared.push(judged.compared(file));
        findings.extend(judged.findings);
    };
    if let (true, Some(tensor)) = (sound, &files.preprocessed) {
        judge(UserFile::Preprocessed, preprocessed::judged(evidence, tensor)?);
    }
    if let (true, Some(tensor)) = (sound, &files.latents) {
        judge(UserFile::Latents, latent_rows::judged(evidence, tensor)?);
    }
    if let (true, Some(theirs)) = (sound, &files.decoded_image) {
        let mut judged = picture::judged(evidence, theirs)?;
        // Weights that pass nothing on make any two pictures look like another factor's.
        let blames = |found: &Finding| found.code == Code::ScalingFactorMismatch;
        judged.findings.retain(|found| !(useless && blames(found)));
        judge(UserFile::DecodedImage, judged);
    }
    if let Some(theirs) = &files.against {
        findings.extend(divergence::findings(evidence, theirs)?);
    }
    merge(&mut findings);
    let weights_sound = weights.iter().all(|found| found.severity != Severity::Error);
    if weights_sound && findings.len() == weights.len() {
        findings.extend(evidence.known(expected_loss::finding(evidence)?));
    }
    let mut not_decided = NotDecided::list(|by| is_open(by, evidence, cross_check));
    // What one file showed needs no other.
    for open in &mut not_decided {
        open.codes.retain(|code| findings.iter().all(|finding| finding.code != *code));
        open.codes.retain(|code| evidence.knows(*code));
    }
    not_decided.retain(|open| !open.codes.is_empty());
    Ok(Diagnosis { findings, files: compared, not_decided })
}

/// Puts what asks for nothing behind what does. Among these the order of the rules stays: along the data's
/// way, so that the first is nearest to the cause.
pub fn by_what_to_mend_first(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| finding.severity == Severity::Info);
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

/// Whether the run of `evidence` lacks what `by` needs.
fn is_open(by: DecidedBy, evidence: &Evidence, cross_check: bool) -> bool {
    let files = evidence.files;
    match by {
        DecidedBy::Latents => files.latents.is_none(),
        DecidedBy::Preprocessed => files.preprocessed.is_none(),
        DecidedBy::DecodedImage => files.decoded_image.is_none(),
        DecidedBy::Against => files.against.is_none(),
        DecidedBy::CrossCheck => !cross_check && evidence.reference.is_some(),
        // How the same VAE fares in half precision is another question than what is wrong here.
        DecidedBy::HalfPrecision | DecidedBy::Forecast => false,
        DecidedBy::Check | DecidedBy::Inspect => false,
        // Another tool's question: no file holds such a model.
        DecidedBy::LiveModel => false,
    }
}
