//! A folder of goldens, and what its cases are held to.

use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use ndarray::{Array4, Axis, concatenate};

use super::case_files::CaseFiles;
use super::compare::{Criterion, Tolerance};
use super::image_to_tensor::image_to_tensor;
use super::manifest::{Case, Manifest, Origin, broken, broken_by};
use super::posterior::std_tolerance;
use super::progress::Progress;
use super::report::{CaseReport, NotRun, Step, SuiteReport};
use super::tolerances::Tolerances;
use vae_fidelity_checkpoint::{Checkpoint, Source};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

type Preprocess = Box<dyn Fn(&Path, Option<(usize, usize)>, Dtype) -> Result<Array4<f32>>>;

/// A folder of goldens: `manifest.json`, `tolerances.json`, `cases/`, `images/`, `models/`.
pub struct Suite {
    folder: PathBuf,
    /// Folders with cases and models of their own; pictures and tolerances are the suite's.
    parts: Vec<PathBuf>,
    manifest: Manifest,
    tolerances: Tolerances,
    pub(super) device: String,
    only: Vec<String>,
    pub(super) failures: Option<PathBuf>,
    preprocess: Option<Preprocess>,
    progress: Box<dyn Fn(&Progress<'_>)>,
}

/// Goldens of classes that have a crate of their own: in the repository, folders in that of the suite.
const PARTS: [&str; 5] = ["tiny", "asymmetric", "wan", "dc", "hunyuan"];

impl Suite {
    /// Opens the suite in `folder`, with its parts: goldens of single classes in folders in it, each with
    /// a `manifest.json`, `cases/` and `models/`.
    ///
    /// Tensors are read, and their SHA-256 checked, when cases run.
    ///
    /// # Errors
    ///
    /// Returns an error if the manifest or the tolerances are missing, broken or of another schema
    /// version, or if there are no cases.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        let manifest = Manifest::read(&folder.join("manifest.json"))?;
        let tolerances = Tolerances::read(&folder.join(&manifest.tolerances))?;
        let parts = PARTS.map(|name| folder.join(name));
        let suite = Self {
            folder,
            parts: Vec::new(),
            manifest,
            tolerances,
            device: "cpu".to_owned(),
            only: Vec::new(),
            failures: None,
            preprocess: None,
            progress: Box::new(|_| ()),
        };
        let beside = parts.into_iter().filter(|part| part.join("manifest.json").is_file());
        beside.into_iter().try_fold(suite, Self::with_part)
    }

    /// The same with the cases and models of a part, judged by the suite's tolerances and of its pictures.
    fn with_part(mut self, folder: PathBuf) -> Result<Self> {
        let path = folder.join("manifest.json");
        for case in Manifest::read(&path)?.cases {
            if self.manifest.cases.iter().any(|known| known.name == case.name) {
                return Err(broken(&path, format!("two cases are named {}", case.name)));
            }
            self.manifest.cases.push(case);
        }
        self.parts.push(folder);
        Ok(self)
    }

    /// Opens the goldens that come with this crate's sources, of this very version, with those of the
    /// classes whose features are on (`tiny`, `asymmetric`, `wan`, `dc`).
    ///
    /// # Errors
    ///
    /// Returns an error if the sources that this crate was built from no longer exist.
    ///
    /// # Examples
    ///
    /// ```
    /// let suite = vae_fidelity_harness::Suite::builtin()?;
    /// assert!(suite.cases().iter().any(|case| case.model == "builtin"));
    /// # Ok::<(), vae_fidelity_files::Error>(())
    /// ```
    pub fn builtin() -> Result<Self> {
        let folder = vae_fidelity_goldens::folder();
        if !folder.is_dir() {
            return Err(Error::new(
                ErrorKind::Golden,
                folder.display(),
                "the sources that vae-fidelity was built from are not there any more",
                "build again, or name a copy of its golden/ to Suite::open",
            ));
        }
        let suite = Self::open(folder)?;
        let crates: &[&Path] = &[
            #[cfg(feature = "tiny")]
            vae_fidelity_goldens_tiny::folder(),
            #[cfg(feature = "asymmetric")]
            vae_fidelity_goldens_asymmetric::folder(),
            #[cfg(feature = "wan")]
            vae_fidelity_goldens_wan::folder(),
            #[cfg(feature = "dc")]
            vae_fidelity_goldens_dc::folder(),
            #[cfg(feature = "hunyuan")]
            vae_fidelity_goldens_hunyuan::folder(),
        ];
        crates.iter().try_fold(suite, |suite, folder| {
            // In the repository it lies in the suite, and has been found.
            match suite.parts.iter().any(|part| part.file_name() == folder.file_name()) {
                true => Ok(suite),
                false => suite.with_part(folder.to_path_buf()),
            }
        })
    }

