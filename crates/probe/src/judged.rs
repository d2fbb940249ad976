//! One number beside what sound VAEs have.

use serde::Serialize;

/// How many times as far as the worst sound VAE a number may lie from a perfect one.
pub const MARGIN: f64 = 2.0;

/// Which way a number is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The smaller.
    Lower,
    /// The larger.
    Higher,
    /// The nearer to 1: the bar counts upwards, and its inverse downwards.
    NearOne,
}

/// One number held against its bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Judged {
    /// The field's name in the numbers.
    pub name: &'static str,
    /// A word or two for a reader.
    pub label: &'static str,
    /// What was measured; `None` where it could not be, which misses the bar.
    pub value: Option<f64>,
    /// Its unit; empty for a share.
    pub unit: &'static str,
    /// Which way it is better.
    pub better: Better,
    /// The worst that sound VAEs had.
    pub worst_of_sound: f64,
    /// What has to be reached.
    pub bar: f64,
    /// The room between value and bar in dB, from -60 to 60; below 0 the bar is missed.
    pub room_db: f64,
    /// What the number says, in a sentence without a full stop.
    pub meaning: &'static str,
}

impl Judged {
    /// Whether the bar is missed.
    pub fn is_missed(&self) -> bool {
        self.room_db.is_nan() || self.room_db < 0.0
    }

    /// Whether a number is worse than any sound VAE had it: no fault by itself, but worth a look.
    pub fn is_worse_than_sound(&self) -> bool {
        self.room_db.is_nan() || self.room_db < 20.0 * MARGIN.log10() - 1e-6
    }

    /// What was measured, with its unit, such as `4.24 levels`.
    pub fn measured(&self) -> String {
        let Some(value) = self.value else { return "not measured".to_owned() };
        [&digits(value), self.unit].join(" ").trim_end().to_owned()
    }

    /// `value` as a bound, such as `<= 11.0`, or `0.455 to 2.20` for what is to be near 1.
    pub fn bound(&self, value: f64) -> String {
        match self.better {
            Better::Lower => format!("<= {}", digits(value)),
            Better::Higher => format!(">= {}", digits(value)),
            Better::NearOne => format!("{} to {}", digits(1.0 / value), digits(value)),
        }
    }

    /// The bar missed, in words.
    pub fn reason(&self) -> String {
        let Self { name, label, .. } = self;
        let found = match self.value {
            Some(_) => format!("is {}", self.measured()),
            None => "could not be measured".to_owned(),
        };
        format!("{label} (`{name}`) {found}; the bar is {}", self.bound(self.bar))
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 1e-3 => format!("{value:.1e}"),
        small if small < 1.0 => format!("{value:.3}"),
        middle if middle < 10.0 => format!("{value:.2}"),
        middle if middle < 1e5 => format!("{value:.1}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(value: Option<f64>, better: Better, bar: f64) -> Judged {
        let (worst_of_sound, room_db) = (bar / MARGIN, -1.0);
        let (name, label, unit, meaning) = ("grid_rms_levels", "grid", "levels", "a pattern");
        Judged { name, label, value, unit, better, worst_of_sound, bar, room_db, meaning }
    }

    #[test]
    fn reasons_say_what_is_and_what_should_be() {
        let found = judged(Some(11.4214), Better::Lower, 11.0);
        assert_eq!(found.reason(), "grid (`grid_rms_levels`) is 11.4 levels; the bar is <= 11.0");
        let small = judged(Some(2.3e-7), Better::Higher, 1e-6).reason();
        assert!(small.ends_with("is 2.3e-7 levels; the bar is >= 1.0e-6"), "{small}");
        let near = judged(None, Better::NearOne, 2.2).reason();
        assert!(near.ends_with("could not be measured; the bar is 0.455 to 2.20"), "{near}");
        assert_eq!(judged(None, Better::Lower, 1.0).measured(), "not measured");
        assert_eq!(judged(Some(0.0), Better::Lower, 1.0).measured(), "0 levels");
    }

    #[test]
    fn within_the_bar_is_not_yet_sound() {
        let with = |room_db| Judged { room_db, ..judged(Some(1.0), Better::Lower, 1.0) };
        let at_worst = 20.0 * MARGIN.log10();
        assert!(!with(at_worst).is_worse_than_sound());
        assert!(with(4.4).is_worse_than_sound() && !with(4.4).is_missed());
        assert!(with(f64::NAN).is_worse_than_sound() && with(f64::NAN).is_missed());
    }
}
