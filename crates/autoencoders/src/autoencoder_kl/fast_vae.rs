//! `AutoencoderKL` on the fast engine.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Zip, s};

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::cancellation::Cancellation;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::Scaling;
use vae_fidelity_core::tiling::Splitting;
use vae_fidelity_core::trace::{Extreme, Stage, Trace};
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

use super::deterministic::deterministic;
use super::engine::Engine;
use super::fast::Fast;
use super::footprint::{Footprint, as_asked, in_mib};
use super::model::Model;
use super::pending::{Lazy, Pending};
use super::watch::Watch;
use vae_fidelity_kernels::threads::Threads;

/// `AutoencoderKL` in f32 arithmetic on the CPU with convolutions by Winograd's algorithm: several times as
/// fast as libtorch, in less memory, and needing no libtorch.
///
/// Latents and decoded samples equal those of `AutoencoderKL` up to rounding. The golden suite
/// judges it like any other implementation.
///
/// ```
/// use vae_fidelity_checkpoint::Checkpoint;
/// use vae_fidelity_autoencoders::FastAutoencoderKL;
/// use vae_fidelity_checkpoint::Source;
/// use vae_fidelity_core::Vae;
/// let vae = FastAutoencoderKL::load(&Checkpoint::open(&Source::Builtin, None)?, None)?;
/// let sample = ndarray::Array4::zeros((1, 3, 32, 32));
/// assert_eq!(vae.encode(sample.view(), None)?.latents.dim(), (1, 16, 4, 4));
/// # Ok::<(), vae_fidelity_files::Error>(())
/// ```
#[derive(Debug)]
pub struct FastAutoencoderKL {
    model: Model<Fast>,
    splitting: Splitting,
    max_memory_bytes: Option<u64>,
    watch: Watch,
}

impl FastAutoencoderKL {
    /// Takes the weights of `checkpoint`, which stay where they are mapped until each is used, and
    /// computes with `threads` threads (`None`: as many as the process may use).
    ///
    /// # Errors
    ///
    /// Returns an error if a tensor is missing, which opening the checkpoint has ruled out.
    pub fn load(checkpoint: &Checkpoint, threads: Option<usize>) -> Result<Self> {
        let threads =
            threads.map_or_else(Threads::available, |threads| Threads::new(threads.max(1)));
        let model = Model::load(checkpoint, Fast::new(checkpoint, threads))?;
        let (splitting, watch) = (Splitting::default(), Watch::default());
        Ok(Self { model, splitting, max_memory_bytes: None, watch })
    }

    /// The same, but the process takes at most `bytes` of memory while it encodes or decodes, also
    /// for pictures that would need more: activations then lie in a file without a name in `TMPDIR`,
    /// or `/var/tmp`, and what is computed is the same to the bit. Traces are not limited.
    ///
    /// Encoding and decoding then return an error if the limit is too small for the picture, if the
    /// disk is full, and on any system but Linux.
    #[must_use]
    pub fn with_max_memory(self, bytes: u64) -> Self {
        Self { max_memory_bytes: Some(bytes), ..self }
    }

    /// The same as half precision would round it: weights and the output of every layer are rounded
    /// to `dtype`, between them the arithmetic stays f32. Kernels of half precision accumulate in f32
    /// too and round once an operation, which this follows, except between an activation function or
    /// attention and the layer after it. What passes the largest value of `dtype` becomes infinite.
    #[must_use]
    pub fn rounded_to(mut self, dtype: Dtype) -> Self {
        self.model.engine = self.model.engine.rounded_to(dtype);
        self
    }

    /// The same in plain Rust, one value at a time, with convolutions summed up as they are defined:
    /// what vectors and Winograd's algorithm are held against. Twelve times as slow.
    #[must_use]
    pub fn with_plain_kernels(mut self) -> Self {
        self.model.engine = self.model.engine.plain();
        self
    }

    /// Runs `stage` on `input`; `shrunk` says by how much that is smaller than a picture.
    fn run(
        &self,
        input: ArrayView4<f32>,
        shrunk: usize,
        stage: impl FnOnce(&Model<Fast>, &Lazy) -> Result<Lazy>,
    ) -> Result<Array4<f32>> {
        let (n, _, height, width) = input.dim();
        let (height, width) = (height * shrunk, width * shrunk);
        // Of a clip, a few frames at a time.
        let n = if self.splitting.clip { 1 } else { n };
        let engine = &self.model.engine;
        let footprint = Footprint::of(&self.model.graph, engine.threads(), (n, height, width));
        let size = format!("{width} x {height} pixels");
        let Some(bytes) = self.max_memory_bytes else {
            footprint.check_fits(engine.threads(), &size)?;
            return run(&self.model, input, stage);
        };
        let (file, limit) = footprint.limited(bytes, engine.threads(), &size)?;
        let engine = engine.within(&file, limit.clone()).map_err(|error| {
            let next = "leave out `max_memory`, or try a smaller picture";
            Error::new(ErrorKind::Output, "the file of activations", error, next)
        })?;
        let mut limited = Model::load(self.model.engine.checkpoint(), engine)?;
        limited.cancellation = self.model.cancellation.clone();
        let output = run(&limited, input, stage)?;
        match limit.exceeded() {
            None => Ok(output),
            Some(taken) => Err(Error::option(
                format!("`max_memory` {}", as_asked(bytes)),
                format!("could not be kept: {} were taken for {size}", in_mib(taken)),
                "raise it, or lower `threads`",
            )),
        }
    }
}

