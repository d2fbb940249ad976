//! One picture's way: pixels, sample, latents, decoded, pixels, metrics, findings, verdict, report.

use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::Array4;

use super::clip::CheckedClip;
use super::loaded::Pipeline;
use super::picture::{Picture, Taken, picture_of};
use super::step::Step;
use crate::baseline::Baseline;
use crate::checkpoint::ONE_FRAME;
use crate::diagnosis::{
    Diagnosis, Evidence, UserFiles, by_what_to_mend_first, diagnose, f16_extremes,
};
use crate::engine::CrossCheck;
use crate::forecast::forecast;
use crate::metrics::{AlphaMetrics, PixelMetrics, Visibility};
use crate::pixels::{Alpha8, Exif};
use crate::report::{
    CheckReport, Decoded, Latents, LatentsSource, Posterior, SCHEMA_VERSION, SavedFile, Timings,
    peak_rss_bytes,
};
use crate::trace::{Stage, Statistics, TraceFile};
use crate::vae::trace;
use crate::verdict::{Thresholds, Verdict};
use crate::{Dtype, Encoded, Result, Rgb8};

/// What is asked of one picture, beside the verdict. The default asks for nothing more.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// Width and height to encode at, multiples of 8; `None` takes each side of the picture down to
    /// a multiple of 8.
    pub size: Option<(usize, usize)>,
    /// How many frames a clip has that goes through beside the picture, which is its first frame: 5, 9, 13, ...
    /// Of an animation or a folder of pictures the first ones; a still picture is repeated.
    pub frames: Option<usize>,
    /// The seed of `torch.Generator` with which latents are drawn from the posterior; `None` takes
    /// its mode.
    pub seed: Option<i128>,
    /// What is done with the picture's EXIF orientation, before anything else.
    pub exif: Exif,
    /// What PSNR, SSIM and MS-SSIM have to reach.
    pub thresholds: Thresholds,
    /// An earlier run, against which nothing may have become worse.
    pub baseline: Option<Baseline>,
    /// Files of the user's own pipeline, to be diagnosed.
    pub files: UserFiles,
    /// Where the latents among `files` lay, for the report.
    pub latents_file: Option<LatentsSource>,
    /// Whether another way to compute is asked as well ([`crate::Execution::cross_check`]).
    pub cross_check: bool,
    /// Whether f16 and bf16 are looked into.
    pub forecast: bool,
    /// Whether the outputs of all layers are recorded.
    pub trace: bool,
    /// Whether a map of visible differences is made also where NaN or infinity was decoded.
    pub visibility: bool,
    /// What the caller wants said in the report, before the notes on the picture.
    pub notes: Vec<String>,
    /// Where the decoded picture will be written, for the report.
    pub decoded_path: Option<PathBuf>,
    /// What else will be written, for the report.
    pub saved: Vec<SavedFile>,
}

/// One picture's report, and what it was made from.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What is said of it.
    pub report: CheckReport,
    /// What the VAE saw.
    pub seen: Rgb8,
    /// Its alpha, where the VAE is one of RGBA.
    pub seen_alpha: Option<Alpha8>,
    /// What was decoded; `None` where the arithmetic has no picture.
    pub picture: Option<Rgb8>,
    /// Its alpha, where the VAE is one of RGBA.
    pub picture_alpha: Option<Alpha8>,
    /// The parts of the two pictures that are compared, where they are not the whole of both.
    common: Option<(Rgb8, Rgb8)>,
    /// Where the two differ to the eye; `None` below [`crate::metrics::PERCEPTUAL_SIDE`].
    pub visibility: Option<Visibility>,
    /// Scaled latents (1, C, h, w), what the reference script's `encode_to_latents` returns.
    pub latents: Array4<f32>,
    /// Mean and log-variance before clamping, (1, 2C, h, w), where the model exposes them.
    pub moments: Option<Array4<f32>>,
    /// What a draw was made with, (1, C, h, w); `None` for the mode.
    pub noise: Option<Array4<f32>>,
    /// The decoded sample before clamping, (1, 3, H, W), with a fourth channel in RGBA.
    pub decoded: Array4<f32>,
    /// The clip of [`CheckOptions::frames`].
    pub clip: Option<CheckedClip>,
    /// The outputs of all layers, where they were asked for.
    pub trace: Option<TraceFile>,
}

impl Checked {
    /// The parts of input and output that are compared; `None` where there is no picture.
    pub fn pair(&self) -> Option<(&Rgb8, &Rgb8)> {
        pair(&self.common, &self.seen, &self.picture)
    }
}

