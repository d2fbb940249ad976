//! Changes of colours that are looked for by what they do to latents.

use super::super::codes::Cause;
use super::super::recolouring::{
    BT601, COLOUR_MATRIX, GAMMA_MISMATCH, LEVELS_CHANGED, Recolouring, in_words,
    saturation_in_words,
};

/// A change of colours with numbers that are 0 where it changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// Contrast about middle grey, and brightness.
    Levels,
    Gamma,
    Saturation,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Levels, Self::Gamma, Self::Saturation];

    /// How many numbers it has.
    pub fn free(self) -> usize {
        if self == Self::Levels { 2 } else { 1 }
    }

    /// Numbers to begin with: in dark and in light pictures powers bend so much that the first step from no
    /// change at all leads nowhere.
    pub fn starts(self) -> Vec<Vec<f64>> {
        match self {
            Self::Levels => vec![vec![0.0, 0.0]],
            Self::Saturation => vec![vec![0.0]],
            Self::Gamma => [0.0, -0.4, 0.8].map(|power| vec![power]).to_vec(),
        }
    }

    pub fn recolouring(self, numbers: &[f64]) -> Recolouring {
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0.0);
        match self {
            Self::Levels => Recolouring::line(1.0 + number(0), number(1) - number(0) / 2.0),
            Self::Gamma => Recolouring::Power(1.0 + number(0)),
            Self::Saturation => Recolouring::saturation(BT601, 1.0 + number(0)),
        }
    }

    pub fn in_words(self, numbers: &[f64]) -> (&'static Cause, String) {
        let number = |at: usize| numbers.get(at).copied().unwrap_or(0.0);
        match self {
            Self::Levels => {
                let words = in_words(1.0 + number(0), number(1) - number(0) / 2.0);
                (&LEVELS_CHANGED, format!("with its levels changed: {words}"))
            }
            Self::Gamma => {
                let power = 1.0 + number(0);
                (&GAMMA_MISMATCH, format!("with each level to the power of {power:.2}"))
            }
            Self::Saturation => {
                let by = 1.0 + number(0);
                (&COLOUR_MATRIX, saturation_in_words(by))
            }
        }
    }
}
