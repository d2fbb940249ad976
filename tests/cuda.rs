//! What only a GPU can show; elsewhere each of these is counted as ignored.

#[path = "suite/engines/samples.rs"]
mod samples;

use libtest_mimic::{Arguments, Trial};
use ndarray::{Array4, ArrayD, Axis, concatenate};
use samples::samples;
use vae_fidelity::autoencoder_kl::{Device, DeviceChoice, noise, pick_device_and_dtype};
use vae_fidelity::trace::Stage;
use vae_fidelity::{AutoencoderKL, Checkpoint, Dtype, Source, Vae};

type Test = fn(Device) -> Result<(), String>;

fn main() {
    // Or convolutions in f32 round to TF32, as torch's default has it, and no kernel can be told from that.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("NVIDIA_TF32_OVERRIDE", "0") };
    let arguments = Arguments::from_args();
    let cuda = pick_device_and_dtype(DeviceChoice::Cuda(0), None).ok().map(|(device, _)| device);
    let tests: [(&str, Test); 7] = [
        ("noise_is_the_seeds_and_not_the_cpus", noise_is_the_seeds_and_not_the_cpus),
        ("the_reference_engine_repeats_its_bits", the_reference_engine_repeats_its_bits),
        ("the_fast_engine_stays_near_f32", the_fast_engine_stays_near_f32),
        ("a_batch_is_its_pictures", a_batch_is_its_pictures),
        ("the_kernels_are_there", the_kernels_are_there),
        ("each_module_alone_is_the_reference_engines", each_module_alone_is_the_reference_engines),
        ("a_recorded_pass_gives_the_same_bits", a_recorded_pass_gives_the_same_bits),
    ];
    let trials = tests.map(|(name, test)| {
        let run = move || test(cuda.expect("not run without")).map_err(Into::into);
        Trial::test(name, run).with_ignored_flag(cuda.is_none())
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    if cuda.is_none() && conclusion.num_ignored > 0 {
        println!("not run: {} (need a CUDA device)", conclusion.num_ignored);
    }
    conclusion.exit();
}

fn models() -> Vec<(String, Checkpoint)> {
    opened(["builtin", "sd-small", "flux1-small", "cogview-small", "x4-upscaler-small", "act-relu"])
}

fn full_graphs() -> Vec<(String, Checkpoint)> {
    opened(["sd-v1-4", "flux1"])
}

fn opened<const N: usize>(names: [&str; N]) -> Vec<(String, Checkpoint)> {
    let open = |name: &str| {
        let path = format!("golden/models/{name}").into();
        let source = Source::Folder { path, subfolder: None };
        let source = if name == "builtin" { Source::Builtin } else { source };
        (name.to_owned(), Checkpoint::open(&source, None).unwrap())
    };
    names.map(open).into()
}

/// PSNR in dB of samples in [-1, 1]; NaN gives NaN.
fn psnr_db(found: &Array4<f32>, expected: &Array4<f32>) -> f64 {
    assert_eq!(found.dim(), expected.dim());
    let squares = found.iter().zip(expected).map(|(a, b)| f64::from(a - b).powi(2));
    10.0 * (4.0 / (squares.sum::<f64>() / found.len() as f64)).log10()
}

fn noise_is_the_seeds_and_not_the_cpus(cuda: Device) -> Result<(), String> {
    let draw = |seed, device| noise((1, 4, 8, 8), seed, device, Dtype::F32).unwrap();
    match (draw(7, cuda) == draw(7, cuda), draw(7, cuda) == draw(8, cuda)) {
        (true, false) if draw(7, cuda) != draw(7, Device::CPU) => Ok(()),
        (again, other) => Err(format!("same seed: {again}, other seed: {other}")),
    }
}

fn the_reference_engine_repeats_its_bits(cuda: Device) -> Result<(), String> {
    for (name, checkpoint) in models() {
        let vae = AutoencoderKL::load(&checkpoint, cuda, Dtype::F16).unwrap();
        let run = || vae.encode(samples(40, 56).view(), None).unwrap().latents;
        if run() != run() {
            return Err(format!("{name}: two runs differ"));
        }
    }
    Ok(())
}

/// What `check --engine fast` says of itself on CUDA.
const FAST_PSNR_DB: f64 = 55.0;

fn the_fast_engine_stays_near_f32(cuda: Device) -> Result<(), String> {
    for (name, checkpoint) in models().into_iter().chain(full_graphs()) {
        let exact = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
        let fast = AutoencoderKL::load_channels_last(&checkpoint, cuda, Dtype::F16).unwrap();
        let latents = exact.encode(samples(40, 56).view(), None).unwrap().latents;
        let [found, expected] = [&fast, &exact].map(|vae| vae.decode(latents.view()).unwrap());
        let psnr_db = psnr_db(&found, &expected);
        println!("{name}: decode in f16 on CUDA lies {psnr_db:.1} dB from f32 on the CPU");
        if psnr_db.is_nan() || psnr_db < FAST_PSNR_DB {
            return Err(format!("{name}: {psnr_db} dB"));
        }
    }
    Ok(())
}

/// Or the tests of the fast engine would be about libtorch.
fn the_kernels_are_there(cuda: Device) -> Result<(), String> {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        let fast = AutoencoderKL::load_channels_last(&checkpoint, cuda, dtype).unwrap();
        if let Some(reason) = fast.without_kernels() {
            return Err(format!("{dtype}: {reason}"));
        }
    }
    Ok(())
}

/// A wrong kernel shows in the module that it is part of: activations, norms over a mean far from zero,
/// residuals, each beside the same module in f32 on the CPU.
fn each_module_alone_is_the_reference_engines(cuda: Device) -> Result<(), String> {
    // Of whole blocks; on an H200 the largest were 1.5e-2 in f16 and 8.4e-2 in bf16.
    let steps = [(Dtype::F32, 2e-4), (Dtype::F16, 4e-2), (Dtype::Bf16, 2.5e-1)];
    let mut failures = Vec::new();
    for (name, checkpoint) in models() {
        let exact = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
        let latents = exact.encode(samples(24, 40).view(), None).unwrap().latents;
        for (dtype, step) in steps {
            let fast = AutoencoderKL::load_channels_last(&checkpoint, cuda, dtype).unwrap();
            let inputs = [(Stage::Encode, samples(24, 40)), (Stage::Decode, latents.clone())];
            for (stage, input) in inputs {
                let trace = exact.trace(stage, input.view()).unwrap().unwrap();
                for module in trace.iter().map(|activation| activation.module.as_str()) {
                    let run = |vae: &AutoencoderKL, input: &Array4<f32>| {
                        vae.forward_module(module, input.view().into_dyn()).unwrap()
                    };
                    let Some(input) = given(&exact, module, 3.0) else { continue };
                    // A module that cannot be given an image of this size is not run alone.
                    let (Ok(found), Ok(expected)) = (run(&fast, &input), run(&exact, &input))
                    else {
                        continue;
                    };
                    let off = off(&found, &expected);
                    if off.is_nan() || off > step {
                        failures.push(format!("{name}, {dtype}, {module}: {off:.2e}"));
                    }
                }
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// An image that `module` can be given, about `mean`; its number of channels is found by asking.
fn given(vae: &AutoencoderKL, module: &str, mean: f32) -> Option<Array4<f32>> {
    [3, 4, 8, 16, 32, 64, 128].into_iter().find_map(|channels| {
        let image = Array4::from_shape_fn((2, channels, 6, 10), |(n, c, y, x)| {
            mean + ((n * 7 + c * 5 + y * 3 + x * 11) as f32 * 0.37).sin()
        });
        vae.forward_module(module, image.view().into_dyn())?.ok()?;
        Some(image)
    })
}

/// The largest difference, in standard deviations of what is expected; NaN where something is NaN.
fn off(found: &ArrayD<f32>, expected: &ArrayD<f32>) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    let most = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    most.fold(0.0, |most: f32, one| if one <= most { most } else { one })
        / expected.std(0.0).max(1e-3)
}

/// Two passes are queued, the third is recorded, later ones are replayed; another picture in between,
/// and another shape.
fn a_recorded_pass_gives_the_same_bits(cuda: Device) -> Result<(), String> {
    let (one, other, wide) = (samples(40, 56), samples(40, 56).mapv(|x| -x), samples(40, 64));
    for (name, checkpoint) in models() {
        let fast = AutoencoderKL::load_channels_last(&checkpoint, cuda, Dtype::F16).unwrap();
        let run = |sample: &Array4<f32>| {
            let latents = fast.encode(sample.view(), None).unwrap().latents;
            let decoded = fast.decode(latents.view()).unwrap();
            (latents, decoded)
        };
        let expected = [&one, &other].map(run);
        for round in 0..4 {
            for (sample, expected) in [(&one, &expected[0]), (&other, &expected[1])] {
                if run(sample) != *expected {
                    return Err(format!("{name}: round {round} gives other bits"));
                }
            }
            if round == 2 {
                run(&wide);
            }
        }
    }
    Ok(())
}

fn a_batch_is_its_pictures(cuda: Device) -> Result<(), String> {
    let both = samples(40, 56);
    for (name, checkpoint) in models() {
        let fast = AutoencoderKL::load_channels_last(&checkpoint, cuda, Dtype::F16).unwrap();
        let together = fast.encode(both.view(), None).unwrap().latents;
        let apart = [0, 1].map(|at| {
            let one = both.index_axis(Axis(0), at).insert_axis(Axis(0));
            fast.encode(one, None).unwrap().latents
        });
        let apart = concatenate(Axis(0), &[apart[0].view(), apart[1].view()]).unwrap();
        // Another kernel may be picked for a batch, which rounds otherwise.
        let psnr_db = psnr_db(&together, &apart);
        if psnr_db.is_nan() || psnr_db < FAST_PSNR_DB {
            return Err(format!("{name}: {psnr_db} dB"));
        }
    }
    Ok(())
}
