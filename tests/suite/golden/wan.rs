//! The goldens of Wan's family, and a second implementation of it with mistakes planted in it: each is failed,
//! and named where it was made.

use vae_fidelity::golden::{CaseReport, Location, Outcome, Step, Suite};
use vae_fidelity::{Result, Vae};

use super::wan_port::{Fault, WanPort};

/// What runs in seconds, on f64 arrays.
const CASES: [&str; 11] = [
    "wan-small-tiny",
    "wan-small-sample",
    "wan-small-blocks",
    "wan-uneven-mode",
    "wan2.2-small-mode",
    "wan2.2-small-blocks",
    "qwen-image-small-mode",
    "qwen-image-layered-small-mode",
    "qwen-image-2.1-small-mode",
    "qwen-image-2.1-small-blocks",
    "qwen-image-2.1-uneven-mode",
];

fn judged(case: &str, fault: Fault) -> CaseReport {
    let failures = tempfile::tempdir().unwrap();
    let suite = Suite::open("golden").unwrap().failures(failures.path()).only(case);
    let load = |checkpoint: &_| -> Result<Box<dyn Vae>> {
        Ok(Box::new(WanPort::load(checkpoint, fault)?))
    };
    let mut report = suite.run(load).unwrap();
    assert_eq!(report.cases.len(), 1, "{case}");
    report.cases.remove(0)
}

/// The first step that failed, and the module where.
fn first_failure(report: &CaseReport) -> Option<(Step, String)> {
    let check = report.checks.iter().find(|check| check.outcome == Outcome::Failed)?;
    let place = match &check.location {
        Some(Location::Module { module, lacks, .. }) => lacks.as_ref().unwrap_or(module).clone(),
        Some(Location::AfterTheLastModule { module, .. }) => format!("behind {module}"),
        other => format!("{other:?}"),
    };
    Some((check.tensor, place))
}

#[test]
fn a_second_implementation_passes_without_a_fault() {
    for case in CASES {
        let report = judged(case, Fault::None);
        assert!(report.passed, "{case}: {:?}", first_failure(&report));
    }
}

/// Fault, case, the step that has to fail first, and the module that has to be named.
const PLACES: [(Fault, &str, Step, &str); 26] = [
    (Fault::FirstSlice, "wan-uneven-mode", Step::Moments, "encoder.conv_in"),
    (Fault::MiddleSlice, "wan-uneven-mode", Step::Moments, "encoder.conv_in"),
    (Fault::NoRoot, "wan-uneven-mode", Step::Moments, "encoder.down_blocks.0.norm1"),
    (Fault::NormOverPixels, "wan-uneven-mode", Step::Moments, "encoder.down_blocks.0.norm1"),
    (Fault::SymmetricPadding, "wan-uneven-mode", Step::Moments, "encoder.down_blocks.1.resample.1"),
    (
        Fault::SymmetricPadding,
        "wan2.2-small-mode",
        Step::Moments,
        "encoder.down_blocks.0.downsampler.resample.1",
    ),
    (
        Fault::NoAttentionScale,
        "wan-uneven-mode",
        Step::Moments,
        "encoder.mid_block.attentions.0.proj",
    ),
    (Fault::KeysFirst, "wan-uneven-mode", Step::Moments, "encoder.mid_block.attentions.0.proj"),
    (
        Fault::NoAttentionResidual,
        "wan-uneven-mode",
        Step::Moments,
        "encoder.mid_block.attentions.0",
    ),
    (
        Fault::Bilinear,
        "wan-uneven-mode",
        Step::Decoded,
        "decoder.up_blocks.0.upsamplers.0.resample.1",
    ),
    (Fault::NoLevelShortcut, "wan2.2-small-mode", Step::Moments, "encoder.down_blocks.0"),
    (
        Fault::MeanOfOneFrame,
        "wan2.2-small-mode",
        Step::Moments,
        "encoder.down_blocks.1.avg_shortcut",
    ),
    (Fault::RepeatedInTurn, "wan2.2-small-mode", Step::Decoded, "decoder.up_blocks.0.avg_shortcut"),
    (Fault::PatchedRowsFirst, "wan2.2-small-mode", Step::Moments, "encoder.conv_in"),
    (Fault::UnpatchedRowsFirst, "wan2.2-small-mode", Step::Decoded, "behind decoder"),
    (Fault::NoClamp, "wan-uneven-mode", Step::Decoded, "behind decoder"),
    (Fault::NotNormalised, "wan-uneven-mode", Step::Latents, "behind quant_conv"),
    (Fault::WrongWayRound, "wan-uneven-mode", Step::Latents, "behind quant_conv"),
    (Fault::NotDenormalised, "wan-uneven-mode", Step::Decoded, "post_quant_conv"),
    (
        Fault::SymmetricPadding,
        "qwen-image-2.1-small-mode",
        Step::Moments,
        "encoder.down_blocks.0.downsampler.resample.1",
    ),
    (Fault::NoLevelShortcut, "qwen-image-2.1-small-mode", Step::Moments, "encoder.down_blocks.0"),
    (
        Fault::MeanOfOneFrame,
        "qwen-image-2.1-small-mode",
        Step::Moments,
        "encoder.down_blocks.1.avg_shortcut",
    ),
    (
        Fault::RepeatedInTurn,
        "qwen-image-2.1-small-mode",
        Step::Decoded,
        "decoder.up_blocks.0.avg_shortcut",
    ),
    (
        Fault::NoAttentionScale,
        "qwen-image-2.1-uneven-mode",
        Step::Moments,
        "encoder.mid_block.attentions.0.proj",
    ),
    (Fault::NotNormalised, "qwen-image-2.1-small-mode", Step::Latents, "behind quant_conv"),
    (Fault::WrongWayRound, "qwen-image-2.1-small-mode", Step::Latents, "behind quant_conv"),
];

#[test]
fn planted_faults_are_failed_and_named() {
    let mut missed = Vec::new();
    for (fault, case, step, place) in PLACES {
        let report = judged(case, fault);
        let found = first_failure(&report);
        println!("{fault:?} in {case}: {found:?}");
        if found != Some((step, place.to_owned())) {
            missed.push(format!("{fault:?} in {case}: {found:?}, expected {step:?} at {place}"));
        }
    }
    assert!(missed.is_empty(), "not named where they are: {missed:#?}");
}