    /// Narrows the suite to the cases of one model, or to one case, by name; further calls add to
    /// that. The other cases are counted as not run.
    pub fn only(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        if !self.only.contains(&name) {
            self.only.push(name);
        }
        self
    }

    /// Where the implementation runs: picks the rows of `tolerances.json`. Default: `cpu`.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = device.into();
        self
    }

    /// Judges the implementation's own way from an image file, and the size that was asked for as
    /// (width, height), to the sample: for a VAE of RGBA (1, 4, H, W), with the picture's alpha. Default:
    /// this crate's.
    pub fn preprocess(
        mut self,
        preprocess: impl Fn(&Path, Option<(usize, usize)>, Dtype) -> Result<Array4<f32>> + 'static,
    ) -> Self {
        self.preprocess = Some(Box::new(preprocess));
        self
    }

    /// Folder for the tensors of failed checks, as `<case>/<tensor>.safetensors`. Default:
    /// `target/vae-fidelity-failures` in a cargo project, else in the system's temporary folder.
    pub fn failures(mut self, folder: impl Into<PathBuf>) -> Self {
        self.failures = Some(folder.into());
        self
    }

    /// Called before each case.
    pub fn progress(mut self, progress: impl Fn(&Progress<'_>) + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// What wrote the goldens.
    pub fn origin(&self) -> &Origin {
        &self.manifest.origin
    }

    /// Every case of the manifest, chosen or not.
    pub fn cases(&self) -> &[Case] {
        &self.manifest.cases
    }

    /// The cases that [`Suite::run`] is to run, in the order of the manifest.
    ///
    /// # Errors
    ///
    /// Returns an error if a name given to [`Suite::only`] is neither of a model nor of a case.
    pub fn chosen(&self) -> Result<Vec<&Case>> {
        Ok(self.choose()?.chosen.into_iter().map(|(_, case)| case).collect())
    }

    /// The report of a run.
    pub(super) fn report(&self, cases: Vec<CaseReport>, not_run: Vec<NotRun>) -> SuiteReport {
        SuiteReport::new(self.folder.clone(), self.manifest.origin.clone(), cases, not_run)
    }

    /// Tells whoever watches that `case` is next.
    pub(super) fn tell(&self, case: &Case, number: usize, total: usize) {
        (self.progress)(&Progress { case, number, total });
    }

    pub(super) fn choose(&self) -> Result<Choice<'_>> {
        let named = |case: &Case, name: &String| case.model == *name || case.name == *name;
        for name in &self.only {
            if !self.manifest.cases.iter().any(|case| named(case, name)) {
                let all: Vec<_> = self.manifest.cases.iter().enumerate().collect();
                return Err(Error::new(
                    ErrorKind::Golden,
                    name,
                    format!("no model or case of {} has this name", self.folder.display()),
                    format!("choose one of the models: {}", models_of(&all).join(", ")),
                ));
            }
        }
        let cases = self.manifest.cases.iter().enumerate();
        let (chosen, others): (Vec<_>, Vec<_>) = cases.partition(|(_, case)| {
            self.only.is_empty() || self.only.iter().any(|name| named(case, name))
        });
        let reason = format!("only {} was asked for", self.only.join(", "));
        let not_run = others
            .into_iter()
            .map(|(at, case)| (at, NotRun { case: case.name.clone(), reason: reason.clone() }));
        Ok(Choice { chosen, not_run: not_run.collect() })
    }

    /// The config and weights of `model`.
    ///
    /// Errors are the suite's.
    pub(super) fn checkpoint(&self, model: &str) -> Result<Checkpoint> {
        Checkpoint::open(&self.source(model), None).map_err(|error| broken_by(&error))
    }

    /// Fails if this crate cannot make a sample of the case's pictures either: then the suite is broken,
    /// not the implementation that is judged.
    pub(super) fn check_pictures(&self, case: &Case) -> Result<()> {
        for image in self.pictures(case) {
            let size = case.width.zip(case.height);
            image_to_tensor(&image, size, case.dtype, case.has_alpha())
                .map_err(|error| broken_by(&error))?;
        }
        Ok(())
    }

    /// The files of the case's pictures.
    fn pictures<'a>(&'a self, case: &'a Case) -> impl Iterator<Item = PathBuf> {
        let names = iter::once(&case.image).chain(&case.batch);
        names.map(|name| self.folder.join("images").join(name))
    }

    /// What the implementation's preprocessing makes of the case's pictures.
    pub(super) fn sample_of(&self, case: &Case) -> Result<Array4<f32>> {
        let size = case.width.zip(case.height);
        let sample = |image: PathBuf| match &self.preprocess {
            Some(own) => own(&image, size, case.dtype),
            None => image_to_tensor(&image, size, case.dtype, case.has_alpha()),
        };
        let batch = self.pictures(case).map(sample).collect::<Result<Vec<_>>>()?;
        let views: Vec<_> = batch.iter().map(Array4::view).collect();
        concatenate(Axis(0), &views).map_err(|error| {
            Error::tensor(
                &case.name,
                format!("the pictures of a batch have different sizes: {error}"),
                "preprocess each to the size that was asked for",
            )
        })
    }

    /// Where `case` runs: its own device, or the one named with [`Suite::device`].
    pub(super) fn device_of<'a>(&'a self, case: &'a Case) -> &'a str {
        if case.device == "cpu" { &self.device } else { &case.device }
    }

    fn source(&self, model: &str) -> Source {
        if model == "builtin" {
            return Source::Builtin;
        }
        let part = self.manifest.cases.iter().find(|case| case.model == model);
        let folder = part.map_or(&self.folder, |case| &case.suite);
        Source::Folder { path: folder.join("models").join(model), subfolder: None }
    }

    /// The folder of the suite.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every file of the suite's folder and of its parts: what nothing may be written over.
    pub fn files(&self) -> Vec<PathBuf> {
        let outside = self.parts.iter().filter(|part| !part.starts_with(&self.folder)).cloned();
        let mut files = Vec::new();
        let mut folders: Vec<PathBuf> = [self.folder.clone()].into_iter().chain(outside).collect();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                // Links to folders are not followed: they may form a cycle.
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if is_folder { &mut folders } else { &mut files }.push(entry.path());
            }
        }
        files
    }

    pub(super) fn image(&self, case: &Case) -> PathBuf {
        self.folder.join("images").join(&case.image)
    }

    /// What `Source::parse` takes for `model`.
    pub(super) fn repo(&self, model: &str) -> String {
        self.source(model).to_string()
    }

    /// What a step is held to. Steps without arithmetic that machines differ in have to be exact.
    pub(super) fn criterion(
        &self,
        case: &Case,
        files: &CaseFiles,
        step: Step,
    ) -> Result<Criterion> {
        let tensor = match step {
            Step::Moments | Step::PosteriorSamples => "moments",
            Step::Latents => "latents",
            Step::Decoded => "decoded",
            Step::EndToEnd => "decoded_rgb8",
            Step::Std => {
                let moments = self.criterion(case, files, Step::Moments)?.tolerance();
                let tolerance = std_tolerance(case.dtype, moments, files.widest_logvar())?;
                return Ok(Criterion::Within { tolerance, share: None });
            }
            Step::Load | Step::Sample | Step::DecodedRgb8 | Step::ToRgb8 => {
                return Ok(Criterion::BitIdentical);
            }
        };
        self.tolerances.criterion(tensor, case.dtype, self.device_of(case), &case.model)
    }

    pub(super) fn trace_tolerance(&self, case: &Case) -> Result<Tolerance> {
        let criterion =
            self.tolerances.criterion("trace", case.dtype, self.device_of(case), &case.model)?;
        Ok(criterion.tolerance())
    }

    /// Why a failure of a case without a trace is not located, and which case to run for that.
    pub(super) fn who_has_a_trace(&self, case: &Case) -> String {
        let others = self.manifest.cases.iter();
        let traced = others.filter(|other| other.model == case.model && other.trace.is_some());
        let names: Vec<&str> = traced.map(|other| other.name.as_str()).collect();
        match names.as_slice() {
            [] => format!("no case of {} has a trace", case.model),
            names => format!("this case has no trace: see {} of the same model", names.join(", ")),
        }
    }
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("folder", &self.folder)
            .field("cases", &self.manifest.cases.len())
            .field("only", &self.only)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

/// The cases to run and those left out, each with its place in the manifest.
pub(super) struct Choice<'a> {
    pub chosen: Vec<(usize, &'a Case)>,
    pub not_run: Vec<(usize, NotRun)>,
}

impl<'a> Choice<'a> {
    /// The chosen cases with their places, and the others.
    pub fn into_parts(self) -> (Vec<(usize, &'a Case)>, Vec<NotRun>) {
        (self.chosen, in_order(self.not_run))
    }
}

pub(super) fn models_of<'a>(cases: &[(usize, &'a Case)]) -> Vec<&'a str> {
    let mut models = Vec::new();
    for (_, case) in cases {
        if !models.contains(&case.model.as_str()) {
            models.push(&case.model);
        }
    }
    models
}

pub(super) fn in_order<T>(mut rows: Vec<(usize, T)>) -> Vec<T> {
    rows.sort_by_key(|(at, _)| *at);
    rows.into_iter().map(|(_, row)| row).collect()
}
