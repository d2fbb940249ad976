//! Judges files: what a port in any language made of the exported inputs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ndarray::{Array4, Ix4};
use serde::Deserialize;

use super::case_files::CaseFiles;
use super::checks::{Actual, Checks, Keep, Tracer};
use super::explain;
use super::manifest::Case;
use super::report::{CaseReport, Check, NotRun, Step, SuiteReport};
use super::suite::Suite;
use super::tensor::Golden;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_core::json_problem;
use vae_fidelity_core::scaling::Scaling;
use vae_fidelity_core::tensor_file::{self, FileTensor};
use vae_fidelity_core::trace::{Activation, Stage, Trace};
use vae_fidelity_files::error::{Error, ErrorKind, Result, io_reason};
use vae_fidelity_files::input::{self, open_regular};
use vae_fidelity_pixels::Rgb8;

const PICTURE: &str = "decoded.png";
const TRACES: [&str; 2] = ["trace.json", "trace.safetensors"];

impl Suite {
    /// Judges the files in `folder`: for every chosen case `<case>/moments`, `<case>/latents`
    /// (scaled) and `<case>/decoded` (f32, before clamping), each `.safetensors` or `.npy`; where
    /// there is a `<case>/decoded.png`, it is judged as the port's own conversion of its `decoded`;
    /// where there is a `<case>/trace.json` or `trace.safetensors`, failures are located with it.
    ///
    /// Missing files and cases are failures; cases that ask for another dtype than f32, another device,
    /// tiling, slicing or clips are not run where they have no folder. Errors are about the suite, and about a `folder` that
    /// is not there.
    pub fn judge(&self, folder: impl AsRef<Path>) -> Result<SuiteReport> {
        let folder = folder.as_ref();
        let entries = names_in(folder).map_err(|problem| {
            Error::new(
                ErrorKind::Golden,
                folder.display(),
                problem,
                "name the folder that holds a folder for each case, with what your port made",
            )
        })?;
        let (chosen, mut not_run) = self.choose()?.into_parts();
        let mut reports = Vec::new();
        let mut notes = Vec::new();
        for (number, &(_, case)) in chosen.iter().enumerate() {
            self.tell(case, number + 1, chosen.len());
            let started = Instant::now();
            let files = CaseFiles::read(case)?;
            let own = folder.join(&case.name);
            if let Some(asked) = case.optional().filter(|_| !own.exists()) {
                let reason = format!("there is no folder of a case that asks for {asked}");
                not_run.push(NotRun { case: case.name.clone(), reason });
                continue;
            }
            let candidate = Candidate { suite: self, case, files: &files, folder: &own };
            let checks = candidate.judge(&mut notes)?;
            reports.push(CaseReport::new(case, checks, started.elapsed()));
        }
        if reports.is_empty() {
            let why = not_run.last().map_or("it has none", |case| &case.reason);
            return Err(Error::new(
                ErrorKind::Golden,
                folder.display(),
                format!("no case was run: {why}"),
                "write what your port makes of the cases that it can run",
            ));
        }
        let known: BTreeSet<&str> = self.cases().iter().map(|case| case.name.as_str()).collect();
        let others: Vec<&str> =
            entries.iter().map(String::as_str).filter(|name| !known.contains(name)).collect();
        if !others.is_empty() {
            notes.push(format!(
                "{}: not the name of a case, ignored: {}",
                folder.display(),
                others.join(", ")
            ));
        }
        Ok(SuiteReport { notes, ..self.report(reports, not_run) })
    }
}

/// The files of one case.
struct Candidate<'a> {
    suite: &'a Suite,
    case: &'a Case,
    files: &'a CaseFiles,
    folder: &'a Path,
}

