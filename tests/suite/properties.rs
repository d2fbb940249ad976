//! Laws that hold for every input, not for chosen ones.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde::Deserialize;
use vae_fidelity::golden::Tolerance;
use vae_fidelity::image_processor::{denormalize, normalize};
use vae_fidelity::pixels::target_size;
use vae_fidelity::recipe::Recipe;
use vae_fidelity::trace::{Activation, Statistics, sample_indices};
use vae_fidelity::{AutoencoderKLConfig, Dtype, Rgb8};

/// Counterexamples stay with the tests, not at the top of the repository.
fn config() -> ProptestConfig {
    let file = "tests/suite/properties.proptest-regressions";
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(file))),
        ..ProptestConfig::default()
    }
}

fn picture() -> impl Strategy<Value = Rgb8> {
    (1usize..=20, 1usize..=20).prop_flat_map(|(width, height)| {
        prop::collection::vec(any::<u8>(), width * height * 3)
            .prop_map(move |data| Rgb8::new(width, height, data).unwrap())
    })
}

/// Any bit pattern: NaNs, infinities and subnormals too.
fn any_bits() -> impl Strategy<Value = f32> {
    any::<u32>().prop_map(f32::from_bits)
}

fn finite() -> impl Strategy<Value = f32> {
    any_bits().prop_filter("finite", |value| value.is_finite())
}

fn dtype() -> impl Strategy<Value = Dtype> {
    prop_oneof![Just(Dtype::F32), Just(Dtype::F16), Just(Dtype::Bf16)]
}

fn recipe() -> Recipe {
    Recipe { schema_version: 1, hash: Recipe::HASH.to_owned(), ..Recipe::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pixels_survive_the_trip_through_a_sample(pixels in picture()) {
        for dtype in [Dtype::F32, Dtype::F16] {
            let sample = normalize(&pixels, dtype);
            prop_assert!(sample.iter().all(|value| (-1.0..=1.0).contains(value)));
            prop_assert_eq!(&denormalize(sample.view(), dtype).unwrap(), &pixels);
        }
    }

    #[test]
    fn pixels_can_be_made_of_any_bits(values in prop::collection::vec(any_bits(), 12)) {
        let decoded = ndarray::Array4::from_shape_vec((1, 3, 2, 2), values).unwrap();
        prop_assert!(denormalize(decoded.view(), Dtype::F32).is_ok());
    }

    #[test]
    fn a_brighter_value_is_never_a_darker_pixel(a in finite(), b in finite()) {
        let level = |value: f32| {
            let decoded = ndarray::Array4::from_elem((1, 3, 1, 1), value);
            denormalize(decoded.view(), Dtype::F32).unwrap().data()[0]
        };
        prop_assert!(level(a.min(b)) <= level(a.max(b)));
    }

    #[test]
    fn sizing_rounds_down_to_eights_and_is_idempotent(width in 1usize..5000, height in 1usize..5000) {
        let (w, h) = target_size(width, height, None, 8).unwrap();
        for (side, source) in [(w, width), (h, height)] {
            prop_assert!(side > 0 && side % 8 == 0);
            prop_assert!(side <= source.max(8) && side + 8 > source);
        }
        prop_assert_eq!(target_size(w, h, None, 8).unwrap(), (w, h));
    }

    #[test]
    fn rounding_to_a_dtype_is_idempotent_and_keeps_order(dtype in dtype(), a in finite(), b in finite()) {
        let rounded = dtype.round(a);
        prop_assert_eq!(dtype.round(rounded).to_bits(), rounded.to_bits());
        prop_assert!(dtype.round(a.min(b)) <= dtype.round(a.max(b)));
    }

    #[test]
    fn latents_come_back_from_scaling(latent in -50f32..50.0, factor in 0.05f64..2.0) {
        let json = format!(r#"{{"norm_num_groups": 32, "scaling_factor": {factor}}}"#);
        let config = AutoencoderKLConfig::from_json(&json, "a property").unwrap();
        let back = config.unscale(config.scale(latent, Dtype::F32), Dtype::F32);
        prop_assert!((back - latent).abs() <= 2.0 * f32::EPSILON * latent.abs());
    }

    #[test]
    fn recipe_values_stay_in_their_bounds(
        name in "[a-z_.0-9]{1,40}",
        shape in prop::collection::vec(1usize..7, 1..5),
    ) {
        let values = recipe().values(&name, &shape);
        prop_assert_eq!(values.len(), shape.iter().product::<usize>());
        prop_assert_eq!(&values, &recipe().values(&name, &shape));
        let fan_in: usize = shape[1..].iter().product();
        let (low, high) = match shape.len() {
            1 if name.ends_with(".weight") => (0.9, 1.1),
            1 => (-0.1, 0.1),
            _ => (-(3.0 / fan_in as f32).sqrt(), (3.0 / fan_in as f32).sqrt()),
        };
        prop_assert!(values.iter().all(|value| (low..=high).contains(value)));
    }

    #[test]
    fn a_factor_multiplies_exactly(power in -12i32..4) {
        let factor = 2f32.powi(power);
        let mut scaled = recipe();
        scaled.multiply.insert("conv.weight".to_owned(), factor);
        let shape = [3, 2, 3, 3];
        let plain = recipe().values("conv.weight", &shape);
        let values = scaled.values("conv.weight", &shape);
        prop_assert!(values.iter().zip(plain).all(|(value, plain)| *value == plain * factor));
    }

    #[test]
    fn statistics_are_those_of_the_finite_values(values in prop::collection::vec(
        prop_oneof![4 => (-1e6f32..1e6).boxed(), 1 => any_bits().boxed()], 0..60,
    )) {
        let finite: Vec<f64> =
            values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value)).collect();
        let statistics = Statistics::of(&values);
        prop_assert_eq!(statistics.non_finite, values.len() - finite.len());
        prop_assert_eq!(statistics.mean.is_none(), finite.is_empty());
        if let (Some(mean), Some(std)) = (statistics.mean, statistics.std) {
            let (min, max) = (statistics.min.unwrap(), statistics.max.unwrap());
            prop_assert!(finite.iter().all(|&v| f64::from(min) <= v && v <= f64::from(max)));
            let slack = 1e-9 * (f64::from(max).abs() + f64::from(min).abs());
            prop_assert!(f64::from(min) - slack <= mean && mean <= f64::from(max) + slack);
            prop_assert!(std >= 0.0 && std <= (f64::from(max) - f64::from(min)) + slack);
        }
    }

    #[test]
    fn samples_lie_in_the_tensor_and_never_hold_nan(values in prop::collection::vec(any_bits(), 1..300)) {
        prop_assert!(sample_indices(values.len(), 100).all(|index| index < values.len()));
        prop_assert_eq!(sample_indices(values.len(), 100).count(), 100);
        let activation = Activation::new("m", "k", &[values.len()], &values);
        prop_assert!(activation.samples.iter().flatten().all(|value| value.is_finite()));
    }

    #[test]
    fn a_tolerance_never_lets_nan_or_infinity_through(
        value in any_bits(), atol in 0f64..1e300, rtol in 0f64..1e300,
    ) {
        let tolerance = Tolerance::new(atol, rtol).unwrap();
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            prop_assert!(!tolerance.allows(bad, value));
            prop_assert!(!tolerance.allows(value, bad));
        }
    }

    #[test]
    fn a_tolerance_is_the_formula(actual in -1e3f32..1e3, expected in -1e3f32..1e3, atol in 0f64..1e3, rtol in 0f64..1.0) {
        let (a, e) = (f64::from(actual), f64::from(expected));
        let tolerance = Tolerance::new(atol, rtol).unwrap();
        prop_assert_eq!(tolerance.allows(actual, expected), (a - e).abs() <= atol + rtol * e.abs());
        let absolute = Tolerance::new(atol, 0.0).unwrap();
        prop_assert_eq!(absolute.allows(actual, expected), absolute.allows(expected, actual));
        prop_assert_eq!(Tolerance::EXACT.allows(actual, expected), actual == expected);
    }
}

