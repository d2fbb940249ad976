//! The posterior on libtorch: the clamp, seeds, and loading into every dtype.

use approx::assert_relative_eq;
use ndarray::Array4;
use proptest::prelude::*;
use tch::Tensor;
use vae_fidelity::autoencoder_kl::{
    Device, DeviceChoice, DiagonalGaussian, noise, pick_device_and_dtype,
};
use vae_fidelity::{AutoencoderKL, Checkpoint, Dtype, Source, Vae, round_trip};

use crate::libtorch::{generator, one_thread};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn from_moments_clamps_and_keeps_the_mean(mean in -1e4f32..1e4, logvar in -1e4f32..1e4) {
        let moments = Tensor::from_slice(&[mean, logvar]).reshape([1, 2, 1, 1]);
        let posterior = DiagonalGaussian::from_moments(&moments).unwrap();
        let value = |tensor: &Tensor| tensor.double_value(&[0, 0, 0, 0]) as f32;
        prop_assert_eq!(value(posterior.mode()), mean);
        prop_assert_eq!(value(posterior.mean()), mean);
        prop_assert_eq!(value(posterior.logvar()), logvar.clamp(-30.0, 20.0));
        let std = (logvar.clamp(-30.0, 20.0) / 2.0).exp();
        assert_relative_eq!(value(posterior.std()), std, max_relative = 1e-6);
        let drawn = posterior.sample(&Tensor::from_slice(&[1f32]).reshape([1, 1, 1, 1])).unwrap();
        prop_assert_eq!(value(&drawn), mean + value(posterior.std()));
    }
}

#[test]
fn moments_and_noise_of_the_wrong_shape_are_refused() {
    let moments = |shape: &[i64]| Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu));
    assert!(DiagonalGaussian::from_moments(&moments(&[1, 3, 2, 2])).is_err());
    assert!(DiagonalGaussian::from_moments(&moments(&[2, 2])).is_err());
    let posterior = DiagonalGaussian::from_moments(&moments(&[1, 4, 2, 2])).unwrap();
    let error = posterior.sample(&moments(&[1, 2, 2, 3])).unwrap_err().to_string();
    assert!(error.contains("expected [1, 2, 2, 2], found [1, 2, 2, 3]"), "{error}");
}

#[test]
fn one_seed_gives_the_same_noise_twice_and_another_seed_other_noise() {
    let _alone = generator();
    let draw = |seed| noise((1, 4, 8, 8), seed, Device::CPU, Dtype::F32).unwrap();
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn the_builtin_vae_runs_in_every_dtype_and_refuses_what_does_not_fit() {
    one_thread();
    let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
    let sample = Array4::from_shape_fn((1, 3, 16, 24), |(_, c, y, x)| {
        ((x + 2 * y + 3 * c) % 7) as f32 / 3.5 - 1.0
    });
    let exact = AutoencoderKL::load(&checkpoint, Device::CPU, Dtype::F32).unwrap();
    let reference = round_trip(&exact, sample.view(), None).unwrap();
    assert_eq!(reference.decoded.dim(), (1, 3, 16, 24));
    for (dtype, worst) in [(Dtype::F16, 0.05), (Dtype::Bf16, 0.4)] {
        let vae = AutoencoderKL::load(&checkpoint, Device::CPU, dtype).unwrap();
        let trip = round_trip(&vae, sample.view(), None).unwrap();
        let difference = (&trip.decoded - &reference.decoded).mapv(f32::abs);
        assert!(difference.iter().all(|&d| d < worst), "{dtype}: {difference}");
        assert!(trip.decoded.iter().all(|&value| dtype.round(value) == value), "{dtype}");
        assert_ne!(trip.decoded, reference.decoded, "{dtype} ran in f32");
    }
    assert!(exact.encode(Array4::zeros((1, 1, 16, 16)).view(), None).is_err());
    assert!(exact.encode(Array4::zeros((1, 3, 4, 16)).view(), None).is_err());
    assert!(exact.decode(Array4::zeros((1, 3, 2, 2)).view()).is_err());
}

#[test]
fn a_device_that_is_not_there_is_refused_with_what_to_do() {
    if tch::Cuda::is_available() {
        let far = pick_device_and_dtype(DeviceChoice::Cuda(999), None).unwrap_err();
        assert!(far.problem().contains("expected a number below"), "{far}");
    } else {
        let error = pick_device_and_dtype(DeviceChoice::Cuda(0), None).unwrap_err();
        assert!(error.problem().contains("no CUDA"), "{error}");
        assert!(error.next().contains("`device` cpu"), "{error}");
        let (device, dtype) = pick_device_and_dtype(DeviceChoice::Auto, None).unwrap();
        assert_eq!((device, dtype), (Device::CPU, Dtype::F32));
    }
    assert!("cuda:x".parse::<DeviceChoice>().is_err());
    assert_eq!("cuda:1".parse(), Ok(DeviceChoice::Cuda(1)));
}
