//! Every layer of one VAE for one picture.

use ndarray::Array4;

use super::loaded::Pipeline;
use super::picture::Picture;
use super::step::Step;
use crate::Result;
use crate::pixels::Exif;
use crate::report::Input;
use crate::trace::TraceFile;
use crate::vae::trace;

/// What is asked of one trace.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TraceOptions {
    /// Width and height to encode at, multiples of 8; `None` takes each side of the picture down to
    /// a multiple of 8.
    pub size: Option<(usize, usize)>,
    /// What is done with the picture's EXIF orientation, before anything else.
    pub exif: Exif,
    /// The seed of `torch.Generator` with which latents are drawn from the posterior; `None` takes
    /// its mode.
    pub seed: Option<i128>,
}

/// The outputs of every layer.
#[derive(Debug, Clone)]
pub struct Traced {
    /// The picture.
    pub input: Input,
    /// Shapes, statistics, checksums and sampled values.
    pub trace: TraceFile,
    /// What a reader has to know of the picture.
    pub notes: Vec<String>,
}

impl Pipeline {
    /// Encodes and decodes a picture as [`Self::check_with`] does, and records the output of
    /// every layer; `progress` is told each step as it begins.
    ///
    /// # Errors
    ///
    /// When the picture cannot be opened or the VAE cannot run on it, and with
    /// [`crate::ErrorKind::Cancelled`] after [`crate::Cancellation::cancel`].
    pub fn trace<'a>(
        &self,
        picture: impl Into<Picture<'a>>,
        options: &TraceOptions,
        progress: impl Fn(Step),
    ) -> Result<Traced> {
        progress(Step::Opening);
        let taken = picture.into().taken(options.exif, self.vae.config())?;
        let (width, height) = taken.size(options.size, self.vae.config().multiple_of())?;
        self.check_memory((width, height))?;
        let seen = taken.seen((width, height))?;
        let sample = taken.sample_of(&seen, self.execution.dtype())?;

        progress(Step::Encoding);
        let vae = self.vae();
        let noise = |seed| self.execution.noise(vae.config(), seed, width, height);
        let noise = options.seed.map(noise).transpose()?;
        let latents = vae.encode(sample.view(), noise.as_ref().map(Array4::view))?.latents;
        // As in the reference script: the decoded latents were scaled and unscaled.
        let unscaled = vae.unscale(vae.scale(latents.view())?.view())?;
        progress(Step::Tracing);
        let trace = trace(vae, sample.view(), unscaled.view())?;
        self.checkpoint().check_unchanged()?;
        Ok(Traced { input: taken.input((width, height)), trace, notes: taken.notes })
    }
}
