//! The fast engine: held to the goldens like any port, and to the reference engine at sizes and in
//! batches that no golden has. Without libtorch only the goldens judge it.

#[cfg(feature = "tch")]
use vae_fidelity::config::Class;
#[cfg(feature = "tch")]
use vae_fidelity::golden::Case;
use vae_fidelity::golden::Suite;
#[cfg(feature = "tch")]
use vae_fidelity::{Checkpoint, Error, ErrorKind, Source, VaeConfig};
use vae_fidelity::{Dtype, FastAutoencoderKL, Vae};

#[test]
fn the_fast_engine_passes_every_golden() {
    let suite = Suite::open("golden").unwrap();
    let suite = suite.progress(|at| println!("[{}/{}] {}", at.number, at.total, at.case.name));
    let report = suite
        .run(|checkpoint| {
            Ok(Box::new(FastAutoencoderKL::load(checkpoint, Some(2))?) as Box<dyn Vae>)
        })
        .unwrap();
    report.assert_pass();
    let halves = suite.cases().iter().filter(|case| case.dtype != Dtype::F32).count();
    assert_eq!(report.not_run.len(), halves, "{:?}", report.not_run);
    assert!(report.cases.iter().any(|case| case.case == "tiles-mode"), "tiles are run");
}

/// The models of the goldens, by name.
#[cfg(feature = "tch")]
fn models() -> Vec<(String, Checkpoint)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/golden");
    let mut models: Vec<_> =
        ["models", "tiny/models", "asymmetric/models", "wan/models", "dc/models", "hunyuan/models"]
            .into_iter()
            .flat_map(|folder| std::fs::read_dir(format!("{root}/{folder}")).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let source = Source::Folder { path, subfolder: None };
                (name, Checkpoint::open(&source, None).unwrap())
            })
            .collect();
    models.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(models.len() >= 14, "found {} models", models.len());
    models
}

/// Between two convolutions this engine computes in f32 and rounds once, and a convolution's bias is added after
/// its sum was rounded. No kernel of those that were measured for AutoencoderTiny, AutoencoderDC and Wan's classes
/// does, and none moved a value of a TAESD or of Wan 2.2 in f16, so that tolerances there are one step.
#[cfg(feature = "tch")]
fn rounds_otherwise(config: &VaeConfig, dtype: Dtype) -> bool {
    match config.class() {
        Class::AutoencoderTiny => dtype != Dtype::F32,
        Class::AutoencoderDC => dtype == Dtype::Bf16,
        class => class.is_of_clips() && dtype == Dtype::F16,
    }
}

/// What runs on CUDA with `--engine fast`, here on the CPU: the layout is the same, the kernels are not.
/// Of the models of published width one is enough: a layout is a layout at any of them, and they would take
/// longer than all others together.
#[cfg(feature = "tch")]
#[test]
fn channels_last_passes_the_goldens_on_the_cpu() {
    use vae_fidelity::autoencoder_kl::{AutoencoderKL, Device};
    crate::libtorch::one_thread();
    const MOST_PARAMETERS: usize = 20_000_000;
    let mut small = models();
    small.retain(|(_, checkpoint)| checkpoint.parameters() <= MOST_PARAMETERS);
    let run = |model: &str, case: &str| {
        case == "sd-v1-4-96x64" || small.iter().any(|(name, _)| name == model)
    };
    let suite = Suite::open("golden").unwrap();
    let cases: Vec<_> = suite.cases().iter().filter(|case| run(&case.model, &case.name)).collect();
    let is_run = |case: &&&Case| {
        let otherwise = small.iter().any(|(name, checkpoint)| {
            *name == case.model && rounds_otherwise(checkpoint.config(), case.dtype)
        });
        case.device == "cpu" && !otherwise
    };
    let to_run = cases.iter().filter(is_run).count();
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    let suite = names.into_iter().fold(suite, Suite::only);
    let suite = suite.progress(|at| println!("[{}/{}] {}", at.number, at.total, at.case.name));
    let report = suite
        .run_in_each(|checkpoint, dtype, device| {
            if device != "cpu" {
                let (problem, next) = ("this test is about the layout", "see parity.rs");
                let subject = format!("{device}, {dtype}");
                return Err(Error::new(ErrorKind::Unsupported, subject, problem, next));
            }
            if rounds_otherwise(checkpoint.config(), dtype) {
                let problem = "its 16-bit tolerances are of kernels that round each operation";
                let subject = format!("{}, {dtype}", checkpoint.config().class().name());
                return Err(Error::new(ErrorKind::Unsupported, subject, problem, "see limits.md"));
            }
            let vae = AutoencoderKL::load_channels_last(checkpoint, Device::CPU, dtype)?;
            Ok(Box::new(vae) as Box<dyn Vae>)
        })
        .unwrap();
    report.assert_pass();
    assert_eq!(report.cases.len(), to_run, "{:?}", report.not_run);
    assert!(to_run >= 90);
}

