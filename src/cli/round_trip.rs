//! One image from file to file: pixels, sample, latents, decoded, pixels, report.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::baseline::Baseline;
use crate::diagnosis::{Diagnosis, Evidence, Reference, UserFiles, diagnose};
use crate::engine::CrossCheck;
use crate::forecast::forecast;
use crate::image_processor::{denormalise, normalise};
use crate::metrics::{PixelMetrics, Visibility, WINDOW};
use crate::pixels::{self, OpenedImage, resize_bicubic, target_size};
use crate::report::{
    CheckReport, Decoded, Input, Latents, Model, Posterior, PosteriorKind, SCHEMA_VERSION, Timings,
    peak_rss_bytes,
};
use crate::trace::Statistics;
use crate::vae::trace;
use crate::verdict::{Thresholds, Verdict};
use crate::{Checkpoint, Dtype, Encoded, Error, Execution, Result, Rgb8, Vae};
use ndarray::Array4;

use super::outputs::Outputs;
use super::results::{Results, Tensors};
use super::show::Shown;

/// A loaded VAE, and what holds for every image that it judges.
pub struct Judge<'a> {
    pub vae: &'a dyn Vae,
    pub checkpoint: &'a Checkpoint,
    /// Files of the user's own pipeline.
    pub files: UserFiles,
    /// Whether another way to compute is asked as well.
    pub cross_check: bool,
    /// Whether f16 and bf16 are looked into.
    pub forecast: bool,
    /// Whether pictures will be drawn in the terminal.
    pub show: bool,
    /// The command line, as the user would type it again.
    pub command: String,
    pub baseline: Option<Baseline>,
    pub execution: Execution,
    pub model: Model,
    /// Width and height to encode at; `None` goes down to multiples of 8.
    pub size: Option<(usize, usize)>,
    /// What latents are drawn with; `None` takes the mode.
    pub seed: Option<i128>,
    pub thresholds: Thresholds,
    pub notes: Vec<String>,
    pub load: Duration,
}

