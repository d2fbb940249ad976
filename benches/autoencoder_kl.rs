//! Encode, decode and round trip, in megapixels a second (criterion's `Melem/s`).
//!
//! `cargo bench` runs everything; `cargo bench -- builtin` or `cargo bench -- sd-v1-4/cpu/f32/512`
//! a part. CUDA runs in f16, where there is one. Every timed region ends with a synchronisation.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput, measurement::WallTime};
use ndarray::{Array4, ArrayView4};
use vae_fidelity::autoencoder_kl::{Device, DeviceChoice, pick_device_and_dtype};
use vae_fidelity::{AutoencoderKL, Checkpoint, Result, Source, Vae, round_trip};

const SIDES: [usize; 2] = [256, 512];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    if let Err(error) = bench_all(&mut criterion) {
        eprintln!("error: {error}\nnext: {}", error.next());
        std::process::exit(2);
    }
    criterion.final_summary();
}

fn bench_all(criterion: &mut Criterion) -> Result<()> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/models/sd-v1-4");
    let sources = [
        ("builtin", Source::Builtin),
        ("sd-v1-4", Source::Folder { path: golden, subfolder: None }),
    ];
    let choices = [DeviceChoice::Cpu, DeviceChoice::Cuda(0)];
    for (name, source) in sources {
        let checkpoint = Checkpoint::open(&source, None)?;
        for choice in choices {
            match pick_device_and_dtype(choice, None) {
                Ok((device, dtype)) => {
                    let vae = AutoencoderKL::load(&checkpoint, device, dtype)?;
                    let name = format!("{name}/{device}/{dtype}");
                    bench_model(criterion, &name, &vae, device)?;
                    if choice != DeviceChoice::Cpu {
                        let vae = AutoencoderKL::load_channels_last(&checkpoint, device, dtype)?;
                        bench_model(criterion, &format!("{name}/fast"), &vae, device)?;
                    }
                }
                Err(error) => eprintln!("{name} on CUDA is not measured: {}", error.problem()),
            }
        }
    }
    Ok(())
}

fn bench_model(
    criterion: &mut Criterion,
    name: &str,
    vae: &AutoencoderKL,
    device: Device,
) -> Result<()> {
    for side in SIDES {
        let sample = gradient(side);
        let latents = vae.encode(sample.view(), None)?.latents;
        let decoded = vae.decode(latents.view())?;
        assert!(decoded.iter().all(|value| value.is_finite()), "{name}: decoded is not finite");

        let mut group = criterion.benchmark_group(format!("{name}/{side}"));
        group.sample_size(10).sampling_mode(SamplingMode::Flat);
        group.warm_up_time(Duration::from_secs(1));
        group.throughput(Throughput::Elements((side * side) as u64));
        timed(&mut group, "encode", device, sample.view(), |x| vae.encode(x, None).map(drop));
        timed(&mut group, "decode", device, latents.view(), |x| vae.decode(x).map(drop));
        timed(&mut group, "round_trip", device, sample.view(), |x| {
            round_trip(vae, x, None).map(drop)
        });
        group.finish();
    }
    Ok(())
}

fn timed(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    device: Device,
    input: ArrayView4<f32>,
    run: impl Fn(ArrayView4<f32>) -> Result<()>,
) {
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            run(black_box(input)).expect("ran once before");
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
