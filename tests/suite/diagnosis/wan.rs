//! What goes wrong between Wan's autoencoders, their pictures and their diffusion models, and what does not;
//! Qwen-Image's is one of them by another name, and Qwen-Image 2.1's one for pictures in RGBA.

use ndarray::{Array4, Axis, s};
use vae_fidelity::config::Family;
use vae_fidelity::diagnosis::{LatentsScale, UserFiles};
use vae_fidelity::scaling::{PerChannel, Scaling};
use vae_fidelity::{Dtype, Vae};

use super::faults::Fault;
use super::plot::{Plot, copied, fed, latents, picture};
use super::runs::{Model, Numbers, Run};
use super::{assert_strong_ones_found_of, own_files_pass, photograph, said_of_files};

const WAN: &[&str] = &["wan-small", "wan2.2-small", "qwen-image-small", "qwen-image-2.1-small"];
/// The one whose pixels are patched.
const PATCHED: &[&str] = &["wan2.2-small"];

fn rule(plot: &Plot) -> PerChannel {
    let Scaling::PerChannel(rule) = plot.vae.scaling().unwrap() else {
        panic!("no model of Wan's family")
    };
    rule
}

/// The statistics of the other of the two Wans, as many as there are channels.
fn of_another(plot: &Plot) -> PerChannel {
    let own = rule(plot);
    let first = |numbers: &[f64]| numbers[..own.mean.len()].to_vec();
    let of = |family: Family| {
        let (mean, std) = family.wan_statistics().unwrap();
        PerChannel { mean: first(mean), std: first(std), form: own.form }
    };
    [Family::Wan21, Family::Wan22].map(of).into_iter().find(|other| *other != own).unwrap()
}

/// `f` of each raw latent, with mean and standard deviation of its channel.
fn by_channel(plot: &Plot, f: impl Fn(f32, f32, f32) -> f32) -> Array4<f32> {
    let rule = rule(plot);
    let mut changed = plot.run.encoded.latents.clone();
    for (channel, mut values) in changed.axis_iter_mut(Axis(1)).enumerate() {
        let (mean, std) = (rule.mean[channel] as f32, rule.std[channel] as f32);
        values.mapv_inplace(|z| f(z, mean, std));
    }
    changed
}

/// einops' `b c (h ph) (w pw) -> b (c ph pw) h w`, put together as `b (c pw ph) h w`, which is the same the
/// other way round.
fn rows_first(pixels: &Array4<f32>) -> Array4<f32> {
    Array4::from_shape_fn(pixels.dim(), |(n, c, y, x)| {
        pixels[[n, c, y - y % 2 + x % 2, x - x % 2 + y % 2]]
    })
}

/// What `b (c pw ph) h w` is when it is put together as `b (ph pw c) h w`.
fn channels_last(pixels: &Array4<f32>) -> Array4<f32> {
    let channels = pixels.dim().1;
    Array4::from_shape_fn(pixels.dim(), |(n, c, y, x)| {
        let at = (2 * (y % 2) + x % 2) * channels + c;
        pixels[[n, at / 4, y - y % 2 + at % 2, x - x % 2 + at / 2 % 2]]
    })
}

/// Latents of a picture so changed, as a pipeline hands them on.
fn encoded(plot: &Plot, sample: &Array4<f32>) -> vae_fidelity::Result<Option<UserFiles>> {
    let raw = plot.vae.encode(sample.view(), None)?.latents;
    latents(plot.vae.scale(raw.view())?)
}

/// The picture of latents as they are.
fn decoded(plot: &Plot, raw: &Array4<f32>) -> vae_fidelity::Result<Option<UserFiles>> {
    picture(&plot.vae.decode(raw.view())?)
}

pub fn faults() -> Vec<Fault> {
    let mut faults = of_statistics();
    faults.extend(of_pictures());
    faults
}

fn of_statistics() -> Vec<Fault> {
    const STATISTICS: &str = "latent-stats-ignored";
    let strong = |cause, plant| Fault { cause, code: STATISTICS, strong: true, models: WAN, plant };
    vec![
        strong("Wan: statistics left out", |plot| latents(plot.run.encoded.latents.clone())),
        strong("Wan: statistics applied twice", |plot| {
            latents(rule(plot).scale(plot.run.latents.view(), Dtype::F32)?)
        }),
        strong("Wan: statistics the wrong way round", |plot| {
            latents(rule(plot).unscale(plot.run.encoded.latents.view(), Dtype::F32)?)
        }),
        strong("Wan: only the mean subtracted", |plot| {
            latents(by_channel(plot, |z, mean, _| z - mean))
        }),
        strong("Wan: only divided by the deviation", |plot| {
            latents(by_channel(plot, |z, _, std| z / std))
        }),
        strong("Wan: statistics of another Wan", |plot| {
            latents(of_another(plot).scale(plot.run.encoded.latents.view(), Dtype::F32)?)
        }),
        strong("Wan: statistics that nobody published", |plot| {
            let mut numbers = Numbers(plot.seed);
            let mut changed = plot.run.encoded.latents.clone();
            for mut values in changed.axis_iter_mut(Axis(1)) {
                let (mean, std) = (numbers.normal(), 0.3 + 2.0 * numbers.unit() as f32);
                values.mapv_inplace(|z| (z - mean) / std);
            }
            latents(changed)
        }),
        strong("Wan: Stable Diffusion's factor", |plot| {
            latents(plot.run.encoded.latents.mapv(|z| z * 0.18215))
        }),
        strong("Wan: a factor besides", |plot| latents(plot.run.latents.mapv(|z| z * 0.5))),
        strong("Wan: decoded without the statistics", |plot| decoded(plot, &plot.run.latents)),
        strong("Wan: decoded with the statistics twice", |plot| {
            decoded(plot, &rule(plot).unscale(plot.run.encoded.latents.view(), Dtype::F32)?)
        }),
        strong("Wan: decoded without the mean", |plot| {
            decoded(plot, &by_channel(plot, |z, mean, _| z - mean))
        }),
        strong("Wan: decoded without the deviation", |plot| {
            decoded(plot, &by_channel(plot, |z, mean, std| (z - mean) / std + mean))
        }),
        strong("Wan: decoded with another Wan's statistics", |plot| {
            decoded(plot, &of_another(plot).unscale(plot.run.latents.view(), Dtype::F32)?)
        }),
    ]
}

