//! What goes wrong with AsymmetricAutoencoderKL, whose halves are those of AutoencoderKL with other widths and
//! numbers of layers, and what does not.

use super::faults::Fault;
use super::plot::{latents, scaled_by};
#[cfg(feature = "tch")]
use super::ports::traced;
use super::runs::Numbers;
use super::{assert_strong_ones_found_of, own_files_pass};
#[cfg(feature = "tch")]
use crate::planted::port::Fault as PortFault;

const ASYMMETRIC: &[&str] = &["asymmetric-small"];

pub fn faults() -> Vec<Fault> {
    const SCALING: &str = "scaling-factor-mismatch";
    let strong =
        |cause, code, plant| Fault { cause, code, strong: true, models: ASYMMETRIC, plant };
    vec![
        strong("asymmetric: another family's factor", SCALING, |plot| scaled_by(plot, 0.13025)),
        strong("asymmetric: latents not scaled", SCALING, |plot| scaled_by(plot, 1.0)),
        strong("asymmetric: latents scaled twice", SCALING, |plot| {
            scaled_by(plot, 0.18215 * 0.18215)
        }),
        strong("asymmetric: a draw, not the mode", "sample-vs-mode", |plot| {
            let mut numbers = Numbers(plot.seed);
            let std = plot.run.encoded.std.as_ref().unwrap();
            let drawn = &plot.run.encoded.latents + &std.mapv(|std| std * numbers.normal());
            latents(drawn * 0.18215)
        }),
        // A port that gives the decoder as many layers as a level of it has by the config.
        #[cfg(feature = "tch")]
        strong("asymmetric: a layer less in the decoder, in a trace", "trace-diverges", |plot| {
            traced(plot, PortFault::OneResnetLess)
        }),
        #[cfg(feature = "tch")]
        strong(
            "asymmetric: padding on all sides, in a trace",
            "symmetric-downsample-padding",
            |plot| traced(plot, PortFault::SymmetricPadding),
        ),
    ]
}

#[test]
fn strong_faults_are_found_and_no_innocent_is_blamed() {
    assert_strong_ones_found_of(ASYMMETRIC, faults().len());
}

#[test]
fn its_own_files_are_taken_as_they_are() {
    own_files_pass("asymmetric-small");
}
