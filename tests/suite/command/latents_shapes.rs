//! Latents in other shapes than a decoder takes, and latents of which some channels are not as they should be, through
//! the command line.

use ndarray::{Array4, ArrayD, Axis, IxDyn, s};
use vae_fidelity::tensor_file::{read, to_npy};

use super::sandbox::{Ran, Sandbox};

/// A run of the built-in VAE, and its latents (1, 16, h, w).
fn saved() -> (Sandbox, Array4<f32>) {
    let sandbox = Sandbox::new();
    let photograph = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/astronaut.png");
    sandbox.write("photo.png", std::fs::read(photograph).unwrap());
    let run = ["check", "photo.png", "--engine", "fast", "--save-latents", "z.safetensors"];
    sandbox.run(&run).exits(0);
    let tensors = read(&sandbox.path("z.safetensors")).unwrap();
    let latents = tensors.into_iter().find(|t| t.name.as_deref() == Some("latents")).unwrap();
    (sandbox, latents.values.into_dimensionality().unwrap())
}

fn check(sandbox: &Sandbox, latents: ArrayD<f32>) -> Ran {
    let latents = latents.as_standard_layout().to_owned();
    sandbox.write("mine.npy", to_npy(latents.view()));
    sandbox.run(&["check", "photo.png", "--engine", "fast", "--latents", "mine.npy"])
}

/// What FLUX.1's pipelines return as latents, tokens of pixels, and one row of values.
#[test]
fn tokens_are_unfolded_and_said_to_be_that() {
    let (sandbox, latents) = saved();
    let (_, c, h, w) = latents.dim();
    // diffusers' `FluxPipeline._pack_latents`.
    let patches =
        latents.clone().into_shape_with_order(IxDyn(&[1, c, h / 2, 2, w / 2, 2])).unwrap();
    let packed = patches.permuted_axes(vec![0, 2, 4, 1, 3, 5]).as_standard_layout().to_owned();
    let packed = packed.into_shape_with_order(IxDyn(&[1, h * w / 4, 4 * c])).unwrap();
    check(&sandbox, packed)
        .exits(0)
        .says("tokens of 2 x 2 patches, as FLUX.1's pipelines pack them");
    let pixels = latents.clone().permuted_axes([0, 2, 3, 1]).as_standard_layout().to_owned();
    let pixels = pixels.into_shape_with_order(IxDyn(&[1, h * w, c])).unwrap();
    check(&sandbox, pixels).exits(0).says("tokens, pixel after pixel");
    let row = latents.clone().into_shape_with_order(IxDyn(&[c * h * w])).unwrap();
    check(&sandbox, row).exits(0).says("values in one row");
    // A file of moments has the means first.
    let both = ndarray::concatenate![Axis(1), latents, latents.mapv(|_| -9.0)];
    check(&sandbox, both.into_dyn()).exits(0).says("log-variances behind them");
}

#[test]
fn a_channel_that_is_off_is_named_and_no_statistics_are_blamed() {
    let (sandbox, latents) = saved();
    type Change = fn(&mut Array4<f32>);
    let zero: Change = |z| z.slice_mut(s![.., 3, .., ..]).fill(0.0);
    let negated: Change = |z| z.slice_mut(s![.., 4, .., ..]).mapv_inplace(|z| -z);
    let exchanged: Change = |z| {
        let order: Vec<usize> =
            (0..z.dim().1).map(|c| [2, 1].get(c.wrapping_sub(1)).copied().unwrap_or(c)).collect();
        *z = z.select(Axis(1), &order);
    };
    let contrast: Change = |z| {
        for mut channel in z.axis_iter_mut(Axis(1)) {
            let mean = channel.mean().unwrap();
            channel.mapv_inplace(|z| (z - mean) * 1.3 + mean);
        }
    };
    for (change, said) in [
        (zero, "15 of 16 channels: channel 3 is zero"),
        (negated, "channel 4 has the opposite sign"),
        (exchanged, "channel 1 has what channel 2 should, channel 2 has what channel 1 should"),
        (contrast, "spread 1.300 times as far about each channel's own mean"),
    ] {
        let mut changed = latents.clone();
        change(&mut changed);
        let ran = check(&sandbox, changed.into_dyn()).exits(1).says(said);
        ran.check(!ran.stdout.contains("error    latent-stats-ignored"), "expected no other cause");
    }
}

#[test]
fn two_faults_of_one_file_are_both_said() {
    let (sandbox, latents) = saved();
    let factor = 0.42893;
    let turned = latents.slice(s![.., .., .., ..;-1]).mapv(|z| z * factor);
    let ran = check(&sandbox, turned.into_dyn()).exits(1).says("layout-scrambled");
    ran.says("scaled twice by 0.42893");
}
