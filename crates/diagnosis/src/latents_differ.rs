//! Latents that are not the expected ones, for whatever reason that has no code of its own.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;

pub(super) const LATENTS_DIFFER: Cause = Cause {
    code: Code::LatentsDiffer,
    severity: Severity::Error,
    title: "your latents are not this VAE's, and no rule says why",
    meaning: "They were made from another picture, by other weights, or by a fault that has \
              no rule here.",
    rule: "Shapes agree, the relative RMS difference passes 2 % (or what the posterior's spread or \
           JPEG or WebP at quality 75 make), and no other rule explains it.",
    remedy: "compare layer by layer: check `against` a trace of your own run",
    diffusers: "check that both sides load the same files: `repo` with the same revision",
    comfyui: "check that both sides load the same VAE file",
    ports: "save a trace of your encoder, and pass it with `against`",
    sources: &[],
    decided_by: &[DecidedBy::Latents],
};