impl Pipeline {
    /// Encodes and decodes the picture at `path`, and judges what comes back.
    ///
    /// # Errors
    ///
    /// When the picture cannot be opened or the VAE cannot run on it. A picture that comes back wrong
    /// is no error: the report says so.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<CheckReport> {
        let checked = self.check_with(path.as_ref(), &CheckOptions::default(), |_| {})?;
        Ok(checked.report)
    }

    /// As [`Self::check`], of any [`Picture`] and with what `options` ask for; `progress` is told each
    /// step as it begins.
    ///
    /// # Errors
    ///
    /// As [`Self::check`]; when the sample that is given is none; when `options` ask for what the picture
    /// cannot give, such as SSIM of fewer than 11 x 11 pixels or MS-SSIM of fewer than 176 x 176; and with
    /// [`crate::ErrorKind::Cancelled`] after
    /// [`crate::Cancellation::cancel`].
    pub fn check_with<'a>(
        &self,
        picture: impl Into<Picture<'a>>,
        options: &CheckOptions,
        progress: impl Fn(Step),
    ) -> Result<Checked> {
        let started = Instant::now();
        progress(Step::Opening);
        let config = self.vae.config();
        let (taken, later) = match options.frames {
            None => (picture.into().taken(options.exif, config)?, None),
            Some(count) => {
                // Before anything slow runs.
                self.clip_vae()?;
                let (first, later) = picture.into().frames(count, options.exif, config)?;
                (first, Some(later))
            }
        };
        let path = taken.name.as_path();
        let (width, height) = taken.size(options.size, self.vae.config().multiple_of())?;
        options.thresholds.check_defined(
            (width, height),
            "the picture is encoded at",
            "leave it out, or enlarge the picture with `width` and `height`",
        )?;
        if let Some(baseline) = &options.baseline {
            baseline.check(path, [width, height])?;
        }
        self.check_memory((width, height))?;
        let seen = taken.seen((width, height))?;

        progress(Step::Encoding);
        let vae = self.vae();
        let dtype = vae.dtype();
        let encoding = Instant::now();
        let noise = |seed| self.execution.noise(vae.config(), seed, width, height);
        let noise = options.seed.map(noise).transpose()?;
        let sample = taken.sample_of(&seen, dtype)?;
        let encoded = vae.encode(sample.view(), noise.as_ref().map(Array4::view))?;
        let latents = vae.scale(encoded.latents.view())?;
        let scaling = vae.scaling()?;
        let encoding = encoding.elapsed();

        progress(Step::Decoding);
        let decoding = Instant::now();
        let unscaled = vae.unscale(latents.view())?;
        let decoded = vae.decode(unscaled.view())?;
        let decoding = decoding.elapsed();

        progress(Step::Judging);
        let (picture, picture_alpha) = picture_of(decoded.view(), dtype)?;
        progress(Step::Diagnosing);
        let trip = Trip {
            taken: &taken,
            seen: &seen.pixels,
            sample: &sample,
            encoded: &encoded,
            latents: &latents,
            decoded: &decoded,
        };
        // Before a rule runs the model on something else. In f16 itself it is no warning.
        let extremes = [Stage::Encode, Stage::Decode].map(|stage| vae.extremes(stage));
        let Diagnosis { mut findings, files, not_decided } = self.diagnosis(&trip, options)?;
        if dtype != Dtype::F16 && !options.forecast {
            findings.extend(f16_extremes(&extremes[0], &extremes[1]));
        }
        let trace = match options.trace {
            true => {
                progress(Step::Tracing);
                Some(trace(vae, sample.view(), unscaled.view())?)
            }
            false => None,
        };

        let mut notes = self.notes_with(options);
        notes.extend(taken.notes.iter().cloned());
        let common = match &picture {
            Some(picture) => common_area(&seen.pixels, picture)?,
            None => None,
        };
        notes.extend(common.iter().map(|(.., cropped)| cropped.clone()));
        let common = common.map(|(seen, picture, _)| (seen, picture));
        let pair = pair(&common, &seen.pixels, &picture);
        // On the way to 8 bits NaN becomes black, and a number about it would say nothing.
        let sound = decoded.iter().all(|value| value.is_finite());
        let (metrics, visibility) = match pair {
            Some((seen, picture)) if sound => {
                let (metrics, visibility) = PixelMetrics::with_visibility(seen, picture)?;
                (Some(metrics), visibility)
            }
            Some((seen, picture)) if options.visibility => (None, Visibility::of(seen, picture)?),
            _ => (None, None),
        };
        let alpha = match (&seen.alpha, &picture_alpha) {
            (Some(seen), Some(picture)) if sound => Some(AlphaMetrics::of(seen, picture)?),
            _ => None,
        };
        if seen.alpha.as_ref().is_some_and(|alpha| !alpha.is_opaque()) {
            notes.push("metrics are of colours, also of those below transparent pixels".to_owned());
        }
        let forecast = match options.forecast {
            true => {
                progress(Step::Forecasting);
                let sample = taken.sample_of(&seen, Dtype::F32)?;
                let (forecast, warnings) =
                    forecast(&self.execution, &self.checkpoint, &seen.pixels, sample.view())?;
                findings.extend(warnings);
                Some(forecast)
            }
            false => None,
        };
        let clip = match &later {
            None => None,
            Some(later) => {
                progress(Step::Clip);
                Some(self.clip((&taken, &seen), later, options.seed)?)
            }
        };
        let (clip, checked_clip) = clip.unzip();
        self.checkpoint().check_unchanged()?;
        by_what_to_mend_first(&mut findings);
        let of_decoded = Decoded::of(options.decoded_path.clone(), &decoded, self.clamps());
        let (_, mut verdict_reasons) =
            Verdict::of(&findings, of_decoded.non_finite, metrics.as_ref(), &options.thresholds);
        if let Some(baseline) = &options.baseline {
            let size = [width, height];
            let worse = baseline.regressions(path, size, metrics.as_ref(), &findings)?;
            verdict_reasons.extend(worse);
        }
        verdict_reasons.extend(clip.iter().flat_map(|clip| clip.reasons(&options.thresholds)));
        let report = CheckReport {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            input: taken.input((width, height)),
            model: self.model().clone(),
            posterior: Posterior::of(self.checkpoint.config(), options.seed),
            latents: Latents {
                shape: latents.dim().into(),
                scaled_by: scaling.factor(),
                scaling,
                statistics: Statistics::of(&latents),
            },
            decoded: of_decoded,
            saved: options.saved.clone(),
            metrics,
            alpha,
            clip,
            published: self.model().family.published_quality(),
            thresholds: options.thresholds,
            findings,
            latents_file: options.latents_file.clone(),
            files,
            not_decided,
            forecast,
            cross_check: self.cross_check(options).map(|check| check.compares.to_owned()),
            notes,
            timings_ms: Timings {
                load: Timings::milliseconds(self.load),
                encode: Timings::milliseconds(encoding),
                decode: Timings::milliseconds(decoding),
                total: Timings::milliseconds(self.load + started.elapsed()),
            },
            peak_rss_bytes: peak_rss_bytes(),
        };
        Ok(Checked {
            report,
            seen: seen.pixels,
            seen_alpha: seen.alpha,
            picture,
            picture_alpha,
            common,
            visibility,
            latents,
            moments: encoded.moments,
            noise,
            decoded,
            clip: checked_clip,
            trace,
        })
    }

    /// The notes of a report with these `options`, but for those on the picture: of a clip all weights meet data.
    pub fn notes_with(&self, options: &CheckOptions) -> Vec<String> {
        let holds = |note: &&String| options.frames.is_none() || !note.starts_with(ONE_FRAME);
        self.notes.iter().filter(holds).chain(&options.notes).cloned().collect()
    }

    /// What the rules say of one trip.
    fn diagnosis(&self, trip: &Trip, options: &CheckOptions) -> Result<Diagnosis> {
        let load = || {
            self.split_alike(match self.cross_check(options) {
                Some(_) => self.execution.load_cross_check(&self.checkpoint)?,
                None => self.execution.load_f32(&self.checkpoint)?,
            })
        };
        let regrouped = |groups| self.regrouped(groups);
        let evidence = Evidence {
            vae: self.vae(),
            family: self.model().family,
            source: &trip.taken.pixels,
            dropped: trip.taken.dropped.as_ref(),
            orientation: trip.taken.orientation,
            size_requested: options.size.is_some(),
            seen: trip.seen,
            latents_are_given: false,
            sample: trip.sample,
            encoded: trip.encoded,
            drawn: options.seed.is_some(),
            latents: trip.latents,
            decoded: trip.decoded,
            reference: self.reference(&load),
            regrouped: Some(&regrouped),
            weights: self.weights_findings()?,
            files: &options.files,
            unknown: &[],
        };
        diagnose(&evidence, options.cross_check)
    }

    /// What `cross_check` asks for; `None` also where there is nothing to compare with.
    fn cross_check(&self, options: &CheckOptions) -> Option<CrossCheck> {
        self.execution.cross_check().filter(|_| options.cross_check)
    }
}

