//! The checks of one case as they come in: compared, located, and with the next command to run.

use std::path::{Path, PathBuf};

use super::case_files::CaseFiles;
use super::compare::Comparison;
use super::evidence::Evidence;
use super::fault::Fault;
use super::fault::Location;
use super::locate::first_divergence;
use super::manifest::Case;
use super::report::{Check, Outcome, Step};
use super::suite::Suite;
use super::tensor::Golden;
use vae_fidelity_core::trace::{Stage, Trace};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// Records the modules of the stage that a tensor comes from; the text says why that cannot be.
pub(super) type Tracer<'v> = Option<(Stage, &'v dyn Fn() -> std::result::Result<Trace, String>)>;

/// A tensor of the implementation under test, in C order.
pub(super) struct Actual<'v> {
    pub shape: &'v [usize],
    pub values: &'v [f32],
    /// Where its modules can be looked up, if it is wrong.
    pub trace: Tracer<'v>,
}

/// What is done with the tensor of a failed check.
pub(super) enum Keep<'a> {
    /// It is saved there.
    Save(&'a Evidence),
    /// It was read from a file of this folder of a candidate's.
    Given(&'a Path),
}

/// The checks of one case.
pub(super) struct Checks<'a> {
    suite: &'a Suite,
    case: &'a Case,
    files: &'a CaseFiles,
    keep: Keep<'a>,
    /// What can be asked to run a block alone; files cannot.
    vae: Option<&'a dyn Vae>,
    /// Looked up once per stage: tracing may run the model again.
    located: Vec<(Stage, Location)>,
    list: Vec<Check>,
}

impl<'a> Checks<'a> {
    pub fn new(
        suite: &'a Suite,
        case: &'a Case,
        files: &'a CaseFiles,
        keep: Keep<'a>,
        vae: Option<&'a dyn Vae>,
    ) -> Self {
        Self { suite, case, files, keep, vae, located: Vec::new(), list: Vec::new() }
    }

    pub fn into_list(self) -> Vec<Check> {
        self.list
    }

    /// Pushes the check of one tensor; returns whether it was bit-identical.
    pub fn compare(&mut self, step: Step, golden: &Golden, actual: Actual) -> Result<bool> {
        self.explained(step, golden, actual, || None)
    }

    /// As [`Checks::compare`]; `why` is asked, in words, what a failure looks like.
    pub fn explained(
        &mut self,
        step: Step,
        golden: &Golden,
        actual: Actual,
        why: impl FnOnce() -> Option<String>,
    ) -> Result<bool> {
        let Actual { shape, values, trace } = actual;
        let criterion = self.suite.criterion(self.case, self.files, step)?;
        let comparison = Comparison::new(golden, shape, values, criterion)?;
        let bit_identical = comparison.bit_identical;
        let mut check = Check::compared(step, comparison);
        if check.outcome == Outcome::Failed {
            if let Some((stage, record)) = trace {
                check.location = Some(self.locate(stage, record)?);
            }
            check.looks_like = why();
            match self.kept(step, shape, values) {
                Ok(path) => check.saved = path,
                Err(problem) => check.reason = Some(format!("the tensor was not saved: {problem}")),
            }
            check.next = Some(self.next_command(&check, golden));
        }
        self.list.push(check);
        Ok(bit_identical)
    }

    /// As [`Checks::explained`], for a picture.
    pub fn pixels(
        &mut self,
        step: Step,
        golden: &Golden,
        pixels: Result<Rgb8>,
        why: impl FnOnce(&Rgb8) -> Option<String>,
    ) -> Result<()> {
        match pixels {
            Err(error) => self.fail(&[step], &error),
            Ok(pixels) => {
                let values = values_of(&pixels);
                let shape = [pixels.height(), pixels.width(), 3];
                let actual = Actual { shape: &shape, values: &values, trace: None };
                self.explained(step, golden, actual, || why(&pixels))?;
            }
        }
        Ok(())
    }

    pub fn push(&mut self, check: Check) {
        self.list.push(check);
    }

    pub fn skip(&mut self, steps: &[Step], reason: &str) {
        self.list.extend(steps.iter().map(|&step| Check::not_judged(step, reason)));
    }

