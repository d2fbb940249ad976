//! The fast engine: f32 arithmetic on the CPU, without libtorch. For half precision, weights and the
//! output of every layer are rounded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::StoredTensor;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;

use super::engine::Beyond;
use super::model::WATCHED;
use super::pending::{Lazy, LazyConv2d, Pending};
use vae_fidelity_kernels::extreme::beyond;
use vae_fidelity_kernels::limit::Limit;
use vae_fidelity_kernels::memory::{Memory, Workspace};
use vae_fidelity_kernels::norm::add;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::{Instructions, Threads};
use vae_fidelity_kernels::winograd::KeptWeights;

/// By the name of the layer's weight, and by its slice.
pub(super) type Kept = Mutex<BTreeMap<(String, usize), Arc<KeptWeights>>>;

/// Computes with `vae_fidelity_kernels`.
#[derive(Debug)]
pub(super) struct Fast {
    pub(super) checkpoint: Checkpoint,
    pub(super) threads: Threads,
    /// The type that weights and outputs are rounded to.
    pub(super) dtype: Dtype,
    pub(super) workspace: Workspace,
    /// The transformed weights of a small model, for which transforming them is much of a small picture's work;
    /// `None` for one that takes too much memory for that.
    pub(super) kept: Option<Kept>,
}

impl Fast {
    pub fn new(checkpoint: &Checkpoint, threads: Threads) -> Self {
        let checkpoint = checkpoint.clone();
        let bytes = KeptWeights::bytes(checkpoint.parameters());
        let kept = (bytes <= KeptWeights::MOST_BYTES).then(Kept::default);
        Self { checkpoint, threads, dtype: Dtype::F32, workspace: Workspace::default(), kept }
    }

    /// The same with weights and outputs rounded to `dtype`.
    pub fn rounded_to(self, dtype: Dtype) -> Self {
        let checkpoint = match dtype {
            Dtype::F32 => self.checkpoint,
            half => self.checkpoint.rounded_to(half),
        };
        let kept = self.kept.map(|_| Kept::default());
        Self { checkpoint, dtype, kept, ..self }
    }

    /// The same without vectors, and without Winograd's algorithm.
    pub fn plain(self) -> Self {
        let threads = Threads { instructions: Instructions::Plain, ..self.threads };
        let kept = self.kept.map(|_| Kept::default());
        Self { threads, kept, ..self }
    }

