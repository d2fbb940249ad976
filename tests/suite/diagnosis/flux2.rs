//! What goes wrong between FLUX.2's autoencoder and its diffusion model, and what does not.

use ndarray::{Array3, Array4, ArrayD};
use vae_fidelity::Dtype;
use vae_fidelity::diagnosis::{LatentsScale, UserFiles};
use vae_fidelity::scaling::{PatchedBatchNorm, Scaling, patched, unpatched};

use super::faults::Fault;
use super::plot::{Plot, copied, latents, picture};
use super::runs::{Model, Numbers, Run};
use super::{assert_strong_ones_found_of, photograph, said_of_files};

const FLUX2: &[&str] = &["flux2-small"];

fn rule(plot: &Plot) -> PatchedBatchNorm {
    let Scaling::PatchedBatchNorm(rule) = plot.vae.scaling().unwrap() else {
        panic!("no model of FLUX.2's class")
    };
    rule
}

/// Latents in patches, not normalised.
fn patches(plot: &Plot) -> Array4<f32> {
    patched(plot.run.encoded.latents.view(), [2, 2]).unwrap()
}

/// einops' `b c (h ph) (w pw) -> b (c pw ph) h w`, as Wan 2.2 has it.
fn columns_first(latents: &Array4<f32>) -> Array4<f32> {
    let (n, channels, height, width) = latents.dim();
    Array4::from_shape_fn((n, channels * 4, height / 2, width / 2), |(n, at, y, x)| {
        latents[[n, at / 4, 2 * y + at % 2, 2 * x + at / 2 % 2]]
    })
}

/// einops' `b c (h ph) (w pw) -> b (ph pw c) h w`, as Ideogram 4's tokens have it.
fn channels_last(latents: &Array4<f32>) -> Array4<f32> {
    let (n, channels, height, width) = latents.dim();
    Array4::from_shape_fn((n, channels * 4, height / 2, width / 2), |(n, at, y, x)| {
        let patch = at / channels;
        latents[[n, at % channels, 2 * y + patch / 2, 2 * x + patch % 2]]
    })
}

/// What a diffusion model gives back, as `of` patches it, decoded by the right rule.
fn decoded(plot: &Plot, given: Array4<f32>) -> vae_fidelity::Result<Option<UserFiles>> {
    let vae = plot.vae;
    picture(&vae.decode(vae.unscale(given.view())?.view())?)
}

pub fn faults() -> Vec<Fault> {
    const STATISTICS: &str = "batch-norm-statistics";
    const ORDER: &str = "latent-patch-order";
    let strong = |cause, code, plant| Fault { cause, code, strong: true, models: FLUX2, plant };
    vec![
        strong("FLUX.2: one value a patch", "latent-channels-repeated", |plot| {
            copied(plot, |channel| channel / 4 * 4)
        }),
        strong("FLUX.2: statistics left out", STATISTICS, |plot| latents(patches(plot))),
        strong("FLUX.2: latents as the model makes them", STATISTICS, |plot| {
            latents(plot.run.encoded.latents.clone())
        }),
        strong("FLUX.2: statistics applied twice", STATISTICS, |plot| {
            latents(rule(plot).normalised(&plot.run.latents, Dtype::F32))
        }),
        strong("FLUX.2: statistics the wrong way round", STATISTICS, |plot| {
            latents(rule(plot).denormalised(&patches(plot), Dtype::F32))
        }),
        strong("FLUX.2: only the mean subtracted", STATISTICS, |plot| {
            latents(rule(plot).by_channel(&patches(plot), |z, mean, _| z - mean))
        }),
        strong("FLUX.2: columns of a patch before its rows", ORDER, |plot| {
            let so = columns_first(&plot.run.encoded.latents);
            latents(rule(plot).normalised(&so, Dtype::F32))
        }),
        strong("FLUX.2: channels last in a patch", ORDER, |plot| {
            latents(channels_last(&unpatched(plot.run.latents.clone(), [2, 2])?))
        }),
        strong("FLUX.2: a draw, not the mode", "sample-vs-mode", |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            latents(plot.vae.scale(drawn.view())?)
        }),
        strong("FLUX.2: decoded without the statistics", STATISTICS, |plot| {
            let so = unpatched(plot.run.latents.clone(), [2, 2])?;
            picture(&plot.vae.decode(so.view())?)
        }),
        strong("FLUX.2: decoded with the statistics twice", STATISTICS, |plot| {
            decoded(plot, rule(plot).denormalised(&plot.run.latents, Dtype::F32))
        }),
        strong("FLUX.2: unpatched columns first", ORDER, |plot| {
            let so = unpatched(plot.run.latents.clone(), [2, 2])?;
            decoded(plot, columns_first(&so))
        }),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    assert_strong_ones_found_of(FLUX2, faults().len());
}

