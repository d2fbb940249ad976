//! The steps of one case, each from the golden result of the step before it.

use ndarray::{Array4, ArrayView4};

use super::case_files::CaseFiles;
use super::checks::{Actual, Checks, Keep, Tracer};
use super::evidence::Evidence;
use super::explain;
use super::manifest::Case;
use super::posterior_stats;
use super::report::{Check, Step};
use super::suite::Suite;
use super::tensor::Golden;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_core::trace::{Stage, Trace};
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Judges one implementation on one case.
pub(super) struct Judge<'a> {
    suite: &'a Suite,
    case: &'a Case,
    files: &'a CaseFiles,
    vae: &'a dyn Vae,
    checks: Checks<'a>,
}

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
        let checks = Checks::new(suite, case, files, Keep::Save(evidence), Some(vae));
        Self { suite, case, files, vae, checks }
    }

    /// All steps; an error is about the suite, not about the implementation.
    pub fn run(mut self) -> Result<Vec<Check>> {
        let sample = self.sample()?;
        self.encode(sample)?;
        let decoded = self.decode()?;
        self.picture(decoded.as_ref())?;
        Ok(self.checks.into_list())
    }

    /// Image file to sample. Returns the golden sample, where there is a way to have it.
    fn sample(&mut self) -> Result<Option<Array4<f32>>> {
        let golden = &self.files.sample;
        let own = match self.suite.sample_of(self.case) {
            Err(error) => {
                self.suite.check_pictures(self.case)?;
                self.checks.fail(&[Step::Sample], &error);
                None
            }
            Ok(own) => self.compare(Step::Sample, golden, own.view(), None)?.then_some(own),
        };
        Ok(golden.array().or(own))
    }

    /// Golden sample to moments, standard deviation and scaled latents.
    fn encode(&mut self, sample: Option<Array4<f32>>) -> Result<()> {
        let files = self.files;
        let steps: &[Step] = match files.moments {
            Some(_) => &[Step::Moments, Step::Latents],
            None => &[Step::Latents],
        };
        let Some(sample) = sample else {
            let why = "the golden sample is kept as a hash, and was not reproduced";
            self.checks.skip(steps, why);
            return Ok(());
        };
        let noise = files.noise.as_ref().map(Golden::array);
        if let Some(None) = noise {
            self.checks.skip(steps, "the golden noise is kept as a hash");
            return Ok(());
        }
        let noise = noise.flatten();
        let encoded = self.vae.encode(sample.view(), noise.as_ref().map(Array4::view));
        let Encoded { moments, std, latents } = match encoded {
            Ok(encoded) => encoded,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                self.checks.skip(steps, &error.with_next());
                return self.posterior_samples(sample.view());
            }
            Err(error) => {
                self.checks.fail(steps, &error);
                return Ok(());
            }
        };
        let vae = self.vae;
        let record = || traced(vae, Stage::Encode, sample.view());
        let trace: Tracer = Some((Stage::Encode, &record));
        match (&files.moments, moments) {
            (None, _) => (),
            (Some(_), None) => {
                self.checks.skip(&[Step::Moments], "the implementation does not expose them");
            }
            (Some(golden), Some(moments)) => {
                self.compare(Step::Moments, golden, moments.view(), trace)?;
            }
        }
        if let (Some(std), Some(_)) = (std, &files.moments) {
            self.std(std.view())?;
        }
        match self.vae.scale(latents.view()) {
            Err(error) => self.refused(&[Step::Latents], &error),
            Ok(scaled) => {
                let values: Vec<f32> = scaled.iter().copied().collect();
                let actual = Actual { shape: scaled.shape(), values: &values, trace };
                let why = || explain::latents(files, &values, &self.vae.scaling().ok()?);
                self.checks.explained(Step::Latents, &files.latents, actual, why)?;
            }
        }
        Ok(())
    }

    /// The standard deviation, against that of the golden log-variance.
    fn std(&mut self, std: ArrayView4<f32>) -> Result<()> {
        let Some(golden) = self.files.std() else {
            self.checks.skip(&[Step::Std], "the golden moments are kept as a hash");
            return Ok(());
        };
        let values: Vec<f32> = std.iter().copied().collect();
        let actual = Actual { shape: std.shape(), values: &values, trace: None };
        let why = || explain::std(self.files, &values);
        self.checks.explained(Step::Std, &golden, actual, why).map(drop)
    }

    /// Posterior samples with random numbers of the implementation's own, where it takes no noise.
    fn posterior_samples(&mut self, sample: ArrayView4<f32>) -> Result<()> {
        let Some(moments) = self.files.moments.as_ref().and_then(Golden::array) else {
            self.checks.skip(&[Step::PosteriorSamples], "the golden moments are kept as a hash");
            return Ok(());
        };
        match self.vae.posterior_samples(sample, posterior_stats::SAMPLES) {
            None => self
                .checks
                .skip(&[Step::PosteriorSamples], "the implementation offers no posterior samples"),
            Some(Err(error)) => self.refused(&[Step::PosteriorSamples], &error),
            Some(Ok(samples)) => {
                let tolerance =
                    self.suite.criterion(self.case, self.files, Step::Moments)?.tolerance();
                self.checks.push(posterior_stats::check(moments.view(), &samples, tolerance));
            }
        }
        Ok(())
    }

    /// Golden scaled latents to the decoded sample; returns the implementation's.
    fn decode(&mut self) -> Result<Option<Decoded>> {
        let Some(latents) = self.files.latents.array() else {
            self.checks.skip(&[Step::Decoded], "the golden latents are kept as a hash");
            return Ok(None);
        };
        let decoded = self.vae.unscale(latents.view()).and_then(|unscaled| {
            let decoded = self.vae.decode(unscaled.view())?;
            Ok((unscaled, decoded))
        });
        let (unscaled, values) = match decoded {
            Ok(both) => both,
            Err(error) => {
                self.refused(&[Step::Decoded], &error);
                return Ok(None);
            }
        };
        let vae = self.vae;
        let record = || traced(vae, Stage::Decode, unscaled.view());
        let trace: Tracer = Some((Stage::Decode, &record));
        let bit_identical =
            self.compare(Step::Decoded, &self.files.decoded, values.view(), trace)?;
        Ok(Some(Decoded { values, bit_identical }))
    }

    /// Golden decoded sample to pixels, and the implementation's own decoded sample to pixels.
    fn picture(&mut self, own: Option<&Decoded>) -> Result<()> {
        let files = self.files;
        let dtype = self.case.dtype;
        let Some(golden) = &files.decoded_rgb8 else {
            let steps = [Step::DecodedRgb8, Step::ToRgb8, Step::EndToEnd];
            self.checks.skip(&steps, &format!("the reference script makes no pixels in {dtype}"));
            return Ok(());
        };
        let same = own.filter(|own| own.bit_identical);
        match files.decoded.array().or_else(|| same.map(|own| own.values.clone())) {
            None => self.checks.skip(
                &[Step::DecodedRgb8, Step::ToRgb8],
                "the golden decoded sample is kept as a hash, and was not reproduced",
            ),
            Some(decoded) => {
                let ours = denormalize(decoded.view(), dtype);
                self.checks.pixels(Step::DecodedRgb8, golden, ours.clone(), |_| None)?;
                match self.vae.to_rgb8(decoded.view()) {
                    Some(pixels) => {
                        let why = |pixels: &_| explain::pixels(pixels, ours.as_ref().ok()?);
                        self.checks.pixels(Step::ToRgb8, golden, pixels, why)?;
                    }
                    None => self.checks.skip(
                        &[Step::ToRgb8],
                        "the implementation has no conversion to pixels of its own",
                    ),
                }
            }
        }
        match own {
            None => {
                let why = "there is no decoded sample to make pixels of";
                self.checks.skip(&[Step::EndToEnd], why);
            }
            Some(Decoded { values, .. }) => {
                let ours = denormalize(values.view(), dtype);
                let pixels = self.vae.to_rgb8(values.view()).unwrap_or_else(|| ours.clone());
                // Its conversion, beside ours of the same decoded sample.
                let why = |pixels: &_| explain::pixels(pixels, ours.as_ref().ok()?);
                self.checks.pixels(Step::EndToEnd, golden, pixels, why)?;
            }
        }
        Ok(())
    }

    fn compare(
        &mut self,
        step: Step,
        golden: &Golden,
        actual: ArrayView4<f32>,
        trace: Tracer,
    ) -> Result<bool> {
        // `iter` walks in C order whatever the array's strides are.
        let values: Vec<f32> = actual.iter().copied().collect();
        self.checks.compare(step, golden, Actual { shape: actual.shape(), values: &values, trace })
    }

    /// An error of the implementation: it cannot by design, or it failed.
    fn refused(&mut self, steps: &[Step], error: &Error) {
        match error.kind() {
            ErrorKind::Unsupported => self.checks.skip(steps, &error.with_next()),
            _ => self.checks.fail(steps, error),
        }
    }
}

/// Runs `stage` again with every module recorded.
fn traced(
    vae: &dyn Vae,
    stage: Stage,
    input: ArrayView4<f32>,
) -> std::result::Result<Trace, String> {
    match vae.trace(stage, input) {
        None => Err("the implementation records no trace".to_owned()),
        Some(trace) => trace.map_err(|error| format!("tracing failed: {}", error.with_next())),
    }
}
