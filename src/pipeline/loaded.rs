//! A VAE that is loaded.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use crate::checkpoint::Contents;
use crate::diagnosis::{Finding, Reference};
use crate::engine::CrossCheck;
use crate::inspection;
use crate::report::Model;
use crate::{Checkpoint, Execution, Result, Vae};

/// A VAE and how it runs.
///
/// ```
/// use vae_fidelity::{Pipeline, verdict::Verdict};
/// let pipeline = Pipeline::builder().repo("builtin").build()?;
/// let report = pipeline.check("golden/images/astronaut.png")?;
/// assert_eq!(report.verdict, Verdict::Pass);
/// assert!(report.metrics.unwrap().psnr_db.unwrap() > 25.0);
/// # Ok::<(), vae_fidelity::Error>(())
/// ```
pub struct Pipeline {
    pub(super) checkpoint: Checkpoint,
    pub(super) execution: Execution,
    pub(super) vae: Box<dyn Vae>,
    /// The same, which takes the frames of a clip, once one was given.
    pub(super) clip_vae: OnceLock<Box<dyn Vae>>,
    pub(super) model: Model,
    pub(super) notes: Vec<String>,
    pub(super) load: Duration,
    /// What the checkpoint says without running it, once it was asked for.
    pub(super) weights: OnceLock<Vec<Finding>>,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// The model that runs.
    pub fn vae(&self) -> &dyn Vae {
        self.vae.as_ref()
    }

    /// Where its weights come from.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Which implementation runs it, where, and in which arithmetic.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The VAE as reports show it.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What the checkpoint says without running it: the findings of `inspect`. Every tensor is read for
    /// it once, when it is first asked for.
    ///
    /// # Errors
    ///
    /// When a file cannot be read to its end.
    pub fn weights_findings(&self) -> Result<&[Finding]> {
        if let Some(findings) = self.weights.get() {
            return Ok(findings);
        }
        let findings = inspection::findings(&Contents::of(&self.checkpoint))?;
        Ok(self.weights.get_or_init(|| findings))
    }

    /// Whether the model clamps what it decodes by itself.
    pub(super) fn clamps(&self) -> bool {
        self.vae.config().clamps(self.model.splitting.tiling.is_some())
    }

    /// Refuses a size that certainly takes more memory than there is, before anything of it is made.
    pub(super) fn check_memory(&self, size: (usize, usize)) -> Result<()> {
        match self.model.splitting.tiling.filter(|tiling| tiling.encodes()) {
            // Each tile is as small as it is made.
            Some(_) => Ok(()),
            None => self.execution.check_memory(self.vae.config(), size),
        }
    }

    /// What takes the frames of a clip; loaded for the first one.
    pub(super) fn clip_vae(&self) -> Result<&dyn Vae> {
        if self.clip_vae.get().is_none() {
            let splitting = self.model.splitting.of_clip(self.vae.config())?;
            let mut vae = self.execution.load(&self.checkpoint)?;
            vae.set_splitting(splitting)?;
            // It was empty.
            let _ = self.clip_vae.set(vae);
        }
        Ok(self.clip_vae.get().map_or(self.vae(), Box::as_ref))
    }

    /// `vae`, which runs in the parts that the model does.
    pub(super) fn split_alike(&self, mut vae: Box<dyn Vae>) -> Result<Box<dyn Vae>> {
        vae.set_splitting(self.model.splitting)?;
        Ok(vae)
    }

    /// The same weights with another `norm_num_groups`; `None` where they do not fit it.
    pub(super) fn regrouped(&self, groups: usize) -> Result<Option<Box<dyn Vae>>> {
        let Some(checkpoint) = self.checkpoint.with_norm_num_groups(groups) else {
            return Ok(None);
        };
        Ok(Some(self.split_alike(self.execution.load(&checkpoint)?)?))
    }

    /// The same VAE loaded once more, to be run so.
    #[cfg(feature = "evaluate")]
    pub(super) fn again(&self, execution: Execution) -> Result<Self> {
        Ok(Self {
            checkpoint: self.checkpoint.clone(),
            vae: self.split_alike(execution.load(&self.checkpoint)?)?,
            clip_vae: OnceLock::new(),
            execution,
            model: self.model.clone(),
            notes: self.notes.clone(),
            load: self.load,
            weights: self.weights.clone(),
        })
    }

    /// What a run is held against where its arithmetic is in doubt, loaded by `load`.
    pub(super) fn reference<'a>(
        &self,
        load: &'a dyn Fn() -> Result<Box<dyn Vae>>,
    ) -> Option<Reference<'a>> {
        let CrossCheck { name, remedy, .. } = self.execution.cross_check()?;
        Some(Reference { name, remedy, load })
    }

    /// What a reader of every report has to know: which folder was used, which defaults, how the
    /// engine rounds. Sentences without a full stop.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
