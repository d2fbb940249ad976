//! Somebody else's VAE, without libtorch, judged by the harness; and what the harness says when
//! that VAE is wrong.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::Path;
use std::rc::Rc;

use ndarray::{Array4, ArrayView4};
use serde_json::Value;
use vae_fidelity::golden::{Check, Location, Outcome, Step, Suite, SuiteReport};
use vae_fidelity::trace::sample_indices;
use vae_fidelity::{Checkpoint, Dtype, Encoded, Error, ErrorKind, Vae, VaeConfig};

use super::toy::{TOY, Toy};

fn suite(folder: &Path) -> Suite {
    Suite::open(TOY).unwrap().failures(folder)
}

/// The report of one case with tensors changed on their way out.
fn tampered(case: &str, tamper: fn(&str, &mut Array4<f32>), failures: &Path) -> SuiteReport {
    suite(failures)
        .only(case)
        .run(|checkpoint| Ok(Box::new(Toy { tamper, ..Toy::load(checkpoint)? })))
        .unwrap()
}

fn check(report: &SuiteReport, step: Step) -> &Check {
    report.cases[0].checks.iter().find(|check| check.tensor == step).unwrap()
}

#[test]
fn a_port_without_libtorch_passes_and_sees_its_count() {
    let failures = tempfile::tempdir().unwrap();
    let loads = Cell::new(0);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let seen_here = Rc::clone(&seen);
    let report = suite(failures.path())
        .progress(move |at| seen_here.borrow_mut().push((at.case.name.clone(), at.number)))
        .run(|checkpoint| {
            loads.set(loads.get() + 1);
            Ok(Box::new(Toy::load(checkpoint)?))
        })
        .unwrap();
    report.assert_pass();
    assert_eq!(loads.get(), 1, "once per model, not per case");
    let names = ["mode", "sample", "hashed"].map(str::to_owned);
    assert_eq!(*seen.borrow(), names.into_iter().zip(1..).collect::<Vec<_>>());
    assert_eq!((report.summary.cases, report.summary.cases_not_run), (3, 0));
    // Each case: sample, moments, latents, decoded, decoded_rgb8, end_to_end; to_rgb8 is not there.
    assert_eq!((report.summary.tensors_judged, report.summary.tensors_not_judged), (18, 3));
    // All but the draw, whose `exp` numpy may round in its own way.
    assert!(report.summary.tensors_bit_identical >= 17, "{report}");
    assert_eq!(fs::read_dir(failures.path()).unwrap().count(), 0, "nothing failed");
}

#[test]
fn json_has_the_numbers_and_a_schema_version() {
    let failures = tempfile::tempdir().unwrap();
    let report = tampered(
        "mode",
        |name, tensor| {
            if name == "decoded" {
                tensor[[0, 1, 2, 3]] = f32::NAN;
            }
        },
        failures.path(),
    );
    let json: Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["passed"], false);
    assert_eq!(json["summary"]["cases_not_run"], 2);
    assert_eq!(json["not_run"][0]["case"], "sample");
    let checks = json["cases"][0]["checks"].as_array().unwrap();
    let decoded = checks.iter().find(|check| check["tensor"] == "decoded").unwrap();
    assert_eq!(decoded["outcome"], "failed");
    assert_eq!(decoded["comparison"]["bit_identical"], false);
    assert_eq!(decoded["comparison"]["non_finite"], 1);
    assert_eq!(decoded["comparison"]["worst"]["actual"], "NaN");
    assert_eq!(decoded["comparison"]["worst"]["index"], serde_json::json!([0, 1, 2, 3]));
    assert_eq!(decoded["comparison"]["bar"]["within"]["rtol"], 1e-6);
    assert_eq!(decoded["location"]["module"], "decoder");
    assert_eq!(decoded["location"]["absent"], 1, "the toy does not trace post_quant_conv");
}

#[test]
fn a_failure_says_case_tensor_place_values_counts_file_and_next_step() {
    let failures = tempfile::tempdir().unwrap();
    let report = tampered(
        "mode",
        |name, tensor| {
            if ["moments", "quant_conv"].contains(&name) {
                tensor.mapv_inplace(|value| value + 0.5);
                tensor[[0, 2, 1, 0]] += 0.25;
            }
        },
        failures.path(),
    );
    let saved = failures.path().join("mode").join("moments.safetensors");
    let text = report.to_string();
    for part in [
        "FAILED mode / moments (model toy)",
        "outside atol 1e-6 + rtol 1e-6 * |expected| of [1, 6, 8, 12], judged on all 576 values",
        "worst:  at [0, 2, 1, 0]",
        " 1e-1: 576 1e0: 0",
        "first diverging module quant_conv",
        "agrees up to encoder",
        saved.to_str().unwrap(),
        "next:   vae-fidelity trace tests/fixtures/toy/images/pattern.png",
        "not run (2x): only mode was asked for",
        "not judged (1x): to_rgb8",
        "bit-identical: 5 of 6 tensors; 0 within tolerance, 1 failed, 1 not judged",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let bytes = fs::read(&saved).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("moments").unwrap().shape(), [1, 6, 8, 12]);
    let panic = std::panic::catch_unwind(|| report.assert_pass()).unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("FAILED mode / moments"));
}