#[cfg(feature = "tch")]
mod beside_the_reference_engine {
    use ndarray::{Array4, ArrayD, Axis, concatenate, s};
    use vae_fidelity::autoencoder_kl::{Device, rounded_trip};
    use vae_fidelity::checkpoint::expected_tensors;
    use vae_fidelity::image_processor::denormalize;
    use vae_fidelity::metrics::PixelMetrics;
    use vae_fidelity::trace::{Activation, Stage};
    use vae_fidelity::{
        AutoencoderKL, Checkpoint, Dtype, FastAutoencoderKL, Source, Vae, round_trip,
    };

    use super::super::samples::samples;
    use super::models;
    use crate::libtorch::one_thread;

    /// What `check --engine fast` says of itself.
    const LATENTS: f32 = 1e-3;
    const PSNR_DB: f64 = 60.0;

    fn largest_difference(a: &Array4<f32>, b: &Array4<f32>) -> f32 {
        assert_eq!(a.dim(), b.dim());
        let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
        // Not `f32::max`, which passes over NaN.
        differences.fold(0.0, |most, one| if one <= most { most } else { one })
    }

    #[test]
    fn it_stays_within_what_is_said_of_it() {
        one_thread();
        // Tiles of four do not fit 44 x 68, nor do blocks of tiles.
        let uneven = samples(44, 68);
        // What makes a latent of whole squares of pixels refuses those.
        let whole = samples(64, 96);
        for (name, checkpoint) in models() {
            let samples = if checkpoint.config().whole_sides() > 1 { &whole } else { &uneven };
            // In RGBA the first channel stands for alpha, too.
            let alpha = if checkpoint.config().has_alpha() { 1 } else { 0 };
            let alpha = samples.slice(s![.., ..alpha, .., ..]);
            let samples = concatenate(Axis(1), &[samples.view(), alpha]).unwrap();
            let reference = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
            let fast = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap();
            let expected = reference.encode(samples.view(), None).unwrap();
            let found = fast.encode(samples.view(), None).unwrap();
            let off = largest_difference(&expected.latents, &found.latents);
            assert!(off <= LATENTS, "{name}: latents differ by {off}");

            // The first alone, so that two in one call are told from one.
            let expected = reference.decode(expected.latents.slice(s![..1, .., .., ..])).unwrap();
            let found = fast.decode(found.latents.view()).unwrap();
            let found = found.slice(s![..1, .., .., ..]);
            let pictures = [expected.view(), found].map(|decoded| denormalize(decoded, Dtype::F32));
            let [expected, found] = pictures.map(Result::unwrap);
            let metrics = PixelMetrics::of(&expected, &found).unwrap();
            let psnr_db = metrics.psnr_db.unwrap_or(f64::INFINITY);
            assert!(psnr_db >= PSNR_DB, "{name}: pixels agree to {psnr_db} dB");
        }
    }

    #[test]
    fn noise_moves_latents_as_the_reference_engine_moves_them() {
        one_thread();
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        let reference = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
        let fast = FastAutoencoderKL::load(&checkpoint, Some(1)).unwrap();
        let samples = samples(16, 24);
        let noise = Array4::from_shape_fn((2, 16, 2, 3), |(n, c, y, x)| {
            ((n * 97 + c * 31 + y * 7 + x) as f32 * 1.7).sin() * 2.0
        });
        let encode = |vae: &dyn Vae| vae.encode(samples.view(), Some(noise.view())).unwrap();
        let (expected, found) = (encode(&reference), encode(&fast));
        assert!(largest_difference(&expected.latents, &found.latents) <= LATENTS);
        let mode = fast.encode(samples.view(), None).unwrap();
        assert!(largest_difference(&mode.latents, &found.latents) > LATENTS, "no noise was added");
        let wrong = fast.encode(samples.view(), Some(Array4::zeros((1, 16, 2, 3)).view()));
        assert!(wrong.unwrap_err().to_string().contains("noise"));
    }

