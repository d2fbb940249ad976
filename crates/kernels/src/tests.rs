//! Every kernel against the literal sum, at sizes that fit no block, on every instruction set that
//! this machine has.

use super::exp::exp;
use super::memory::{Memory, Workspace};
use super::norm::{Normalize, group_norm};
use super::tensor::NhwcTensor;
use super::threads::Threads;
use super::{attention, direct, literal, norm, winograd};
use pulp::{Simd, WithSimd};
use vae_fidelity_core::config::Activation;

const THREADS: Threads = Threads::new(3);

/// Numbers in [-1, 1) that look random.
pub(super) fn values(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn image(height: usize, width: usize, channels: usize, seed: u64) -> NhwcTensor {
    let planes = values(height * width * channels, seed);
    NhwcTensor::from_chw(&Memory::default(), height, width, channels, &planes)
}

/// As another layer might leave it.
fn used() -> Workspace {
    Workspace { activations: Memory::filled_with(f32::NAN), scratch: Memory::filled_with(f32::NAN) }
}

/// The largest difference, zeros that fill up included.
#[track_caller]
fn assert_close(fast: &NhwcTensor, slow: &NhwcTensor, most: f32) {
    assert_eq!((fast.height, fast.width), (slow.height, slow.width));
    assert_eq!((fast.channels, fast.pitch), (slow.channels, slow.pitch));
    for (at, (fast, slow)) in fast.values().iter().zip(slow.values()).enumerate() {
        assert!((fast - slow).abs() <= most, "value {at}: {fast} instead of {slow}");
    }
}

/// Runs `work` in plain Rust, one value at a time, and in vectors of each width that this processor has: all give
/// the same bits, which `check` is told.
#[track_caller]
fn on_every_instruction_set<W>(work: impl Fn() -> W, check: impl Fn(NhwcTensor))
where
    W: WithSimd<Output = NhwcTensor>,
{
    let plain = pulp::Scalar.vectorize(work());
    let mut vectors = vec![pulp::Arch::new().dispatch(work())];
    #[cfg(target_arch = "x86_64")]
    vectors.extend(pulp::x86::V3::try_new().map(|avx2| Simd::vectorize(avx2, work())));
    for made in vectors {
        assert_close(&made, &plain, 0.0);
    }
    check(plain);
}

#[test]
fn winograd_equals_the_literal_sum() {
    let workspace = used();
    let sizes = [(1, 1, 1, 1), (4, 4, 8, 16), (5, 7, 3, 17), (13, 9, 33, 40), (9, 30, 40, 24)];
    for (height, width, inputs, outputs) in sizes {
        let input = image(height, width, inputs, 1);
        let (weight, bias) = (values(outputs * inputs * 9, 2), values(outputs, 3));
        for (upsample, add) in [(false, false), (true, false), (false, true), (true, true)] {
            let params = winograd::Conv2dParams {
                weight: &weight,
                bias: &bias,
                inputs,
                outputs,
                normalize: None,
                upsample,
            };
            let memory = &workspace.activations;
            let seen =
                if upsample { input.upsample_nearest_2x(memory) } else { input.copied(memory) };
            let size = (seen.height, seen.width);
            let mut slow = literal::convolve(&seen, &weight, &bias, (3, 3), 1, (1, 1), size);
            let onto = image(size.0, size.1, outputs, 25);
            if add {
                norm::add(THREADS, &mut slow, &onto);
            }
            for f6x6_from in [0, usize::MAX] {
                let onto = || add.then(|| onto.copied(memory));
                on_every_instruction_set(
                    || winograd::Run {
                        threads: THREADS,
                        params,
                        input: &input,
                        onto: onto(),
                        workspace: &workspace,
                        kept: None,
                        f6x6_from,
                    },
                    |fast| {
                        assert_close(&fast, &slow, 2e-5 * inputs as f32);
                        assert_sums(&fast);
                    },
                );
            }
            let fast = winograd::convolve(THREADS, params, &input, None, &workspace);
            assert_eq!(fast.values().len(), slow.values().len());
        }
    }
}

/// What a layer has counted, against one pass over what it made.
#[track_caller]
fn assert_sums(image: &NhwcTensor) {
    let (ones, zeros) = (vec![1.0; image.channels], vec![0.0; image.channels]);
    let normalize =
        |image: &NhwcTensor| group_norm(THREADS, image, image.channels, &ones, &zeros, 1e-6);
    assert!(image.sums().is_some());
    let counted = normalize(image);
    let passed = normalize(&image.copied(&Memory::default()));
    for (counted, passed) in [(&counted.scale, &passed.scale), (&counted.shift, &passed.shift)] {
        for (counted, passed) in counted.iter().zip(passed) {
            let most = 1e-5 * passed.abs().max(1.0);
            assert!((counted - passed).abs() <= most, "{counted} instead of {passed}");
        }
    }
}

#[test]
fn sums_far_from_zero_keep_their_spread() {
    let input = image(50, 50, 32, 26);
    let mut weight = values(32 * 32 * 9, 27);
    weight.iter_mut().for_each(|value| *value *= 1e-3);
    let bias = vec![300.0; 32];
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 32,
        outputs: 32,
        normalize: None,
        upsample: false,
    };
    let made = winograd::convolve(THREADS, params, &input, None, &Workspace::default());
    let (ones, zeros) = (vec![1.0; 32], vec![0.0; 32]);
    let counted = group_norm(THREADS, &made, 32, &ones, &zeros, 1e-6);
    let passed = group_norm(THREADS, &made.copied(&Memory::default()), 32, &ones, &zeros, 1e-6);
    for (counted, passed) in counted.scale.iter().zip(&passed.scale) {
        assert!((counted / passed - 1.0).abs() < 1e-4, "{counted} instead of {passed}");
    }
}

