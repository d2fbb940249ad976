//! The goldens of AutoencoderDC, and a second implementation of it with mistakes planted in it: each is failed,
//! and named where it was made.

use vae_fidelity::golden::{CaseReport, Location, Outcome, Step, Suite};
use vae_fidelity::{Checkpoint, Dtype, Result, Source, Vae};

use super::dc_port::{DcPort, Fault};

/// What runs in seconds, on f64 arrays: all small ones of f32 in one piece.
const CASES: [&str; 7] = [
    "dc-sana-small-mode",
    "dc-sana-small-tall",
    "dc-sana-small-one",
    "dc-sana-small-blocks",
    "dc-mix-small-mode",
    "dc-mix-small-blocks",
    "dc-uneven-mode",
];

fn suite() -> (Suite, tempfile::TempDir) {
    let failures = tempfile::tempdir().unwrap();
    (Suite::open("golden").unwrap().failures(failures.path()), failures)
}

fn judged(case: &str, fault: Fault) -> CaseReport {
    let (suite, _failures) = suite();
    let load =
        |checkpoint: &_| -> Result<Box<dyn Vae>> { Ok(Box::new(DcPort::load(checkpoint, fault)?)) };
    let mut report = suite.only(case).run(load).unwrap();
    assert_eq!(report.cases.len(), 1, "{case}");
    report.cases.remove(0)
}

fn failed(report: &CaseReport) -> Vec<Step> {
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    failed.map(|check| check.tensor).collect()
}

/// The module that a failure of `step` is put down to.
fn place(report: &CaseReport, step: Step) -> String {
    let check = report.checks.iter().find(|check| check.tensor == step).unwrap();
    match &check.location {
        None => RIGHT.to_owned(),
        Some(Location::Module { module, lacks, .. }) => lacks.as_ref().unwrap_or(module).clone(),
        Some(other) => other.to_string(),
    }
}

#[test]
fn the_goldens_of_this_class_are_a_part_of_the_suite() {
    let (suite, _failures) = suite();
    let dc: Vec<_> = suite.cases().iter().filter(|case| case.model.starts_with("dc-")).collect();
    for case in CASES {
        assert!(dc.iter().any(|one| one.name == case), "{case}");
    }
    let of = |wanted: Dtype| dc.iter().filter(|case| case.dtype == wanted).count();
    assert!(of(Dtype::F16) >= 2 && of(Dtype::Bf16) >= 1);
    assert!(dc.iter().any(|case| case.tiling.is_some()));
    assert!(dc.iter().any(|case| case.slicing));
}

#[test]
fn a_second_implementation_without_a_fault_passes() {
    for case in CASES {
        let report = judged(case, Fault::None);
        assert_eq!(failed(&report), [], "{case}: {:?}", report.checks);
        assert!(report.passed, "{case}");
        let steps: Vec<Step> = report.checks.iter().map(|check| check.tensor).collect();
        assert!(!steps.contains(&Step::Moments), "this class has none");
    }
}

/// Where a half is right, and so not looked into.
const RIGHT: &str = "right";
const SANA: &str = "dc-sana-small-blocks";
const MIX: &str = "dc-mix-small-mode";
const UNEVEN: &str = "dc-uneven-mode";

