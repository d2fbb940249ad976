//! Tiles and slices through the public API: goldens fail an implementation that does them wrongly,
//! and a batch is what its pictures are alone.

use ndarray::{Array4, ArrayView4, Axis, concatenate, s};
use vae_fidelity::autoencoder_kl::DeviceChoice;
use vae_fidelity::golden::{Step, Suite, SuiteReport};
use vae_fidelity::tiling::{Splitting, Tiling};
use vae_fidelity::{
    Checkpoint, Dtype, Encoded, Engine, FastAutoencoderKL, Result, Source, Vae, VaeConfig,
};

/// The default engine on the CPU: with libtorch and without, tiles are the same.
fn load(checkpoint: &Checkpoint, dtype: Dtype) -> Result<Box<dyn Vae>> {
    #[cfg(feature = "tch")]
    crate::libtorch::one_thread();
    Engine::default().execution(DeviceChoice::Cpu, Some(dtype), None)?.load(checkpoint)
}

/// This crate's model with another idea of what was asked of it.
struct Mistaken {
    vae: Box<dyn Vae>,
    understand: fn(Splitting, &VaeConfig) -> Splitting,
}

impl Vae for Mistaken {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        self.vae.dtype()
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        self.vae.encode(sample, noise)
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.vae.decode(latents)
    }

    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        self.vae.set_splitting((self.understand)(splitting, self.vae.config()))
    }
}

fn judged(
    case: &str,
    understand: fn(Splitting, &VaeConfig) -> Splitting,
) -> (SuiteReport, Vec<Step>) {
    let failures = tempfile::tempdir().unwrap();
    let suite = Suite::open("golden").unwrap().only(case).failures(failures.path());
    let report = suite
        .run_in_each(|checkpoint, dtype, _| {
            let vae = load(checkpoint, dtype)?;
            Ok(Box::new(Mistaken { vae, understand }) as Box<dyn Vae>)
        })
        .unwrap();
    let failed = report.failures().map(|(_, check)| check.tensor).collect();
    (report, failed)
}

#[test]
fn goldens_tell_whether_tiles_were_cut_and_how_large() {
    // Goldens in f16 do not judge rounding to it.
    let f16 = if Engine::default() == Engine::Reference { &["tiles-f16"][..] } else { &[] };
    for case in [&["tiles-mode", "builtin-tiles", "tiles-slices"], f16].concat() {
        let (report, failed) = judged(case, |splitting, _| splitting);
        assert!(report.passed && failed.is_empty(), "{report}");
        let (_, failed) = judged(case, |splitting, _| Splitting { tiling: None, ..splitting });
        for step in [Step::Moments, Step::Decoded] {
            assert!(failed.contains(&step), "{case}: whole pictures passed {step:?}: {failed:?}");
        }
    }
    // AutoencoderTiny's have a rule of their own, and no moments.
    for case in ["tiny-tiles", "tiny-slices-tiles"] {
        let (report, failed) = judged(case, |splitting, _| splitting);
        assert!(report.passed && failed.is_empty(), "{report}");
        let (_, failed) = judged(case, |splitting, _| Splitting { tiling: None, ..splitting });
        for step in [Step::Latents, Step::Decoded] {
            assert!(failed.contains(&step), "{case}: whole pictures passed {step:?}: {failed:?}");
        }
    }
    let twice = |splitting: Splitting, config: &VaeConfig| {
        let size = splitting.tiling.map(|tiling| 2 * tiling.tile_sample_min_size());
        Splitting { tiling: size.map(|size| Tiling::new(config, Some(size)).unwrap()), ..splitting }
    };
    let (_, failed) = judged("tiles-mode", twice);
    assert!(failed.contains(&Step::Moments) && failed.contains(&Step::Decoded), "{failed:?}");
    let (report, _) = judged("tiles-small", twice);
    assert!(report.passed, "a picture of one tile is not cut, whatever the size: {report}");
}

#[test]
fn a_case_in_half_precision_is_not_run_by_a_model_in_f32() {
    let suite = Suite::open("golden").unwrap().only("tiles-f16").only("tiles-small");
    let report = suite.run(|checkpoint| load(checkpoint, Dtype::F32)).unwrap();
    let left_out: Vec<_> = report.not_run.iter().filter(|case| case.case == "tiles-f16").collect();
    assert_eq!(left_out[0].reason, "made in f16, the VAE runs in f32");
    assert!(report.cases.iter().all(|case| case.case == "tiles-small"));
}

#[test]
fn bf16_does_not_pass_for_f16() {
    for case in ["sd-small-f16-mode", "builtin-f16-mode"] {
        let failures = tempfile::tempdir().unwrap();
        let suite = Suite::open("golden").unwrap().only(case).failures(failures.path());
        let report = suite
            .run_in_each(|checkpoint, dtype, _| {
                let vae = load(checkpoint, Dtype::Bf16)?;
                Ok(Box::new(Claims { vae, dtype }) as Box<dyn Vae>)
            })
            .unwrap();
        assert!(!report.passed, "{case}: {report}");
    }
}

/// A model that says it runs in another dtype than it does.
struct Claims {
    vae: Box<dyn Vae>,
    dtype: Dtype,
}

impl Vae for Claims {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        self.vae.encode(sample, noise)
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.vae.decode(latents)
    }
}

#[test]
fn files_of_optional_cases_may_be_missing_and_no_others() {
    let candidate = tempfile::tempdir().unwrap();
    let judge = |only: &[&str]| {
        let suite = Suite::open("golden").unwrap();
        only.iter().fold(suite, |suite, case| suite.only(*case)).judge(candidate.path())
    };
    let error = judge(&["tiles-mode"]).unwrap_err();
    assert!(error.to_string().contains("asks for tiling"), "{error}");
    let report = judge(&["tiles-mode", "sd-small-cuda", "act-relu-mode"]).unwrap();
    assert_eq!((report.passed, report.cases.len()), (false, 1), "an ordinary case has to be there");
    assert!(report.not_run.iter().any(|case| case.reason.contains("f16, cuda")), "{report}");
    std::fs::create_dir(candidate.path().join("tiles-mode")).unwrap();
    let report = judge(&["tiles-mode"]).unwrap();
    assert!(!report.passed, "what is there is judged");
}

#[test]
fn a_batch_in_slices_is_its_pictures_to_the_bit() {
    let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
    let fast = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap();
    for mut vae in [load(&checkpoint, Dtype::F32).unwrap(), Box::new(fast)] {
        let sample = Array4::from_shape_fn((3, 3, 24, 40), |(n, c, y, x)| {
            ((n * 5 + c * 3 + y + x * 2) as f32 * 0.37).sin() * 0.8
        });
        let one = |vae: &dyn Vae, at: usize| {
            let encoded = vae.encode(sample.slice(s![at..=at, .., .., ..]), None).unwrap();
            let decoded = vae.decode(encoded.latents.view()).unwrap();
            [encoded.moments.unwrap(), encoded.latents, decoded]
        };
        let alone: Vec<_> = (0..3).map(|at| one(vae.as_ref(), at)).collect();
        vae.set_splitting(Splitting { tiling: None, slicing: true, clip: false }).unwrap();
        let encoded = vae.encode(sample.view(), None).unwrap();
        let decoded = vae.decode(encoded.latents.view()).unwrap();
        let found = [encoded.moments.unwrap(), encoded.latents, decoded];
        for (part, found) in found.iter().enumerate() {
            let views: Vec<_> = alone.iter().map(|one| one[part].view()).collect();
            assert_eq!(*found, concatenate(Axis(0), &views).unwrap());
        }
    }
}