#[test]
fn direct_convolution_equals_the_literal_sum() {
    let workspace = used();
    // Height, width, in, out, kernel, stride, padding.
    let layers = [
        (7, 5, 3, 20, (3, 3), 1, (1, 1)),
        (40, 6, 4, 33, (3, 3), 1, (1, 1)),
        (9, 11, 20, 8, (3, 3), 2, (0, 0)),
        (8, 6, 5, 7, (1, 1), 1, (0, 0)),
        (13, 13, 40, 16, (1, 1), 1, (0, 0)),
        (6, 9, 33, 40, (1, 7), 1, (0, 3)),
        (9, 6, 20, 8, (7, 1), 1, (3, 0)),
    ];
    for (height, width, inputs, outputs, kernel, stride, padding) in layers {
        let input = image(height, width, inputs, 4);
        let places = kernel.0 * kernel.1;
        let (weight, bias) = (values(outputs * inputs * places, 5), values(outputs, 6));
        let size = if stride == 2 { (height / 2, width / 2) } else { (height, width) };
        let slow = literal::convolve(&input, &weight, &bias, kernel, stride, padding, size);
        let params = direct::Conv2dParams {
            weight: &weight,
            bias: &bias,
            inputs,
            outputs,
            kernel,
            stride,
            padding,
            normalize: None,
        };
        on_every_instruction_set(
            || {
                let (height, width) = size;
                direct::Run {
                    threads: THREADS,
                    params,
                    input: &input,
                    height,
                    width,
                    workspace: &workspace,
                }
            },
            |fast| assert_close(&fast, &slow, 1e-4),
        );
    }
}

#[test]
fn normalizing_while_reading_equals_normalizing_before() {
    let input = image(11, 14, 24, 7);
    let (weight, bias) = (values(24 * 24 * 9, 8), values(24, 9));
    let group_norm = group_norm(THREADS, &input, 4, &values(24, 10), &values(24, 11), 1e-6);
    let activations = [Activation::Silu, Activation::Mish, Activation::Gelu, Activation::Relu];
    for activation in activations.map(Some).into_iter().chain([None]) {
        let normalize = Normalize { activation, ..group_norm.clone() };
        let before = norm::normalize(THREADS, &input, &normalize, &Memory::default());
        let params = winograd::Conv2dParams {
            weight: &weight,
            bias: &bias,
            inputs: 24,
            outputs: 24,
            normalize: Some(&normalize),
            upsample: false,
        };
        let plain = winograd::Conv2dParams { normalize: None, ..params };
        let one = winograd::convolve(THREADS, params, &input, None, &Workspace::default());
        let other = winograd::convolve(THREADS, plain, &before, None, &Workspace::default());
        assert_close(&one, &other, 0.0);
    }
}

#[test]
fn group_norm_equals_its_definition() {
    let (height, width, channels, groups) = (9, 7, 12, 3);
    let mut input = image(height, width, channels, 12);
    let pitch = input.pitch;
    // Far from zero, where a difference of squares loses the most.
    for pixel in input.values_mut().chunks_exact_mut(pitch) {
        pixel[..4].iter_mut().for_each(|value| *value = 300.0 + *value * 0.01);
    }
    let (weight, bias) = (values(channels, 13), values(channels, 14));
    let normalize = group_norm(THREADS, &input, groups, &weight, &bias, 1e-6);
    let fast = norm::normalize(THREADS, &input, &normalize, &Memory::default());
    let slow = literal::group_norm(&input, groups, &weight, &bias, 1e-6);
    // In f32, 300 is told apart to 3e-5, which is 0.005 of these deviations.
    assert_close(&fast, &slow, 1e-2);
    for (fast, slow) in fast.values().chunks_exact(pitch).zip(slow.values().chunks_exact(pitch)) {
        for (fast, slow) in fast[4..].iter().zip(&slow[4..]) {
            assert!((fast - slow).abs() < 1e-5, "{fast} instead of {slow}");
        }
    }
}

