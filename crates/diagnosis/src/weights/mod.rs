//! What a checkpoint's files, config and tensors say without running it.

mod naming;
pub(super) mod files;
pub(super) mod values;
pub(super) mod magnitudes;
pub(super) mod bits;
pub(super) mod groups;
pub(super) mod expected;
pub(super) mod config;

use super::finding::Finding;
use vae_fidelity_checkpoint::Contents;

pub use expected::Misfit;
pub use values::Measured;

/// Every finding that files, config and values of a checkpoint support, gravest causes first.
pub fn checkpoint_findings(
    contents: &Contents,
    misfit: &Misfit,
    tensors: &[Measured],
) -> Vec<Finding> {
    let mut findings: Vec<Finding> = contents.damages().iter().map(files::damage).collect();
    findings.extend(config::wrong_class(contents));
    findings.extend(config::config_defaults(contents));
    findings.extend(config::wrong_channels(contents));
    // What a damaged file does not give is no news.
    if contents.damages().is_empty() {
        findings.extend(expected::missing(misfit, tensors));
    }
    findings.extend(expected::misshapen(misfit));
    findings.extend(expected::unexpected(misfit));
    findings.extend(values::non_finite(tensors));
    findings.extend(values::zero(tensors));
    findings.extend(values::untrained(tensors));
    let misread = bits::misread(contents, tensors);
    let lost = magnitudes::scale_lost(tensors);
    // Either leaves every magnitude without a meaning.
    if misread.is_none() && lost.is_none() {
        findings.extend(magnitudes::scaled(tensors));
    }
    findings.extend(misread);
    findings.extend(lost);
    findings.extend(groups::quantised(contents, tensors));
    findings
}
