//! Every deliberate mistake is caught by the goldens, and named where it was made.

use std::path::Path;

use ndarray::Array4;
use vae_fidelity::golden::{
    Case, CaseReport, Location, Outcome, PosteriorKind, Step, Suite, SuiteReport,
};
use vae_fidelity::image_processor::normalize;
use vae_fidelity::{Dtype, Result, pixels};

use super::port::{Fault, Planted};

/// Models whose cases take long.
const LARGE: [&str; 10] = [
    "builtin",
    "sd-v1-4",
    "sd-v2-1",
    "sdxl",
    "playground-v2.5",
    "sd3",
    "flux1",
    "cogview4",
    "x4-upscaler",
    "asymmetric-x-1.5",
];

fn suite() -> (Suite, tempfile::TempDir) {
    let failures = tempfile::tempdir().unwrap();
    (Suite::open("golden").unwrap().failures(failures.path()), failures)
}

/// The report of one case with `fault` in the model.
fn judged(case: &str, fault: Fault) -> CaseReport {
    let (suite, _failures) = suite();
    let mut report = run(&suite.only(case), fault);
    assert_eq!(report.cases.len(), 1);
    report.cases.remove(0)
}

fn run(suite: &Suite, fault: Fault) -> SuiteReport {
    suite.run(|checkpoint| Ok(Box::new(Planted::load(checkpoint, fault)?))).unwrap()
}

/// The steps that failed.
fn failed(report: &CaseReport) -> Vec<Step> {
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    failed.map(|check| check.tensor).collect()
}

/// The first diverging module of a step that must have failed, and the module before it.
fn located(report: &CaseReport, step: Step) -> (String, Option<String>) {
    let check = report.checks.iter().find(|check| check.tensor == step).unwrap();
    assert_eq!(check.outcome, Outcome::Failed, "{step:?} of {}", report.case);
    match check.location.as_ref().unwrap() {
        Location::Module { module, after, .. } => (module.clone(), after.clone()),
        other => panic!("{step:?} of {}: {other}", report.case),
    }
}

#[track_caller]
fn behind_the_last_module(report: &CaseReport, step: Step, last: &str) {
    let check = report.checks.iter().find(|check| check.tensor == step).unwrap();
    match check.location.as_ref().unwrap() {
        Location::AfterTheLastModule { module, .. } => assert_eq!(module, last),
        other => panic!("{step:?} of {}: {other}", report.case),
    }
}

#[track_caller]
fn first_at(report: &CaseReport, step: Step, module: &str) {
    assert_eq!(located(report, step).0, module, "{step:?} of {}", report.case);
}

/// The control: what finds the faults below finds nothing in the same code without one.
#[test]
fn a_second_implementation_without_a_fault_passes_every_small_case() {
    let (mut suite, _failures) = suite();
    // That implementation has AutoencoderKL and AsymmetricAutoencoderKL.
    let is_had = |case: &Case| {
        let deterministic = case.posterior.kind == PosteriorKind::Deterministic;
        let of_others = ["flux2", "wan", "qwen-image", "hunyuanimage"];
        !of_others.iter().any(|other| case.model.starts_with(other)) && !deterministic
    };
    let small = |case: &&Case| {
        !LARGE.contains(&case.model.as_str()) && case.dtype == Dtype::F32 && is_had(case)
    };
    let (plain, split): (Vec<Case>, Vec<Case>) = suite
        .cases()
        .iter()
        .filter(small)
        .cloned()
        .partition(|case| case.tiling.is_none() && !case.slicing);
    for case in plain.iter().chain(&split) {
        suite = suite.only(&case.name);
    }
    let report = run(&suite, Fault::None);
    report.assert_pass();
    assert_eq!(report.cases.len(), plain.len());
    let not_offered = report.not_run.iter().filter(|case| case.reason.contains("does not offer"));
    assert_eq!(not_offered.count(), split.len(), "it has no tiling, which is no failure");
}

#[test]
fn the_full_topology_passes_without_a_fault() {
    assert!(judged("sd-v1-4-96x64", Fault::None).passed);
}

