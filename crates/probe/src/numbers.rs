//! What was measured of one VAE.

use serde::Serialize;

/// What a VAE makes of the charts. `None` is what could not be measured: NaN was decoded, or the
/// implementation does not offer it.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Numbers {
    /// Flat greys: RMS of the pattern that repeats with every block of latents, in levels of 255; the worst
    /// of three greys.
    pub grid_rms_levels: Option<f64>,
    /// Flat greys: RMS of the mean colours of blocks about their mean, in levels: how much a constant picture
    /// depends on the place; the worst of three greys.
    pub unevenness_rms_levels: Option<f64>,
    /// Flat greys: CIEDE2000 between the grey and the mean of what came back; the worst of three.
    pub grey_shift_delta_e_2000: Option<f64>,
    /// Grey ramp: mean chroma C*ab of what came back; greys have none.
    pub grey_chroma_ab: Option<f64>,
    /// Grey ramp: RMS between column means and what they were, in levels.
    pub ramp_rms_levels: Option<f64>,
    /// Ramps: RMS within 8 pixels of the left and right borders, in levels.
    pub border_rms_levels: Option<f64>,
    /// 24 colours: mean of CIEDE2000.
    pub colour_mean_delta_e_2000: Option<f64>,
    /// 24 colours: largest CIEDE2000.
    pub colour_max_delta_e_2000: Option<f64>,
    /// Slanted edges: where half of the contrast is left, in cycles a pixel, at most 0.5; the mean of four.
    pub mtf50_cycles_per_pixel: Option<f64>,
    /// Slanted edges: overshoot in percent of the edge; the worst of four.
    pub ringing_percent: Option<f64>,
    /// Slanted edges: how far they moved, in pixels; the worst of four.
    pub edge_shift_pixels: Option<f64>,
    /// Zone plate: where half of the rings is left in their place, in cycles a pixel, at most 0.5.
    pub rings_half_cycles_per_pixel: Option<f64>,
    /// Zone plate: how much of the rings of each frequency comes back in its place.
    pub rings: Vec<Response>,
    /// Text: correlation of what came back with what was written; 1 is all of it.
    pub text_correlation: Option<f64>,
    /// Checkers: how much of each size comes back in its place.
    pub checkers: Vec<CheckerGain>,
    /// Points: how much of their brightness comes back in its place; 1 is all of it.
    pub point_gain: Option<f64>,
    /// Points: standard deviation of that from place to place.
    pub point_gain_spread: Option<f64>,
    /// Mosaic: PSNR after one trip, in dB.
    pub mosaic_psnr_db: Option<f64>,
    /// Mosaic: how much CIEDE2000 grows from trip to trip, on average over ten, mean of all pixels.
    pub drift_delta_e_2000_per_trip: Option<f64>,
    /// Mosaic: how much PSNR falls from trip to trip, on average over ten, in dB.
    pub drift_db_per_trip: Option<f64>,
    /// Mosaic: standard deviation of the latents, scaled as diffusion takes them: near 1.
    pub latents_std: Option<f64>,
    /// Mosaic: standard deviation of the posterior over that of its mean; `None` for implementations that do
    /// not expose it.
    pub posterior_std_share: Option<f64>,
    /// Mosaic: RMS between the latents of two calls over their standard deviation: 0 where the mode is taken.
    pub repeat_share: Option<f64>,
    /// All charts: mean difference in levels between the implementation's own pixels and what was decoded,
    /// rounded; `None` where it has no conversion of its own.
    pub conversion_mean_levels: Option<f64>,
    /// How many decoded values were NaN or infinite, of all charts and trips.
    pub non_finite: usize,
}

/// The response at one frequency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Response {
    /// Cycles a pixel.
    pub cycles_per_pixel: f64,
    /// 1 is all, 0 none; `None` where it is not a number.
    pub gain: Option<f64>,
}

/// The response to checkers of one size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CheckerGain {
    /// Pixels a side of a field.
    pub field_pixels: usize,
    /// 1 is all, 0 none; `None` where it is not a number.
    pub gain: Option<f64>,
}

/// As JSON can have it.
pub(crate) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
