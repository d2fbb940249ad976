//! Metrics against slow, literal versions of their definitions, and the laws they obey.

use approx::assert_abs_diff_eq;
use ndarray::{ArrayD, arr1};
use proptest::prelude::*;
use vae_fidelity::Rgb8;
use vae_fidelity::metrics::{
    MS_SSIM_SIDE, PixelMetrics, TensorMetrics, Visibility, WINDOW, ms_ssim, ssim, ssim_and_ms_ssim,
    ssimulacra2,
};

/// Wang et al. 2004 word for word: for each window, weighted sums over its 121 pixels.
fn literal_ssim(a: &Rgb8, b: &Rgb8) -> f64 {
    let weight = |i: usize, j: usize| {
        let square = |k: usize| (k as f64 - 5.0).powi(2);
        (-(square(i) + square(j)) / (2.0 * 1.5 * 1.5)).exp()
    };
    let sum_of_weights: f64 = (0..121).map(|k| weight(k / 11, k % 11)).sum();
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    let mut total = 0.0;
    let mut windows = 0;
    for channel in 0..3 {
        for top in 0..=a.height() - WINDOW {
            for left in 0..=a.width() - WINDOW {
                let mean = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
                    (0..121)
                        .map(|k| {
                            let (x, y) = (left + k % 11, top + k / 11);
                            let value = |p: &Rgb8| f64::from(p.pixel(x, y)[channel]);
                            weight(k / 11, k % 11) / sum_of_weights * of(value(a), value(b))
                        })
                        .sum()
                };
                let (mean_a, mean_b) = (mean(&|a, _| a), mean(&|_, b| b));
                let variance_a = mean(&|a, _| (a - mean_a).powi(2));
                let variance_b = mean(&|_, b| (b - mean_b).powi(2));
                let covariance = mean(&|a, b| (a - mean_a) * (b - mean_b));
                total += (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
                    / ((mean_a.powi(2) + mean_b.powi(2) + c1) * (variance_a + variance_b + c2));
                windows += 1;
            }
        }
    }
    total / f64::from(windows)
}

fn literal_psnr(a: &Rgb8, b: &Rgb8) -> f64 {
    let errors =
        a.data().iter().zip(b.data()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    20.0 * (255.0 / (errors.sum::<f64>() / a.data().len() as f64).sqrt()).log10()
}

fn picture(width: usize, height: usize) -> impl Strategy<Value = Rgb8> {
    // Noise alone would leave SSIM near 0, flat pictures near 1: mix both, and the extremes.
    let level = prop_oneof![any::<u8>(), 120..136u8, Just(0), Just(255)];
    prop::collection::vec(level, width * height * 3)
        .prop_map(move |data| Rgb8::new(width, height, data).unwrap())
}

fn pair(sides: std::ops::Range<usize>) -> impl Strategy<Value = (Rgb8, Rgb8)> {
    (sides.clone(), sides).prop_flat_map(|(w, h)| (picture(w, h), picture(w, h)))
}

fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::Direct(
            "tests/metrics-regressions.txt",
        ))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn ssim_is_its_definition((a, b) in pair(11..24)) {
        let (fast, slow) = (ssim(&a, &b).unwrap(), literal_ssim(&a, &b));
        assert_abs_diff_eq!(fast, slow, epsilon = 1e-10);
        prop_assert!(fast <= 1.0);
        assert_abs_diff_eq!(fast, ssim(&b, &a).unwrap(), epsilon = 1e-12);
        prop_assert_eq!(ssim(&a, &a), Some(1.0));
    }

    #[test]
    fn pixel_metrics_are_their_definitions((a, b) in pair(1..12)) {
        let there = PixelMetrics::of(&a, &b).unwrap();
        let back = PixelMetrics::of(&b, &a).unwrap();
        let same = PixelMetrics::of(&a, &a).unwrap();
        prop_assert!(same.identical && same.psnr_db.is_none() && same.max_abs_diff_at.is_none());
        prop_assert_eq!(there.identical, a == b);
        prop_assert_eq!(there.psnr_db, back.psnr_db);
        prop_assert_eq!(there.mean_error, back.mean_error.map(|error| 0.0 - error));
        if let Some(psnr) = there.psnr_db {
            assert_abs_diff_eq!(psnr, literal_psnr(&a, &b), epsilon = 1e-9);
            let at = there.max_abs_diff_at.unwrap();
            let [a, b] = [&a, &b].map(|p| p.pixel(at.x, at.y)[at.channel as usize]);
            prop_assert_eq!(a.abs_diff(b), there.max_abs_diff);
        }
        prop_assert!(there.mae <= f64::from(there.max_abs_diff));
        prop_assert!(there.ssim.is_some() == (a.width().min(a.height()) >= WINDOW));
    }

    #[test]
    fn psnr_falls_as_noise_grows(a in picture(9, 7), seed in any::<u64>()) {
        let noisy = |strength: i32| {
            let data = a.data().iter().enumerate().map(|(i, &level)| {
                let sign = if (seed >> (i % 64)) & 1 == 1 { strength } else { -strength };
                // Turned round at the ends, so that every error is `strength`.
                let moved = i32::from(level) + sign;
                let inside = (0..=255).contains(&moved);
                u8::try_from(if inside { moved } else { i32::from(level) - sign }).unwrap()
            });
            PixelMetrics::of(&a, &Rgb8::new(9, 7, data.collect()).unwrap()).unwrap()
        };
        let (weak, strong) = (noisy(3), noisy(30));
        prop_assert!(weak.psnr_db.unwrap() > strong.psnr_db.unwrap());
        prop_assert_eq!((weak.mae, strong.mae), (3.0, 30.0));
    }

    #[test]
    fn a_tensor_is_identical_to_itself_unless_it_is_not_finite(
        values in prop::collection::vec(any::<f32>(), 1..40)
    ) {
        let tensor = arr1(&values).into_dyn();
        let metrics = TensorMetrics::of(tensor.view(), tensor.view()).unwrap();
        let non_finite = values.iter().filter(|value| !value.is_finite()).count();
        prop_assert_eq!(metrics.identical, non_finite == 0);
        prop_assert_eq!(metrics.non_finite_pairs, non_finite);
        prop_assert!(metrics.over.iter().all(|over| over.values == non_finite));
    }

    #[test]
    fn steps_between_neighbours_are_counted(value in any::<f32>(), steps in 0..1000u32) {
        prop_assume!(value.is_finite());
        let other = (0..steps).fold(value, |value, _| value.next_up());
        prop_assume!(other.is_finite());
        let [a, b] = [value, other].map(|value| arr1(&[value]).into_dyn());
        let metrics = TensorMetrics::of(a.view(), b.view()).unwrap();
        // `next_up` goes from -tiny to -0 and from either zero to tiny: the zeros count once.
        prop_assert_eq!(metrics.max_ulp, Some(steps));
        prop_assert_eq!(metrics.identical, steps == 0);
    }
}

