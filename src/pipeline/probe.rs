//! Synthetic charts through one VAE: what it does to them, and what that says of it.

use std::time::Instant;

use super::loaded::Pipeline;
use super::step::Step;
use crate::diagnosis::{Evidence, UserFiles, by_what_to_mend_first, diagnose};
use crate::probe::{
    DEFAULT_SIDE, Judged, LEAST_SIDE, Probed, Shown, check_side, mosaic_side, probe,
};
use crate::report::{
    ProbeReport, ProbeTimings, SCHEMA_VERSION, SavedFile, Timings, peak_rss_bytes,
};
use crate::verdict::Verdict;
use crate::{Error, ErrorKind, Result};

/// What is asked of one probe. The default asks for charts of 256 x 256.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProbeOptions {
    /// Pixels a side of the charts, a multiple of 64 from 128 on; `None` takes 256, at which the bars were
    /// measured.
    pub size: Option<usize>,
    /// What the caller wants said in the report.
    pub notes: Vec<String>,
    /// What will be written, for the report.
    pub saved: Vec<SavedFile>,
}

/// A report, and the charts that it was made from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProbeRun {
    /// What is said of the VAE.
    pub report: ProbeReport,
    /// Every chart with its decoding; the last is the mosaic after ten trips.
    pub shown: Vec<Shown>,
}

impl Pipeline {
    /// Sends synthetic charts through the VAE, one of them ten times round, and judges what comes back. No
    /// data are needed.
    ///
    /// # Errors
    ///
    /// When the VAE cannot run on them. Charts that come back wrong are no error: the report says so.
    pub fn probe(&self) -> Result<ProbeReport> {
        Ok(self.probe_with(&ProbeOptions::default(), |_| {})?.report)
    }

    /// As [`Self::probe`], with what `options` ask for; `progress` is told each step as it begins.
    ///
    /// # Errors
    ///
    /// As [`Self::probe`]; when there are no charts of the size that `options` ask for, or it does not fit
    /// the model; and with [`crate::ErrorKind::Cancelled`] after [`crate::Cancellation::cancel`].
    pub fn probe_with(&self, options: &ProbeOptions, progress: impl Fn(Step)) -> Result<ProbeRun> {
        let started = Instant::now();
        let side = options.size.unwrap_or(DEFAULT_SIDE);
        check_side(side)?;
        let vae = self.vae();
        let step = vae.config().multiple_of();
        if step > 0 && !side.is_multiple_of(step) {
            return Err(Error::new(
                ErrorKind::Option,
                format!("`size` {side}"),
                format!("this model takes sides that are multiples of {step}"),
                "choose a multiple of it",
            ));
        }
        self.check_memory((side, side))?;
        let probed = probe(vae, side, |sent| progress(Step::Probing(sent)))?;
        progress(Step::Diagnosing);
        let mut findings = self.chart_findings(&probed)?;
        by_what_to_mend_first(&mut findings);
        self.checkpoint().check_unchanged()?;

        let Probed { numbers, judged, score_db, trips, shown, .. } = probed;
        // What NaN kept from being measured is said once.
        let told = |of: &&Judged| of.is_missed() && (numbers.non_finite == 0 || of.value.is_some());
        let reasons: Vec<String> = judged.iter().filter(told).map(Judged::reason).collect();
        let (_, mut verdict_reasons) =
            Verdict::of(&findings, numbers.non_finite, None, &Default::default());
        verdict_reasons.extend(reasons);
        let least = judged.iter().min_by(|a, b| a.room_db.total_cmp(&b.room_db));
        let mut notes = self.notes().to_vec();
        notes.extend(options.notes.iter().cloned());
        if ![LEAST_SIDE, DEFAULT_SIDE].contains(&side) {
            notes.push(format!(
                "bars were measured at {LEAST_SIDE} and {DEFAULT_SIDE} pixels a side; these charts have {side}"
            ));
        }
        let report = ProbeReport {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            model: self.model().clone(),
            size_pixels: side,
            score_db,
            score_limited_by: least.map(|judged| judged.name.to_owned()),
            judged,
            numbers,
            trips_pixels: mosaic_side(side),
            trips,
            findings,
            saved: options.saved.clone(),
            notes,
            timings_ms: ProbeTimings {
                load: Timings::milliseconds(self.load),
                total: Timings::milliseconds(self.load + started.elapsed()),
            },
            peak_rss_bytes: peak_rss_bytes(),
        };
        Ok(ProbeRun { report, shown })
    }

    /// What the rules of `check` say of the mosaic's first trip. Those on weights are `inspect`'s.
    fn chart_findings(&self, probed: &Probed) -> Result<Vec<crate::diagnosis::Finding>> {
        let Some(mosaic) = probed.shown.last() else { return Ok(Vec::new()) };
        let files = UserFiles::default();
        let evidence = Evidence {
            vae: self.vae(),
            family: self.model().family,
            source: &mosaic.drawn,
            dropped: None,
            orientation: None,
            size_requested: true,
            seen: &mosaic.drawn,
            sample: &probed.sample,
            encoded: &probed.encoded,
            drawn: false,
            latents: &probed.latents,
            latents_are_given: false,
            decoded: &probed.decoded,
            reference: None,
            regrouped: None,
            weights: &[],
            files: &files,
            unknown: &[],
        };
        Ok(diagnose(&evidence, false)?.findings)
    }
}