#[test]
fn attention_equals_its_definition() {
    let workspace = used();
    for (height, width, channels) in [(1, 1, 4), (7, 9, 20), (25, 23, 33)] {
        let [query, key, value] = [15, 16, 17].map(|seed| image(height, width, channels, seed));
        let slow = literal::scaled_dot_product_attention(&query, &key, &value);
        on_every_instruction_set(
            || attention::Run {
                threads: THREADS,
                query: &query,
                key: &key,
                value: &value,
                workspace: &workspace,
            },
            |fast| assert_close(&fast, &slow, 1e-5),
        );
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let [mut query, key, value] = [15, 16, 17].map(|seed| image(30, 30, 16, seed));
    query.values_mut().iter_mut().for_each(|value| *value *= 1e3);
    let fast = attention::scaled_dot_product_attention(
        THREADS,
        &query,
        &key,
        &value,
        &Workspace::default(),
    );
    assert_close(&fast, &literal::scaled_dot_product_attention(&query, &key, &value), 1e-3);
}

#[test]
fn exp_is_exp() {
    for step in -8600..=8799 {
        let x = step as f32 * 0.01 + 0.0037;
        let (fast, exact) = (f64::from(exp(x)), f64::from(x).exp());
        assert!((fast / exact - 1.0).abs() < 3e-7, "exp({x}) is {fast}, not {exact}");
    }
    assert!(exp(f32::NAN).is_nan());
    assert!(exp(f32::NEG_INFINITY) < 1.3e-38);
}

#[test]
fn nan_is_never_lost() {
    let mut input = image(6, 6, 16, 18);
    input.values_mut()[40] = f32::NAN;
    let ones = vec![1.0; 16];
    let normalize = group_norm(THREADS, &input, 4, &ones, &ones, 1e-6);
    use Activation::{Gelu, Mish, Relu, Silu};
    for activation in [None, Some(Silu), Some(Mish), Some(Gelu), Some(Relu)] {
        let normalize = Normalize { activation, ..normalize.clone() };
        let normed = norm::normalize(THREADS, &input, &normalize, &Memory::default());
        assert!(normed.values()[40].is_nan(), "{activation:?}");
    }
    let attended = attention::scaled_dot_product_attention(
        THREADS,
        &input,
        &input,
        &input,
        &Workspace::default(),
    );
    assert!(attended.values().iter().any(|value| value.is_nan()));
}

#[test]
fn threads_change_no_bit() {
    let input = image(40, 37, 48, 19);
    let (weight, bias) = (values(48 * 48 * 9, 20), values(48, 21));
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 48,
        outputs: 48,
        normalize: None,
        upsample: false,
    };
    let run = |threads| {
        winograd::convolve(Threads::new(threads), params, &input, None, &Workspace::default())
    };
    assert_close(&run(1), &run(5), 0.0);
}

#[test]
fn weights_that_are_kept_change_no_bit() {
    let (weight, bias) = (values(40 * 24 * 9, 25), values(40, 26));
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 24,
        outputs: 40,
        normalize: None,
        upsample: false,
    };
    let workspace = used();
    let kept = winograd::KeptWeights::default();
    // Tiles of both sizes in turn.
    let images = [image(20, 30, 24, 27), image(100, 96, 24, 28)];
    for input in [&images[0], &images[1], &images[1], &images[0], &images[0], &images[1]] {
        let once = winograd::convolve(THREADS, params, input, None, &workspace);
        let again = winograd::convolve_again(THREADS, params, input, None, &workspace, Some(&kept));
        assert_close(&again, &once, 0.0);
    }
}

#[test]
fn a_block_that_another_layer_left_over_changes_nothing() {
    // Large enough to be kept, and as many channels as the pitch.
    let input = image(100, 96, 32, 22);
    let (weight, bias) = (values(32 * 32 * 9, 23), values(32, 24));
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 32,
        outputs: 32,
        normalize: None,
        upsample: false,
    };
    let workspace = Workspace::default();
    let mut first = winograd::convolve(THREADS, params, &input, None, &workspace);
    let kept = first.copied(&Memory::default());
    let place = first.values().as_ptr();
    first.values_mut().fill(f32::NAN);
    drop(first);
    let second = winograd::convolve(THREADS, params, &input, None, &workspace);
    assert_eq!(second.values().as_ptr(), place, "the block was not used again");
    assert_close(&second, &kept, 0.0);
}