impl Candidate<'_> {
    fn judge(&self, notes: &mut Vec<String>) -> Result<Vec<Check>> {
        let names = match names_in(self.folder) {
            Ok(names) => names,
            Err(problem) => {
                let reason = format!(
                    "{}: {problem} (write moments, latents and decoded of this case there, or narrow \
                     the run with `only`)",
                    self.folder.display()
                );
                return Ok(vec![Check::failed(Step::Load, reason)]);
            }
        };
        let known = |name: &String| {
            let steps = [Step::Moments, Step::Latents, Step::Decoded];
            let mut files = steps.iter().flat_map(|step| step.files());
            files.any(|file| file == *name) || TRACES.contains(&name.as_str()) || name == PICTURE
        };
        let others: Vec<&str> =
            names.iter().filter(|name| !known(name)).map(String::as_str).collect();
        if !others.is_empty() {
            let folder = self.folder.display();
            notes.push(format!("{folder}: files of no meaning, ignored: {}", others.join(", ")));
        }
        let keep = Keep::Given(self.folder);
        let mut checks = Checks::new(self.suite, self.case, self.files, keep, None);
        let encode = || self.trace(Stage::Encode);
        let decode = || self.trace(Stage::Decode);
        let encode: Tracer = Some((Stage::Encode, &encode));
        let decode: Tracer = Some((Stage::Decode, &decode));
        if let Some(moments) = &self.files.moments {
            self.tensor(&mut checks, Step::Moments, moments, encode)?;
        }
        self.tensor(&mut checks, Step::Latents, &self.files.latents, encode)?;
        let decoded = self.tensor(&mut checks, Step::Decoded, &self.files.decoded, decode)?;
        self.picture(&mut checks, decoded)?;
        Ok(checks.into_list())
    }

    /// Judges one file; returns its values, where it could be read.
    fn tensor(
        &self,
        checks: &mut Checks,
        step: Step,
        golden: &Golden,
        trace: Tracer,
    ) -> Result<Option<FileTensor>> {
        let tensor = match self.read(step) {
            Ok(tensor) => tensor,
            Err(error) => {
                checks.fail(&[step], &error);
                return Ok(None);
            }
        };
        let values: Vec<f32> = tensor.values.iter().copied().collect();
        let actual = Actual { shape: tensor.values.shape(), values: &values, trace };
        let why = || match step {
            Step::Latents => explain::latents(self.files, &values, &self.scaling()?),
            _ => None,
        };
        checks.explained(step, golden, actual, why)?;
        Ok(Some(tensor))
    }

    fn scaling(&self) -> Option<Scaling> {
        self.suite.checkpoint(&self.case.model).ok()?.scaling(Dtype::F32).ok()
    }

    /// The one tensor of the one file that `step` is read from.
    fn read(&self, step: Step) -> Result<FileTensor> {
        let name = step.name();
        let wrong = |subject: &Path, problem: String, next: &str| {
            Error::new(ErrorKind::Tensor, subject.display(), problem, next)
        };
        let there: Vec<PathBuf> = step
            .files()
            .into_iter()
            .map(|file| self.folder.join(file))
            .filter(|path| path.exists())
            .collect();
        let path = match there.as_slice() {
            [path] => path,
            [] => {
                let problem = format!("holds no {name}.safetensors and no {name}.npy");
                return Err(wrong(self.folder, problem, "write the tensor to one of them"));
            }
            _ => {
                let problem = format!("holds both {name}.safetensors and {name}.npy");
                return Err(wrong(self.folder, problem, "leave the one that is to be judged"));
            }
        };
        let mut tensors = tensor_file::read(path)?;
        let at = match tensors.as_slice() {
            [_] => Some(0),
            several => several.iter().position(|tensor| tensor.name.as_deref() == Some(name)),
        };
        let Some(at) = at else {
            let problem = format!("holds {} tensors and none is named {name}", tensors.len());
            return Err(wrong(path, problem, "name the tensor so, or write it alone"));
        };
        let tensor = tensors.swap_remove(at);
        if tensor.wide.is_some() {
            let problem = "holds f64 values that f32 does not hold exactly".to_owned();
            return Err(wrong(
                path,
                problem,
                "write the tensor as f32, rounded your port's own way",
            ));
        }
        Ok(tensor)
    }

    /// The picture that the port made, or the one made here of its decoded sample.
    fn picture(&self, checks: &mut Checks, decoded: Option<FileTensor>) -> Result<()> {
        let dtype = self.case.dtype;
        let Some(golden) = &self.files.decoded_rgb8 else {
            let steps = [Step::ToRgb8, Step::EndToEnd];
            checks.skip(&steps, &format!("the reference script makes no pixels in {dtype}"));
            return Ok(());
        };
        let decoded: Option<Array4<f32>> =
            decoded.and_then(|tensor| tensor.values.into_dimensionality::<Ix4>().ok());
        let made_here = decoded.map(|decoded| denormalize(decoded.view(), dtype));
        let path = self.folder.join(PICTURE);
        let own =
            path.exists().then(|| vae_fidelity_pixels::open(&path).map(|opened| opened.pixels));
        match (&own, &made_here) {
            (None, _) => checks.skip(&[Step::ToRgb8], "there is no decoded.png"),
            (Some(Err(error)), _) => checks.fail(&[Step::ToRgb8], error),
            (Some(Ok(own)), Some(Ok(expected))) => self.conversion(checks, own, expected)?,
            (Some(Ok(_)), _) => {
                checks.skip(&[Step::ToRgb8], "there is no decoded tensor that it could be made of");
            }
        }
        let why = |own: &_| explain::pixels(own, made_here.as_ref()?.as_ref().ok()?);
        match own.or_else(|| made_here.clone()) {
            None => checks.skip(&[Step::EndToEnd], "there is no decoded sample to make pixels of"),
            Some(Err(error)) => checks.fail(&[Step::EndToEnd], &error),
            Some(pixels) => checks.pixels(Step::EndToEnd, golden, pixels, why)?,
        }
        Ok(())
    }

    /// The port's conversion to pixels, against this crate's of the very same decoded sample.
    fn conversion(&self, checks: &mut Checks, own: &Rgb8, expected: &Rgb8) -> Result<()> {
        let golden = Golden::pixels("decoded_rgb8", expected);
        checks.pixels(Step::ToRgb8, &golden, Ok(own.clone()), |own| explain::pixels(own, expected))
    }

    /// The port's own trace of `stage`; the text says why there is none.
    fn trace(&self, stage: Stage) -> std::result::Result<Trace, String> {
        let there: Vec<PathBuf> =
            TRACES.iter().map(|file| self.folder.join(file)).filter(|path| path.exists()).collect();
        match there.as_slice() {
            [] => {
                Err(format!("{} holds no trace.json or trace.safetensors", self.folder.display()))
            }
            [path] if path.ends_with("trace.json") => from_json(path, stage),
            [path] => from_tensors(path),
            _ => Err(format!("{} holds two traces: leave one", self.folder.display())),
        }
    }
}

