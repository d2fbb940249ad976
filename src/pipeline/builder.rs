//! Which VAE runs, and how.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use super::loaded::Pipeline;
use crate::autoencoder_kl::DeviceChoice;
use crate::checkpoint::{Contents, HubOptions, OpenOptions, Source};
use crate::config::Family;
use crate::diagnosis::Finding;
use crate::inspection;
use crate::report::Model;
use crate::tiling::Splitting;
use crate::{Cancellation, Checkpoint, Dtype, Engine, Error, ErrorKind, Execution, Result};

/// Names a VAE and how it runs; [`Self::build`] loads it.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PipelineBuilder {
    opened_from: Option<Source>,
    repo: Option<String>,
    subfolder: Option<String>,
    revision: Option<String>,
    options: OpenOptions,
    engine: Engine,
    device: DeviceChoice,
    dtype: Option<Dtype>,
    threads: Option<usize>,
    max_memory_bytes: Option<u64>,
    tile_size: Option<Option<usize>>,
    slicing: bool,
    cancellation: Cancellation,
}

impl Pipeline {
    /// Which VAE, and how it runs; the default is the built-in one on the default engine.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::default()
    }
}

impl PipelineBuilder {
    /// `builtin`, the path of a folder in diffusers' layout or of a file of weights, or the id of a
    /// repository on a hub, such as `CompVis/stable-diffusion-v1-4`. Only the last is asked for on the
    /// network.
    pub fn repo(mut self, repo: impl Into<String>) -> Self {
        self.repo = Some(repo.into());
        self
    }

    /// Where the VAE is, in place of [`Self::repo`], [`Self::subfolder`] and [`Self::revision`]: for
    /// weights that no name leads to, such as those in memory.
    pub fn opened_from(mut self, source: Source) -> Self {
        self.opened_from = Some(source);
        self
    }

    /// The folder below the source that holds the VAE; by default `vae`, else the source itself.
    pub fn subfolder(mut self, name: impl Into<String>) -> Self {
        self.subfolder = Some(name.into());
        self
    }

    /// The branch, tag or commit of a repository on a hub; by default `main`.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        self.revision = Some(revision.into());
        self
    }

    /// Weights of this variant, such as `fp16`, where the folder has them.
    pub fn variant(mut self, name: impl Into<String>) -> Self {
        self.options.variant = Some(name.into());
        self
    }

    /// Where the VAE lies in a file that holds several, such as `ema` or `model.vae`.
    pub fn key(mut self, name: impl Into<String>) -> Self {
        self.options.key = Some(name.into());
        self
    }

    /// A `config.json` in place of the one beside the weights, or for a file that has none.
    pub fn config(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.config = Some(path.into());
        self
    }

    /// The family whose published scaling holds, in place of the config's or for a file that has
    /// none.
    pub fn family(mut self, family: Family) -> Self {
        self.options.family = Some(family);
        self
    }

    /// All that a user can say about the checkpoint beside its name, in place of what was said before.
    pub fn opened_with(mut self, options: OpenOptions) -> Self {
        self.options = options;
        self
    }

    /// How a hub is reached; by default as the environment says.
    pub fn hub(mut self, options: HubOptions) -> Self {
        self.options.hub = Some(options);
        self
    }

    /// Which implementation runs the VAE.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Where it runs; by default on CUDA where it is, else on the CPU.
    pub fn device(mut self, device: DeviceChoice) -> Self {
        self.device = device;
        self
    }

    /// The arithmetic; by default f32 on the CPU and f16 elsewhere.
    pub fn dtype(mut self, dtype: Dtype) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// How many threads compute.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// How much memory the process may take while it encodes and decodes, in bytes; the fast engine
    /// on the CPU only.
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// Encodes and decodes in tiles, as diffusers' `enable_tiling()` does, of `tile_size` pixels a
    /// side; `None` takes the config's `sample_size`.
    pub fn tiling(mut self, tile_size: Option<usize>) -> Self {
        self.tile_size = Some(tile_size);
        self
    }

    /// One picture of a batch at a time, as diffusers' `enable_slicing()` does.
    pub fn slicing(mut self, slicing: bool) -> Self {
        self.slicing = slicing;
        self
    }

    /// What ends a long call of the pipeline from another thread.
    pub fn cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// Where the weights are; nothing is opened.
    ///
    /// # Errors
    ///
    /// When it is neither a path that exists nor the id of a repository, and when a subfolder or
    /// revision does not go with it.
    pub fn source(&self) -> Result<Source> {
        if let Some(source) = &self.opened_from {
            return Ok(source.clone());
        }
        let repo = self.repo.as_deref().unwrap_or("builtin");
        Source::parse_at(repo, self.subfolder.as_deref(), self.revision.as_deref())
    }

    /// What the checkpoint says without running it: the findings of `inspect`, also where
    /// [`Self::build`] cannot load it.
    ///
    /// # Errors
    ///
    /// As [`Self::source`] and [`Contents::open`] do, and when a file cannot be read to its end.
    pub fn weights_findings(&self) -> Result<Vec<Finding>> {
        inspection::findings(&Contents::open(&self.source()?, &self.options)?)
    }

    /// The same where [`Self::build`] failed with `error` on the files themselves: where they can be
    /// looked into all the same, that says more than the error does. Empty otherwise.
    pub fn findings_of_unloaded(&self, error: &Error) -> Vec<Finding> {
        match error.kind() {
            ErrorKind::Checkpoint | ErrorKind::Config | ErrorKind::Tensor => {
                self.weights_findings().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// The device and arithmetic that are there for what was asked.
    ///
    /// # Errors
    ///
    /// When the device is not there, or not for this engine; and when a limit of memory is asked of
    /// an engine that cannot keep it.
    pub fn execution(&self) -> Result<Execution> {
        let execution = self.engine.execution(self.device, self.dtype, self.threads)?;
        Ok(execution.within(self.max_memory_bytes)?.cancelled_by(self.cancellation.clone()))
    }

    /// Opens the checkpoint and loads the model.
    ///
    /// # Errors
    ///
    /// As [`Self::source`], [`Self::execution`] and [`Checkpoint::open_with`] do, and when the model
    /// cannot be tiled or sliced so.
    pub fn build(self) -> Result<Pipeline> {
        let started = Instant::now();
        let source = self.source()?;
        let execution = self.execution()?;
        let checkpoint = Checkpoint::open_with(&source, &self.options)?;
        let splitting = Splitting::new(checkpoint.config(), self.tile_size, self.slicing)?;
        let mut vae = execution.load(&checkpoint)?;
        vae.set_splitting(splitting)?;
        let mut notes = checkpoint.notes().to_vec();
        notes.extend(execution.note());
        if source == Source::Builtin {
            notes.push(
                "the built-in VAE is used, which is small; name the one to judge with `repo`"
                    .to_owned(),
            );
        }
        if splitting.tiling.is_some_and(|tiling| !tiling.encodes()) {
            notes.push(format!(
                "pictures are encoded whole, and latents decoded in tiles: diffusers fails to encode an {} in \
                 tiles",
                checkpoint.config().class().name()
            ));
        }
        if execution.dtype() == Dtype::Bf16 {
            notes.push(
                "bf16 has no picture, so nothing is written or compared: only the decoded tensor is judged"
                    .to_owned(),
            );
        }
        let model = Model::of(&checkpoint, &execution, splitting);
        let load = started.elapsed();
        let (clip_vae, weights) = (OnceLock::new(), OnceLock::new());
        Ok(Pipeline { checkpoint, execution, vae, clip_vae, model, notes, load, weights })
    }
}