#[test]
fn what_is_not_exposed_is_not_judged_and_not_a_pass_for_it() {
    let failures = tempfile::tempdir().unwrap();
    let report = suite(failures.path())
        .only("mode")
        .run(|checkpoint| Ok(Box::new(Toy { secretive: true, ..Toy::load(checkpoint)? })))
        .unwrap();
    report.assert_pass();
    assert_eq!(check(&report, Step::Moments).outcome, Outcome::NotJudged);
    assert_eq!(report.summary.tensors_not_judged, 2);
}

/// The index of a decoded value of the case `hashed` that is, or is not, among its samples.
fn index_in_hashed(sampled: bool) -> usize {
    let len = 3 * 40 * 48;
    (0..len).find(|at| sample_indices(len, 4096).any(|index| index == *at) == sampled).unwrap()
}

#[test]
fn a_hashed_golden_is_judged_on_its_samples_and_says_so() {
    let failures = tempfile::tempdir().unwrap();
    let report = tampered("hashed", |_, _| (), failures.path());
    assert_eq!(check(&report, Step::Decoded).outcome, Outcome::BitIdentical);

    // One unit in the last place, where no sample looks: the hash still tells.
    let report = tampered(
        "hashed",
        |name, tensor| {
            if name == "decoded" {
                let value = &mut tensor.as_slice_mut().unwrap()[index_in_hashed(false)];
                *value = f32::from_bits(value.to_bits() ^ 1);
            }
        },
        failures.path(),
    );
    let decoded = check(&report, Step::Decoded);
    assert_eq!(decoded.outcome, Outcome::WithinTolerance);
    assert_eq!(decoded.comparison.as_ref().unwrap().judged, 4096);
    let line = "within tolerance: hashed / decoded: 0.00 % differ, by at most 0.000e0";
    assert!(report.to_string().contains(line), "{report}");
    // The pixels' golden input is then out of reach, and nothing else may stand in for it.
    assert_eq!(check(&report, Step::DecodedRgb8).outcome, Outcome::NotJudged);

    for (sampled, value) in [(true, 9.0), (false, f32::NAN), (false, f32::INFINITY)] {
        thread_local!(static PLANTED: Cell<(usize, f32)> = const { Cell::new((0, 0.0)) });
        PLANTED.set((index_in_hashed(sampled), value));
        let report = tampered(
            "hashed",
            |name, tensor| {
                if name == "decoded" {
                    let (at, value) = PLANTED.get();
                    tensor.as_slice_mut().unwrap()[at] = value;
                }
            },
            failures.path(),
        );
        let decoded = check(&report, Step::Decoded);
        assert_eq!(decoded.outcome, Outcome::Failed, "{value}, sampled: {sampled}");
    }
    assert!(report.to_string().contains("cases run"));
}

#[test]
fn a_sample_that_is_not_reproduced_leaves_encoding_unjudged_where_only_a_hash_is_kept() {
    let failures = tempfile::tempdir().unwrap();
    let wrong = |_: &Path, size: Option<(usize, usize)>, _: Dtype| {
        let (width, height) = size.unwrap_or((24, 16));
        Ok(Array4::zeros((1, 3, height, width)))
    };
    let run = |case: &str| {
        let suite = suite(failures.path()).only(case).preprocess(wrong);
        suite.run(|checkpoint| Ok(Box::new(Toy::load(checkpoint)?))).unwrap()
    };
    let hashed = run("hashed");
    assert_eq!(check(&hashed, Step::Sample).outcome, Outcome::Failed);
    assert_eq!(check(&hashed, Step::Latents).outcome, Outcome::NotJudged);
    // Where the golden keeps all values, the error is not inherited.
    let full = run("mode");
    assert_eq!(check(&full, Step::Sample).outcome, Outcome::Failed);
    assert_eq!(check(&full, Step::Latents).outcome, Outcome::BitIdentical);
}

#[test]
fn without_a_trace_the_failure_says_why_it_is_not_located() {
    let failures = tempfile::tempdir().unwrap();
    let double = |name: &str, tensor: &mut Array4<f32>| {
        if name == "latents" {
            tensor.mapv_inplace(|value| value * 2.0);
        }
    };
    let report = tampered("sample", double, failures.path());
    let location = check(&report, Step::Latents).location.as_ref().unwrap();
    let Location::Unknown { reason } = location else { panic!("{location}") };
    assert_eq!(reason, "this case has no trace: see mode, hashed of the same model");
}