/// As `golden/README.md` has it; a stage that was not recorded may be left out.
#[derive(Deserialize)]
struct CandidateTrace {
    schema_version: u32,
    #[serde(default)]
    encode: Trace,
    #[serde(default)]
    decode: Trace,
}

fn from_json(path: &Path, stage: Stage) -> std::result::Result<Trace, String> {
    let wrong = |problem: String| format!("{}: {problem}", path.display());
    let text = input::read_text(path).map_err(wrong)?;
    let trace: CandidateTrace =
        serde_json::from_str(&text).map_err(|error| wrong(json_problem::of(&error)))?;
    if trace.schema_version != 1 {
        return Err(wrong(format!("expected schema_version 1, found {}", trace.schema_version)));
    }
    let modules = match stage {
        Stage::Encode => trace.encode,
        Stage::Decode => trace.decode,
    };
    if modules.is_empty() {
        Err(wrong("has no modules of this stage".to_owned()))
    } else {
        Ok(modules)
    }
}

/// Whole outputs under their modules' names, which say what stage they are of.
fn from_tensors(path: &Path) -> std::result::Result<Trace, String> {
    open_regular(path).map_err(|problem| format!("{}: {problem}", path.display()))?;
    let tensors = tensor_file::read(path).map_err(|error| error.with_next())?;
    let activations = tensors.iter().map(|tensor| {
        let values: Vec<f32> = tensor.values.iter().copied().collect();
        Activation::new(tensor.name.as_deref().unwrap_or(""), "", tensor.values.shape(), &values)
    });
    Ok(activations.collect())
}

/// What lies in `folder`, sorted, but for hidden files.
fn names_in(folder: &Path) -> std::result::Result<Vec<String>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| match folder.is_file() {
        true => "expected a folder, found a file".to_owned(),
        false => io_reason(&error),
    })?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}