    /// The same model with activations in `file`, within `limit`.
    pub fn within(&self, file: &File, limit: Arc<Limit>) -> std::io::Result<Self> {
        let workspace =
            Workspace { activations: Memory::in_file(file, limit)?, ..Workspace::default() };
        let (dtype, kept) = (self.dtype, None);
        Ok(Self { workspace, dtype, kept, ..Self::new(&self.checkpoint, self.threads) })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn threads(&self) -> Threads {
        self.threads
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// An image of the values (channels, height, width), as a layer takes it.
    pub fn image(
        &self,
        (channels, height, width): (usize, usize, usize),
        planes: &[f32],
    ) -> NhwcTensor {
        let memory = &self.workspace.activations;
        self.rounded(NhwcTensor::from_chw(memory, height, width, channels, planes))
    }

    fn rounded(&self, mut image: NhwcTensor) -> NhwcTensor {
        if self.dtype != Dtype::F32 {
            let row = image.width * image.pitch;
            self.threads.for_each_part(image.values_mut(), row, |_, values| {
                self.dtype.round_all(values);
                self.workspace.activations.keep_within_limit();
            });
        }
        image
    }

    /// The output of a layer: in f32 with its pending operations, else materialized and rounded.
    pub fn output(&self, xs: Pending) -> Pending {
        if self.dtype == Dtype::F32 {
            return xs;
        }
        let (layout, memory) = (xs.layout, &self.workspace.activations);
        let images = self.materialize(xs).into_images(memory).map(|image| self.rounded(image));
        Pending { layout, ..Pending::new(images.collect()) }
    }

    /// Returns unused memory to the system, which is kept while a model runs.
    pub fn release(&self) {
        self.workspace.activations.release();
        self.workspace.scratch.release();
    }

    pub fn weights(&self, name: &str) -> Result<Cow<'_, [f32]>> {
        Ok(values(self.checkpoint.tensor(name)?))
    }

    pub fn materialize(&self, xs: Pending) -> Pending {
        xs.materialize(self.threads, &self.workspace.activations)
    }

    /// `xs` with its convolution computed.
    pub fn ready(&self, xs: &Lazy) -> Result<Pending> {
        let state = match xs {
            Lazy::Ready(pending) => return Ok(pending.clone()),
            Lazy::Conv2d(state) => state,
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = match &*state {
            LazyConv2d::Materialized(pending) => return Ok(pending.clone()),
            LazyConv2d::Deferred(deferred) => self.winograd(deferred.clone(), None)?,
        };
        *state = LazyConv2d::Materialized(pending.clone());
        Ok(pending)
    }

    /// [`Self::ready`] of a tensor that nothing else needs.
    pub fn owned(&self, xs: Lazy) -> Result<Pending> {
        match xs.into_conv2d() {
            LazyConv2d::Materialized(pending) => Ok(pending),
            LazyConv2d::Deferred(deferred) => self.winograd(deferred, None),
        }
    }

    /// The images of `xs`, with no operation pending.
    pub fn images_of(&self, xs: &Lazy) -> Result<Vec<Arc<NhwcTensor>>> {
        Ok(self.materialize(self.ready(xs)?).images)
    }

    /// What `of` makes of each image of `xs`, with no operation pending.
    pub fn each_image(
        &self,
        xs: &Lazy,
        of: impl Fn(&NhwcTensor, &Memory) -> NhwcTensor,
    ) -> Result<Lazy> {
        let images = self.images_of(xs)?;
        let images = images.iter().map(|image| of(image, &self.workspace.activations));
        Ok(self.output(Pending::new(images.collect())).into())
    }

    /// A norm's input is computed when it is, and keeps the sums that bound it; a convolution before a sum is
    /// not, and the sum is the next norm's input.
    pub fn largest_beyond(&self, class: &str, xs: &Lazy, limit: f32) -> Option<Beyond> {
        let Lazy::Ready(xs) = xs else { return None };
        let largest = || {
            let beyond = xs.images.iter().filter_map(|image| beyond(self.threads, image, limit));
            beyond.reduce(f32::max)
        };
        match (self.dtype, class) {
            (Dtype::F32, "GroupNorm") if xs.normalize.is_some() => largest().map(Beyond::Input),
            // A sum is computed when it is.
            (
                Dtype::F32,
                "WanResidualBlock" | "QwenImageResidualBlock" | "QwenImage21ResidualBlock",
            ) => largest().map(Beyond::Output),
            // There every output is computed and rounded at once.
            (Dtype::Bf16, class) if WATCHED.contains(&class) => largest().map(Beyond::Output),
            _ => None,
        }
    }

    /// `a` + `b`, in place where nothing else holds `a`.
    pub fn sum(&self, a: Pending, b: &Pending) -> Pending {
        let sum = |(mut sum, b): (NhwcTensor, &Arc<NhwcTensor>)| {
            add(self.threads, &mut sum, b);
            self.rounded(sum)
        };
        Pending::new(a.into_images(&self.workspace.activations).zip(&b.images).map(sum).collect())
    }
}

/// The values, where they lie if they lie there as f32.
pub(super) fn values(stored: StoredTensor<'_>) -> Cow<'_, [f32]> {
    if let (Dtype::F32, &Cow::Borrowed(data)) = (stored.dtype, &stored.data)
        && let Ok(values) = bytemuck::try_cast_slice(data)
    {
        return Cow::Borrowed(values);
    }
    Cow::Owned(stored.to_f32())
}
