//! Vector kernels and plain ones: both pass goldens, and `--cross-check` tells where they part.

use ndarray::{Array4, ArrayView4};
use vae_fidelity::config::Family;
use vae_fidelity::diagnosis::{Code, Diagnosis, Evidence, Reference, UserFiles, diagnose};
use vae_fidelity::golden::Suite;
use vae_fidelity::image_processor::normalize;
use vae_fidelity::trace::{Activation, Stage, Trace};
use vae_fidelity::{
    Checkpoint, Dtype, Encoded, FastAutoencoderKL, Result, Rgb8, Source, Vae, VaeConfig,
};

fn builtin() -> FastAutoencoderKL {
    let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
    FastAutoencoderKL::load(&checkpoint, None).unwrap()
}

#[test]
fn plain_kernels_pass_goldens_of_every_kind() {
    let models = [
        "sd-small",
        "act-mish",
        "act-gelu",
        "cogview-small",
        "five-blocks",
        "tiles",
        "tiny-gelu",
        "tiny-uneven",
    ];
    let cases = ["builtin-small", "builtin-tiles", "builtin-blocks", "class-defaults-sample"];
    let suite = Suite::open("golden").unwrap();
    let known = |name: &str| suite.cases().iter().any(|c| c.model == name || c.name == name);
    let chosen: Vec<&str> = models.into_iter().chain(cases).filter(|name| known(name)).collect();
    assert!(chosen.len() >= 11, "{chosen:?}");
    let suite = chosen.into_iter().fold(Suite::open("golden").unwrap(), |s, name| s.only(name));
    let load = |checkpoint: &Checkpoint| {
        let vae = FastAutoencoderKL::load(checkpoint, Some(2))?.with_plain_kernels();
        Ok(Box::new(vae) as Box<dyn Vae>)
    };
    suite.run(load).unwrap().assert_pass();
}

fn photograph() -> Rgb8 {
    let levels = (0..48 * 40).flat_map(|i| {
        let (x, y) = (i % 48, i / 48);
        [x * 5, y * 6, (x / 7 + y / 5) % 2 * 200].map(|level| level as u8)
    });
    Rgb8::new(48, 40, levels.collect()).unwrap()
}

/// The vector kernels, whose attention puts out too much where a processor is broken.
struct Device {
    vae: FastAutoencoderKL,
    factor: f32,
}

impl Device {
    const MODULE: &str = "decoder.mid_block.attentions.0.to_out.0";

    /// `trace` as a device leaves it whose numbers are off from one layer on.
    fn spoil(&self, trace: Trace) -> Trace {
        let from = trace.iter().position(|activation| activation.module == Self::MODULE);
        let spoilt = |(at, activation): (usize, Activation)| {
            if from.is_none_or(|from| at < from) {
                return activation;
            }
            let times = |value: Option<f32>| value.map(|value| value * self.factor);
            Activation {
                min: times(activation.min),
                max: times(activation.max),
                samples: activation.samples.into_iter().map(times).collect(),
                sha256: None,
                ..activation
            }
        };
        trace.into_iter().enumerate().map(spoilt).collect()
    }
}

impl Vae for Device {
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
        Ok(self.vae.decode(latents)? * self.factor)
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        self.vae.trace(stage, input).map(|trace| trace.map(|trace| self.spoil(trace)))
    }
}

fn cross_checked(vae: &dyn Vae) -> Diagnosis {
    let seen = photograph();
    let sample = normalize(&seen, vae.dtype());
    let encoded = vae.encode(sample.view(), None).unwrap();
    let latents = vae.scale(encoded.latents.view()).unwrap();
    let decoded = vae.decode(vae.unscale(latents.view()).unwrap().view()).unwrap();
    let load = || -> Result<Box<dyn Vae>> { Ok(Box::new(builtin().with_plain_kernels())) };
    let reference =
        Reference { name: "the plain kernels", remedy: Some("report this"), load: &load };
    let files = UserFiles::default();
    let evidence = Evidence {
        vae,
        family: Family::Unknown,
        source: &seen,
        dropped: None,
        orientation: None,
        size_requested: false,
        latents_are_given: false,
        seen: &seen,
        sample: &sample,
        encoded: &encoded,
        drawn: false,
        latents: &latents,
        decoded: &decoded,
        reference: Some(reference),
        regrouped: None,
        weights: &[],
        files: &files,
        unknown: &[],
    };
    diagnose(&evidence, true).unwrap()
}

#[test]
fn vectors_that_compute_something_else_are_found_and_others_are_not() {
    for (factor, broken) in [(1.0, false), (1.002, false), (1.05, true)] {
        let found = cross_checked(&Device { vae: builtin(), factor }).findings;
        let finding = found.iter().find(|finding| finding.code == Code::DeviceKernelBroken);
        assert_eq!(finding.is_some(), broken, "{factor}: {found:?}");
        let Some(finding) = finding else { continue };
        assert!(finding.title.contains("the plain kernels"), "{}", finding.title);
        assert_eq!(finding.remedy, "report this");
        assert_eq!(finding.layer.as_deref(), Some(Device::MODULE));
    }
}

/// They are another way to compute, or there would be nothing to compare.
#[test]
fn plain_kernels_round_otherwise() {
    let sample = normalize(&photograph(), Dtype::F32);
    let latents = |vae: FastAutoencoderKL| vae.encode(sample.view(), None).unwrap().latents;
    let (vectors, plain) = (latents(builtin()), latents(builtin().with_plain_kernels()));
    assert_ne!(vectors, plain);
    assert!(vectors.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-3));
}

/// What `check --cross-check` loads without libtorch, and what it judges by.
#[cfg(not(feature = "tch"))]
#[test]
fn a_cross_check_without_libtorch_loads_the_plain_kernels() {
    use vae_fidelity::Engine;
    use vae_fidelity::autoencoder_kl::DeviceChoice;
    let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
    let execution = Engine::Fast.execution(DeviceChoice::Auto, None, None).unwrap();
    let sample = normalize(&photograph(), Dtype::F32);
    let latents = |vae: Box<dyn Vae>| vae.encode(sample.view(), None).unwrap().latents;
    let plain = latents(Box::new(builtin().with_plain_kernels()));
    assert_eq!(latents(execution.load_cross_check(&checkpoint).unwrap()), plain);
    assert_ne!(latents(execution.load(&checkpoint).unwrap()), plain);
    let check = execution.cross_check().unwrap();
    assert!(check.remedy.unwrap().contains("`engine` reference"), "{check:?}");
}