#[test]
fn every_form_that_a_pipeline_has_is_taken_as_it_is() {
    let model = Model::load("flux2-small");
    let run = Run::of(&model.vae, &photograph("coffee.jpg")).unwrap();
    let plot = Plot { vae: &model.vae, model: &model, run: &run, seed: 7 };
    let (_, channels, height, width) = run.latents.dim();
    let tokens = Array3::from_shape_fn((1, height * width, channels), |(_, token, channel)| {
        run.latents[[0, channel, token / width, token % width]]
    });
    let half = run.latents.mapv(|z| Dtype::Bf16.round(z));
    let scaled: [ArrayD<f32>; 4] = [
        run.latents.clone().into_dyn(),
        tokens.into_dyn(),
        run.latents.index_axis(ndarray::Axis(0), 0).to_owned().into_dyn(),
        half.into_dyn(),
    ];
    let raw = [run.encoded.latents.clone().into_dyn(), patches(&plot).into_dyn()];
    let of = |scale, tensor| (scale, tensor);
    let scaled = scaled.map(|tensor| of(LatentsScale::Scaled, tensor));
    let raw = raw.map(|tensor| of(LatentsScale::Raw, tensor));
    for (latents_scale, latents) in scaled.into_iter().chain(raw) {
        let shape = latents.shape().to_vec();
        let decoded_image = picture(&run.decoded).unwrap().unwrap().decoded_image;
        let files = UserFiles {
            latents: Some(latents),
            latents_scale,
            decoded_image,
            ..UserFiles::default()
        };
        let diagnosis = run.diagnosis(&model.vae, &files, None).unwrap();
        let errors = said_of_files(&diagnosis);
        assert!(errors.is_empty(), "{latents_scale:?} {shape:?}: {errors:?}");
        let [ours, picture] = diagnosis.files.as_slice() else { panic!("{:?}", diagnosis.files) };
        assert!(ours.relative_difference.unwrap() < 0.01, "{shape:?}: {ours:?}");
        // bf16 moves a level here and there.
        assert!(picture.largest_difference.unwrap() <= 4.0, "{shape:?}: {picture:?}");
    }
}

#[test]
fn a_form_of_another_model_is_said_to_be_that() {
    let model = Model::load("flux2-small");
    let run = Run::of(&model.vae, &photograph("coffee.jpg")).unwrap();
    let titles = |values: Array4<f32>, latents_scale| {
        let files =
            UserFiles { latents: Some(values.into_dyn()), latents_scale, ..UserFiles::default() };
        let found = run.diagnosis(&model.vae, &files, None).unwrap().findings;
        found
            .into_iter()
            .map(|f| format!("{} {}: {}", f.severity, f.code, f.title))
            .collect::<Vec<_>>()
    };
    let says = |found: Vec<String>, part: &str| {
        assert!(found.iter().any(|line| line.contains(part)), "{part}: {found:?}");
    };
    // FIBO 2's: normalised, and unpatched again.
    let unpatched = unpatched(run.latents.clone(), [2, 2]).unwrap();
    says(
        titles(unpatched, LatentsScale::Scaled),
        "warning latent-patch-order: your latents are normal",
    );
    // Scaled ones that are called raw.
    says(titles(run.latents.clone(), LatentsScale::Raw), "normalised by bn, and are called raw");
    // FLUX.1's channels, and another size.
    let (_, channels, height, width) = run.encoded.latents.dim();
    let other = Array4::zeros((1, channels / 2, height, width));
    says(titles(other, LatentsScale::Scaled), "error wrong-family-channels");
    let smaller = run.latents.slice(ndarray::s![.., .., ..1, ..]).to_owned();
    says(titles(smaller, LatentsScale::Scaled), "size-mismatch");
    let mut broken = run.latents.clone();
    broken[[0, 0, 0, 0]] = f32::NAN;
    says(titles(broken, LatentsScale::Scaled), "error non-finite-output");
}