    /// What the implementation answered with an error.
    pub fn fail(&mut self, steps: &[Step], error: &Error) {
        let reason = error.with_next();
        self.list.extend(steps.iter().map(|&step| Check::failed(step, reason.clone())));
    }

    /// Where the tensor of a failed check lies.
    fn kept(
        &self,
        step: Step,
        shape: &[usize],
        values: &[f32],
    ) -> std::result::Result<Option<PathBuf>, String> {
        match self.keep {
            Keep::Save(evidence) => evidence.save(&self.case.name, step, shape, values).map(Some),
            // Pixels may have been made of `decoded` here: then there is no file of them.
            Keep::Given(folder) => Ok(step
                .files()
                .into_iter()
                .map(|file| folder.join(file))
                .find(|file| file.is_file())),
        }
    }

    /// Finds the first module of `stage` that differs.
    fn locate(
        &mut self,
        stage: Stage,
        record: &dyn Fn() -> std::result::Result<Trace, String>,
    ) -> Result<Location> {
        if let Some((_, location)) = self.located.iter().find(|(known, _)| *known == stage) {
            return Ok(location.clone());
        }
        let unknown = |reason: String| Location::Unknown { reason };
        let location = match &self.files.trace {
            None => unknown(self.suite.who_has_a_trace(self.case)),
            Some(golden) => match record() {
                Err(reason) => unknown(reason),
                Ok(actual) => {
                    let tolerance = self.suite.trace_tolerance(self.case)?;
                    let alone = |module: &str| self.fault(stage, module);
                    first_divergence(stage, golden.stage(stage), &actual, tolerance, alone)?
                }
            },
        };
        self.located.push((stage, location.clone()));
        Ok(location)
    }

    /// Whether the block of `module` is wrong by itself.
    fn fault(&self, stage: Stage, module: &str) -> Result<Fault> {
        match (self.vae, &self.files.blocks) {
            (None, _) => Ok(Fault::CannotTell {
                reason: "files cannot be asked to run a block alone".to_owned(),
            }),
            (_, None) => Ok(Fault::CannotTell { reason: self.suite.who_has_blocks(self.case) }),
            (Some(vae), Some(blocks)) => {
                Ok(blocks.fault(vae, stage, module, self.suite.trace_tolerance(self.case)?))
            }
        }
    }

    /// What to type to look closer at a failed check.
    fn next_command(&self, check: &Check, golden: &Golden) -> String {
        let (suite, case) = (self.suite, self.case);
        let folder = case.folder();
        // `compare` wants a file of one tensor beside one of one tensor.
        let file = match check.tensor {
            Step::Sample => Some("sample.safetensors"),
            Step::Latents if matches!(self.keep, Keep::Save(_)) => Some("latents.safetensors"),
            Step::Decoded => Some("decoded.safetensors"),
            Step::DecodedRgb8 | Step::ToRgb8 | Step::EndToEnd => Some("decoded.png"),
            Step::Load | Step::Moments | Step::Std | Step::Latents | Step::PosteriorSamples => None,
        };
        let located = matches!(check.location, Some(Location::Module { .. }));
        match (&check.saved, file, &case.trace, &self.keep) {
            (_, _, Some(trace), Keep::Save(_)) if located => {
                let size = match case.width.zip(case.height) {
                    Some((width, height)) => format!(" --width {width} --height {height}"),
                    None => String::new(),
                };
                format!(
                    "vae-fidelity trace {}{size} --repo {} --against {}",
                    suite.image(case).display(),
                    suite.repo(&case.model),
                    folder.join(trace).display()
                )
            }
            (Some(saved), Some(file), ..) if golden.values().is_some() => {
                format!("vae-fidelity compare {} {}", saved.display(), folder.join(file).display())
            }
            (.., Keep::Given(own)) => {
                let candidate = own.parent().unwrap_or(own);
                let (candidate, name) = (candidate.display(), &case.name);
                format!("vae-fidelity golden verify --candidate {candidate} --only {name} --json")
            }
            _ => format!("vae-fidelity golden verify --only {}", case.name),
        }
    }
}

/// 8-bit values as f32, in which pixels are compared.
pub(super) fn values_of(pixels: &Rgb8) -> Vec<f32> {
    pixels.data().iter().copied().map(f32::from).collect()
}
