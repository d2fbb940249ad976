//! The steps of one case, each from the golden result of the step before it.

use std::path::Path;

use ndarray::{Array4, ArrayView4};

use super::compare::Comparison;
use super::evidence::Evidence;
use super::locate::{GoldenTrace, Location, first_divergence};
use super::manifest::Case;
use super::report::{Check, Outcome, Step};
use super::suite::{Suite, with_next};
use super::tensor::Golden;
use crate::error::Result;
use crate::image_processor::denormalise;
use crate::pixels::Rgb8;
use crate::trace::Stage;
use crate::vae::{Encoded, Vae};

/// The golden tensors of one case.
pub(super) struct CaseFiles {
    sample: Golden,
    moments: Golden,
    latents: Golden,
    noise: Option<Golden>,
    decoded: Golden,
    decoded_rgb8: Option<Golden>,
    trace: Option<GoldenTrace>,
}

impl CaseFiles {
    /// Reads all of them; an error is about the suite.
    pub fn read(suite: &Path, case: &Case) -> Result<Self> {
        let folder = suite.join("cases").join(&case.name);
        let read = |name: &str| {
            case.tensors.get(name).map(|row| Golden::read(&folder, name, row)).transpose()
        };
        let needed = |name: &str| Golden::read(&folder, name, &case.tensors[name]);
        Ok(Self {
            sample: needed("sample")?,
            moments: needed("moments")?,
            latents: needed("latents")?,
            noise: read("noise")?,
            decoded: needed("decoded")?,
            decoded_rgb8: read("decoded_rgb8")?,
            trace: case
                .trace
                .as_ref()
                .map(|file| GoldenTrace::read(&folder.join(file)))
                .transpose()?,
        })
    }
}

/// Judges one implementation on one case.
pub(super) struct Judge<'a> {
    suite: &'a Suite,
    case: &'a Case,
    files: &'a CaseFiles,
    vae: &'a dyn Vae,
    evidence: &'a Evidence,
    /// Looked up once per stage: tracing runs the model again.
    located: Option<(Stage, Location)>,
    checks: Vec<Check>,
}

/// What a stage of the model was given, to trace it if its output is wrong.
type Input<'v> = Option<(Stage, ArrayView4<'v, f32>)>;

/// The implementation's decoded sample.
struct Decoded {
    values: Array4<f32>,
    bit_identical: bool,
}

impl<'a> Judge<'a> {
    pub fn new(
        suite: &'a Suite,
        case: &'a Case,
        files: &'a CaseFiles,
        vae: &'a dyn Vae,
        evidence: &'a Evidence,
    ) -> Self {
        Self { suite, case, files, vae, evidence, located: None, checks: Vec::new() }
    }

    /// All steps; an error is about the suite, not about the implementation.
    pub fn run(mut self) -> Result<Vec<Check>> {
        let sample = self.sample()?;
        self.encode(sample)?;
        let decoded = self.decode()?;
        self.picture(decoded.as_ref())?;
        Ok(self.checks)
    }

    /// Image file to sample. Returns the golden sample, where there is a way to have it.
    fn sample(&mut self) -> Result<Option<Array4<f32>>> {
        let image = self.suite.image(self.case);
        let requested = self.case.width.zip(self.case.height);
        let golden = &self.files.sample;
        let own = match (self.suite.preprocess)(&image, requested, self.case.dtype) {
            Err(error) => {
                self.fail(&[Step::Sample], &error);
                None
            }
            Ok(own) => self.compare(Step::Sample, golden, own.view(), None)?.then_some(own),
        };
        Ok(golden.array().or(own))
    }