#[test]
fn symmetric_padding_is_at_the_first_downsampler() {
    let report = judged("sd-small-mode", Fault::SymmetricPadding);
    first_at(&report, Step::Moments, "encoder.down_blocks.0.downsamplers.0.conv");
    assert_eq!(failed(&report), [Step::Moments, Step::Std, Step::Latents], "decoding is innocent");
}

#[test]
fn another_eps_is_at_the_first_group_norm() {
    let report = judged("tiny-variance-mode", Fault::Eps1e5);
    first_at(&report, Step::Moments, "encoder.down_blocks.0.resnets.0.norm1");
    first_at(&report, Step::Decoded, "decoder.mid_block.resnets.0.norm1");
}

#[test]
fn a_missing_clamp_is_behind_the_moments() {
    let report = judged("extreme-logvar-sample", Fault::NoLogvarClamp);
    assert_eq!(failed(&report), [Step::Std, Step::Latents]);
    for check in report.checks.iter().filter(|check| check.outcome == Outcome::Failed) {
        assert!(check.looks_like.as_ref().unwrap().contains("without a clamp"), "{check:?}");
    }
}

#[test]
fn a_missing_attention_scale_is_in_the_attention() {
    let report = judged("sd-small-mode", Fault::NoAttentionScale);
    for (step, half) in [(Step::Moments, "encoder"), (Step::Decoded, "decoder")] {
        let attention = format!("{half}.mid_block.attentions.0");
        let (module, after) = located(&report, step);
        assert_eq!(module, format!("{attention}.to_out.0"));
        assert_eq!(after, Some(format!("{attention}.to_v")));
    }
}

#[test]
fn weights_that_went_through_f16_show_in_the_first_layer() {
    let report = judged("sd-small-mode", Fault::HalfWeights);
    first_at(&report, Step::Moments, "encoder.conv_in");
    first_at(&report, Step::Decoded, "post_quant_conv");
}

#[test]
fn swapped_input_channels_show_in_the_first_layer() {
    let report = judged("sd-small-mode", Fault::BgrInput);
    assert_eq!(located(&report, Step::Moments), ("encoder.conv_in".into(), None));
}

#[test]
fn swapped_output_channels_are_behind_the_decoder() {
    let report = judged("sd-small-mode", Fault::BgrOutput);
    assert_eq!(failed(&report), [Step::Decoded, Step::EndToEnd]);
    behind_the_last_module(&report, Step::Decoded, "decoder");
}

#[test]
fn a_wrong_scaling_factor_is_behind_the_moments_and_before_the_decoder() {
    let report = judged("sd-small-mode", Fault::ScalingFactor);
    assert_eq!(failed(&report)[..2], [Step::Latents, Step::Decoded], "moments are right");
    behind_the_last_module(&report, Step::Latents, "quant_conv");
    assert_eq!(located(&report, Step::Decoded), ("post_quant_conv".into(), None));
}

#[test]
fn a_shift_that_the_gist_does_not_make_is_caught() {
    let report = judged("flux1-small-mode", Fault::Shift);
    behind_the_last_module(&report, Step::Latents, "encoder");
    assert_eq!(located(&report, Step::Decoded), ("decoder.conv_in".into(), None));
}

#[test]
fn the_last_activation_is_told_from_the_others() {
    let report = judged("act-relu-mode", Fault::ConvActFollowsConfig);
    for (step, half) in [(Step::Moments, "encoder"), (Step::Decoded, "decoder")] {
        let (module, after) = located(&report, step);
        assert_eq!(module, format!("{half}.conv_out"));
        assert_eq!(after, Some(format!("{half}.conv_norm_out")));
    }
}

#[test]
fn another_upsampling_is_at_the_first_upsampler() {
    let report = judged("sd-small-mode", Fault::BilinearUpsampling);
    first_at(&report, Step::Decoded, "decoder.up_blocks.0.upsamplers.0.conv");
    assert_eq!(failed(&report), [Step::Decoded, Step::EndToEnd]);
}