fn pair<'a>(
    common: &'a Option<(Rgb8, Rgb8)>,
    seen: &'a Rgb8,
    picture: &'a Option<Rgb8>,
) -> Option<(&'a Rgb8, &'a Rgb8)> {
    match (common, picture) {
        (Some((seen, picture)), _) => Some((seen, picture)),
        (None, Some(picture)) => Some((seen, picture)),
        (None, None) => None,
    }
}

/// One picture on its way.
struct Trip<'a> {
    taken: &'a Taken,
    seen: &'a Rgb8,
    sample: &'a Array4<f32>,
    encoded: &'a Encoded,
    latents: &'a Array4<f32>,
    decoded: &'a Array4<f32>,
}

/// The top left of both pictures that both have, and a note, where that is not all of them: a VAE
/// that halves a side more than three times loses pixels of a side that is only a multiple of 8.
fn common_area(a: &Rgb8, b: &Rgb8) -> Result<Option<(Rgb8, Rgb8, String)>> {
    if (a.width(), a.height()) == (b.width(), b.height()) {
        return Ok(None);
    }
    let (width, height) = (a.width().min(b.width()), a.height().min(b.height()));
    let crop = |picture: &Rgb8| {
        let rows = picture.data().chunks_exact(picture.width() * 3).take(height);
        Rgb8::new(width, height, rows.flat_map(|row| &row[..width * 3]).copied().collect())
    };
    let note = format!(
        "decoded at {} x {} from {} x {}: metrics cover the {width} x {height} at the top left",
        b.width(),
        b.height(),
        a.width(),
        a.height()
    );
    Ok(Some((crop(a)?, crop(b)?, note)))
}
