//! Bars for what was measured, and the one number that sums it up.
//!
//! **Bars.** [`WORST_OF_SOUND`] of each number is the worst that sound VAEs had: the trained ones that this
//! project carries (16 and 8 latent channels), as they are, with weights in f16, bf16, float8, 8 and 6 bits,
//! with noise of 3 % as tuning leaves it, and in the arithmetic of f16 and bf16. The bar is [`MARGIN`] times as
//! far away from what a perfect picture would have. `vae_fidelity_tools.measurement.probe` measures them again
//! into `tests/probe.json`, and a test holds the table against that file.
//!
//! **Score.** The room to a bar is 20 log10 of how many times a number could be as bad as it is, in dB: 6 at
//! the worst of sound VAEs, 0 at the bar, below it where the bar is missed. The score is the least room of
//! all numbers, from -60 to 60; -60 where something decoded is NaN or infinite. It falls with every number
//! that becomes worse than it was in any sound VAE, and says nothing of how good a sound one is.

use crate::judged::{Better, Judged};
use crate::numbers::Numbers;

pub use crate::judged::MARGIN;

/// The room of what is NaN or missing, and the least that is told, in dB.
pub const LEAST_DB: f64 = -60.0;
/// The most that is told, in dB.
const MOST_DB: f64 = 60.0;

/// How a bar follows from the worst of sound VAEs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// 0 is perfect; so many times the worst.
    Loss,
    /// 1 is perfect: what is missing of it is a loss.
    ShareOfOne,
    /// More is better without a natural end, or up to one that sound VAEs do not come near.
    Amount,
    /// 1 is meant, and twice as much is as bad as half.
    Ratio,
}

struct Bar {
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    scale: Scale,
    of: fn(&Numbers) -> Option<f64>,
    /// Whether an implementation need not have it.
    optional: bool,
    meaning: &'static str,
}

const fn bar(
    name: &'static str,
    label: &'static str,
    unit: &'static str,
    scale: Scale,
    of: fn(&Numbers) -> Option<f64>,
    meaning: &'static str,
) -> Bar {
    Bar { name, label, unit, scale, of, optional: false, meaning }
}

const BARS: [Bar; 21] = [
    bar(
        "grid_rms_levels",
        "grid",
        "levels",
        Scale::Loss,
        |n| n.grid_rms_levels,
        "pattern on a flat grey that repeats with every block of latents",
    ),
    bar(
        "unevenness_rms_levels",
        "unevenness",
        "levels",
        Scale::Loss,
        |n| n.unevenness_rms_levels,
        "how much a flat grey depends on the place in the picture",
    ),
    bar(
        "grey_shift_delta_e_2000",
        "grey shift",
        "dE00",
        Scale::Loss,
        |n| n.grey_shift_delta_e_2000,
        "how far a flat grey comes back from what it was; 1 is just seen",
    ),
    bar(
        "grey_chroma_ab",
        "grey tint",
        "C*ab",
        Scale::Loss,
        |n| n.grey_chroma_ab,
        "colour that a ramp of greys takes on",
    ),
    bar(
        "ramp_rms_levels",
        "tone",
        "levels",
        Scale::Loss,
        |n| n.ramp_rms_levels,
        "how far a ramp of greys bends or falls into steps",
    ),
    bar(
        "border_rms_levels",
        "borders",
        "levels",
        Scale::Loss,
        |n| n.border_rms_levels,
        "error of the ramps within 8 pixels of the left and right borders",
    ),
    bar(
        "colour_mean_delta_e_2000",
        "colours",
        "dE00",
        Scale::Loss,
        |n| n.colour_mean_delta_e_2000,
        "mean error of 24 colours; 1 is just seen",
    ),
    bar(
        "colour_max_delta_e_2000",
        "worst colour",
        "dE00",
        Scale::Loss,
        |n| n.colour_max_delta_e_2000,
        "largest error of 24 colours",
    ),
    bar(
        "mtf50_cycles_per_pixel",
        "resolution",
        "cycles/px",
        Scale::Amount,
        |n| n.mtf50_cycles_per_pixel,
        "MTF50: where slanted edges keep half of their contrast; 0.5 is the finest",
    ),
    bar(
        "ringing_percent",
        "ringing",
        "%",
        Scale::Loss,
        |n| n.ringing_percent,
        "how far edges overshoot",
    ),
    bar(
        "edge_shift_pixels",
        "shift",
        "px",
        Scale::Loss,
        |n| n.edge_shift_pixels,
        "how far edges moved",
    ),
    bar(
        "rings_half_cycles_per_pixel",
        "rings",
        "cycles/px",
        Scale::Amount,
        |n| n.rings_half_cycles_per_pixel,
        "where a zone plate keeps half of its rings in their place",
    ),
    bar(
        "text_correlation",
        "text",
        "",
        Scale::ShareOfOne,
        |n| n.text_correlation,
        "likeness of text to what was written; 1 is all of it",
    ),
    bar(
        "checker_16_gain",
        "checkers",
        "",
        Scale::ShareOfOne,
        |n| n.checkers.iter().find(|of| of.field_pixels == 16)?.gain,
        "how much of checkers with fields of 16 pixels comes back in its place",
    ),
    bar(
        "point_gain",
        "points",
        "",
        Scale::Ratio,
        |n| n.point_gain,
        "how much of points of 3 x 3 pixels comes back in its place",
    ),
    bar(
        "point_gain_spread",
        "point spread",
        "",
        Scale::Loss,
        |n| n.point_gain_spread,
        "how much that depends on the place",
    ),
    bar(
        "drift_delta_e_2000_per_trip",
        "drift",
        "dE00/trip",
        Scale::Loss,
        // A picture that comes nearer does not drift.
        |n| n.drift_delta_e_2000_per_trip.map(|drift| drift.max(0.0)),
        "how much colours move with each of ten trips",
    ),
    bar(
        "latents_std",
        "latents",
        "",
        Scale::Ratio,
        |n| n.latents_std,
        "spread of scaled latents, which diffusion takes to be 1",
    ),
    bar(
        "repeat_share",
        "repeats",
        "",
        Scale::Loss,
        |n| n.repeat_share,
        "difference of the latents of two runs on one picture",
    ),
    Bar {
        name: "posterior_std_share",
        label: "posterior",
        unit: "",
        scale: Scale::Amount,
        of: |n| n.posterior_std_share,
        optional: true,
        meaning: "spread of the posterior over that of its mean; next to 0 its log-variances lie at the clamp",
    },
    Bar {
        name: "conversion_mean_levels",
        label: "conversion",
        unit: "levels",
        scale: Scale::Loss,
        of: |n| n.conversion_mean_levels,
        optional: true,
        meaning: "difference of the implementation's own pixels to what was decoded",
    },
];