    /// Golden sample to moments and scaled latents.
    fn encode(&mut self, sample: Option<Array4<f32>>) -> Result<()> {
        const STEPS: [Step; 2] = [Step::Moments, Step::Latents];
        let files = self.files;
        let Some(sample) = sample else {
            self.skip(&STEPS, "the golden sample is kept as a hash, and was not reproduced");
            return Ok(());
        };
        let noise = files.noise.as_ref().map(Golden::array);
        if let Some(None) = noise {
            self.skip(&STEPS, "the golden noise is kept as a hash");
            return Ok(());
        }
        let noise = noise.flatten();
        let encoded = self.vae.encode(sample.view(), noise.as_ref().map(Array4::view));
        let Encoded { moments, latents, .. } = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                self.fail(&STEPS, &error);
                return Ok(());
            }
        };
        let input = Some((Stage::Encode, sample.view()));
        match moments {
            None => self.skip(&[Step::Moments], "the implementation does not expose them"),
            Some(moments) => {
                self.compare(Step::Moments, &files.moments, moments.view(), input)?;
            }
        }
        match self.vae.scale(latents.view()) {
            Err(error) => self.fail(&[Step::Latents], &error),
            Ok(scaled) => {
                self.compare(Step::Latents, &files.latents, scaled.view(), input)?;
            }
        }
        Ok(())
    }

    /// Golden scaled latents to the decoded sample; returns the implementation's.
    fn decode(&mut self) -> Result<Option<Decoded>> {
        let Some(latents) = self.files.latents.array() else {
            self.skip(&[Step::Decoded], "the golden latents are kept as a hash");
            return Ok(None);
        };
        let decoded = self.vae.unscale(latents.view()).and_then(|unscaled| {
            let decoded = self.vae.decode(unscaled.view())?;
            Ok((unscaled, decoded))
        });
        let (unscaled, values) = match decoded {
            Ok(both) => both,
            Err(error) => {
                self.fail(&[Step::Decoded], &error);
                return Ok(None);
            }
        };
        let input = Some((Stage::Decode, unscaled.view()));
        let bit_identical =
            self.compare(Step::Decoded, &self.files.decoded, values.view(), input)?;
        Ok(Some(Decoded { values, bit_identical }))
    }

    /// Golden decoded sample to pixels, and the implementation's own decoded sample to pixels.
    fn picture(&mut self, own: Option<&Decoded>) -> Result<()> {
        let files = self.files;
        let dtype = self.case.dtype;
        let Some(golden) = &files.decoded_rgb8 else {
            let steps = [Step::DecodedRgb8, Step::ToRgb8, Step::EndToEnd];
            self.skip(&steps, &format!("the gist makes no pixels in {dtype}"));
            return Ok(());
        };
        let same = own.filter(|own| own.bit_identical);
        match files.decoded.array().or_else(|| same.map(|own| own.values.clone())) {
            None => self.skip(
                &[Step::DecodedRgb8, Step::ToRgb8],
                "the golden decoded sample is kept as a hash, and was not reproduced",
            ),
            Some(decoded) => {
                self.pixels(Step::DecodedRgb8, golden, denormalise(decoded.view(), dtype))?;
                match self.vae.to_rgb8(decoded.view()) {
                    Some(pixels) => self.pixels(Step::ToRgb8, golden, pixels)?,
                    None => self.skip(
                        &[Step::ToRgb8],
                        "the implementation has no conversion to pixels of its own",
                    ),
                }
            }
        }
        match own {
            None => self.skip(&[Step::EndToEnd], "there is no decoded sample to make pixels of"),
            Some(Decoded { values, .. }) => {
                let pixels = self.vae.to_rgb8(values.view());
                let pixels = pixels.unwrap_or_else(|| denormalise(values.view(), dtype));
                self.pixels(Step::EndToEnd, golden, pixels)?;
            }
        }
        Ok(())
    }

    fn pixels(&mut self, step: Step, golden: &Golden, pixels: Result<Rgb8>) -> Result<()> {
        match pixels {
            Err(error) => self.fail(&[step], &error),
            Ok(pixels) => {
                let levels: Vec<f32> = pixels.data().iter().copied().map(f32::from).collect();
                let shape = [pixels.height(), pixels.width(), 3];
                self.judge(step, golden, &shape, &levels, None)?;
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        step: Step,
        golden: &Golden,
        actual: ArrayView4<f32>,
        input: Input,
    ) -> Result<bool> {
        // `iter` walks in C order whatever the array's strides are.
        let values: Vec<f32> = actual.iter().copied().collect();
        self.judge(step, golden, actual.shape(), &values, input)
    }

    /// Pushes the check of one tensor; returns whether it was bit-identical.
    fn judge(
        &mut self,
        step: Step,
        golden: &Golden,
        shape: &[usize],
        values: &[f32],
        input: Input,
    ) -> Result<bool> {
        let comparison = Comparison::new(golden, shape, values, self.suite.bar(self.case, step)?)?;
        let bit_identical = comparison.bit_identical;
        let mut check = Check::compared(step, comparison);
        if check.outcome == Outcome::Failed {
            if let Some((stage, input)) = input {
                check.location = Some(self.locate(stage, input)?);
            }
            match self.evidence.save(&self.case.name, step, shape, values) {
                Ok(path) => check.saved = Some(path),
                Err(problem) => check.reason = Some(format!("the tensor was not saved: {problem}")),
            }
            check.next = Some(next_command(self.suite, self.case, &check, golden));
        }
        self.checks.push(check);
        Ok(bit_identical)
    }

    /// Runs `stage` again with every module recorded, and finds the first that differs.
    fn locate(&mut self, stage: Stage, input: ArrayView4<f32>) -> Result<Location> {
        if let Some((known, location)) = &self.located
            && *known == stage
        {
            return Ok(location.clone());
        }
        let unknown = |reason: String| Location::Unknown { reason };
        let location = match &self.files.trace {
            None => unknown(self.suite.who_has_a_trace(self.case)),
            Some(golden) => match self.vae.trace(stage, input) {
                None => unknown("the implementation records no trace".to_owned()),
                Some(Err(error)) => unknown(format!("tracing failed: {}", with_next(&error))),
                Some(Ok(actual)) => {
                    let tolerance = self.suite.trace_tolerance(self.case)?;
                    first_divergence(golden.stage(stage), &actual, tolerance)
                }
            },
        };
        self.located = Some((stage, location.clone()));
        Ok(location)
    }

    fn skip(&mut self, steps: &[Step], reason: &str) {
        self.checks.extend(steps.iter().map(|&step| Check::not_judged(step, reason)));
    }

    /// What the implementation answered with an error.
    fn fail(&mut self, steps: &[Step], error: &crate::Error) {
        let reason = with_next(error);
        self.checks.extend(steps.iter().map(|&step| Check::failed(step, reason.clone())));
    }
}

/// What to type to look closer at a failed check.
fn next_command(suite: &Suite, case: &Case, check: &Check, golden: &Golden) -> String {
    let folder = suite.folder().join("cases").join(&case.name);
    // `compare` takes a file's only tensor, or the one named latents.
    let file = match check.tensor {
        Step::Sample => Some("sample.safetensors"),
        Step::Latents => Some("latents.safetensors"),
        Step::Decoded => Some("decoded.safetensors"),
        Step::DecodedRgb8 | Step::ToRgb8 | Step::EndToEnd => Some("decoded.png"),
        Step::Load | Step::Moments => None,
    };
    let located = matches!(check.location, Some(Location::Module { .. }));
    match (&check.saved, file, &case.trace) {
        (_, _, Some(trace)) if located => {
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
        (Some(saved), Some(file), _) if golden.values().is_some() => {
            format!("vae-fidelity compare {} {}", saved.display(), folder.join(file).display())
        }
        _ => format!("vae-fidelity golden verify --only {}", case.name),
    }
}
