//! The goldens of AutoencoderTiny, and a second implementation of it with mistakes planted in it: each is
//! failed, and named where it was made.

use vae_fidelity::golden::{CaseReport, Location, Outcome, PosteriorKind, Step, Suite};
use vae_fidelity::{Dtype, Result, Vae};

use super::tiny_port::{Fault, TinyPort};

/// What runs in a second, on f64 arrays.
const CASES: [&str; 6] = [
    "tiny-small-mode",
    "tiny-small-tiny",
    "tiny-small-wide",
    "tiny-small-blocks",
    "tiny-uneven-mode",
    "tiny-gelu-mode",
];

fn suite() -> (Suite, tempfile::TempDir) {
    let failures = tempfile::tempdir().unwrap();
    (Suite::open("golden").unwrap().failures(failures.path()), failures)
}

fn judged(case: &str, fault: Fault) -> CaseReport {
    let (suite, _failures) = suite();
    let load = |checkpoint: &_| -> Result<Box<dyn Vae>> {
        Ok(Box::new(TinyPort::load(checkpoint, fault)?))
    };
    let mut report = suite.only(case).run(load).unwrap();
    assert_eq!(report.cases.len(), 1);
    report.cases.remove(0)
}

fn failed(report: &CaseReport) -> Vec<Step> {
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Failed);
    failed.map(|check| check.tensor).collect()
}

#[test]
fn the_goldens_of_this_class_are_a_part_of_the_suite() {
    let (suite, _failures) = suite();
    let tiny: Vec<_> = suite
        .cases()
        .iter()
        .filter(|case| case.posterior.kind == PosteriorKind::Deterministic)
        .collect();
    assert!(tiny.len() >= 16, "{}", tiny.len());
    for case in CASES {
        assert!(tiny.iter().any(|one| one.name == case), "{case}");
    }
    let of = |wanted: Dtype| tiny.iter().filter(|case| case.dtype == wanted).count();
    assert!(of(Dtype::F16) >= 2 && of(Dtype::Bf16) >= 1);
    assert!(tiny.iter().any(|case| case.tiling.is_some()));
    assert!(tiny.iter().any(|case| case.slicing));
    // What a crate that depends on the goldens has.
    let builtin = Suite::builtin().unwrap();
    assert_eq!(builtin.cases().len(), suite.cases().len());
}

#[test]
fn a_second_implementation_without_a_fault_passes() {
    for case in CASES {
        let report = judged(case, Fault::None);
        assert_eq!(failed(&report), [], "{case}: {:?}", report.checks);
        let steps: Vec<Step> = report.checks.iter().map(|check| check.tensor).collect();
        assert!(!steps.contains(&Step::Moments), "this class has none");
    }
}

#[test]
fn mistakes_fail_and_are_located() {
    let encoder = |module| (Step::Latents, module);
    let decoder = |module| (Step::Decoded, module);
    for (fault, case, (step, module)) in [
        (Fault::PictureNotInUnitRange, "tiny-small-mode", encoder("encoder.layers.0")),
        (Fault::PadRightAndBottom, "tiny-small-mode", encoder("encoder.layers.2")),
        (Fault::NoSkip, "tiny-small-mode", encoder("encoder.layers.1")),
        (Fault::NoFuse, "tiny-small-mode", encoder("encoder.layers.1")),
        (Fault::ReluForConfig, "tiny-gelu-mode", encoder("encoder.layers.1.conv.2")),
        (Fault::FuseFollowsConfig, "tiny-gelu-mode", encoder("encoder.layers.1")),
        (Fault::NoClamp, "tiny-small-mode", decoder("decoder.layers.0")),
        (Fault::HardClamp, "tiny-small-mode", decoder("decoder.layers.0")),
        (Fault::Bilinear, "tiny-small-mode", decoder("decoder.layers.6")),
        (Fault::PictureLeftInUnitRange, "tiny-small-mode", decoder("decoder")),
    ] {
        let report = judged(case, fault);
        let check = report.checks.iter().find(|check| check.tensor == step).unwrap();
        assert_eq!(check.outcome, Outcome::Failed, "{fault:?}");
        match check.location.as_ref().unwrap() {
            Location::Module { module: found, .. } => assert_eq!(found, module, "{fault:?}"),
            other => panic!("{fault:?}: {other}"),
        }
    }
}

#[test]
fn mistakes_outside_the_network_fail() {
    for fault in [Fault::ScaledAgain, Fault::UnitRange] {
        let report = judged("tiny-small-mode", fault);
        assert_eq!(failed(&report), [Step::Latents], "{fault:?}");
    }
}

#[test]
fn a_block_alone_is_told_from_one_that_was_given_something_wrong() {
    let (suite, _failures) = suite();
    let load = |fault| {
        let source = vae_fidelity::Source::parse("golden/tiny/models/tiny-small", None).unwrap();
        let checkpoint = vae_fidelity::Checkpoint::open(&source, None).unwrap();
        TinyPort::load(&checkpoint, fault).unwrap()
    };
    let fault = |planted, module: &str| {
        suite.fault("tiny-small-blocks", module, &load(planted)).unwrap().to_string()
    };
    let broken = fault(Fault::NoFuse, "encoder.layers.3");
    assert!(broken.contains("encoder.layers.3"), "{broken}");
    // The clamp lies in no block of the list, and each of those is right by itself.
    let inherited = fault(Fault::NoClamp, "decoder.layers.2");
    assert_ne!(broken, inherited);
    assert!(inherited.contains("decoder"), "{inherited}");
}
