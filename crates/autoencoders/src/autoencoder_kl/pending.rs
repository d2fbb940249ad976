//! The tensors of the fast engine: images, and the operations on them that are deferred to the layer
//! that reads them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use vae_fidelity_kernels::memory::Memory;
use vae_fidelity_kernels::norm::{self, Normalize};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

/// The images of one batch, and the operations that the layer reading them has to apply first: to
/// normalize, to upsample and to pad, in this order.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub images: Vec<Arc<NhwcTensor>>,
    /// One for each image.
    pub normalize: Option<Arc<Vec<Normalize>>>,
    pub upsample: bool,
    pub padded: bool,
    pub layout: Layout,
}

/// The layout in which diffusers has the values; here they are always NHWC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// (N, C, H, W)
    Image,
    /// (N, C, H * W)
    Flat,
    /// (N, H * W, C)
    Tokens,
    /// (N, H, W, C)
    Pixels,
}

impl Pending {
    pub fn new(images: Vec<NhwcTensor>) -> Self {
        Self::shared(images.into_iter().map(Arc::new).collect())
    }

    /// Of images that something else may hold too.
    pub fn shared(images: Vec<Arc<NhwcTensor>>) -> Self {
        Self { images, normalize: None, upsample: false, padded: false, layout: Layout::Image }
    }

    pub fn normalize_of(&self, image: usize) -> Option<&Normalize> {
        self.normalize.as_ref().map(|all| &all[image])
    }

    /// The same with no operation pending.
    pub fn materialize(self, threads: Threads, memory: &Memory) -> Self {
        if self.normalize.is_none() && !self.upsample && !self.padded {
            return self;
        }
        let materialize = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let mut image = Cow::Borrowed(image);
            if let Some(normalize) = self.normalize_of(number) {
                image = Cow::Owned(Arc::new(norm::normalize(threads, &image, normalize, memory)));
            }
            if self.upsample {
                image = Cow::Owned(Arc::new(image.upsample_nearest_2x(memory)));
            }
            if self.padded {
                image = Cow::Owned(Arc::new(image.pad_right_and_bottom(memory)));
            }
            image.into_owned()
        };
        let images = self.images.iter().enumerate().map(materialize).collect();
        Self { images, layout: self.layout, ..Self::new(vec![]) }
    }

    /// The images to be modified, copied only where something else holds them too.
    pub fn into_images(self, memory: &Memory) -> impl Iterator<Item = NhwcTensor> {
        let own = move |image: Arc<NhwcTensor>| {
            Arc::try_unwrap(image).unwrap_or_else(|image| image.copied(memory))
        };
        self.images.into_iter().map(own)
    }
}

/// A tensor of the fast engine. A convolution is deferred until its output is read, so that a sum with
/// it can be computed in place.
#[derive(Debug)]
pub(super) enum Lazy {
    Ready(Pending),
    Conv2d(Mutex<LazyConv2d>),
}

/// A 3x3 convolution of stride 1.
#[derive(Debug)]
pub(super) enum LazyConv2d {
    Deferred(DeferredConv2d),
    Materialized(Pending),
}

/// The arguments of a deferred convolution.
#[derive(Debug, Clone)]
pub(super) struct DeferredConv2d {
    pub input: Pending,
    /// Names of its weight and bias in the checkpoint; not all have a bias.
    pub weight: String,
    pub bias: Option<String>,
}

impl Lazy {
    pub fn deferred(deferred: DeferredConv2d) -> Self {
        Self::Conv2d(Mutex::new(LazyConv2d::Deferred(deferred)))
    }

    /// Takes the convolution out of its lock.
    pub fn into_conv2d(self) -> LazyConv2d {
        match self {
            Self::Ready(pending) => LazyConv2d::Materialized(pending),
            Self::Conv2d(state) => state.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl From<Pending> for Lazy {
    fn from(pending: Pending) -> Self {
        Self::Ready(pending)
    }
}