    #[test]
    fn traces_name_the_same_modules_with_the_same_shapes() {
        one_thread();
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        let reference = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
        let fast = FastAutoencoderKL::load(&checkpoint, None).unwrap();
        let sample = samples(16, 24);
        let latents = reference.encode(sample.view(), None).unwrap().latents;
        for (stage, input) in [(Stage::Encode, &sample), (Stage::Decode, &latents)] {
            let [expected, found] = [&reference as &dyn Vae, &fast]
                .map(|vae| vae.trace(stage, input.view()).unwrap().unwrap());
            assert_eq!(expected.len(), found.len());
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected.module, found.module);
                assert_eq!(expected.shape, found.shape, "{}", found.module);
                let most = 1e-4 * scale(expected);
                for (a, b) in expected.samples.iter().zip(&found.samples) {
                    let (a, b) = (a.unwrap(), b.unwrap());
                    assert!((a - b).abs() <= most, "{}: {b} instead of {a}", found.module);
                }
            }
        }
    }

    /// Of what is expected: what is judged must not widen its own tolerance.
    fn scale(expected: &Activation) -> f32 {
        expected.std.unwrap().max(1.0) as f32
    }

    /// Each layer alone, on the same input: libtorch's output, rounded.
    #[test]
    fn each_layer_rounds_what_libtorch_puts_out() {
        one_thread();
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        for (dtype, step) in [(Dtype::F16, 2f32.powi(-10)), (Dtype::Bf16, 2f32.powi(-7))] {
            let fast = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap().rounded_to(dtype);
            let rounded = checkpoint.rounded_to(dtype);
            let reference = AutoencoderKL::load(&rounded, Device::CPU, Dtype::F32).unwrap();
            let mut layers = 0;
            let specs = expected_tensors(checkpoint.config());
            for spec in specs.iter().filter(|spec| spec.name.ends_with(".weight")) {
                let name = spec.name.strip_suffix(".weight").unwrap();
                let channels = spec.shape.get(1).copied().unwrap_or(spec.shape[0]);
                let shape = match spec.shape.len() {
                    2 => vec![1, 64, channels],
                    1 if name.ends_with(".group_norm") => vec![1, channels, 64],
                    _ => vec![1, channels, 8, 8],
                };
                let mut at = 0f32;
                let input = ArrayD::from_shape_simple_fn(shape, || {
                    at += 1.0;
                    dtype.round((at * 0.37).sin() * 2.0)
                });
                let [expected, found] = [&reference as &dyn Vae, &fast]
                    .map(|vae| vae.forward_module(name, input.view()).unwrap().unwrap());
                let expected = expected.mapv(|value| dtype.round(value));
                let scale = expected.iter().fold(0f32, |most, value| most.max(value.abs()));
                let pairs = || expected.iter().zip(&found);
                let other = pairs().filter(|(a, b)| a != b).count();
                assert!(other * 20 < found.len(), "{name}: {other} of {} differ", found.len());
                assert!(pairs().all(|(a, b)| (a - b).abs() <= step * scale), "{name}");
                layers += 1;
            }
            assert!(layers > 80, "{layers} layers");
        }
    }

    /// The outermost level of a model whose first convolution makes the picture smaller.
    #[test]
    fn a_level_without_blocks_hands_on_what_it_is_given() {
        one_thread();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/dc/models/dc-mix-small");
        let checkpoint = Checkpoint::open(&Source::parse(path, None).unwrap(), None).unwrap();
        let input = ArrayD::from_elem(vec![1, 16, 4, 4], 0.25f32);
        let reference = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
        let fast = FastAutoencoderKL::load(&checkpoint, Some(1)).unwrap();
        for vae in [&reference as &dyn Vae, &fast] {
            let found = vae.forward_module("encoder.down_blocks.0", input.view()).unwrap().unwrap();
            assert_eq!(found, input);
        }
    }

    /// What `--dtype f16` does on the fast engine is what `--forecast` does on libtorch.
    #[test]
    fn half_precision_is_rounded_to_as_the_forecast_rounds() {
        one_thread();
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        let sample = samples(32, 48).slice(s![..1, .., .., ..]).to_owned();
        let exact = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap();
        let exact = round_trip(&exact, sample.view(), None).unwrap().decoded;
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let expected = rounded_trip(&checkpoint, sample.view(), dtype).unwrap();
            let fast = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap().rounded_to(dtype);
            let found = fast.encode(sample.view(), None).unwrap().latents;
            let off = |a: &Array4<f32>, b: &Array4<f32>| {
                let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
                (squares.sum::<f64>() / a.len() as f64).sqrt()
            };
            // Near ties fall to either side, and go on from there, until the two are as two draws of
            // rounding: root 2 apart.
            let decoded = round_trip(&fast, sample.view(), None).unwrap().decoded;
            let rounding = off(&expected.decoded, &exact);
            let between = off(&expected.decoded, &decoded);
            println!("{dtype}: forecast {rounding:.2e} from f32, this {between:.2e} from it");
            assert!(between < 1.5 * rounding, "{dtype}: {between} and {rounding}");
            let ratio = off(&decoded, &exact) / rounding;
            assert!((0.8..1.25).contains(&ratio), "{dtype}: {ratio} times as far from f32");
            assert!(off(&expected.latents, &found) < 0.1, "{dtype}");
        }
    }
}