fn tensor(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(shape, values.to_vec()).unwrap()
}

#[test]
fn tensor_metrics_of_a_pair_worked_out_by_hand() {
    let expected = tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let actual = tensor(&[2, 2], &[1.0, 2.0, 3.5, 4.25]);
    let metrics = TensorMetrics::of(actual.view(), expected.view()).unwrap();
    let worst = metrics.worst.unwrap();
    assert_eq!((worst.index.as_slice(), worst.actual, worst.expected), (&[1, 0][..], 3.5, 3.0));
    assert_eq!(metrics.max_abs_diff, Some(0.5));
    assert_eq!(metrics.mean_abs_diff, Some(0.1875));
    assert_eq!(metrics.rms_diff, Some((0.3125f64 / 4.0).sqrt()));
    assert_eq!(metrics.max_ulp, Some(1 << 21)); // 3 to 3.5 is a quarter of 2^23 steps
    let cosine = (1.0 + 4.0 + 10.5 + 17.0) / (30.0f64 * (1.0 + 4.0 + 12.25 + 18.0625)).sqrt();
    assert!((metrics.cosine.unwrap() - cosine).abs() < 1e-15);
    let counts: Vec<_> = metrics.over.iter().map(|over| over.values).collect();
    assert_eq!(counts, [2; 7]);
}

#[test]
fn nan_is_never_identical() {
    let nan = tensor(&[2], &[f32::NAN, 1.0]);
    let metrics = TensorMetrics::of(nan.view(), nan.view()).unwrap();
    assert!(!metrics.identical);
    assert_eq!((metrics.differing, metrics.non_finite_pairs), (1, 1));
    assert_eq!((metrics.non_finite_actual, metrics.non_finite_expected), (1, 1));
    assert_eq!(metrics.max_abs_diff, Some(0.0)); // of the one finite pair

    let all = tensor(&[1], &[f32::NAN]);
    let metrics = TensorMetrics::of(all.view(), all.view()).unwrap();
    assert_eq!((metrics.max_abs_diff, metrics.max_ulp, metrics.cosine), (None, None, None));
}

#[test]
fn both_zeros_are_no_distance_apart_and_yet_not_identical() {
    let (plus, minus) = (tensor(&[1], &[0.0]), tensor(&[1], &[-0.0]));
    let metrics = TensorMetrics::of(plus.view(), minus.view()).unwrap();
    assert_eq!((metrics.max_abs_diff, metrics.max_ulp), (Some(0.0), Some(0)));
    assert_eq!((metrics.identical, metrics.differing), (false, 1));
    assert_eq!(metrics.worst, None);
}

