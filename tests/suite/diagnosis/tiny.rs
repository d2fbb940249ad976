//! What goes wrong between AutoencoderTiny, its picture and its diffusion model, and what does not.

use super::faults::Fault;
use super::plot::{fed, latents, picture};
use super::{assert_strong_ones_found_of, own_files_pass};

const TINY: &[&str] = &["tiny-small"];

pub fn faults() -> Vec<Fault> {
    const SCALING: &str = "scaling-factor-mismatch";
    let strong = |cause, code, plant| Fault { cause, code, strong: true, models: TINY, plant };
    vec![
        strong("TAESD: latents scaled as the VAE that it imitates", SCALING, |plot| {
            latents(plot.run.latents.mapv(|z| z * 0.18215))
        }),
        strong("TAESD: latents divided by that factor", SCALING, |plot| {
            latents(plot.run.latents.mapv(|z| z / 0.18215))
        }),
        strong("TAESD: latents in the range of pictures", SCALING, |plot| {
            latents(plot.run.latents.mapv(|z| (z / 6.0 + 0.5).clamp(0.0, 1.0)))
        }),
        strong("TAESD: latents in the range of pictures, and back twice", SCALING, |plot| {
            latents(plot.run.latents.mapv(|z| (z - 0.5) * 6.0))
        }),
        strong("TAESD: fed [0, 1], as taesd.py is", "input-not-normalised", |plot| {
            fed(plot.run.sample.mapv(|x| x / 2.0 + 0.5))
        }),
        strong(
            "TAESD: the picture in [0, 1] taken for [-1, 1]",
            "output-not-denormalised",
            |plot| picture(&plot.run.decoded.mapv(|x| (x / 2.0 + 0.5).clamp(0.0, 1.0))),
        ),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    assert_strong_ones_found_of(TINY, faults().len());
}

#[test]
fn its_own_files_are_taken_as_they_are() {
    let diagnosis = own_files_pass("tiny-small");
    // What this class cannot have is not asked for.
    let open: Vec<&str> = diagnosis
        .not_decided
        .iter()
        .flat_map(|open| &open.codes)
        .map(|code| code.as_str())
        .collect();
    for code in ["sample-vs-mode", "symmetric-downsample-padding", "batch-norm-statistics"] {
        assert!(!open.contains(&code), "{open:?}");
    }
}
