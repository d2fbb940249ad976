//! One search for what brings the reference's picture to the user's.

use std::borrow::Cow;

use super::super::codes::Cause;
use super::super::colour_fit::fitted;
use super::super::competition::{Competition, Explanation};
use super::super::evidence::{Evidence, UserPicture};
use super::super::fit::{Line, psnr, spread};
use super::super::jpeg::coded_as;
use super::super::recolouring::{Named, Rgb, known};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{JpegCoding, Rgb8};

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
    /// How theirs was saved.
    coding: Option<&'a JpegCoding>,
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
    /// `same_way` is the reference's picture, saved as theirs was.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for another picture saved so.
    pub fn new(
        evidence: &'a Evidence,
        ours: &'a Rgb8,
        same_way: &Rgb8,
        picture: &'a UserPicture,
    ) -> Result<Self> {
        let theirs = &picture.pixels;
        let levels = |picture: &Rgb8| -> Vec<f32> {
            picture.data().iter().map(|&level| f32::from(level)).collect()
        };
        let line = Line::through(&levels(ours), &levels(theirs));
        let of_fits = match &picture.jpeg {
            Some(coding) => rounding_kept(ours, same_way, coding)?,
            None => ROUNDING,
        };
        Ok(Self {
            theirs,
            ours,
            coding: picture.jpeg.as_ref(),
            competition: Competition::new(ROUNDING, HALF_PRECISION, evidence.unknown)
                .fitted_to(of_fits),
            correlation: line.map_or(0.0, |line| line.correlation),
            contrast: spread(&levels(ours)),
            slope: line.map(|line| line.slope).filter(|slope| *slope != 0.0),
            leaves_nothing_out: false,
        })
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
        if let Some(candidate) = &candidate {
            self.offer(cause, what, candidate)?;
        }
        Ok(candidate.is_some())
    }

    /// Offers the picture `candidate`.
    ///
    /// # Errors
    ///
    /// As [`Self::offer_fitted`].
    pub fn offer(&mut self, cause: &'static Cause, what: &str, candidate: &Rgb8) -> Result<()> {
        let size = |picture: &Rgb8| (picture.width(), picture.height());
        match size(candidate) == size(self.theirs) {
            true => self.offer_fitted(cause, what, candidate, 0),
            false => Ok(()),
        }
    }

    /// The same, for a picture of the same size of which `free` numbers were fitted.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for the candidate saved as theirs was.
    pub fn offer_fitted(
        &mut self,
        cause: &'static Cause,
        what: &str,
        candidate: &Rgb8,
        free: usize,
    ) -> Result<()> {
        let (before, mut after) = (psnr(self.ours, self.theirs), psnr(candidate, self.theirs));
        let explanation =
            |after| Explanation::new(cause, what, levels(before), levels(after)).fitted(free);
        // What saving took away is left by the true cause as well, unless its picture is saved likewise.
        if self.coding.is_some() && explanation(after).tells() {
            after = after.max(psnr(&*self.saved(candidate)?, self.theirs));
        }
        self.add(explanation(after), before, after);
        Ok(())
    }

    /// `picture`, saved as theirs was.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for it.
    pub fn saved<'b>(&self, picture: &'b Rgb8) -> Result<Cow<'b, Rgb8>> {
        match self.coding {
            Some(coding) => coded_as(picture, coding).map(Cow::Owned),
            None => Ok(Cow::Borrowed(picture)),
        }
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
            self.offer_fitted(cause, &what, &candidate, free)?;
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

/// What becomes of [`ROUNDING`] in a JPEG of this coding, whose steps a small change moves as well: RMS in levels
/// between `picture`, which becomes `coded`, and itself with a level more or less in one of six places.
fn rounding_kept(picture: &Rgb8, coded: &Rgb8, coding: &JpegCoding) -> Result<f64> {
    let moved = |(i, &level): (usize, &u8)| match (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        >> 32
        & 0xff
    {
        0..21 => level.saturating_add(1),
        21..42 => level.saturating_sub(1),
        _ => level,
    };
    let data = picture.data().iter().enumerate().map(moved).collect();
    let moved = Rgb8::new(picture.width(), picture.height(), data)?;
    Ok(levels(psnr(coded, &coded_as(&moved, coding)?)))
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
