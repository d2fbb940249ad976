//! What is known of the picture before anything runs: orientation and size.

use super::Finding;
use super::evidence::Evidence;

/// `exif-ignored`, `size-rounded`.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(orientation) = evidence.orientation {
        findings.push(
            Finding::new(
                "exif-ignored",
                format!("the file asks to be turned (EXIF orientation {orientation}), and is not"),
            )
            .evidence("orientation", orientation),
        );
    }
    let (from, to) = (evidence.source, evidence.seen);
    let resized = (from.width(), from.height()) != (to.width(), to.height());
    let smaller = evidence.vae.config().downsampling();
    let cut = to.width() % smaller != 0 || to.height() % smaller != 0;
    if cut || (resized && !evidence.size_requested) {
        let title = if cut {
            format!(
                "{} x {} is no multiple of {smaller}: the model cuts the rest off",
                to.width(),
                to.height()
            )
        } else {
            format!(
                "{} x {} was resized to {} x {}, down to multiples of 8",
                from.width(),
                from.height(),
                to.width(),
                to.height()
            )
        };
        findings.push(
            Finding::new("size-rounded", title)
                .evidence("source", [from.width(), from.height()])
                .evidence("encoded", [to.width(), to.height()])
                .evidence("multiple", smaller),
        );
    }
    findings
}
