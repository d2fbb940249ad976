//! Half precision by rounding, on the fast engine: weights, every layer's output, and the posterior.

use ndarray::{Array4, s};
use vae_fidelity::trace::Stage;
use vae_fidelity::{Checkpoint, Dtype, FastAutoencoderKL, Source, Vae, round_trip};

const HALVES: [Dtype; 2] = [Dtype::F16, Dtype::Bf16];

fn checkpoint(model: &str) -> Checkpoint {
    let source = Source::parse(&format!("golden/models/{model}"), None).unwrap();
    Checkpoint::open(&source, None).unwrap()
}

fn load(checkpoint: &Checkpoint, dtype: Dtype) -> FastAutoencoderKL {
    FastAutoencoderKL::load(checkpoint, Some(2)).unwrap().rounded_to(dtype)
}

/// No half precision holds these.
fn sample() -> Array4<f32> {
    Array4::from_shape_fn((2, 3, 24, 40), |(n, c, y, x)| {
        ((n * 5 + c * 3 + y + x * 2) as f32 * 0.37).sin() * 0.8
    })
}

#[test]
fn every_layer_puts_out_values_of_the_dtype() {
    // All activation functions, with and without attention and quant convolutions.
    for model in ["sd-small", "act-mish", "act-gelu", "cogview-small"] {
        let checkpoint = checkpoint(model);
        for dtype in HALVES {
            let vae = load(&checkpoint, dtype);
            assert_eq!(vae.dtype(), dtype);
            let latents = vae.encode(sample().view(), None).unwrap().latents;
            for (stage, input) in [(Stage::Encode, &sample()), (Stage::Decode, &latents)] {
                let trace = vae.trace(stage, input.view()).unwrap().unwrap();
                assert!(trace.len() > 30, "{model}: {} layers", trace.len());
                for layer in trace {
                    let rounded = |value: f32| dtype.round(value) == value;
                    let values = layer.samples.iter().flatten().chain(&layer.min).chain(&layer.max);
                    assert!(values.copied().all(rounded), "{model}, {dtype}: {}", layer.module);
                }
            }
        }
    }
}

#[test]
fn weights_are_rounded_and_so_is_what_goes_in() {
    let checkpoint = checkpoint("sd-small");
    let decoded = |vae: &dyn Vae, sample: &Array4<f32>| {
        round_trip(vae, sample.slice(s![..1, .., .., ..]), None).unwrap().decoded
    };
    for dtype in HALVES {
        let found = decoded(&load(&checkpoint, dtype), &sample());
        let before = load(&checkpoint.rounded_to(dtype), dtype);
        assert_eq!(found, decoded(&before, &sample().mapv(|value| dtype.round(value))));
        assert_ne!(found, decoded(&load(&checkpoint, Dtype::F32), &sample()));
    }
}

/// As diffusers' `DiagonalGaussianDistribution` in that dtype: each operation rounds.
#[test]
fn draws_from_the_posterior_are_rounded_at_each_step() {
    let checkpoint = checkpoint("sd-small");
    let noise = Array4::from_shape_fn((2, 4, 3, 5), |(n, c, y, x)| {
        ((n * 97 + c * 31 + y * 7 + x) as f32 * 1.7).sin() * 2.0
    });
    for dtype in HALVES {
        let round = |value: f32| dtype.round(value);
        let noise = noise.mapv(round);
        let encoded = load(&checkpoint, dtype).encode(sample().view(), Some(noise.view())).unwrap();
        let moments = encoded.moments.unwrap();
        let std = moments
            .slice(s![.., 4.., .., ..])
            .mapv(|logvar| round(round(logvar.clamp(-30.0, 20.0) * 0.5).exp()));
        let spread = (&std * &noise).mapv(round);
        let expected = (&moments.slice(s![.., ..4, .., ..]) + &spread).mapv(round);
        assert_eq!((encoded.std.unwrap(), encoded.latents), (std, expected), "{dtype}");
    }
}

#[test]
fn f32_is_left_as_it_is() {
    let checkpoint = checkpoint("sd-small");
    let plain = FastAutoencoderKL::load(&checkpoint, Some(2)).unwrap();
    let sample = sample();
    let sample = sample.slice(s![..1, .., .., ..]);
    let expected = round_trip(&plain, sample, None).unwrap();
    let found = round_trip(&load(&checkpoint, Dtype::F32), sample, None).unwrap();
    assert_eq!(found, expected);
}
