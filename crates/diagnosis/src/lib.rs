//! From evidence to findings: what is wrong with a VAE, and what mends it.
//!
//! [`diagnose`] applies every rule to one round trip and to the files of the user's own pipeline;
//! [`checkpoint_findings`] looks at a checkpoint without running it. Each [`Finding`] has a
//! [`Code`], and [`Code::cause`] says what its [`Cause`] is: what people see, what is measured,
//! what mends it, and by what it is decided.
//!
//! Texts name parameters in backticks, `` `decoded_image` ``; who shows them says how they are given
//! there.
//!
//! # How a finding is added
//!
//! A cause stands in the file of the rule that finds it, so that texts and thresholds change
//! together.
//!
//! 1. Write the rule, in a file of its own or beside its kin: a [`Cause`] as a constant, and the
//!    function that makes the [`Finding`] from it. `seams.rs` is a short one.
//! 2. Name the code in `codes.rs`, in the place where `explain` is to list it, and lead it to its
//!    cause in `catalogue.rs`: without that the crate does not compile.
//! 3. For a new function, call it in `rules.rs` ([`diagnose`]) or `weights/mod.rs`
//!    ([`checkpoint_findings`]): until then the compiler warns that it is never used.
//!
//! The list of what a run could not decide follows from [`Cause::decided_by`]. Tests fail for a code
//! that no rule finds, for a cause without a text, and in `tests/suite/diagnosis` of the workspace's
//! root for a code that `check` decides and that nobody plants: plant a fault in
//! `tests/suite/diagnosis/faults.rs`.

// A module uses only those above it.
mod decided_by;
mod severity;
mod codes;
mod finding;
mod evidence;
mod fit;
mod input;
mod integer_dct;
mod jpeg;
mod padded;
mod resampling;
mod compared;
mod competition;
mod recolouring;
mod colour_fit;
mod compression;
mod legitimate;
mod filtered;
mod region;
mod patch_order;
mod layout;
mod changes;
mod reading;
mod sizes;
mod natural;
mod affine;
mod latents_differ;
mod scaling;
mod posterior;
mod draw;
mod round_trip;
mod passes_nothing;
mod alpha;
mod norm_groups;
mod non_finite;
mod overflow;
mod divergence;
mod cross_check;
mod live;
mod latents;
mod latent_rows;
mod preprocessed;
mod seams;
mod tiles;
mod quantisation;
mod picture;
mod lone_latents;
mod expected_loss;
mod weights;
mod releases;
mod catalogue;
mod not_decided;
mod rules;

pub use codes::{Cause, Code};
pub use compared::{Agreement, ComparedFile, Place, UserFile};
pub use decided_by::DecidedBy;
pub use evidence::{Evidence, LatentsScale, Reference, Regrouped, UserFiles, UserPicture};
pub use finding::Finding;
pub use lone_latents::{
    Axes, LatentsDiagnosis, LatentsEvidence, Reencoded, diagnose_latents, latent_rows,
    unscaled_latents,
};
pub use non_finite::non_finite_output;
pub use not_decided::NotDecided;
pub use overflow::{F16_MAX, F16_WARN, extreme, f16_extremes, f16_headroom};
pub use releases::{defective_release, perhaps_defective};
pub use rules::{Diagnosis, by_what_to_mend_first, diagnose};
pub use severity::Severity;
pub use weights::{Measured, Misfit, checkpoint_findings};