#[test]
fn an_implementation_that_does_not_load_fails_every_case() {
    let failures = tempfile::tempdir().unwrap();
    let refused = || Error::tensor("encoder.conv_in.weight", "no such thing", "train it");
    let report = suite(failures.path()).run(|_| Err(refused())).unwrap();
    assert!(!report.passed);
    assert_eq!(report.summary.cases_failed, 3);
    assert_eq!(report.cases[0].checks[0].tensor, Step::Load);
}

/// A VAE that takes no noise and shows no moments: its own posterior samples are what there is.
struct Random {
    toy: Toy,
    spread: f32,
}

impl Vae for Random {
    fn config(&self) -> &VaeConfig {
        self.toy.config()
    }

    fn dtype(&self) -> Dtype {
        self.toy.dtype()
    }

    fn encode(&self, _: ArrayView4<f32>, _: Option<ArrayView4<f32>>) -> Result<Encoded, Error> {
        Err(Error::new(
            ErrorKind::Unsupported,
            "encode",
            "takes no noise",
            "judge its posterior samples",
        ))
    }

    fn posterior_samples(
        &self,
        sample: ArrayView4<f32>,
        count: usize,
    ) -> Option<Result<Vec<Array4<f32>>, Error>> {
        let signs = |draw: usize| if draw.is_multiple_of(2) { self.spread } else { -self.spread };
        let drawn = (0..count).map(|draw| {
            let latents = self.toy.encode(sample, None)?.latents;
            let noise = latents.mapv(|_| signs(draw));
            Ok(self.toy.encode(sample, Some(noise.view()))?.latents)
        });
        Some(drawn.collect())
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>, Error> {
        self.toy.decode(latents)
    }
}

#[test]
fn a_vae_that_takes_no_noise_is_judged_by_its_posterior_samples() {
    let failures = tempfile::tempdir().unwrap();
    let run = |spread: f32| {
        let load = |checkpoint: &Checkpoint| {
            Ok(Box::new(Random { toy: Toy::load(checkpoint)?, spread }) as Box<dyn Vae>)
        };
        suite(failures.path()).only("mode").run(load).unwrap()
    };
    let report = run(1.0);
    report.assert_pass();
    assert_eq!(check(&report, Step::Latents).outcome, Outcome::NotJudged);
    assert_eq!(check(&report, Step::PosteriorSamples).outcome, Outcome::WithinTolerance);
    let report = run(1.5);
    assert_eq!(check(&report, Step::PosteriorSamples).outcome, Outcome::Failed);
    assert!(
        report
            .to_string()
            .contains("draws:  where the log-variance is not clamped, samples spread")
    );
}

#[test]
fn a_model_that_an_implementation_does_not_support_is_not_run() {
    let failures = tempfile::tempdir().unwrap();
    let refused =
        || Error::new(ErrorKind::Unsupported, "act_fn", "only silu", "nothing to be done");
    let error = suite(failures.path()).run(|_| Err(refused())).unwrap_err();
    assert!(error.problem().contains("no case was run: toy: act_fn: only silu"), "{error}");
}

#[test]
fn another_dtype_is_not_run_and_a_run_of_nothing_is_an_error() {
    let failures = tempfile::tempdir().unwrap();
    let error = suite(failures.path())
        .run(|checkpoint| Ok(Box::new(Toy { dtype: Dtype::F16, ..Toy::load(checkpoint)? })))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Golden);
    assert!(error.problem().contains("made in f32, the VAE runs in f16"), "{error}");
}

/// A tensor without a measured tolerance is held to equal bits, not let through.
#[test]
fn a_missing_tolerance_asks_for_equal_bits() {
    let failures = tempfile::tempdir().unwrap();
    let nudge = |name: &str, tensor: &mut Array4<f32>| {
        if name == "decoded" {
            tensor[[0, 0, 0, 0]] *= 1.0 + f32::EPSILON;
        }
    };
    let on = |device: &str| {
        suite(failures.path())
            .only("mode")
            .device(device)
            .run(|checkpoint| Ok(Box::new(Toy { tamper: nudge, ..Toy::load(checkpoint)? })))
            .unwrap()
    };
    assert_eq!(check(&on("cpu"), Step::Decoded).outcome, Outcome::WithinTolerance);
    assert_eq!(check(&on("abacus"), Step::Decoded).outcome, Outcome::Failed);
}

#[test]
fn nothing_is_saved_beside_the_goldens() {
    for folder in [TOY.to_owned(), format!("{TOY}/cases/new/deep")] {
        let suite = Suite::open(TOY).unwrap().failures(folder);
        let error = suite.run(|checkpoint| Ok(Box::new(Toy::load(checkpoint)?))).unwrap_err();
        assert!(error.problem().contains("inside the suite"), "{error}");
    }
}
