//! Running the cases of a suite against an implementation.

use std::time::Instant;

use super::case_files::CaseFiles;
use super::evidence::Evidence;
use super::judge::Judge;
use super::manifest::Case;
use super::report::{CaseReport, Check, NotRun, Step, SuiteReport};
use super::suite::{Choice, Suite, in_order};
use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// What cases that share a loaded VAE have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Load<'a> {
    model: &'a str,
    dtype: Dtype,
    device: &'a str,
}

impl Suite {
    /// Runs the chosen cases one after another; `load` is called once per model.
    ///
    /// Whatever the implementation does wrong, failing to load and errors included, is in the
    /// report, and the next case runs. An error of [`ErrorKind::Unsupported`] is no failure: a model
    /// that is refused so is not run, a step is not judged. Cases of another dtype than the VAE's, or
    /// for a device that was not named with [`Suite::device`], are not run. Errors are about the
    /// suite itself: broken files, a name given to [`Suite::only`] that nothing has, no case to run.
    pub fn run(
        &self,
        mut load: impl FnMut(&Checkpoint) -> Result<Box<dyn Vae>>,
    ) -> Result<SuiteReport> {
        let any = |case| Load { dtype: Dtype::F32, device: "cpu", ..Load::of(case) };
        let reason = |case: &Case| {
            (case.device != "cpu" && case.device != self.device)
                .then(|| format!("for {}, the VAE runs on {}", case.device, self.device))
        };
        self.run_loaded(any, reason, |checkpoint, _| load(checkpoint))
    }

    /// As [`Suite::run`], for an implementation that runs in several dtypes or on several devices:
    /// `load` is called once for each model, dtype and device (`cpu`, `cuda`) that cases ask for, and
    /// answers [`ErrorKind::Unsupported`] to what it does not have.
    pub fn run_in_each(
        &self,
        mut load: impl FnMut(&Checkpoint, Dtype, &str) -> Result<Box<dyn Vae>>,
    ) -> Result<SuiteReport> {
        self.run_loaded(
            Load::of,
            |_| None,
            |checkpoint, asked| load(checkpoint, asked.dtype, asked.device),
        )
    }

    /// `together` says which cases share a VAE, `reason` why a case is not for this run.
    fn run_loaded<'s>(
        &'s self,
        together: impl Fn(&'s Case) -> Load<'s>,
        reason: impl Fn(&Case) -> Option<String>,
        mut load: impl FnMut(&Checkpoint, Load) -> Result<Box<dyn Vae>>,
    ) -> Result<SuiteReport> {
        let Choice { chosen, mut not_run } = self.choose()?;
        let evidence = Evidence::new(self.failures.clone(), self.folder())?;
        let mut loads: Vec<Load> = Vec::new();
        for (_, case) in &chosen {
            if !loads.contains(&together(case)) {
                loads.push(together(case));
            }
        }
        let mut reports: Vec<(usize, CaseReport)> = Vec::new();
        let mut done = 0;
        for asked in loads {
            // A checkpoint that does not open is the suite's fault, not the implementation's.
            let mut vae = load(&self.checkpoint(asked.model)?, asked);
            for &(at, case) in chosen.iter().filter(|(_, case)| together(case) == asked) {
                done += 1;
                self.tell(case, done, chosen.len());
                let started = Instant::now();
                let judged = match reason(case) {
                    Some(reason) => Err(reason),
                    None => self.judged(case, &mut vae, &evidence)?,
                };
                match judged {
                    Ok(checks) => {
                        reports.push((at, CaseReport::new(case, checks, started.elapsed())));
                    }
                    Err(reason) => {
                        not_run.push((at, NotRun { case: case.name.clone(), reason }));
                    }
                }
            }
        }
        let not_run = in_order(not_run);
        if reports.is_empty() {
            let why = not_run.first().map_or("it has none", |case| &case.reason);
            return Err(Error::new(
                ErrorKind::Golden,
                self.folder().display(),
                format!("no case was run: {why}"),
                "give the implementation a dtype that the suite has cases of",
            ));
        }
        Ok(self.report(in_order(reports), not_run))
    }

    /// The checks of `case`, or why it is not run; an error is about the suite.
    fn judged(
        &self,
        case: &Case,
        vae: &mut Result<Box<dyn Vae>>,
        evidence: &Evidence,
    ) -> Result<std::result::Result<Vec<Check>, String>> {
        let vae = match vae {
            Ok(vae) => vae,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Err(format!("{}: {error}", case.model)));
            }
            Err(error) => return Ok(Ok(vec![Check::failed(Step::Load, error.with_next())])),
        };
        if vae.dtype() != case.dtype {
            return Ok(Err(format!("made in {}, the VAE runs in {}", case.dtype, vae.dtype())));
        }
        match vae.set_splitting(case.splitting(vae.config())?) {
            Ok(()) => (),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Ok(Err(error.to_string()));
            }
            Err(error) => return Ok(Ok(vec![Check::failed(Step::Load, error.with_next())])),
        }
        let files = CaseFiles::read(case)?;
        Ok(Ok(Judge::new(self, case, &files, vae.as_ref(), evidence).run()?))
    }
}

impl<'a> Load<'a> {
    fn of(case: &'a Case) -> Self {
        Self { model: &case.model, dtype: case.dtype, device: &case.device }
    }
}