/// Fault, case, and the modules that have to be named: without `encoder.` and `decoder.` in front of them.
const PLACES: [(Fault, &str, &str, &str); 27] = [
    (Fault::NoDownShortcut, SANA, "down_blocks.0.1", RIGHT),
    (Fault::NoUpShortcut, SANA, RIGHT, "up_blocks.4.0"),
    (Fault::NoOutShortcut, SANA, "", RIGHT),
    (Fault::NoInShortcut, SANA, RIGHT, "up_blocks.5.0.attn.to_q"),
    (Fault::FirstOfGroup, SANA, "down_blocks.0.1", RIGHT),
    (Fault::TiledUpShortcut, SANA, RIGHT, "up_blocks.4.0"),
    (Fault::TiledInShortcut, SANA, RIGHT, "up_blocks.5.0.attn.to_q"),
    // Beside a convolution of stride 2 the shortcut alone has squares.
    (Fault::SquaresBeforeChannels, SANA, "down_blocks.0.1", "up_blocks.4.0"),
    (Fault::SquaresBeforeChannels, MIX, "conv_in", "up_blocks.3.0"),
    (Fault::Bilinear, UNEVEN, RIGHT, "up_blocks.1.0.conv"),
    (Fault::NoNormBias, SANA, "down_blocks.0.0.norm", "up_blocks.5.0.attn.norm_out"),
    // What is normed deeper inside is so large that eps is lost in rounding.
    (Fault::NormEps, SANA, "down_blocks.0.0.norm", RIGHT),
    (Fault::NormOverRows, SANA, "down_blocks.0.0.norm", "up_blocks.5.0.attn.norm_out"),
    (Fault::StatisticsOfThePicture, MIX, RIGHT, "up_blocks.2.1.norm"),
    (Fault::BatchNormEps, MIX, RIGHT, "up_blocks.2.1.norm"),
    (Fault::ReluForSilu, SANA, "down_blocks.0.0.conv2", "up_blocks.5.0.conv_out.conv_depth"),
    (Fault::SiluForRelu, MIX, RIGHT, "up_blocks.2.1.conv2"),
    (
        Fault::NoMultiscale,
        SANA,
        "down_blocks.3.0.attn.to_qkv_multiscale.0.proj_in",
        "up_blocks.5.0.attn.to_qkv_multiscale.0.proj_in",
    ),
    (Fault::NoDenominator, SANA, "down_blocks.3.0.attn.to_out", "up_blocks.5.0.attn.to_out"),
    (Fault::DenominatorEps, SANA, "down_blocks.3.0.attn.to_out", "up_blocks.5.0.attn.to_out"),
    (Fault::NoReluInAttention, SANA, "down_blocks.3.0.attn.to_out", "up_blocks.5.0.attn.to_out"),
    (Fault::HeadsInside, SANA, "down_blocks.3.0.attn.to_out", "up_blocks.5.0.attn.to_out"),
    (Fault::NoAttentionResidual, SANA, "down_blocks.3.0.attn", "up_blocks.5.0.attn"),
    (
        Fault::GateFirst,
        SANA,
        "down_blocks.3.0.conv_out.conv_point",
        "up_blocks.5.0.conv_out.conv_point",
    ),
    (Fault::NoGlumbResidual, SANA, "down_blocks.3.0.conv_out", "up_blocks.5.0.conv_out"),
    (
        Fault::CircularPadding,
        UNEVEN,
        "down_blocks.1.0.attn.to_qkv_multiscale.0.proj_in",
        "up_blocks.2.0.attn.to_qkv_multiscale.0.proj_in",
    ),
    // Without other scales `GLUMBConv` has the only kernels of one channel.
    (
        Fault::CircularPadding,
        MIX,
        "down_blocks.3.0.conv_out.conv_depth",
        "up_blocks.4.0.conv_out.conv_depth",
    ),
];

#[test]
fn mistakes_fail_and_are_located() {
    let mut missed = Vec::new();
    for (fault, case, encoder, decoder) in PLACES {
        let report = judged(case, fault);
        for (step, half, place_in_half) in
            [(Step::Latents, "encoder", encoder), (Step::Decoded, "decoder", decoder)]
        {
            let expected = match place_in_half {
                RIGHT => RIGHT.to_owned(),
                "" => half.to_owned(),
                module => format!("{half}.{module}"),
            };
            let found = place(&report, step);
            if found != expected || failed(&report).contains(&step) == (expected == RIGHT) {
                missed.push(format!("{fault:?} in {case}: {found}, expected {expected}"));
            }
        }
    }
    assert!(missed.is_empty(), "not named where they are: {missed:#?}");
}

#[test]
fn mistakes_outside_the_network_fail() {
    for fault in [Fault::NotScaled, Fault::ScaledAgain] {
        let report = judged(SANA, fault);
        assert_eq!(failed(&report), [Step::Latents], "{fault:?}");
        let place = place(&report, Step::Latents);
        assert!(place.ends_with("the fault lies behind the last, encoder"), "{fault:?}: {place}");
    }
    // The first module has nothing before it that could be found right.
    let report = judged(SANA, Fault::NotUnscaled);
    assert_eq!(failed(&report), [Step::Decoded, Step::EndToEnd]);
    assert_eq!(place(&report, Step::Decoded), "decoder.conv_in");
}

#[test]
fn a_block_alone_is_told_from_one_that_was_given_something_wrong() {
    let (suite, _failures) = suite();
    let load = |fault| {
        let source = Source::parse("golden/dc/models/dc-sana-small", None).unwrap();
        DcPort::load(&Checkpoint::open(&source, None).unwrap(), fault).unwrap()
    };
    let fault =
        |planted, module: &str| suite.fault(SANA, module, &load(planted)).unwrap().to_string();
    let broken = fault(Fault::GateFirst, "encoder.down_blocks.4");
    assert!(broken.starts_with("broken here: encoder.down_blocks.4"), "{broken}");
    // All levels with attention, and none of the others.
    assert!(broken.ends_with("so is encoder.down_blocks.3, encoder.down_blocks.5"), "{broken}");
    // What is repeated is added between blocks, and each of those is right by itself.
    let inherited = fault(Fault::NoInShortcut, "decoder.up_blocks.5");
    assert!(inherited.starts_with("inherited: decoder.up_blocks.5"), "{inherited}");
    assert!(inherited.ends_with("broken alone: decoder"), "{inherited}");
}
