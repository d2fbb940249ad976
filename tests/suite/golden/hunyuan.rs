//! The goldens of AutoencoderKLHunyuanImage, and a second implementation of it with mistakes planted in it: each is
//! failed, and named where it was made.

use vae_fidelity::golden::{CaseReport, Location, Outcome, Step, Suite};
use vae_fidelity::{Checkpoint, Dtype, Result, Source, Vae};

use super::hunyuan_port::{Fault, HunyuanPort};

/// What runs in seconds, on f64 arrays.
const CASES: [&str; 7] = [
    "hunyuanimage-small-tall",
    "hunyuanimage-small-one",
    "hunyuanimage-small-blocks",
    "hunyuanimage-uneven-mode",
    "hunyuanimage-uneven-sample",
    "hunyuanimage-uneven-blocks",
    "hunyuanimage-flat-mode",
];

fn suite() -> (Suite, tempfile::TempDir) {
    let failures = tempfile::tempdir().unwrap();
    (Suite::open("golden").unwrap().failures(failures.path()), failures)
}

fn judged(case: &str, fault: Fault) -> CaseReport {
    let (suite, _failures) = suite();
    let load = |checkpoint: &_| -> Result<Box<dyn Vae>> {
        Ok(Box::new(HunyuanPort::load(checkpoint, fault)?))
    };
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
        Some(Location::AfterTheLastModule { module, .. }) => format!("behind {module}"),
        Some(other) => other.to_string(),
    }
}

#[test]
fn the_goldens_of_this_class_are_a_part_of_the_suite() {
    let (suite, _failures) = suite();
    let of_class = |model: &str| model.starts_with("hunyuanimage");
    let cases: Vec<_> = suite.cases().iter().filter(|case| of_class(&case.model)).collect();
    for case in CASES {
        assert!(cases.iter().any(|one| one.name == case), "{case}");
    }
    let of = |wanted: Dtype| cases.iter().filter(|case| case.dtype == wanted).count();
    assert!(of(Dtype::F16) >= 2 && of(Dtype::Bf16) >= 2);
    assert!(cases.iter().any(|case| case.slicing));
    assert!(cases.iter().any(|case| case.tiling.is_some()));
}

#[test]
fn a_second_implementation_without_a_fault_passes() {
    for case in CASES {
        let report = judged(case, Fault::None);
        assert_eq!(failed(&report), [], "{case}: {:?}", report.checks);
        assert!(report.passed, "{case}");
    }
}

/// Where a half is right, and so not looked into.
const RIGHT: &str = "right";
const SMALL: &str = "hunyuanimage-small-blocks";
const UNEVEN: &str = "hunyuanimage-uneven-mode";
const FLAT: &str = "hunyuanimage-flat-mode";

/// Fault, case, and the modules that have to be named: without `encoder.` and `decoder.` in front of them.
const PLACES: [(Fault, &str, &str, &str); 21] = [
    (Fault::NoDownShortcut, SMALL, "down_blocks.1", RIGHT),
    (Fault::NoUpShortcut, SMALL, RIGHT, "up_blocks.2"),
    (Fault::NoHeadShortcut, SMALL, "", RIGHT),
    (Fault::NoInShortcut, SMALL, RIGHT, "mid_block.resnets.0"),
    (Fault::MeansOfTheNormed, SMALL, "", RIGHT),
    (Fault::FirstOfGroup, SMALL, "down_blocks.1", RIGHT),
    (Fault::TiledUpShortcut, SMALL, RIGHT, "up_blocks.2"),
    (Fault::TiledInShortcut, SMALL, RIGHT, "mid_block.resnets.0.norm1"),
    (Fault::ChannelsBeforeSquares, SMALL, "down_blocks.1", "up_blocks.2"),
    (Fault::ChannelsBeforeSquares, UNEVEN, "down_blocks.2", "up_blocks.3"),
    (Fault::ChannelsBeforeSquaresAround, SMALL, "down_blocks.1", "up_blocks.2"),
    (Fault::ColumnsBeforeRows, SMALL, "down_blocks.1", "up_blocks.2"),
    (Fault::Nearest, UNEVEN, RIGHT, "up_blocks.3"),
    // Where what is normed varies little enough that eps is not lost in rounding.
    (Fault::NormEps, FLAT, "down_blocks.0.norm1", RIGHT),
    (Fault::SixteenGroups, SMALL, "down_blocks.0.norm1", "mid_block.resnets.0.norm1"),
    (Fault::ReluForSilu, SMALL, "down_blocks.0.conv1", "mid_block.resnets.0.conv1"),
    (Fault::NoAttentionScale, UNEVEN, "mid_block.attentions.0.proj", "mid_block.attentions.0.proj"),
    (Fault::NoAttentionResidual, SMALL, "mid_block.attentions.0", "mid_block.attentions.0"),
    (Fault::KeysFirst, UNEVEN, "mid_block.attentions.0.proj", "mid_block.attentions.0.proj"),
    (Fault::CircularPadding, SMALL, "conv_in", "conv_in"),
    (Fault::CircularPadding, UNEVEN, "conv_in", "conv_in"),
];

#[test]
fn mistakes_fail_and_are_located() {
    let mut missed = Vec::new();
    for (fault, case, encoder, decoder) in PLACES {
        let report = judged(case, fault);
        for (step, half, place_in_half) in
            [(Step::Moments, "encoder", encoder), (Step::Decoded, "decoder", decoder)]
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
    let posterior = &[Step::Std, Step::Latents][..];
    for (fault, case, steps) in [
        (Fault::NotScaled, SMALL, &[Step::Latents][..]),
        (Fault::ScaledAgain, SMALL, &[Step::Latents]),
        (Fault::LogvarFirst, SMALL, posterior),
        (Fault::LogvarOfStd, "hunyuanimage-uneven-sample", posterior),
    ] {
        let report = judged(case, fault);
        assert_eq!(failed(&report), steps, "{fault:?}");
        if case == SMALL {
            assert_eq!(place(&report, Step::Latents), "behind encoder", "{fault:?}");
        }
    }
    // The first module has nothing before it that could be found right.
    let report = judged(SMALL, Fault::NotUnscaled);
    assert_eq!(failed(&report), [Step::Decoded, Step::EndToEnd]);
    assert_eq!(place(&report, Step::Decoded), "decoder.conv_in");
}

#[test]
fn a_block_alone_is_told_from_one_that_was_given_something_wrong() {
    let (suite, _failures) = suite();
    let load = |fault| {
        let source = Source::parse("golden/hunyuan/models/hunyuanimage-small", None).unwrap();
        HunyuanPort::load(&Checkpoint::open(&source, None).unwrap(), fault).unwrap()
    };
    let fault =
        |planted, module: &str| suite.fault(SMALL, module, &load(planted)).unwrap().to_string();
    let broken = fault(Fault::ChannelsBeforeSquares, "encoder.down_blocks.3");
    assert!(broken.starts_with("broken here: encoder.down_blocks.3"), "{broken}");
    // All blocks that change the size, and none of the others.
    let others = "so is encoder.down_blocks.1, encoder.down_blocks.5";
    assert!(broken.contains(others), "{broken}");
    // What is repeated is added between blocks, and each of those is right by itself.
    let inherited = fault(Fault::NoInShortcut, "decoder.up_blocks.0");
    assert!(inherited.starts_with("inherited: decoder.up_blocks.0"), "{inherited}");
    assert!(inherited.ends_with("broken alone: decoder"), "{inherited}");
}
