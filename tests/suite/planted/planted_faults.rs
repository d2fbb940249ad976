//! A port with a fault planted in any one of these places is failed, and the place is named.

use vae_fidelity::golden::{CaseReport, Location, Outcome, Step, Suite};

use super::port::{Fault, Planted};

/// Where a fault has to be found.
enum Place {
    /// This module is the first that differs, or that is not there.
    At(&'static str),
    /// Behind this module, which is the last of its half and agrees.
    Behind(&'static str),
    /// In no module: this step is the first to fail, and these words say what it looks like.
    Step(&'static str),
}
use Place::{At, Behind};

/// Fault, the case that is run, the step that has to fail first, and where.
const PLACES: [(Fault, &str, Step, Place); 32] = [
    (Fault::FlippedKernel, "sd-small-mode", Step::Moments, At("encoder.conv_in")),
    (Fault::CircularPadding, "sd-small-mode", Step::Moments, At("encoder.conv_in")),
    (Fault::BgrInput, "sd-small-mode", Step::Moments, At("encoder.conv_in")),
    (Fault::HalfWeights, "sd-small-mode", Step::Moments, At("encoder.conv_in")),
    (Fault::Groups, "sd-small-mode", Step::Moments, At("encoder.down_blocks.0.resnets.0.norm1")),
    (
        Fault::Eps1e5,
        "tiny-variance-mode",
        Step::Moments,
        At("encoder.down_blocks.0.resnets.0.norm1"),
    ),
    (
        Fault::GeluForSilu,
        "sd-small-mode",
        Step::Moments,
        At("encoder.down_blocks.0.resnets.0.conv1"),
    ),
    (Fault::TanhGelu, "act-gelu-mode", Step::Moments, At("encoder.down_blocks.0.resnets.0.conv1")),
    (
        Fault::SymmetricPadding,
        "sd-small-mode",
        Step::Moments,
        At("encoder.down_blocks.0.downsamplers.0.conv"),
    ),
    (
        Fault::ShortcutAfterNorm,
        "sd-small-mode",
        Step::Moments,
        At("encoder.down_blocks.1.resnets.0.conv_shortcut"),
    ),
    (
        Fault::TransposedQuery,
        "sd-small-mode",
        Step::Moments,
        At("encoder.mid_block.attentions.0.to_q"),
    ),
    (
        Fault::NoAttentionScale,
        "sd-small-mode",
        Step::Moments,
        At("encoder.mid_block.attentions.0.to_out.0"),
    ),
    (
        Fault::SoftmaxOverQueries,
        "sd-small-mode",
        Step::Moments,
        At("encoder.mid_block.attentions.0.to_out.0"),
    ),
    (
        Fault::MissingAttentionResidual,
        "sd-small-mode",
        Step::Moments,
        At("encoder.mid_block.attentions.0"),
    ),
    (Fault::ConvActFollowsConfig, "act-relu-mode", Step::Moments, At("encoder.conv_out")),
    (Fault::HalvesSwapped, "sd-small-mode", Step::Std, Place::Step("swapped")),
    (Fault::NoLogvarClamp, "posterior-clamps-sample", Step::Std, Place::Step("without a clamp")),
    (Fault::VarianceForStd, "sd-small-sample", Step::Std, Place::Step("this is the variance")),
    (Fault::ScaledTwice, "sd-small-mode", Step::Latents, Behind("quant_conv")),
    (Fault::ScalingFactor, "sd-small-mode", Step::Latents, Behind("quant_conv")),
    (Fault::NotUnscaled, "sd-small-mode", Step::Decoded, At("post_quant_conv")),
    (
        Fault::BilinearUpsampling,
        "sd-small-mode",
        Step::Decoded,
        At("decoder.up_blocks.0.upsamplers.0.conv"),
    ),
    (
        Fault::ConvBeforeUpsampling,
        "sd-small-mode",
        Step::Decoded,
        At("decoder.up_blocks.0.upsamplers.0.conv"),
    ),
    (
        Fault::OneResnetLess,
        "sd-small-mode",
        Step::Decoded,
        At("decoder.up_blocks.0.resnets.2.norm1"),
    ),
    (
        Fault::OneResnetLess,
        "asymmetric-small-mode",
        Step::Decoded,
        At("decoder.up_blocks.0.resnets.3.norm1"),
    ),
    (
        Fault::SymmetricPadding,
        "asymmetric-small-mode",
        Step::Moments,
        At("encoder.down_blocks.0.downsamplers.0.conv"),
    ),
    (Fault::ConvActFollowsConfig, "asymmetric-uneven-mode", Step::Moments, At("encoder.conv_out")),
    (Fault::NotUnscaled, "asymmetric-small-mode", Step::Decoded, At("post_quant_conv")),
    (Fault::MissingResidual, "sd-small-mode", Step::Decoded, At("decoder.up_blocks.1.resnets.1")),
    (Fault::MissingBias, "sd-small-mode", Step::Decoded, At("decoder.conv_out")),
    (Fault::BgrOutput, "sd-small-mode", Step::Decoded, Behind("decoder")),
    (Fault::Truncation, "sd-small-mode", Step::ToRgb8, Place::Step("cut off")),
];

fn judged(case: &str, fault: Fault) -> CaseReport {
    let failures = tempfile::tempdir().unwrap();
    let suite = Suite::open("golden").unwrap().failures(failures.path()).only(case);
    let load = |checkpoint: &_| Ok(Box::new(Planted::load(checkpoint, fault)?) as _);
    suite.run(load).unwrap().cases.remove(0)
}

/// Whether the first failure is at `step` and names `place`; and what it named.
fn named(report: &CaseReport, step: Step, place: &Place) -> (bool, String) {
    let Some(check) = report.checks.iter().find(|check| check.outcome == Outcome::Failed) else {
        return (false, "nothing failed".to_owned());
    };
    let like = check.looks_like.clone().unwrap_or_default();
    let found = match &check.location {
        Some(location) => location.to_string(),
        None => like.clone(),
    };
    let agrees = match (place, &check.location) {
        (Place::At(expected), Some(Location::Module { module, lacks, .. })) => {
            lacks.as_ref().unwrap_or(module) == expected
        }
        (Place::Behind(expected), Some(Location::AfterTheLastModule { module, .. })) => {
            module == expected
        }
        (Place::Step(words), None) => like.contains(words),
        _ => false,
    };
    (agrees && check.tensor == step, format!("{}: {found}", check.tensor.name()))
}

/// Every planted fault fails, and is located where it was planted.
#[test]
fn planted_faults_are_failed_and_named() {
    let mut missed = Vec::new();
    for (fault, case, step, place) in &PLACES {
        let report = judged(case, *fault);
        assert!(!report.passed, "{fault:?} passes {case}");
        let (right, found) = named(&report, *step, place);
        println!("{fault:?} in {case}: {found}");
        if !right {
            missed.push(format!("{fault:?} in {case}: {found}"));
        }
    }
    assert!(missed.is_empty(), "not named where they are: {missed:#?}");
}

/// The table proves nothing if the same run names something without a fault.
#[test]
fn the_cases_of_the_table_pass_without_a_fault() {
    let mut cases: Vec<&str> = PLACES.iter().map(|(_, case, ..)| *case).collect();
    cases.sort_unstable();
    cases.dedup();
    for case in cases {
        assert!(judged(case, Fault::None).passed, "{case}");
    }
}

/// Levels beyond the range wrap only where there are some.
#[test]
fn a_missing_clamp_of_levels_is_named() {
    let report = judged("act-mish-mode", Fault::Wraparound);
    let check = report.checks.iter().find(|check| check.tensor == Step::ToRgb8).unwrap();
    assert_eq!(check.outcome, Outcome::Failed);
    assert!(check.looks_like.as_ref().unwrap().contains("wrap around"), "{check:?}");
}