fn run(
    model: &Model<Fast>,
    input: ArrayView4<f32>,
    stage: impl FnOnce(&Model<Fast>, &Lazy) -> Result<Lazy>,
) -> Result<Array4<f32>> {
    let output = stage(model, &images(model, input))?;
    let (shape, values) = model.engine.values(&output)?;
    let shape: [usize; 4] = shape.try_into().unwrap_or_default();
    Array4::from_shape_vec(shape, values).map_err(|error| {
        let at = "the result of the fast engine";
        Error::new(ErrorKind::Tensor, at, error, "report this with the command that shows it")
    })
}

fn images(model: &Model<Fast>, array: ArrayView4<f32>) -> Lazy {
    let image = |planes: ndarray::ArrayView3<f32>| {
        let planes = planes.as_standard_layout();
        model.engine.image(planes.dim(), planes.as_slice().unwrap_or_default())
    };
    Pending::new(array.axis_iter(Axis(0)).map(image).collect()).into()
}

impl Vae for FastAutoencoderKL {
    fn config(&self) -> &VaeConfig {
        &self.model.config
    }

    fn dtype(&self) -> Dtype {
        self.model.engine.dtype()
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        self.model.check_sample(&sample)?;
        self.splitting.check_sample(&sample)?;
        self.watch.begin(Stage::Encode);
        let clip = self.splitting.frames_of(&sample);
        let moments = self.splitting.moments(sample, self.dtype(), |part| {
            self.model.check_sample(&part)?;
            self.run(part, 1, |model, xs| {
                let run =
                    |seen: &mut Vec<Extreme>| model.moments_as(clip, xs, &mut model.watched(seen));
                self.watch.part(Stage::Encode, run)
            })
        })?;
        if !self.model.config.has_posterior() {
            return deterministic(moments, noise);
        }
        let channels = moments.dim().1 / 2;
        let mean = moments.slice(s![.., ..channels, .., ..]);
        // diffusers' `DiagonalGaussianDistribution`, rounding after each operation
        let dtype = self.dtype();
        let std = moments
            .slice(s![.., channels.., .., ..])
            .mapv(|logvar| dtype.round(libm::expf(dtype.round(0.5 * logvar.clamp(-30.0, 20.0)))));
        let mut latents = mean.to_owned();
        if let Some(noise) = noise {
            if noise.dim() != latents.dim() {
                return Err(Error::tensor(
                    "noise",
                    format!("expected {:?}, found {:?}", latents.dim(), noise.dim()),
                    "pass noise of the latents' shape",
                ));
            }
            Zip::from(&mut latents)
                .and(&std)
                .and(noise)
                .for_each(|z, std, noise| *z = dtype.round(*z + dtype.round(std * noise)));
        }
        Ok(Encoded { moments: Some(moments), std: Some(std), latents })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.model.check_latents(&latents)?;
        self.watch.begin(Stage::Decode);
        let downsampling = self.model.config.downsampling();
        let clip = self.splitting.frames_of(&latents);
        let decoded = self.splitting.decoded(latents, self.dtype(), |part, of| {
            self.run(part, downsampling, |model, xs| {
                let run = |seen: &mut Vec<Extreme>| {
                    model.decoded_as(clip, xs, of, &mut model.watched(seen))
                };
                self.watch.part(Stage::Decode, run)
            })
        });
        // Not after encoding: what comes next would have to be cleared anew.
        self.model.engine.release();
        decoded
    }

    fn scaling(&self) -> Result<Scaling> {
        self.model.engine.checkpoint().scaling(self.dtype())
    }

    fn set_cancellation(&mut self, cancellation: Cancellation) {
        self.model.cancellation = cancellation;
    }

    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        if splitting.clip && self.max_memory_bytes.is_some() {
            return Err(Error::option(
                "`max_memory`",
                "is kept for single pictures alone",
                "leave it out for a clip, or use smaller frames",
            ));
        }
        self.splitting = splitting;
        Ok(())
    }

    fn extremes(&self, stage: Stage) -> Vec<Extreme> {
        self.watch.seen(stage)
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let traced = self.model.check_input(stage, &input);
        Some(traced.and_then(|()| self.model.trace(stage, &images(&self.model, input))))
    }

    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        // Whoever runs modules alone holds what goes between them, which no limit covers.
        if self.max_memory_bytes.is_some() {
            return None;
        }
        self.model.forward_module(name, input, |image| Ok(images(&self.model, image)))
    }
}
