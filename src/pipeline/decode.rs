//! Latents' way: latents, tensor, pixels, findings, verdict, report. There is no original.

use std::path::PathBuf;
use std::time::Instant;

use ndarray::{Array4, ArrayD};

use super::loaded::Pipeline;
use super::picture::picture_of;
use super::step::Step;
use crate::diagnosis::{
    Axes, Finding, LatentsDiagnosis, LatentsEvidence, LatentsScale, UserPicture,
    by_what_to_mend_first, diagnose_latents, f16_extremes, latent_rows, unscaled_latents,
};
use crate::pixels::Alpha8;
use crate::report::{
    DecodeReport, DecodeTimings, Decoded, GivenLatents, LatentsSource, SCHEMA_VERSION, SavedFile,
    Timings, peak_rss_bytes,
};
use crate::trace::{Stage, Statistics};
use crate::verdict::{Thresholds, Verdict};
use crate::{Dtype, Result, Rgb8};

/// What is asked of latents, beside the verdict. The default asks for nothing more.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// How the latents are scaled.
    pub scale: LatentsScale,
    /// What the user's own pipeline decoded from the same latents.
    pub decoded_image: Option<UserPicture>,
    /// Where the latents lay, for the report.
    pub latents_file: Option<LatentsSource>,
    /// Which of the latents in the file these are, for the report.
    pub row: Option<usize>,
    /// What the caller wants said in the report.
    pub notes: Vec<String>,
    /// Where the decoded picture will be written, for the report.
    pub decoded_path: Option<PathBuf>,
    /// What else will be written, for the report.
    pub saved: Vec<SavedFile>,
}

/// The report on the latents of one picture, and what was decoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DecodedLatents {
    /// What is said of them.
    pub report: DecodeReport,
    /// What was decoded; `None` where the arithmetic has no picture, and where nothing was decoded.
    pub picture: Option<Rgb8>,
    /// Its alpha, where the VAE is one of RGBA.
    pub picture_alpha: Option<Alpha8>,
    /// The decoded sample before clamping, (1, 3, H, W), with a fourth channel in RGBA; `None` where nothing was decoded.
    pub decoded: Option<Array4<f32>>,
}

/// What [`Pipeline::latents_in`] finds.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LatentsIn {
    /// The latents of each picture, (1, C, h, w), and how the tensor's axes were read.
    Rows(Vec<Array4<f32>>, Axes),
    /// None of this VAE's: the report that says so.
    Unfit(Box<DecodedLatents>),
}

impl Pipeline {
    /// Decodes the latents of each picture in `latents`, (N, C, h, w) or as
    /// [`crate::diagnosis::latent_rows`] finds them, scaled for diffusion, and judges them without the
    /// pictures that they were made from.
    ///
    /// # Errors
    ///
    /// When the VAE cannot run on them. Latents that are wrong are no error: the report says so.
    pub fn decode(&self, latents: &ArrayD<f32>) -> Result<Vec<DecodeReport>> {
        let options = DecodeOptions::default();
        let (rows, axes) = match self.latents_in(latents, &options)? {
            LatentsIn::Rows(rows, axes) => (rows, axes),
            LatentsIn::Unfit(judged) => return Ok(vec![judged.report]),
        };
        let several = rows.len() > 1;
        let report = |(index, row): (usize, &Array4<f32>)| {
            let notes = axes.note().into_iter().collect();
            let row_options =
                DecodeOptions { row: several.then_some(index), notes, ..options.clone() };
            Ok(self.decode_with(row, &row_options, |_| {})?.report)
        };
        rows.iter().enumerate().map(report).collect()
    }

    /// The latents of each picture in `tensor`, or the report that there are none of this VAE's.
    ///
    /// # Errors
    ///
    /// When a file of weights cannot be read to its end.
    pub fn latents_in(&self, tensor: &ArrayD<f32>, options: &DecodeOptions) -> Result<LatentsIn> {
        match latent_rows(tensor, self.vae().config()) {
            Ok((rows, axes)) => Ok(LatentsIn::Rows(rows, axes)),
            Err(finding) => {
                Ok(LatentsIn::Unfit(Box::new(self.no_latents(tensor, *finding, options)?)))
            }
        }
    }

