//! Each kernel of the fast engine, in operations a second (criterion's `Gelem/s` are Gflop/s): a
//! convolution counts the products and sums of its definition, whatever it is computed by.
//!
//! `cargo bench --bench kernels` runs everything; `-- --save-baseline before` keeps the figures, and
//! `-- --baseline before` compares with them.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use vae_fidelity::config;

use vae_fidelity_kernels::memory::{Memory, Workspace};
use vae_fidelity_kernels::norm::{self, Normalize, group_norm};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_kernels::{attention, direct, winograd};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("kernels");
    group.sample_size(10).warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2));
    for (channels, side) in [(512, 32), (512, 64), (256, 128), (128, 256)] {
        convolution(&mut group, channels, side, false);
    }
    convolution(&mut group, 256, 64, true);
    for (inputs, outputs, side, kernel, stride) in
        [(3, 128, 256, 3, 1), (128, 3, 256, 3, 1), (256, 256, 128, 3, 2), (256, 128, 256, 1, 1)]
    {
        direct_convolution(&mut group, (inputs, outputs), side, kernel, stride);
    }
    for side in [32, 64] {
        attended(&mut group, side);
    }
    normalizing(&mut group);
    group.finish();
    criterion.final_summary();
}

fn convolution(group: &mut Group, channels: usize, side: usize, upsample: bool) {
    let input = image(side, channels);
    let (weight, bias) = (values(channels * channels * 9), values(channels));
    let normalize =
        Normalize { activation: Some(config::Activation::Silu), ..Normalize::identity(&input) };
    let params = winograd::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs: channels,
        outputs: channels,
        normalize: (!upsample).then_some(&normalize),
        upsample,
    };
    let (workspace, (height, width)) = (Workspace::default(), params.output_size(&input));
    let name = if upsample { "winograd after doubling" } else { "winograd" };
    let operations = 2 * 9 * channels * channels * height * width;
    timed(group, format!("{name}/{channels} channels, {side} x {side}"), operations, || {
        winograd::convolve(Threads::available(), params, &input, None, &workspace)
    });
}

fn direct_convolution(
    group: &mut Group,
    (inputs, outputs): (usize, usize),
    side: usize,
    kernel: usize,
    stride: usize,
) {
    let input = image(side, inputs);
    let (weight, bias) = (values(outputs * inputs * kernel * kernel), values(outputs));
    let params = direct::Conv2dParams {
        weight: &weight,
        bias: &bias,
        inputs,
        outputs,
        kernel: (kernel, kernel),
        stride,
        padding: if stride == 1 { (kernel / 2, kernel / 2) } else { (0, 0) },
        normalize: None,
    };
    let (workspace, out) = (Workspace::default(), side / stride);
    let name = format!(
        "direct/{kernel} x {kernel}, stride {stride}, {inputs} to {outputs} channels, {side} x {side}"
    );
    let operations = 2 * kernel * kernel * inputs * outputs * out * out;
    timed(group, name, operations, || {
        direct::convolve(Threads::available(), params, &input, (out, out), &workspace)
    });
}

fn attended(group: &mut Group, side: usize) {
    let channels = 512;
    let (tokens, workspace) = (image(side, channels), Workspace::default());
    let operations = 4 * channels * (side * side).pow(2);
    timed(group, format!("attention/{channels} channels, {side} x {side}"), operations, || {
        attention::scaled_dot_product_attention(
            Threads::available(),
            &tokens,
            &tokens,
            &tokens,
            &workspace,
        )
    });
}

/// Sums of an image, and an image normalize with them; operations are values.
fn normalizing(group: &mut Group) {
    let (channels, side) = (128, 256);
    let (image, memory) = (image(side, channels), Memory::default());
    let (weight, bias) = (values(channels), values(channels));
    let norm = || group_norm(Threads::available(), &image, 32, &weight, &bias, 1e-6);
    let len = image.values().len();
    timed(group, format!("group norm/{channels} channels, {side} x {side}"), len, norm);
    let silu = Normalize { activation: Some(config::Activation::Silu), ..norm() };
    timed(group, format!("normalize and SiLU/{channels} channels, {side} x {side}"), len, || {
        norm::normalize(Threads::available(), &image, &silu, &memory)
    });
}

fn timed<T>(group: &mut Group, name: String, operations: usize, run: impl Fn() -> T) {
    group.throughput(Throughput::Elements(operations as u64));
    group.bench_function(name, |bencher| bencher.iter(|| black_box(run())));
}

fn image(side: usize, channels: usize) -> NhwcTensor {
    let planes = values(side * side * channels);
    NhwcTensor::from_chw(&Memory::default(), side, side, channels, &planes)
}

/// Numbers in [-0.1, 0.1) without a pattern that a kernel could profit from.
fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 10_007) as f32 / 50_035.0 - 0.1).collect()
}
