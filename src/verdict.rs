//! Pass or fail, and why.

use serde::{Deserialize, Serialize};

use crate::diagnosis::{Finding, Severity};
use crate::metrics::PixelMetrics;

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
pub struct Thresholds {
    /// Least PSNR in dB.
    pub min_psnr: Option<f64>,
    /// Least SSIM, at most 1.
    pub min_ssim: Option<f64>,
}

impl Thresholds {
    /// Why `metrics` miss what is asked; empty where they do not. A metric that is not there, and
    /// NaN, are missed; identical pictures have an infinite PSNR.
    ///
    /// ```
    /// use vae_fidelity::verdict::Thresholds;
    /// let asked = Thresholds { min_psnr: Some(30.0), min_ssim: None };
    /// assert_eq!(asked.missed(None), ["PSNR could not be measured, 30 dB were asked for"]);
    /// assert!(Thresholds::default().missed(None).is_empty());
    /// ```
    pub fn missed(&self, metrics: Option<&PixelMetrics>) -> Vec<String> {
        let psnr = metrics.and_then(PixelMetrics::psnr_or_infinity);
        let ssim = metrics.and_then(|metrics| metrics.ssim);
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
        [missed("PSNR", self.min_psnr, psnr, " dB"), missed("SSIM", self.min_ssim, ssim, "")]
            .into_iter()
            .flatten()
            .collect()
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
        let psnr = |least| Thresholds { min_psnr: Some(least), min_ssim: None };
        assert_eq!(verdict(&[], 0, psnr(28.1)), Verdict::Pass);
        assert_eq!(verdict(&[], 0, psnr(28.2)), Verdict::Fail);
        let ssim = |least| Thresholds { min_psnr: None, min_ssim: Some(least) };
        assert_eq!(verdict(&[], 0, ssim(0.9)), Verdict::Pass);
        assert_eq!(verdict(&[], 0, ssim(0.9999)), Verdict::Fail);
    }

    #[test]
    fn identical_pictures_meet_any_psnr_and_nan_meets_none() {
        let asked = Thresholds { min_psnr: Some(1e300), min_ssim: Some(1.0) };
        assert!(asked.missed(Some(&metrics(100))).is_empty());
        let broken = PixelMetrics { psnr_db: Some(f64::NAN), ..metrics(110) };
        let asked = Thresholds { min_psnr: Some(-1e300), min_ssim: None };
        assert_eq!(asked.missed(Some(&broken)).len(), 1);
        assert_eq!(asked.missed(None).len(), 1);
    }
}
