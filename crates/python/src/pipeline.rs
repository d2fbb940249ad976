//! A VAE that is loaded once and judges pictures.

use std::path::PathBuf;
use std::sync::Arc;

use ndarray::s;
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;
use vae_fidelity::baseline::Baseline;
use vae_fidelity::diagnosis::{LatentsScale, UserFiles, UserPicture};
use vae_fidelity::output::write_atomically;
use vae_fidelity::pipeline::{CheckOptions, DecodeOptions, Expected, ProbeOptions, TraceOptions};
use vae_fidelity::pixels::{Exif, requested_size};
use vae_fidelity::trace::TraceFile;
use vae_fidelity::{Cancellation, Error, Result};

use super::checked::{Again, Checked};
use super::decoded::{self, DecodedRow};
use super::json::json;
use super::turn::{Loaded, Turn};
use super::{errors, latents, options, picture, waiting};

/// A VAE, loaded and ready to judge pictures.
#[pyclass(frozen)]
pub struct Pipeline {
    loaded: Arc<Loaded>,
}

#[pymethods]
impl Pipeline {
    #[new]
    #[pyo3(signature = (repo, *, subfolder=None, revision=None, variant=None, key=None, config=None,
                        family=None, offline=false, engine=None, dtype=None, threads=None,
                        max_memory=None, tiling=false, tile_size=None, slicing=false))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        repo: options::Repo,
        subfolder: Option<String>,
        revision: Option<String>,
        variant: Option<String>,
        key: Option<String>,
        config: Option<PathBuf>,
        family: Option<String>,
        offline: bool,
        engine: Option<String>,
        dtype: Option<String>,
        threads: Option<usize>,
        max_memory: Option<u64>,
        tiling: bool,
        tile_size: Option<usize>,
        slicing: bool,
    ) -> PyResult<Self> {
        let about = options::Source { subfolder, revision, variant, key, config, family, offline };
        let build = move || {
            let cancellation = Cancellation::default();
            let source = about.located(repo)?;
            let mut builder = vae_fidelity::Pipeline::builder()
                .opened_with(about.options(&source)?)
                .opened_from(source)
                .slicing(slicing)
                .cancellation(cancellation.clone());
            if let Some(engine) = engine {
                builder = builder.engine(options::engine(&engine)?);
            }
            if let Some(dtype) = dtype {
                builder = builder.dtype(options::dtype(&dtype)?);
            }
            if let Some(threads) = threads {
                builder = builder.threads(threads);
            }
            if let Some(bytes) = max_memory {
                builder = builder.max_memory_bytes(bytes);
            }
            if tiling {
                builder = builder.tiling(tile_size);
            } else if tile_size.is_some() {
                let next = "give `tiling` as well, or leave it out";
                return Err(Error::option("`tile_size`", "was given without `tiling`", next));
            }
            let unloaded = builder.clone();
            Ok(builder
                .build()
                .map_err(|error| (unloaded.findings_of_unloaded(&error), error))
                .map(|pipeline| Loaded::new(pipeline, cancellation)))
        };
        match waiting::until_done(py, build)? {
            Ok(loaded) => Ok(Self { loaded: Arc::new(loaded) }),
            Err((findings, error)) => Err(errors::raised_with(py, &error, &findings)),
        }
    }

    /// Sends `given` through the VAE and judges what comes back.
    #[pyo3(signature = (given, *, name, notes, exif, latents_scale, latents_key=None, width=None,
                        height=None, frames=None, seed=None, min_psnr=None, min_ssim=None, min_ms_ssim=None, baseline=None, cross_check=false, forecast=false,
                        latents=None, decoded_image=None, preprocessed=None, against=None,
                        progress=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn check(
        &self,
        py: Python<'_>,
        given: picture::Given<'_>,
        name: PathBuf,
        notes: Vec<String>,
        exif: String,
        latents_scale: String,
        latents_key: Option<String>,
        width: Option<usize>,
        height: Option<usize>,
        frames: Option<usize>,
        seed: Option<i128>,
        min_psnr: Option<f64>,
        min_ssim: Option<f64>,
        min_ms_ssim: Option<f64>,
        baseline: Option<PathBuf>,
        cross_check: bool,
        forecast: bool,
        latents: Option<latents::Given<'_>>,
        decoded_image: Option<picture::Given<'_>>,
        preprocessed: Option<PyReadonlyArrayDyn<'_, f32>>,
        against: Option<PathBuf>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Checked> {
        let raised = |error| errors::raised(py, &error);
        let picture = given.owned(&name).map_err(raised)?;
        let decoded_image = decoded_image.map(|image| image.owned("decoded_image".as_ref()));
        let decoded_image = decoded_image.transpose().map_err(raised)?;
        let latents = latents.map(latents::Given::owned);
        let preprocessed = preprocessed.map(|sample| sample.as_array().to_owned());
        let turn = Turn::new(self.loaded.clone());
        let (cancel, loaded) = (turn.cancel(), self.loaded.clone());
        waiting::with_progress(py, progress, cancel, move |tell| {
            let size = requested_size(width, height)?;
            let exif: Exif = options::parsed("exif", &exif)?;
            let mut asked = CheckOptions::default();
            (asked.size, asked.exif, asked.seed) = (size, exif, seed);
            asked.frames = frames;
            asked.thresholds.min_psnr = min_psnr;
            (asked.thresholds.min_ssim, asked.thresholds.min_ms_ssim) = (min_ssim, min_ms_ssim);
            (asked.cross_check, asked.forecast, asked.visibility) = (cross_check, forecast, true);
            asked.baseline = baseline.as_deref().map(Baseline::read).transpose()?;
            let mut latents = latents::read(latents, latents_key.as_deref(), &latents_scale)?;
            asked.files = UserFiles {
                latents: None,
                latents_scale: LatentsScale::default(),
                decoded_image: decoded_image.map(decoded_picture).transpose()?,
                preprocessed,
                against: against.as_deref().map(TraceFile::read).transpose()?,
            };
            let sent = picture.picture(&name, &notes);
            let checked = turn.run(|pipeline| {
                if let Some(latents) = &mut latents {
                    asked.files.latents_scale = latents.settle(pipeline.model().family);
                    asked.latents_file = latents.source.clone();
                    asked.notes.extend(latents.note());
                    asked.files.latents = Some(std::mem::take(&mut latents.values));
                }
                pipeline.check_with(sent, &asked, |step| tell(step.to_string()))
            })?;
            let sample = match picture {
                // Of a clip the first frame is what went through as a picture.
                picture::Owned::Sample(sample) => Some(sample.slice_move(s![..1, .., .., ..])),
                _ => None,
            };
            Ok(Checked::new(checked, Again { loaded, name, sample, seed }))
        })
    }

    /// Decodes the latents of each picture, and judges them: for each the report as JSON and as text, the
    /// picture, and the sample before clamping.
    #[pyo3(signature = (given, *, latents_scale, latents_key=None, decoded_image=None, progress=None))]
    fn decode<'py>(
        &self,
        py: Python<'py>,
        given: latents::Given<'_>,
        latents_scale: String,
        latents_key: Option<String>,
        decoded_image: Option<picture::Given<'_>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<DecodedRow<'py>>> {
        let given = given.owned();
        let decoded_image = decoded_image.map(|image| image.owned("decoded_image".as_ref()));
        let decoded_image =
            decoded_image.transpose().map_err(|error| errors::raised(py, &error))?;
        let turn = Turn::new(self.loaded.clone());
        let cancel = turn.cancel();
        let rows = waiting::with_progress(py, progress, cancel, move |tell| {
            let scale = latents::asked(&latents_scale)?;
            let mut latents = given.read(latents_key.as_deref(), scale)?;
            let mut asked = DecodeOptions::default();
            asked.decoded_image = decoded_image.map(decoded_picture).transpose()?;
            turn.run(|pipeline| {
                asked.scale = latents.settle(pipeline.model().family);
                asked.latents_file = latents.source.clone();
                asked.notes.extend(latents.note());
                decoded::rows(pipeline, &latents.values, asked, tell)
            })
        })?;
        rows.into_iter().map(|row| row.into_python(py)).collect()
    }

    /// What becomes of synthetic charts, as JSON.
    #[pyo3(signature = (*, size=None, progress=None))]
    fn probe(
        &self,
        py: Python<'_>,
        size: Option<usize>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let turn = Turn::new(self.loaded.clone());
        let cancel = turn.cancel();
        waiting::with_progress(py, progress, cancel, move |tell| {
            let mut asked = ProbeOptions::default();
            asked.size = size;
            let run =
                turn.run(|pipeline| pipeline.probe_with(&asked, |step| tell(step.to_string())))?;
            json(&run.report)
        })
    }

    /// Every layer for `given`, beside the trace in the file `against`, as JSON; the trace itself is saved in
    /// the file `save`.
    #[pyo3(signature = (given, *, name, notes, exif, width=None, height=None, seed=None, against=None,
                        atol=None, rtol=None, save=None, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn trace(
        &self,
        py: Python<'_>,
        given: picture::Given<'_>,
        name: PathBuf,
        notes: Vec<String>,
        exif: String,
        width: Option<usize>,
        height: Option<usize>,
        seed: Option<i128>,
        against: Option<PathBuf>,
        atol: Option<f64>,
        rtol: Option<f64>,
        save: Option<PathBuf>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let picture = given.owned(&name).map_err(|error| errors::raised(py, &error))?;
        let turn = Turn::new(self.loaded.clone());
        let cancel = turn.cancel();
        waiting::with_progress(py, progress, cancel, move |tell| {
            let mut asked = TraceOptions::default();
            asked.size = requested_size(width, height)?;
            asked.exif = options::parsed("exif", &exif)?;
            asked.seed = seed;
            turn.run(|pipeline| {
                let read =
                    |path: &PathBuf| Expected::read(path, (atol, rtol), pipeline.execution());
                let expected = against.as_ref().map(read).transpose()?;
                let sent = picture.picture(&name, &notes);
                let traced = pipeline.trace(sent, &asked, |step| tell(step.to_string()))?;
                if let Some(path) = &save {
                    write_atomically(path, &traced.trace.to_json())?;
                }
                let mut report =
                    pipeline.trace_report(traced, seed, expected.as_ref(), Vec::new())?;
                report.saved = save;
                json(&report)
            })
        })
    }

    /// The VAE as reports show it, as JSON.
    fn model(&self, py: Python<'_>) -> PyResult<String> {
        let turn = Turn::new(self.loaded.clone());
        waiting::with_progress(py, None, turn.cancel(), move |_| turn.run(|run| json(run.model())))
    }
}

impl Pipeline {
    pub fn loaded(&self) -> Arc<Loaded> {
        self.loaded.clone()
    }
}

fn decoded_picture(picture: picture::Owned) -> Result<UserPicture> {
    picture.user_picture("decoded_image", Exif::Ignore)
}
