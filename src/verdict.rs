//! Pass or fail, and why.

use serde::{Deserialize, Serialize};

use crate::diagnosis::{Finding, Severity};
use crate::metrics::{MS_SSIM_SIDE, PixelMetrics, WINDOW};
use crate::{Error, Result};

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing was found and nothing asked for is missed.
    Pass,
    /// At least one of the reasons beside it.
    Fail,
}

/// What the user wants judged; `None` asks for nothing. No default decides a verdict: published
/// numbers spread over several dB, so they are context.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Thresholds {
    /// Least PSNR in dB.
    pub min_psnr: Option<f64>,
    /// Least SSIM, at most 1.
    pub min_ssim: Option<f64>,
    /// Least MS-SSIM, at most 1.
    pub min_ms_ssim: Option<f64>,
}

impl Thresholds {
    /// Why `metrics` miss what is asked; empty where they do not. A metric that is not there, and
    /// NaN, are missed; identical pictures have an infinite PSNR.
    ///
    /// ```
    /// use vae_fidelity::verdict::Thresholds;
    /// let mut asked = Thresholds::default();
    /// asked.min_psnr = Some(30.0);
    /// assert_eq!(asked.missed(None), ["PSNR could not be measured, 30 dB were asked for"]);
    /// assert!(Thresholds::default().missed(None).is_empty());
    /// ```
    pub fn missed(&self, metrics: Option<&PixelMetrics>) -> Vec<String> {
        let psnr = metrics.and_then(PixelMetrics::psnr_or_infinity);
        let ssim = metrics.and_then(|metrics| metrics.ssim);
        let ms_ssim = metrics.and_then(|metrics| metrics.ms_ssim);
        let missed = |name, asked: Option<f64>, found: Option<f64>, unit| -> Option<String> {
            let asked = asked?;
            match found {
                // NaN is not `>=` anything.
                Some(found) if found >= asked => None,
                Some(found) => {
                    Some(format!("{name} is {found:.4}{unit}, {asked}{unit} were asked for"))
                }
                None => Some(format!("{name} could not be measured, {asked}{unit} were asked for")),
            }
        };
        let all = [
            missed("PSNR", self.min_psnr, psnr, " dB"),
            missed("SSIM", self.min_ssim, ssim, ""),
            missed("MS-SSIM", self.min_ms_ssim, ms_ssim, ""),
        ];
        all.into_iter().flatten().collect()
    }

    /// Refuses what pictures of `width` x `height` have not; `found` leads up to that size in the
    /// message, and `next` says what else than leaving the threshold out helps.
    ///
    /// # Errors
    ///
    /// When SSIM is asked of fewer than 11 x 11 pixels, or MS-SSIM of fewer than 176 x 176.
    pub(crate) fn check_defined(
        &self,
        (width, height): (usize, usize),
        found: &str,
        next: &str,
    ) -> Result<()> {
        let asked = [
            ("SSIM", "min_ssim", self.min_ssim, WINDOW),
            ("MS-SSIM", "min_ms_ssim", self.min_ms_ssim, MS_SSIM_SIDE),
        ];
        for (metric, parameter, least, side) in asked {
            let Some(least) = least.filter(|_| width.min(height) < side) else { continue };
            return Err(Error::option(
                format!("`{parameter}` {least}"),
                format!("{metric} needs {side} x {side} pixels, {found} {width} x {height}"),
                next,
            ));
        }
        Ok(())
    }
}

impl Verdict {
    /// Fails if, and only if, a finding is an error, something decoded is not finite, or something
    /// asked for is missed; the reasons say which, and are empty for a pass.
    pub fn of(
        findings: &[Finding],
        decoded_non_finite: usize,
        metrics: Option<&PixelMetrics>,
        thresholds: &Thresholds,
    ) -> (Self, Vec<String>) {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let mut reasons: Vec<String> =
            errors.map(|finding| format!("{}: {}", finding.code, finding.title)).collect();
        if decoded_non_finite > 0 && reasons.is_empty() {
            reasons.push(format!("{decoded_non_finite} decoded values are NaN or infinite"));
        }
        reasons.extend(thresholds.missed(metrics));
        (Self::from_reasons(&reasons), reasons)
    }