#[test]
fn a_tolerance_that_passes_everything_cannot_be_made() {
    for bad in [f64::NAN, f64::INFINITY, -1e-9] {
        assert!(Tolerance::new(bad, 0.0).is_err());
        assert!(Tolerance::new(0.0, bad).is_err());
    }
}

/// Eight weights that Python worked out, bit by bit.
#[test]
fn the_recipe_gives_the_weights_that_python_gives() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        tensor: String,
        shape: Vec<usize>,
        index: usize,
        bits: String,
        value: f32,
    }
    let text = fs::read_to_string("golden/recipe_test_values.json").unwrap();
    let rows: Vec<Row> = serde_json::from_str(&text).unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let found = recipe().values(&row.tensor, &row.shape)[row.index];
        assert_eq!(format!("{:08x}", found.to_bits()), row.bits, "{} [{}]", row.tensor, row.index);
        assert_eq!(found, row.value);
    }
}

#[cfg(feature = "tch")]
mod posterior {
    use super::*;
    use vae_fidelity::autoencoder_kl::DiagonalGaussian;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn the_log_variance_is_clamped_and_the_mean_is_not(
            values in prop::collection::vec(-1e4f32..1e4, 8),
        ) {
            let moments = tch::Tensor::from_slice(&values).reshape([1, 4, 1, 2]);
            let posterior = DiagonalGaussian::from_moments(&moments).unwrap();
            let flat = |tensor: &tch::Tensor| Vec::<f32>::try_from(tensor.reshape([-1])).unwrap();
            prop_assert_eq!(&flat(posterior.mode())[..], &values[..4]);
            let clamped: Vec<f32> = values[4..].iter().map(|v| v.clamp(-30.0, 20.0)).collect();
            prop_assert_eq!(flat(posterior.logvar()), clamped);
            let std = flat(posterior.std());
            prop_assert!(std.iter().all(|std| std.is_finite() && *std > 0.0));
            let zero = tch::Tensor::zeros_like(posterior.mode());
            prop_assert_eq!(flat(&posterior.sample(&zero).unwrap()), flat(posterior.mode()));
        }
    }
}
