//! One search for what brings the reference's picture to the user's.

use super::super::codes::Cause;
use super::super::colour_fit::fitted;
use super::super::competition::{Competition, Explanation};
use super::super::evidence::Evidence;
use super::super::fit::{Line, psnr, spread};
use super::super::recolouring::{Named, Rgb, known};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// RMS in levels that rounding to 8 bits twice leaves.
const ROUNDING: f64 = 0.4;
/// The same that half precision leaves: 40 dB.
const HALF_PRECISION: f64 = 2.55;
/// Levels this near to black and white, of 255, may have been clamped.
const CLAMPED: f64 = 0.5;
/// Factors further from the line's slope than this, either way, decode to other pictures.
const FACTORS: f64 = 6.0;

/// The explanations offered so far, and the two pictures that they are about.
pub(super) struct Search<'a> {
    pub theirs: &'a Rgb8,
    pub ours: &'a Rgb8,
    pub competition: Competition<'a>,
    /// Pearson's, of all levels.
    pub correlation: f64,
    /// Standard deviation of the reference's levels.
    pub contrast: f64,
    /// Of the line through the levels that are not clamped; `None` where they do not vary.
    slope: Option<f64>,
    /// Whether to try what is too unlikely to be worth a run as long as something likelier may explain it.
    pub leaves_nothing_out: bool,
}

impl<'a> Search<'a> {
    pub fn new(evidence: &'a Evidence, ours: &'a Rgb8, theirs: &'a Rgb8) -> Self {
        let levels = |picture: &Rgb8| -> Vec<f32> {
            picture.data().iter().map(|&level| f32::from(level)).collect()
        };
        let line = Line::through(&levels(ours), &levels(theirs));
        Self {
            theirs,
            ours,
            competition: Competition::new(ROUNDING, HALF_PRECISION, evidence.unknown),
            correlation: line.map_or(0.0, |line| line.correlation),
            contrast: spread(&levels(ours)),
            slope: line.map(|line| line.slope).filter(|slope| *slope != 0.0),
            leaves_nothing_out: false,
        }
    }

    /// Offers the picture that `make` gives, unless it was tried already; whether there was one to offer.
    ///
    /// # Errors
    ///
    /// As `make`.
    pub fn attempt(
        &mut self,
        cause: &'static Cause,
        what: &str,
        make: impl FnOnce() -> Result<Option<Rgb8>>,
    ) -> Result<bool> {
        if self.competition.has(cause, what) {
            return Ok(false);
        }
        let candidate = make()?;
        candidate.iter().for_each(|candidate| self.offer(cause, what, candidate));
        Ok(candidate.is_some())
    }

    /// Offers the picture `candidate`.
    pub fn offer(&mut self, cause: &'static Cause, what: &str, candidate: &Rgb8) {
        let size = |picture: &Rgb8| (picture.width(), picture.height());
        if size(candidate) == size(self.theirs) {
            self.offer_fitted(cause, what, candidate, 0);
        }
    }

    /// The same, for a picture of the same size of which `free` numbers were fitted.
    pub fn offer_fitted(
        &mut self,
        cause: &'static Cause,
        what: &str,
        candidate: &Rgb8,
        free: usize,
    ) {
        let (before, after) = (psnr(self.ours, self.theirs), psnr(candidate, self.theirs));
        let explanation = Explanation::new(cause, what, levels(before), levels(after));
        self.add(explanation.fitted(free), before, after);
    }

    fn add(&mut self, explanation: Explanation, before: f64, after: f64) {
        let explained = Some(after).filter(|db| db.is_finite());
        let explanation =
            explanation.number("psnr_db", before).number("psnr_explained_db", explained);
        self.competition.offer(explanation);
    }

    /// Offers every change of colours, but for the lines that a conversion of ranges is as well.
    pub fn offer_recolourings(&mut self) -> Result<()> {
        let (ours, theirs) = (pixels(self.ours), pixels(self.theirs));
        let fits = fitted(&ours, &theirs, Some(CLAMPED / 255.0));
        for Named { cause, what, recolouring, free } in known().into_iter().chain(fits) {
            if recolouring.is_a_range() {
                continue;
            }
            let data = ours.iter().flat_map(|&pixel| recolouring.of(pixel)).map(level).collect();
            let candidate = Rgb8::new(self.ours.width(), self.ours.height(), data)?;
            self.offer_fitted(cause, &what, &candidate, free);
        }
        Ok(())
    }

    /// Whether latents times `factor` could decode to such a picture: contrast follows the factor.
    pub fn is_plausible(&self, factor: f64) -> bool {
        let near = |slope: f64| (1.0 / FACTORS..=FACTORS).contains(&(factor / slope.max(0.02)));
        self.leaves_nothing_out || self.slope.is_none_or(near)
    }

    pub fn done(&self) -> bool {
        self.competition.done()
    }
}

/// RMS in levels of a PSNR.
fn levels(psnr: f64) -> f64 {
    255.0 * 10f64.powf(-psnr / 20.0)
}

pub(super) fn level(unit: f64) -> u8 {
    (255.0 * unit).round_ties_even().clamp(0.0, 255.0) as u8
}

pub(super) fn pixels(picture: &Rgb8) -> Vec<Rgb> {
    let pixels = picture.data().chunks_exact(3);
    pixels.map(|p| [p[0], p[1], p[2]].map(|level| f64::from(level) / 255.0)).collect()
}
