//! What goes wrong between DC-AE, its picture and its diffusion model (Sana), and what does not.

use ndarray::s;

use super::faults::Fault;
use super::plot::{copied, encoded, fed, latents, picture, reshaped, scaled_by};
use super::{assert_strong_ones_found_of, own_files_pass};

/// Of 4 and of 16 pixels a latent: those of 32 leave four latents of a photograph of this size.
const DC: &[&str] = &["dc-uneven", "dc-mix-small"];

pub fn faults() -> Vec<Fault> {
    const SCALING: &str = "scaling-factor-mismatch";
    let strong = |cause, code, plant| Fault { cause, code, strong: true, models: DC, plant };
    vec![
        strong("DC-AE: Stable Diffusion's factor", SCALING, |plot| scaled_by(plot, 0.18215)),
        strong("DC-AE: latents not scaled", SCALING, |plot| scaled_by(plot, 1.0)),
        strong("DC-AE: latents scaled twice", SCALING, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, own * own)
        }),
        strong("DC-AE: latents divided by the factor", SCALING, |plot| {
            let own = plot.vae.config().scaling_factor().unwrap();
            scaled_by(plot, 1.0 / own)
        }),
        // Decoded so, nothing is seen with drawn weights: the first norm takes the factor out.
        strong("DC-AE: half of the channels, twice", "latent-channels-repeated", |plot| {
            let half = plot.run.latents.dim().1 / 2;
            copied(plot, |channel| channel % half)
        }),
        strong("DC-AE: latents of another class", "wrong-family-channels", |plot| {
            latents(plot.run.latents.slice(s![.., ..4, .., ..]).to_owned())
        }),
        strong("DC-AE: latents reshaped from tokens, not permuted", "layout-scrambled", |plot| {
            latents(reshaped(&plot.run.latents))
        }),
        strong("DC-AE: fed [0, 1]", "input-not-normalised", |plot| {
            fed(plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong("DC-AE: [0, 1] into the encoder, seen in latents", "input-not-normalised", |plot| {
            encoded(plot, plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong("DC-AE: a picture in [0, 1] taken for [-1, 1]", "output-not-denormalised", |plot| {
            picture(&plot.run.decoded.mapv(|x| (x / 2.0 + 0.5).clamp(0.0, 1.0)))
        }),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    assert_strong_ones_found_of(DC, DC.len() * faults().len());
}

#[test]
fn their_own_files_are_taken_as_they_are() {
    for model in ["dc-uneven", "dc-mix-small", "dc-sana-small"] {
        let diagnosis = own_files_pass(model);
        // What this class cannot have is not asked for.
        let open = diagnosis.not_decided.iter().flat_map(|open| &open.codes);
        let open: Vec<&str> = open.map(|code| code.as_str()).collect();
        for code in ["sample-vs-mode", "symmetric-downsample-padding", "batch-norm-statistics"] {
            assert!(!open.contains(&code), "{model}: {open:?}");
        }
    }
}