#[test]
fn other_sizes_and_shapes_are_errors() {
    let (small, large) = (vec![0; 3], vec![0; 6]);
    let (small, large) = (Rgb8::new(1, 1, small).unwrap(), Rgb8::new(2, 1, large).unwrap());
    let problem = PixelMetrics::of(&small, &large).unwrap_err().to_string();
    assert!(problem.contains("1 x 1 and 2 x 1"), "{problem}");
    let (row, column) = (tensor(&[1, 2], &[0.0; 2]), tensor(&[2, 1], &[0.0; 2]));
    let problem = TensorMetrics::of(row.view(), column.view()).unwrap_err().to_string();
    assert!(problem.contains("[1, 2] and [2, 1]"), "{problem}");
}

/// A picture with edges, ramps and texture; `strength` disturbs its levels.
fn scene(width: usize, height: usize, strength: i32) -> Rgb8 {
    let data = (0..width * height).flat_map(|at| {
        let (x, y) = (at % width, at / width);
        let edge = if (x / 16 + y / 24) % 2 == 0 { 60 } else { 0 };
        [x * 2 % 180, y * 3 % 170, (x + y) % 160].map(|ramp| {
            let scattered = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
            let noise = (scattered % 3) as i32 - 1;
            (ramp as i32 + edge + noise * strength).clamp(0, 255) as u8
        })
    });
    Rgb8::new(width, height, data.collect()).unwrap()
}

#[test]
fn perception_orders_pictures_as_eyes_do() {
    let original = scene(192, 177, 0);
    let scored = |strength| {
        let other = scene(192, 177, strength);
        let (metrics, visibility) = PixelMetrics::with_visibility(&original, &other).unwrap();
        assert_eq!(visibility.map(|visibility| visibility.score()), metrics.butteraugli);
        (metrics.ms_ssim.unwrap(), metrics.ssimulacra2.unwrap(), metrics.butteraugli.unwrap())
    };
    let (same, weak, strong) = (scored(0), scored(4), scored(40));
    assert_eq!((same.0, same.2), (1.0, 0.0));
    assert_abs_diff_eq!(same.1, 100.0, epsilon = 1e-6);
    assert!(1.0 > weak.0 && weak.0 > strong.0 && strong.0 > 0.0, "{weak:?} {strong:?}");
    assert!(100.0 > weak.1 && weak.1 > strong.1, "{weak:?} {strong:?}");
    assert!(0.0 < weak.2 && weak.2 < strong.2, "{weak:?} {strong:?}");
}

#[test]
fn five_scales_ignore_fine_noise_that_one_scale_does_not() {
    let (a, b) = (scene(256, 256, 0), scene(256, 256, 20));
    assert!(ms_ssim(&a, &b).unwrap() > ssim(&a, &b).unwrap() + 0.02);
    assert_eq!(ssim_and_ms_ssim(&a, &b), (ssim(&a, &b), ms_ssim(&a, &b)));
    assert_abs_diff_eq!(ms_ssim(&a, &b).unwrap(), ms_ssim(&b, &a).unwrap(), epsilon = 1e-12);
    let inverse = |p: &Rgb8| {
        let data = p.data().iter().map(|level| 255 - level).collect();
        Rgb8::new(p.width(), p.height(), data).unwrap()
    };
    // Structure turned round has a mean below zero, which has no power: no NaN comes of it.
    assert_eq!(ms_ssim(&a, &inverse(&a)), Some(0.0));
    assert_eq!(ms_ssim(&scene(400, MS_SSIM_SIDE - 1, 0), &scene(400, MS_SSIM_SIDE - 1, 0)), None);
}

#[test]
fn models_of_vision_take_every_size_from_8_pixels_on() {
    for (width, height) in [(8, 8), (8, 300), (9, 11), (15, 8), (16, 17), (33, 31), (257, 9)] {
        let (a, b) = (scene(width, height, 0), scene(width, height, 30));
        let visibility = Visibility::of(&a, &b).unwrap().unwrap();
        assert_eq!((visibility.width(), visibility.height()), (width, height));
        assert!(visibility.score() > 0.0 && ssimulacra2(&a, &b).unwrap() < 100.0);
    }
    let small = scene(300, 7, 0);
    assert_eq!(
        (Visibility::of(&small, &small).unwrap(), ssimulacra2(&small, &small)),
        (None, None)
    );
    let problem = Visibility::of(&scene(16, 16, 0), &scene(16, 24, 0)).unwrap_err();
    assert!(problem.next().contains("one size"), "{problem}");
}