impl Judge<'_> {
    /// Judges one image and writes what `outputs` asks for; `progress` is told each step. Also gives
    /// what is to be shown, where that was asked for.
    pub fn image(
        &self,
        path: &Path,
        outputs: &Outputs,
        progress: impl Fn(&str),
    ) -> Result<(CheckReport, Option<Shown>)> {
        let started = Instant::now();
        progress("opening");
        let opened = pixels::open(path)?;
        let (width, height) =
            target_size(opened.pixels.width(), opened.pixels.height(), self.size)?;
        self.check_ssim_is_defined(width, height)?;
        if let Some(baseline) = &self.baseline {
            baseline.check(path, [width, height])?;
        }
        let seen = resize_bicubic(&opened.pixels, width, height)?;

        progress("encoding");
        let dtype = self.vae.dtype();
        let encoding = Instant::now();
        let noise = |seed| self.execution.noise(self.vae.config(), seed, width, height);
        let noise = self.seed.map(noise).transpose()?;
        let sample = normalise(&seen, dtype);
        let encoded = self.vae.encode(sample.view(), noise.as_ref().map(Array4::view))?;
        let latents = self.vae.scale(encoded.latents.view())?;
        let encoding = encoding.elapsed();

        progress("decoding");
        let decoding = Instant::now();
        let unscaled = self.vae.unscale(latents.view())?;
        let decoded = self.vae.decode(unscaled.view())?;
        let decoding = decoding.elapsed();

        progress("judging");
        let picture = match dtype {
            Dtype::Bf16 => None,
            _ => Some(denormalise(decoded.view(), dtype)?),
        };
        progress("diagnosing");
        let diagnosis = self.diagnosis(&Trip {
            opened: &opened,
            seen: &seen,
            sample: &sample,
            encoded: &encoded,
            latents: &latents,
            decoded: &decoded,
        })?;
        let trace = match outputs.trace.is_some() || outputs.report.is_some() {
            true => {
                progress("tracing");
                Some(trace(self.vae, sample.view(), unscaled.view())?)
            }
            false => None,
        };

        let mut notes = self.notes.clone();
        notes.extend(opened.notes.iter().cloned());
        let common = match &picture {
            Some(picture) => Some(common_area(&seen, picture)?),
            None => None,
        };
        notes.extend(common.iter().filter_map(|(_, _, cropped)| cropped.clone()));
        let pair = common.as_ref().map(|(seen, picture, _)| (seen, picture));
        // On the way to 8 bits NaN becomes black, and a number about it would say nothing.
        let sound = decoded.iter().all(|value| value.is_finite());
        let (metrics, visibility) = match pair {
            Some((seen, picture)) if sound => {
                let (metrics, visibility) = PixelMetrics::with_visibility(seen, picture)?;
                (Some(metrics), visibility)
            }
            Some((seen, picture)) if outputs.show_differences() || self.show => {
                (None, Visibility::of(seen, picture)?)
            }
            _ => (None, None),
        };
        let tensors = Tensors {
            latents: latents.clone(),
            moments: encoded.moments,
            noise,
            decoded: decoded.clone(),
        };
        let latents = Latents {
            shape: latents.dim().into(),
            scaled_by: self.vae.config().scaling_factor,
            statistics: Statistics::of(&latents),
        };
        let decoded = Decoded::of(outputs.picture.clone(), &decoded);
        let Diagnosis { mut findings, not_decided } = diagnosis;
        let forecast = match self.forecast {
            true => {
                progress("forecasting f16 and bf16");
                let sample = normalise(&seen, Dtype::F32);
                let (forecast, warnings) =
                    forecast(&self.execution, self.checkpoint, &seen, sample.view())?;
                findings.extend(warnings);
                Some(forecast)
            }
            false => None,
        };
        let (_, mut verdict_reasons) =
            Verdict::of(&findings, decoded.non_finite, metrics.as_ref(), &self.thresholds);
        if let Some(baseline) = &self.baseline {
            let size = [width, height];
            let worse = baseline.regressions(path, size, metrics.as_ref(), &findings)?;
            verdict_reasons.extend(worse);
        }
        let verdict = Verdict::from_reasons(&verdict_reasons);
        let mut report = CheckReport {
            schema_version: SCHEMA_VERSION,
            verdict,
            verdict_reasons,
            input: Input::of(path, &opened, (width, height)),
            model: self.model.clone(),
            posterior: Posterior {
                kind: match self.seed {
                    Some(_) => PosteriorKind::Sample,
                    None => PosteriorKind::Mode,
                },
                seed: self.seed,
            },
            latents,
            decoded,
            metrics,
            published: self.model.family.published_quality(),
            thresholds: self.thresholds,
            findings,
            not_decided,
            forecast,
            cross_check: self.cross_check().map(|check| check.compares.to_owned()),
            notes,
            timings_ms: Timings {
                load: milliseconds(self.load),
                encode: milliseconds(encoding),
                decode: milliseconds(decoding),
                total: milliseconds(self.load + started.elapsed()),
            },
            peak_rss_bytes: peak_rss_bytes(),
        };
        progress("writing");
        Results {
            report: &report,
            command: &self.command,
            seen: &seen,
            picture: picture.as_ref(),
            pair,
            visibility: visibility.as_ref(),
            tensors: &tensors,
            trace: trace.as_ref(),
        }
        .write(outputs)?;
        report.timings_ms.total = milliseconds(self.load + started.elapsed());
        let shown = match (pair, visibility) {
            (Some((seen, picture)), Some(visibility)) if self.show => {
                Some(Shown { input: seen.clone(), output: picture.clone(), visibility })
            }
            _ => None,
        };
        Ok((report, shown))
    }

    /// What the rules say of one trip.
    fn diagnosis(&self, trip: &Trip) -> Result<Diagnosis> {
        let load = || -> Result<Box<dyn Vae>> {
            let mut vae = match self.cross_check() {
                Some(_) => self.execution.load_cross_check(self.checkpoint)?,
                None => self.execution.load_f32(self.checkpoint)?,
            };
            vae.set_splitting(self.model.splitting)?;
            Ok(vae)
        };
        let reference = self.execution.cross_check();
        let reference = reference.map(|CrossCheck { name, remedy, .. }| Reference {
            name,
            remedy,
            load: &load,
        });
        let evidence = Evidence {
            vae: self.vae,
            family: self.model.family,
            source: &trip.opened.pixels,
            orientation: trip.opened.orientation,
            size_requested: self.size.is_some(),
            seen: trip.seen,
            sample: trip.sample,
            encoded: trip.encoded,
            drawn: self.seed.is_some(),
            latents: trip.latents,
            decoded: trip.decoded,
            reference,
            files: &self.files,
        };
        diagnose(&evidence, self.cross_check)
    }

    /// What was asked for with `--cross-check`; `None` also where there is nothing to compare with.
    fn cross_check(&self) -> Option<CrossCheck> {
        self.execution.cross_check().filter(|_| self.cross_check)
    }

    fn check_ssim_is_defined(&self, width: usize, height: usize) -> Result<()> {
        match self.thresholds.min_ssim {
            Some(least) if width.min(height) < WINDOW => Err(Error::option(
                format!("--min-ssim {least}"),
                format!(
                    "SSIM needs {WINDOW} x {WINDOW} pixels, the picture is encoded at {width} x {height}"
                ),
                "leave it out, or enlarge the picture with --width and --height",
            )),
            _ => Ok(()),
        }
    }
}

/// One picture on its way.
struct Trip<'a> {
    opened: &'a OpenedImage,
    seen: &'a Rgb8,
    sample: &'a Array4<f32>,
    encoded: &'a Encoded,
    latents: &'a Array4<f32>,
    decoded: &'a Array4<f32>,
}

/// The top left of both pictures that both have, and a note where that is not all of them: a VAE
/// that halves a side more than three times loses pixels of a side that is only a multiple of 8.
fn common_area(a: &Rgb8, b: &Rgb8) -> Result<(Rgb8, Rgb8, Option<String>)> {
    let (width, height) = (a.width().min(b.width()), a.height().min(b.height()));
    let crop = |picture: &Rgb8| {
        let rows = picture.data().chunks_exact(picture.width() * 3).take(height);
        Rgb8::new(width, height, rows.flat_map(|row| &row[..width * 3]).copied().collect())
    };
    let note = ((a.width(), a.height()) != (b.width(), b.height())).then(|| {
        format!(
            "decoded at {} x {} from {} x {}: metrics cover the {width} x {height} at the top left",
            b.width(),
            b.height(),
            a.width(),
            a.height()
        )
    });
    Ok((crop(a)?, crop(b)?, note))
}

fn milliseconds(duration: Duration) -> f64 {
    // Clocks are not better than a microsecond here.
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
