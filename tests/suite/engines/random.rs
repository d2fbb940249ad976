//! torch's random numbers: those that the goldens were drawn with, and those of libtorch.

use ndarray::Array4;
use vae_fidelity::Dtype;
use vae_fidelity::golden::Suite;
use vae_fidelity::random::Generator;
use vae_fidelity::tensor_file::read;

fn bits(values: impl IntoIterator<Item = f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

/// The reference script drew it with torch, in the dtype of the case.
#[test]
fn the_noise_of_every_golden_is_drawn_to_the_bit() {
    let suite = Suite::open("golden").unwrap();
    let mut drawn = Vec::new();
    // On CUDA torch draws otherwise.
    for case in suite.cases().iter().filter(|case| case.device == "cpu") {
        let Some(seed) = case.posterior.seed else { continue };
        let tensors = read(&case.folder().join("latents.safetensors"));
        let noise = tensors.unwrap().into_iter().find(|t| t.name.as_deref() == Some("noise"));
        let noise = noise.unwrap_or_else(|| panic!("{} has no noise", case.name));
        let (expected, shape) = (&noise.values, noise.values.shape());
        let mut found = Generator::manual_seed(seed).randn(expected.len(), case.dtype);
        if case.clip {
            // Drawn as (1, C, T, h, w).
            let drawn = Array4::from_shape_vec((shape[1], shape[0], shape[2], shape[3]), found);
            found = drawn.unwrap().permuted_axes([1, 0, 2, 3]).iter().copied().collect();
        }
        assert_eq!(bits(found), bits(expected.iter().copied()), "{}", case.name);
        drawn.push(case.dtype);
    }
    let count = |dtype| drawn.iter().filter(|one| **one == dtype).count();
    let counts = [Dtype::F32, Dtype::F16, Dtype::Bf16].map(count);
    assert!(counts[0] >= 20 && counts[1] >= 2 && counts[2] >= 2, "{counts:?}");
}

/// On a processor without AVX2 libtorch takes another logarithm and sine, whose last bits differ.
#[cfg(feature = "tch")]
#[test]
fn libtorch_draws_the_same() {
    use vae_fidelity::autoencoder_kl::{Device, noise};
    let _alone = crate::libtorch::generator();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for (shape, seed) in [
            ((1, 4, 1, 1), 0),
            ((1, 4, 3, 1), -1),
            ((1, 16, 1, 1), i64::MIN),
            ((1, 4, 5, 5), i64::MAX),
            ((1, 4, 64, 64), 42),
            ((3, 16, 37, 41), 1_234_567_890_123),
        ] {
            let expected = noise(shape, seed, Device::CPU, dtype).unwrap();
            let found = Generator::manual_seed(seed as u64).randn(expected.len(), dtype);
            match draws_by_avx2() {
                true => assert_eq!(bits(found), bits(expected), "{dtype} {shape:?} {seed}"),
                false => {
                    let pairs = found.iter().zip(&expected);
                    let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                    assert!(off < 0.02, "{dtype} {shape:?} {seed}: {off}");
                }
            }
        }
    }
}

#[cfg(feature = "tch")]
fn draws_by_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