    /// Fails where there is a reason to.
    pub fn from_reasons(reasons: &[String]) -> Self {
        if reasons.is_empty() { Self::Pass } else { Self::Fail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::non_finite_output;
    use crate::{Dtype, Rgb8};

    fn metrics(level: u8) -> PixelMetrics {
        let picture = |level| Rgb8::new(11, 11, vec![level; 363]).unwrap();
        PixelMetrics::of(&picture(100), &picture(level)).unwrap()
    }

    fn verdict(findings: &[Finding], non_finite: usize, thresholds: Thresholds) -> Verdict {
        Verdict::of(findings, non_finite, Some(&metrics(110)), &thresholds).0
    }

    #[test]
    fn each_cause_alone_fails() {
        let nothing = Thresholds::default();
        assert_eq!(verdict(&[], 0, nothing), Verdict::Pass);
        assert_eq!(verdict(&[], 1, nothing), Verdict::Fail);
        let finding = non_finite_output(1, 0, Dtype::F32).unwrap();
        assert_eq!(verdict(std::slice::from_ref(&finding), 0, nothing), Verdict::Fail);
        let warning = Finding { severity: Severity::Warning, ..finding };
        assert_eq!(verdict(&[warning], 0, nothing), Verdict::Pass);
        // 10 levels everywhere are 28.13 dB.
        let psnr = |least| Thresholds { min_psnr: Some(least), ..nothing };
        assert_eq!(verdict(&[], 0, psnr(28.1)), Verdict::Pass);
        assert_eq!(verdict(&[], 0, psnr(28.2)), Verdict::Fail);
        let ssim = |least| Thresholds { min_ssim: Some(least), ..nothing };
        assert_eq!(verdict(&[], 0, ssim(0.9)), Verdict::Pass);
        assert_eq!(verdict(&[], 0, ssim(0.9999)), Verdict::Fail);
        let judged = |found, least| {
            let found = PixelMetrics { ms_ssim: found, ..metrics(110) };
            let asked = Thresholds { min_ms_ssim: Some(least), ..nothing };
            Verdict::of(&[], 0, Some(&found), &asked).0
        };
        assert_eq!(judged(Some(0.9), 0.9), Verdict::Pass);
        assert_eq!(judged(Some(0.9), 0.9001), Verdict::Fail);
        // A picture without one, and NaN, pass nothing, however little is asked.
        assert_eq!(judged(None, -1.0), Verdict::Fail);
        assert_eq!(judged(Some(f64::NAN), -1.0), Verdict::Fail);
    }

    #[test]
    fn identical_pictures_meet_any_psnr_and_nan_meets_none() {
        let asked =
            Thresholds { min_psnr: Some(1e300), min_ssim: Some(1.0), ..Thresholds::default() };
        assert!(asked.missed(Some(&metrics(100))).is_empty());
        let broken = PixelMetrics { psnr_db: Some(f64::NAN), ..metrics(110) };
        let asked = Thresholds { min_psnr: Some(-1e300), ..Thresholds::default() };
        assert_eq!(asked.missed(Some(&broken)).len(), 1);
        assert_eq!(asked.missed(None).len(), 1);
    }

    #[test]
    fn what_small_pictures_have_not_is_refused() {
        let ssim = Thresholds { min_ssim: Some(0.5), ..Thresholds::default() };
        let ms_ssim = Thresholds { min_ms_ssim: Some(0.5), ..Thresholds::default() };
        let refused = |asked: Thresholds, size| asked.check_defined(size, "found", "no").is_err();
        assert!(refused(ssim, (11, 10)) && !refused(ssim, (11, 11)));
        assert!(refused(ms_ssim, (175, 300)) && !refused(ms_ssim, (176, 176)));
        assert!(!refused(Thresholds::default(), (1, 1)));
    }
}