    /// Decodes `given`, (1, C, h, w), and judges it; `progress` is told each step as it begins.
    ///
    /// # Errors
    ///
    /// As [`Self::decode`], and with [`crate::ErrorKind::Cancelled`] after
    /// [`crate::Cancellation::cancel`].
    pub fn decode_with(
        &self,
        given: &Array4<f32>,
        options: &DecodeOptions,
        progress: impl Fn(Step),
    ) -> Result<DecodedLatents> {
        let started = Instant::now();
        let vae = self.vae();
        progress(Step::Decoding);
        let decoding = Instant::now();
        let unscaled = unscaled_latents(vae, options.scale, given)?;
        let (_, _, height, width) = unscaled.dim();
        let f = vae.config().downsampling();
        self.check_memory((width * f, height * f))?;
        let decoded = vae.decode(unscaled.view())?;
        let decoding = decoding.elapsed();
        let dtype = vae.dtype();
        let (picture, picture_alpha) = picture_of(decoded.view(), dtype)?;

        progress(Step::Diagnosing);
        // Before a rule runs the model on something else. In f16 itself it is no warning.
        let extremes = vae.extremes(Stage::Decode);
        let diagnosing = Instant::now();
        let load = || self.split_alike(self.execution.load_f32(&self.checkpoint)?);
        let evidence = LatentsEvidence {
            vae,
            family: self.model().family,
            given,
            scale: options.scale,
            unscaled: &unscaled,
            decoded: &decoded,
            reference: self.reference(&load),
            weights: self.weights_findings()?,
            decoded_image: options.decoded_image.as_ref(),
        };
        let mut diagnosis = diagnose_latents(&evidence)?;
        if dtype != Dtype::F16 {
            diagnosis.findings.extend(f16_extremes(&[], &extremes));
        }
        let diagnosing = diagnosing.elapsed();
        self.checkpoint().check_unchanged()?;
        let path = options.decoded_path.clone().filter(|_| picture.is_some());
        let of_decoded = Decoded::of(path, &decoded, self.clamps());
        let latents = self.given(given.shape(), options.scale, Statistics::of(given));
        let mut report = self.report(diagnosis, latents, Some(of_decoded), options);
        report.timings_ms = DecodeTimings {
            load: Timings::milliseconds(self.load),
            decode: Timings::milliseconds(decoding),
            diagnose: Timings::milliseconds(diagnosing),
            total: Timings::milliseconds(self.load + started.elapsed()),
        };
        Ok(DecodedLatents { report, picture, picture_alpha, decoded: Some(decoded) })
    }

    /// The report on a tensor that holds no latents of this VAE's.
    fn no_latents(
        &self,
        tensor: &ArrayD<f32>,
        finding: Finding,
        options: &DecodeOptions,
    ) -> Result<DecodedLatents> {
        let mut findings = self.weights_findings()?.to_vec();
        findings.push(finding);
        let diagnosis = LatentsDiagnosis { findings, ..LatentsDiagnosis::default() };
        let latents = self.given(tensor.shape(), options.scale, Statistics::of(tensor));
        let report = self.report(diagnosis, latents, None, options);
        Ok(DecodedLatents { report, picture: None, picture_alpha: None, decoded: None })
    }

    fn given(&self, shape: &[usize], scale: LatentsScale, statistics: Statistics) -> GivenLatents {
        let (taken_as, divided_by) = match scale {
            LatentsScale::Scaled => ("scaled", self.vae().config().scaling_factor()),
            LatentsScale::Raw => ("raw", Some(1.0)),
        };
        GivenLatents { shape: shape.to_vec(), taken_as, divided_by, statistics }
    }

    fn report(
        &self,
        LatentsDiagnosis { mut findings, file, reencoded, .. }: LatentsDiagnosis,
        latents: GivenLatents,
        decoded: Option<Decoded>,
        options: &DecodeOptions,
    ) -> DecodeReport {
        by_what_to_mend_first(&mut findings);
        let non_finite = decoded.as_ref().map_or(0, |decoded| decoded.non_finite);
        let (verdict, verdict_reasons) =
            Verdict::of(&findings, non_finite, None, &Thresholds::default());
        DecodeReport {
            schema_version: SCHEMA_VERSION,
            verdict,
            verdict_reasons,
            latents_file: options.latents_file.clone(),
            row: options.row,
            model: self.model().clone(),
            latents,
            saved: if decoded.is_some() { options.saved.clone() } else { Vec::new() },
            decoded,
            reencoded,
            findings,
            files: file.into_iter().collect(),
            notes: self.notes().iter().chain(&options.notes).cloned().collect(),
            timings_ms: DecodeTimings {
                load: Timings::milliseconds(self.load),
                decode: 0.0,
                diagnose: 0.0,
                total: Timings::milliseconds(self.load),
            },
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}
