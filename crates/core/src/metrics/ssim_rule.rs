//! SSIM as other programs compute it: the window, its border, the covariance and the range are choices.

use serde::{Deserialize, Serialize};

use super::windows::{Plane, Stabilizers, gaussian, means};

/// What the statistics of a pixel are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SsimWindow {
    /// 11 x 11 pixels, weighted by a Gaussian of sigma 1.5: the authors', and torchmetrics' default.
    #[serde(rename = "gaussian-11")]
    Gaussian11,
    /// 7 x 7 pixels of equal weight: scikit-image's default.
    #[serde(rename = "uniform-7")]
    Uniform7,
}

/// Which windows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SsimBorder {
    /// Those inside the picture, as the authors and scikit-image have it.
    Inside,
    /// One around every pixel, of a picture that is reflected at its border, as in torchmetrics.
    Reflect,
}

/// How a window's variances and covariance are estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Covariance {
    /// Over the number of pixels.
    Population,
    /// Over one less, scikit-image's `use_sample_covariance=True`; with equal weights only.
    Sample,
}

/// SSIM with K1 = 0.01 and K2 = 0.03, each channel alone, then averaged; in f64.
///
/// Follows `skimage/metrics/_structural_similarity.py` and torchmetrics'
/// `functional/image/ssim.py`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SsimRule {
    /// What the statistics of a pixel are taken over.
    pub window: SsimWindow,
    /// Which windows count.
    pub border: SsimBorder,
    /// How variances are estimated.
    pub covariance: Covariance,
    /// The difference between the largest and the smallest value that pixels can have, in their unit.
    pub range: f64,
}

/// The three channels of a picture, pixel by pixel, in any unit.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `3 * width * height` values: red, green and blue of the first pixel, of the second, ...
    pub data: &'a [f64],
}

impl SsimRule {
    /// The choices of SSIM's authors for pictures of 8 bits: [`ssim`](super::ssim()), to the bit.
    pub const AUTHORS: Self = Self {
        window: SsimWindow::Gaussian11,
        border: SsimBorder::Inside,
        covariance: Covariance::Population,
        range: 255.0,
    };

    /// The least side that a picture must have, in pixels.
    pub fn least_side(&self) -> usize {
        match self.window {
            SsimWindow::Gaussian11 => 11,
            SsimWindow::Uniform7 => 7,
        }
    }

    /// SSIM of two pictures, at most 1; `None` where sizes differ or a side is under
    /// [`Self::least_side`].
    ///
    /// ```
    /// use vae_fidelity_core::metrics::{Covariance, SsimBorder, SsimRule, SsimWindow, Values};
    /// let rule = SsimRule {
    ///     window: SsimWindow::Uniform7,
    ///     border: SsimBorder::Inside,
    ///     covariance: Covariance::Sample,
    ///     range: 1.0,
    /// };
    /// let data = [0.5; 3 * 49];
    /// let grey = Values { width: 7, height: 7, data: &data };
    /// assert_eq!(rule.of(grey, grey), Some(1.0));
    /// ```
    pub fn of(&self, a: Values, b: Values) -> Option<f64> {
        let size = (a.width, a.height);
        if (b.width, b.height) != size || a.width.min(a.height) < self.least_side() {
            return None;
        }
        let sum: f64 = (0..3)
            .map(|channel| match self.window {
                SsimWindow::Gaussian11 => self.channel(a, b, channel, &gaussian::<11>(), 1.0),
                SsimWindow::Uniform7 => {
                    let unbiased = match self.covariance {
                        Covariance::Population => 1.0,
                        Covariance::Sample => 49.0 / 48.0,
                    };
                    self.channel(a, b, channel, &[1.0 / 7.0; 7], unbiased)
                }
            })
            .sum();
        Some(sum / 3.0)
    }

    fn channel<const N: usize>(
        &self,
        a: Values,
        b: Values,
        channel: usize,
        weights: &[f64; N],
        unbiased: f64,
    ) -> f64 {
        let border = match self.border {
            SsimBorder::Inside => 0,
            SsimBorder::Reflect => N / 2,
        };
        let (a, b) = (Channel::of(a, channel, border), Channel::of(b, channel, border));
        means(&a, &b, weights, unbiased, Stabilizers::of(self.range)).ssim
    }
}

/// One channel, reflected at its borders.
struct Channel {
    width: usize,
    values: Vec<f64>,
}

impl Channel {
    fn of(picture: Values, channel: usize, border: usize) -> Self {
        let (width, height) = (picture.width + 2 * border, picture.height + 2 * border);
        let reflected = |at: usize, side: usize| {
            let inside = at.abs_diff(border);
            if inside < side { inside } else { 2 * (side - 1) - inside }
        };
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = reflected(y, picture.height) * picture.width;
            let at = |x| (row + reflected(x, picture.width)) * 3 + channel;
            values.extend((0..width).map(|x| picture.data[at(x)]));
        }
        Self { width, values }
    }
}

impl Plane for Channel {
    fn size(&self) -> (usize, usize) {
        (self.width, self.values.len() / self.width)
    }

    fn row(&self, y: usize) -> impl Iterator<Item = f64> {
        self.values[y * self.width..(y + 1) * self.width].iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ssim;
    use vae_fidelity_pixels::Rgb8;

    #[test]
    fn the_authors_choices_give_the_authors_ssim() {
        let [a, b] = [7usize, 13].map(|step| {
            let data = (0..23 * 17 * 3).map(|i| (i * step % 251) as u8).collect();
            Rgb8::new(23, 17, data).unwrap()
        });
        let [of_a, of_b] = [&a, &b].map(|picture| {
            picture.data().iter().map(|value| f64::from(*value)).collect::<Vec<_>>()
        });
        let found = SsimRule::AUTHORS.of(
            Values { width: 23, height: 17, data: &of_a },
            Values { width: 23, height: 17, data: &of_b },
        );
        assert_eq!(found, ssim(&a, &b));
    }

    #[test]
    fn a_border_is_reflected_without_its_first_pixel() {
        let data: Vec<f64> = (0..4 * 4 * 3).map(|i| f64::from(i / 3)).collect();
        let channel = Channel::of(Values { width: 4, height: 4, data: &data }, 0, 2);
        let row: Vec<f64> = channel.row(2).collect();
        assert_eq!(row, [2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
    }
}