fn of_pictures() -> Vec<Fault> {
    const ORDER: &str = "layout-scrambled";
    let strong = |cause, code, plant| Fault { cause, code, strong: true, models: WAN, plant };
    let patched = |cause, plant| Fault { cause, code: ORDER, strong: true, models: PATCHED, plant };
    vec![
        strong("Wan: a draw, not the mode", "sample-vs-mode", |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            latents(plot.vae.scale(drawn.view())?)
        }),
        strong("Wan: half of the channels, twice", "latent-channels-repeated", |plot| {
            let half = plot.run.latents.dim().1 / 2;
            copied(plot, |channel| channel % half)
        }),
        strong("Wan: latents of another Wan", "wrong-family-channels", |plot| {
            let few = plot.run.latents.dim().1 / 2;
            latents(plot.run.latents.slice(s![.., ..few, .., ..]).to_owned())
        }),
        strong("Wan: fed [0, 1]", "input-not-normalised", |plot| {
            fed(plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        patched("Wan 2.2: pixels patched rows first, seen in latents", |plot| {
            encoded(plot, &rows_first(&plot.run.sample))
        }),
        patched("Wan 2.2: pixels unpatched rows first", |plot| {
            picture(&rows_first(&plot.run.decoded))
        }),
        patched("Wan 2.2: pixels unpatched channels last", |plot| {
            picture(&channels_last(&plot.run.decoded))
        }),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    let all = faults();
    let planted: usize = all.iter().map(|fault| fault.models.len()).sum();
    assert_strong_ones_found_of(WAN, planted);
}

#[test]
fn their_own_files_are_taken_as_they_are() {
    for model in WAN {
        own_files_pass(model);
    }
}

#[test]
fn every_form_that_a_pipeline_has_is_taken_as_it_is() {
    for name in WAN {
        let model = Model::load(name);
        let run = Run::of(&model.vae, &photograph("coffee.jpg")).unwrap();
        let raw = run.encoded.latents.clone();
        let scaled = run.latents.clone();
        let forms = [
            (LatentsScale::Scaled, scaled.clone()),
            (LatentsScale::Scaled, scaled.mapv(|z| Dtype::Bf16.round(z))),
            (
                LatentsScale::Scaled,
                scaled.permuted_axes([0, 2, 3, 1]).as_standard_layout().to_owned(),
            ),
            (LatentsScale::Raw, raw.clone()),
            (LatentsScale::Raw, raw.mapv(|z| Dtype::F16.round(z))),
        ];
        for (latents_scale, values) in forms {
            let decoded_image = picture(&run.decoded).unwrap().unwrap().decoded_image;
            let latents = Some(values.into_dyn());
            let files = UserFiles { latents, latents_scale, decoded_image, ..UserFiles::default() };
            let diagnosis = run.diagnosis(&model.vae, &files, None).unwrap();
            let said = said_of_files(&diagnosis);
            assert!(said.is_empty(), "{name} {latents_scale:?}: {said:?}");
            assert!(diagnosis.files[0].relative_difference.unwrap() < 0.01, "{name}");
        }
    }
}

#[test]
fn what_was_done_is_said_in_words() {
    let model = Model::load("wan2.2-small");
    let run = Run::of(&model.vae, &photograph("coffee.jpg")).unwrap();
    let plot = Plot { vae: &model.vae, model: &model, run: &run, seed: 7 };
    let says = |values: &Array4<f32>, latents_scale, part: &str| {
        let latents = Some(values.clone().into_dyn());
        let files = UserFiles { latents, latents_scale, ..UserFiles::default() };
        let found = run.diagnosis(&model.vae, &files, None).unwrap().findings;
        let titles: Vec<&str> = found.iter().map(|finding| finding.title.as_str()).collect();
        assert!(titles.iter().any(|title| title.contains(part)), "{part}: {titles:?}");
    };
    let raw = &run.encoded.latents;
    let by = |rule: PerChannel| rule.scale(raw.view(), Dtype::F32).unwrap();
    says(raw, LatentsScale::Scaled, "`latents_scale` raw compares them as that");
    says(
        &run.latents,
        LatentsScale::Raw,
        "are normalised by latents_mean and latents_std, and are",
    );
    says(&by(of_another(&plot)), LatentsScale::Scaled, "normalised by wan2.1's statistics");
    says(
        &raw.mapv(|z| z * 0.18215),
        LatentsScale::Scaled,
        "scaled by 0.18215, sd1's factor, not normalised",
    );
    let swapped = model.vae.encode(rows_first(&run.sample).view(), None).unwrap().latents;
    says(
        &model.vae.scale(swapped.view()).unwrap(),
        LatentsScale::Scaled,
        "patches of pixels in the order (c, ph, pw), where the model has (c, pw, ph)",
    );
}