/// The worst that sound VAEs had, in the order of the numbers that are judged.
///
/// Two are no measurements but what is meant: runs repeat themselves, and rounding to pixels is rounding.
pub const WORST_OF_SOUND: [(&str, f64); BARS.len()] = [
    ("grid_rms_levels", 0.59),
    ("unevenness_rms_levels", 3.8),
    ("grey_shift_delta_e_2000", 6.6),
    ("grey_chroma_ab", 4.3),
    ("ramp_rms_levels", 5.5),
    ("border_rms_levels", 16.0),
    ("colour_mean_delta_e_2000", 2.9),
    ("colour_max_delta_e_2000", 14.0),
    ("mtf50_cycles_per_pixel", 0.23),
    ("ringing_percent", 13.0),
    ("edge_shift_pixels", 0.18),
    ("rings_half_cycles_per_pixel", 0.13),
    ("text_correlation", 0.81),
    ("checker_16_gain", 0.83),
    ("point_gain", 2.174),
    ("point_gain_spread", 0.045),
    ("drift_delta_e_2000_per_trip", 1.5),
    ("latents_std", 1.1),
    ("repeat_share", 0.005),
    ("posterior_std_share", 2e-6),
    ("conversion_mean_levels", 0.05),
];

/// Every number that has a bar, with the room to it. What an implementation need not have is left out where
/// it is not there.
pub(crate) fn judge(numbers: &Numbers) -> Vec<Judged> {
    let judged = BARS.iter().zip(WORST_OF_SOUND).filter_map(|(of, (_, worst))| {
        let value = (of.of)(numbers);
        if value.is_none() && of.optional {
            return None;
        }
        Some(of.judged(value, worst))
    });
    judged.collect()
}

/// The room in dB that `value` of the number `name` has to its bar; `None` where no number with a bar has this
/// name.
///
/// ```
/// use vae_fidelity_probe::bars::{LEAST_DB, WORST_OF_SOUND, room_db};
/// let (name, worst) = WORST_OF_SOUND[0];
/// assert!((room_db(name, Some(worst)).unwrap() - 6.02).abs() < 0.01);
/// assert_eq!(room_db(name, Some(f64::NAN)), Some(LEAST_DB));
/// ```
pub fn room_db(name: &str, value: Option<f64>) -> Option<f64> {
    let of = BARS.iter().zip(WORST_OF_SOUND).find(|(of, _)| of.name == name);
    of.map(|(of, (_, worst))| of.judged(value, worst).room_db)
}