#[test]
fn truncated_levels_are_in_the_conversion_to_pixels_alone() {
    let report = judged("sd-small-mode", Fault::Truncation);
    assert_eq!(failed(&report), [Step::ToRgb8, Step::EndToEnd]);
    let check = report.checks.iter().find(|check| check.tensor == Step::ToRgb8).unwrap();
    let comparison = check.comparison.as_ref().unwrap();
    assert_eq!(comparison.max_abs_diff, Some(1.0), "one level, and no more");
    assert!(check.looks_like.as_ref().unwrap().contains("cut off on the way to u8"));
}

#[test]
fn nan_never_passes() {
    for (at, step) in
        [("encoder.mid_block.resnets.0.conv1", Step::Moments), ("decoder.conv_out", Step::Decoded)]
    {
        let report = judged("sd-small-mode", Fault::Nan(at));
        first_at(&report, step, at);
        let check = report.checks.iter().find(|check| check.tensor == step).unwrap();
        let comparison = check.comparison.as_ref().unwrap();
        assert!(comparison.non_finite > 0);
        assert!(comparison.worst.as_ref().unwrap().actual.is_nan());
    }
}

/// Where values were not compared, the shape alone has to fail.
#[test]
fn a_missing_column_is_a_failure() {
    let report = judged("sd-small-mode", Fault::NarrowOutput);
    assert_eq!(failed(&report), [Step::Decoded, Step::EndToEnd]);
    let check = report.checks.iter().find(|check| check.tensor == Step::Decoded).unwrap();
    let comparison = check.comparison.as_ref().unwrap();
    assert_eq!(comparison.actual_shape[3] + 1, comparison.expected_shape[3]);
    assert_eq!(comparison.judged, 0);
}

#[test]
fn an_error_is_a_failure_and_the_other_steps_are_still_judged() {
    let report = judged("sd-small-mode", Fault::DecodeFails);
    assert_eq!(failed(&report), [Step::Decoded]);
    let decoded = report.checks.iter().find(|check| check.tensor == Step::Decoded).unwrap();
    assert!(decoded.reason.as_ref().unwrap().contains("planted failure"));
    assert!(report.checks.iter().any(|check| check.outcome == Outcome::WithinTolerance));
}

/// Resamples one axis at a time in a fixed order, which Pillow chooses by the shape.
fn in_order(
    vertical_first: bool,
) -> impl Fn(&Path, Option<(usize, usize)>, Dtype) -> Result<Array4<f32>> {
    move |image, requested, dtype| {
        let source = pixels::open(image)?.pixels;
        let (width, height) = pixels::target_size(source.width(), source.height(), requested, 8)?;
        let (w, h) = match vertical_first {
            true => (source.width(), height),
            false => (width, source.height()),
        };
        let between = pixels::resize_bicubic(&source, w, h)?;
        Ok(normalize(&pixels::resize_bicubic(&between, width, height)?, dtype))
    }
}

#[test]
fn the_order_of_the_resampling_passes_is_told() {
    let outcome = |case: &str, vertical_first: bool| {
        let (suite, _failures) = suite();
        let suite = suite.only(case).preprocess(in_order(vertical_first));
        let report = run(&suite, Fault::None);
        assert_eq!(report.cases[0].checks[0].tensor, Step::Sample);
        report.cases[0].checks[0].outcome
    };
    for (case, vertical_first) in [("sd-small-mode", false), ("builtin-vertical-first", true)] {
        assert_eq!(outcome(case, vertical_first), Outcome::BitIdentical, "{case}");
        assert_eq!(outcome(case, !vertical_first), Outcome::Failed, "{case}");
    }
}

#[test]
fn a_run_of_no_cases_is_an_error() {
    let (suite, _failures) = suite();
    let loading_is_never_reached = |_: &vae_fidelity::Checkpoint| unreachable!();
    let error = suite.only("no-such-model").run(loading_is_never_reached).unwrap_err();
    assert!(error.to_string().contains("no model or case"), "{error}");
}
