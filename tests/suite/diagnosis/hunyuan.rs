//! What goes wrong between HunyuanImage's autoencoder, its picture and its diffusion model, and what does not.

use ndarray::s;

use super::faults::Fault;
use super::plot::{copied, encoded, fed, latents, picture, reshaped, scaled_by};
use super::runs::Numbers;
use super::{assert_strong_ones_found_of, own_files_pass};

/// Of 2 and of 4 pixels a latent: those of 32 leave four latents of a photograph of this size.
const HUNYUAN: &[&str] = &["hunyuanimage-uneven", "hunyuanimage-flat"];

pub fn faults() -> Vec<Fault> {
    const SCALING: &str = "scaling-factor-mismatch";
    let strong = |cause, code, plant| Fault { cause, code, strong: true, models: HUNYUAN, plant };
    vec![
        strong("HunyuanImage: Stable Diffusion's factor", SCALING, |plot| scaled_by(plot, 0.18215)),
        strong("HunyuanImage: HunyuanVideo's factor", SCALING, |plot| scaled_by(plot, 0.476986)),
        strong("HunyuanImage: latents not scaled", SCALING, |plot| scaled_by(plot, 1.0)),
        strong("HunyuanImage: latents scaled twice", SCALING, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, own * own)
        }),
        strong("HunyuanImage: latents divided by the factor", SCALING, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, 1.0 / own)
        }),
        strong("HunyuanImage: a draw, not the mode", "sample-vs-mode", |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            latents(plot.vae.scale(drawn.view())?)
        }),
        strong("HunyuanImage: half of the channels, twice", "latent-channels-repeated", |plot| {
            let half = plot.run.latents.dim().1 / 2;
            copied(plot, |channel| channel % half)
        }),
        strong("HunyuanImage: latents of another class", "wrong-family-channels", |plot| {
            latents(plot.run.latents.slice(s![.., ..2, .., ..]).to_owned())
        }),
        strong(
            "HunyuanImage: latents reshaped from tokens, not permuted",
            "layout-scrambled",
            |plot| latents(reshaped(&plot.run.latents)),
        ),
        strong("HunyuanImage: fed [0, 1]", "input-not-normalised", |plot| {
            fed(plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong(
            "HunyuanImage: [0, 1] into the encoder, seen in latents",
            "input-not-normalised",
            |plot| encoded(plot, plot.run.sample.mapv(|x| x / 2.0 + 0.5)),
        ),
        strong(
            "HunyuanImage: a picture in [0, 1] taken for [-1, 1]",
            "output-not-denormalised",
            |plot| picture(&plot.run.decoded.mapv(|x| (x / 2.0 + 0.5).clamp(0.0, 1.0))),
        ),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    assert_strong_ones_found_of(HUNYUAN, HUNYUAN.len() * faults().len());
}

#[test]
fn their_own_files_are_taken_as_they_are() {
    for model in ["hunyuanimage-uneven", "hunyuanimage-flat", "hunyuanimage-small"] {
        let diagnosis = own_files_pass(model);
        // What this class cannot have is not asked for, and what it can is.
        let open = diagnosis.not_decided.iter().flat_map(|open| &open.codes);
        let open: Vec<&str> = open.map(|code| code.as_str()).collect();
        for code in
            ["symmetric-downsample-padding", "batch-norm-statistics", "shift-factor-dropped"]
        {
            assert!(!open.contains(&code), "{model}: {open:?}");
        }
    }
}