impl Bar {
    fn judged(&self, value: Option<f64>, worst: f64) -> Judged {
        let bar = match self.scale {
            Scale::Loss | Scale::Ratio => worst * MARGIN,
            Scale::ShareOfOne => 1.0 - (1.0 - worst) * MARGIN,
            Scale::Amount => worst / MARGIN,
        };
        // As people write it, not 0.6799999999999999.
        let bar = (bar * 1e9).round() / 1e9;
        let times = |value: f64| match self.scale {
            Scale::Loss => bar / value,
            // More than all of it is as wrong as less.
            Scale::ShareOfOne => (1.0 - bar) / (1.0 - value).abs(),
            Scale::Amount => value / bar,
            // What is not above 0 has no ratio.
            Scale::Ratio if value > 0.0 => bar / value.max(1.0 / value),
            Scale::Ratio => 0.0,
        };
        let room = value.map(|value| 20.0 * times(value).max(0.0).log10());
        let known = room.filter(|room| !room.is_nan());
        let room_db = known.map_or(LEAST_DB, |room| room.clamp(LEAST_DB, MOST_DB));
        let better = match self.scale {
            Scale::Loss => Better::Lower,
            Scale::ShareOfOne | Scale::Amount => Better::Higher,
            Scale::Ratio => Better::NearOne,
        };
        Judged {
            name: self.name,
            label: self.label,
            value,
            unit: self.unit,
            better,
            worst_of_sound: worst,
            bar,
            room_db,
            meaning: self.meaning,
        }
    }
}

/// The least room; -60 where something is not finite.
pub(crate) fn score_db(numbers: &Numbers, judged: &[Judged]) -> f64 {
    if numbers.non_finite > 0 {
        return LEAST_DB;
    }
    judged.iter().map(|judged| judged.room_db).fold(MOST_DB, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bar_has_its_measurement_and_every_number_a_field() {
        for (of, (name, worst)) in BARS.iter().zip(WORST_OF_SOUND) {
            assert_eq!(of.name, name);
            // 6 dB at the worst, 0 at the bar, by whichever scale.
            let at = of.judged(Some(worst), worst);
            assert!((at.room_db - 20.0 * MARGIN.log10()).abs() < 1e-6, "{name}");
            assert!(of.judged(Some(at.bar), worst).room_db.abs() < 1e-6, "{name}");
        }
        let json = serde_json::to_value(Numbers::default()).unwrap();
        let judged = BARS.iter().filter(|of| of.name != "checker_16_gain");
        for of in judged {
            assert!(json.get(of.name).is_some(), "{}", of.name);
        }
    }

    #[test]
    fn worse_is_less_room_and_nan_is_none() {
        for (of, (name, worst)) in BARS.iter().zip(WORST_OF_SOUND) {
            let room = |value| of.judged(Some(value), worst).room_db;
            let (better, worse) = match of.scale {
                Scale::Loss => (0.5 * worst, 4.0 * worst),
                Scale::ShareOfOne => (0.5 + 0.5 * worst, -1.0),
                Scale::Amount => (2.0 * worst, 0.1 * worst),
                Scale::Ratio => (1.0, 0.01),
            };
            assert!(room(better) > room(worst) && room(worst) > 0.0 && room(worse) < 0.0, "{name}");
            for hopeless in [f64::NAN, f64::NEG_INFINITY] {
                let judged = of.judged(Some(hopeless), worst);
                assert!(hopeless < 0.0 && of.scale == Scale::Loss || judged.is_missed(), "{name}");
            }
            assert_eq!(of.judged(None, worst).room_db, LEAST_DB);
            assert!(of.judged(None, worst).reason().contains("could not be measured"));
        }
        // Twice is as bad as half, and more than all as wrong as less.
        let room = |name, value| room_db(name, Some(value)).unwrap();
        assert!((room("latents_std", 1.1) - room("latents_std", 1.1)).abs() < 1e-9);
        assert!((room("checker_16_gain", 0.83) - room("checker_16_gain", 0.83)).abs() < 1e-9);
        assert_eq!(room_db("no_such_number", Some(1.0)), None);
    }

    #[test]
    fn the_score_is_the_least_room_and_nothing_that_is_not_finite_has_any() {
        let mut numbers = Numbers { grid_rms_levels: Some(0.1), ..Numbers::default() };
        let judged = judge(&numbers);
        assert_eq!(score_db(&numbers, &judged), LEAST_DB, "the others are missing");
        assert!(!judged[0].is_missed() && judged[1].is_missed());
        assert!(score_db(&numbers, &judged[..1]) > 0.0);
        numbers.non_finite = 1;
        assert_eq!(score_db(&numbers, &judged[..1]), LEAST_DB);
        // What an implementation need not have is not asked of it.
        assert!(!judged.iter().any(|of| of.name == "conversion_mean_levels"));
        assert_eq!(judged.len(), BARS.len() - 2);
    }
}
