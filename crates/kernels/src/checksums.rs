//! What kernels make of the same numbers on every machine: with AVX-512, AVX2 or NEON, or without.

use super::memory::{Memory, Workspace};
use super::norm::{self, Normalize, group_norm};
use super::tensor::NhwcTensor;
use super::tests::values;
use super::threads::{Instructions, Threads};
use super::{attention, direct, grouped, linear_attention, winograd};
use vae_fidelity_core::config::Activation;

fn image(height: usize, width: usize, channels: usize) -> NhwcTensor {
    let planes = values(height * width * channels, 1);
    NhwcTensor::from_chw(&Memory::default(), height, width, channels, &planes)
}

/// FNV-1a of the bits of all channels.
fn checksum(image: &NhwcTensor) -> u64 {
    let mut planes = vec![0.0; image.channels * image.pixels()];
    image.write_chw(&Memory::default(), &mut planes);
    let bytes = planes.iter().flat_map(|value| value.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Each kernel's checksum.
fn found(threads: Threads) -> Vec<(&'static str, u64)> {
    let (workspace, memory) = (Workspace::default(), Memory::default());
    let seen = image(23, 37, 48);
    let group_norm = group_norm(threads, &seen, 4, &values(48, 2), &values(48, 3), 1e-6);
    let (weight, bias) = (values(40 * 48 * 9, 4), values(40, 5));
    let mut made = Vec::new();
    for (name, activation) in [
        ("silu", Activation::Silu),
        ("mish", Activation::Mish),
        ("gelu", Activation::Gelu),
        ("relu", Activation::Relu),
    ] {
        let normalize = Normalize { activation: Some(activation), ..group_norm.clone() };
        made.push((name, checksum(&norm::normalize(threads, &seen, &normalize, &memory))));
    }
    let normalize = Normalize { activation: Some(Activation::Silu), ..group_norm.clone() };
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 48,
        outputs: 40,
        normalize: Some(&normalize),
        upsample: false,
    };
    let small = winograd::convolve(threads, params, &seen, None, &workspace);
    made.push(("F(4x4, 3x3)", checksum(&small)));
    let upsampled = winograd::Conv2dParams { upsample: true, normalize: None, ..params };
    let large = image(51, 60, 48);
    let large = winograd::convolve(threads, upsampled, &large, None, &workspace);
    made.push(("F(6x6, 3x3), upsampled", checksum(&large)));
    // Of the sums that the layer before has counted.
    let counted = norm::group_norm(threads, &large, 5, &values(40, 6), &values(40, 7), 1e-6);
    made.push(("group norm", checksum(&norm::normalize(threads, &large, &counted, &memory))));
    let direct = direct::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: 48,
        outputs: 40,
        kernel: (3, 3),
        stride: 2,
        padding: (0, 0),
        normalize: None,
    };
    let direct = direct::convolve(threads, direct, &seen, (11, 18), &workspace);
    made.push(("direct convolution", checksum(&direct)));
    let attended =
        attention::scaled_dot_product_attention(threads, &seen, &seen, &seen, &workspace);
    made.push(("attention", checksum(&attended)));
    let linear = linear_attention::attend(threads, &[&seen], 8, &memory);
    made.push(("linear attention", checksum(&linear)));
    for (name, groups) in [("depthwise", 48), ("grouped", 4)] {
        let weight = values(48 * (48 / groups) * 9, 8);
        let params = grouped::GroupedConv2dParams { weight: &weight, bias: None, groups, side: 3 };
        made.push((name, checksum(&grouped::convolve(threads, params, &seen, &memory))));
    }
    made
}

/// By whichever machine: all make the same.
const EXPECTED: [(&str, u64); 12] = [
    ("silu", 0x6b81_1162_0f10_5018),
    ("mish", 0x04c2_aa8b_6add_8626),
    ("gelu", 0x7375_23aa_7289_0253),
    ("relu", 0x73a2_8189_559a_7cfc),
    ("F(4x4, 3x3)", 0xe109_1494_ffee_4db7),
    ("F(6x6, 3x3), upsampled", 0x1452_85d9_dc5c_ff53),
    ("group norm", 0xa69e_535a_0a8f_8436),
    ("direct convolution", 0xab21_d3fc_028b_948e),
    ("attention", 0x98d8_8353_e476_845d),
    ("linear attention", 0x395e_0acc_3e91_f2b1),
    ("depthwise", 0x0d84_ce28_021d_51ee),
    ("grouped", 0x4e38_2b21_bf53_b64c),
];

#[test]
fn one_result_on_every_machine() {
    for instructions in [Instructions::Vectors, Instructions::Plain] {
        for count in [1, 3] {
            let found = found(Threads { count, instructions });
            let name = match instructions {
                Instructions::Vectors => Instructions::detected(),
                Instructions::Plain => "plain",
            };
            assert_eq!(found, EXPECTED, "{name}, {count} threads");
        }
    }
}
