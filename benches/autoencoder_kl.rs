//! Encode, decode and round trip, in megapixels a second (criterion's `Melem/s`).
//!
//! `cargo bench` runs everything; `cargo bench -- builtin` or `cargo bench -- sd-v1-4/cpu/f32/512`
//! a part. Where CUDA is, `cuda:0` runs in f16 with inputs and outputs on the device: every timed region
//! ends with a synchronisation, and copies have groups of their own (`copy_in`, `copy_out`). Goldens are
//! looked for in the working directory first: a bench that was copied finds them beside it.

use std::cell::LazyCell;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use ndarray::Array4;
use vae_fidelity::autoencoder_kl::{Device, DeviceChoice, pick_device_and_dtype};
use vae_fidelity::{AutoencoderKL, Checkpoint, Result, Source};

const CPU_SIDES: &[usize] = &[256, 512];
const CUDA_SIDES: &[usize] = &[256, 512, 1024];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    if let Err(error) = bench_all(&mut criterion) {
        eprintln!("error: {error}\nnext: {}", error.next());
        std::process::exit(2);
    }
    criterion.final_summary();
}

fn bench_all(criterion: &mut Criterion) -> Result<()> {
    let folder =
        |name: &str| Source::Folder { path: golden().join("models").join(name), subfolder: None };
    // On the CPU flux1 is Stable Diffusion's graph over again, in minutes.
    let sources = [
        ("builtin", Source::Builtin, true),
        ("sd-v1-4", folder("sd-v1-4"), true),
        ("flux1", folder("flux1"), false),
    ];
    for (name, source, on_cpu) in sources {
        let checkpoint = Checkpoint::open(&source, None)?;
        if on_cpu {
            let (device, dtype) = pick_device_and_dtype(DeviceChoice::Cpu, None)?;
            let load = || AutoencoderKL::load(&checkpoint, device, dtype);
            bench_model(criterion, &format!("{name}/{device}/{dtype}"), device, CPU_SIDES, &load);
        }
        match pick_device_and_dtype(DeviceChoice::Cuda(0), None) {
            Ok((device, dtype)) => {
                let prefix = format!("{name}/{device}/{dtype}");
                let load = || AutoencoderKL::load(&checkpoint, device, dtype);
                bench_model(criterion, &format!("{prefix}/reference"), device, CUDA_SIDES, &load);
                let load = || AutoencoderKL::load_channels_last(&checkpoint, device, dtype);
                bench_model(criterion, &format!("{prefix}/fast"), device, CUDA_SIDES, &load);
            }
            Err(error) => eprintln!("{name} on CUDA is not measured: {}", error.problem()),
        }
    }
    Ok(())
}

fn golden() -> PathBuf {
    let here = PathBuf::from("golden");
    match here.join("manifest.json").is_file() {
        true => here,
        false => Path::new(env!("CARGO_MANIFEST_DIR")).join("golden"),
    }
}

/// Nothing is loaded or computed for what criterion's filter leaves out.
fn bench_model(
    criterion: &mut Criterion,
    name: &str,
    device: Device,
    sides: &[usize],
    load: &dyn Fn() -> Result<AutoencoderKL>,
) {
    let vae = LazyCell::new(|| load().expect(name));
    for &side in sides {
        let picture = gradient(side);
        let sample = LazyCell::new(|| vae.to_device(picture.view()).expect(name));
        let latents = LazyCell::new(|| vae.encode_on_device(&sample).expect(name));
        let decoded = LazyCell::new(|| {
            LazyCell::force(&latents);
            device.peak_bytes(true);
            let decoded = vae.decode_on_device(&latents).expect(name);
            if let Some(bytes) = device.peak_bytes(true) {
                eprintln!("peak_bytes {name}/{side}/decode {bytes}");
            }
            let finite = decoded.to_array().expect(name).iter().all(|value| value.is_finite());
            assert!(finite, "{name}: decoded is not finite");
            decoded
        });

        let mut group = criterion.benchmark_group(format!("{name}/{side}"));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        if device != Device::CPU {
            // A machine with a GPU is often there for minutes.
            group.measurement_time(Duration::from_millis(600));
        }
        group.warm_up_time(Duration::from_millis(300));
        group.throughput(Throughput::Elements((side * side) as u64));
        let mut timed = |what, run: &dyn Fn() -> Result<()>| timed(&mut group, what, device, run);
        timed("encode", &|| vae.encode_on_device(&sample).map(drop));
        timed("decode", &|| {
            LazyCell::force(&decoded);
            vae.decode_on_device(&latents).map(drop)
        });
        timed("round_trip", &|| {
            let latents = vae.encode_on_device(&sample)?;
            vae.decode_on_device(&latents).map(drop)
        });
        if device != Device::CPU {
            timed("copy_in", &|| vae.to_device(picture.view()).map(drop));
            timed("copy_out", &|| decoded.to_array().map(drop));
        }
        group.finish();
    }
}

fn timed(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    device: Device,
    run: &dyn Fn() -> Result<()>,
) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            black_box(run()).expect(name);
            device.synchronize();
        });
    });
}

/// A colour gradient with some texture, (1, 3, side, side) in [-1, 1].
fn gradient(side: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, side, side), |(_, c, y, x)| {
        let ramp = (x * (c + 1) + y) as f32 / (side * (c + 2)) as f32;
        (ramp * 2.0 - 1.0) * 0.8 + 0.2 * ((x * y + c) as f32 * 0.05).sin()
    })
}
