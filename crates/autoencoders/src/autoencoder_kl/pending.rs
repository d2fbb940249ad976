//! What layers of the fast engine hand to each other: images, and work that is left to the layer
//! that reads them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use vae_fidelity_kernels::memory::Memory;
use vae_fidelity_kernels::norm::{self, Normalize};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

/// Images of one batch, and what the layer that reads them has to do first.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub images: Vec<Arc<NhwcTensor>>,
    /// One for each image.
    pub normalize: Option<Arc<Vec<Normalize>>>,
    pub upsample: bool,
    pub padded: bool,
    pub layout: Layout,
}

/// The order in which diffusers has the values; here they always lie pixel by pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// (N, C, H, W)
    Image,
    /// (N, C, H * W)
    Flat,
    /// (N, H * W, C)
    Tokens,
}

impl Pending {
    pub fn new(images: Vec<NhwcTensor>) -> Self {
        let images = images.into_iter().map(Arc::new).collect();
        Self { images, normalize: None, upsample: false, padded: false, layout: Layout::Image }
    }

    pub fn normalize_of(&self, image: usize) -> Option<&Normalize> {
        self.normalize.as_ref().map(|all| &all[image])
    }

    /// The same with nothing left to do.
    pub fn settled(self, threads: Threads, memory: &Memory) -> Self {
        if self.normalize.is_none() && !self.upsample && !self.padded {
            return self;
        }
        let settle = |(number, image): (usize, &Arc<NhwcTensor>)| {
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
        let images = self.images.iter().enumerate().map(settle).collect();
        Self { images, layout: self.layout, ..Self::new(vec![]) }
    }

    /// The images, for someone who changes them: where nobody else holds one, no copy is made.
    pub fn into_images(self, memory: &Memory) -> impl Iterator<Item = NhwcTensor> {
        let own = move |image: Arc<NhwcTensor>| {
            Arc::try_unwrap(image).unwrap_or_else(|image| image.copied(memory))
        };
        self.images.into_iter().map(own)
    }
}

/// A tensor of the fast engine. A convolution waits until its output is read, since what is added
/// to it can then be added where it is made.
#[derive(Debug)]
pub(super) enum Lazy {
    Ready(Pending),
    Convolution(Mutex<Convolution>),
}

/// A 3x3 convolution of stride 1.
#[derive(Debug)]
pub(super) enum Convolution {
    Waiting(Waiting),
    Made(Pending),
}

/// What a convolution needs to begin.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub input: Pending,
    /// Names of its tensors.
    pub weight: String,
    pub bias: String,
}

impl Lazy {
    pub fn waiting(waiting: Waiting) -> Self {
        Self::Convolution(Mutex::new(Convolution::Waiting(waiting)))
    }

    /// What it is, taken out of its lock.
    pub fn into_convolution(self) -> Convolution {
        match self {
            Self::Ready(pending) => Convolution::Made(pending),
            Self::Convolution(state) => state.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl From<Pending> for Lazy {
    fn from(pending: Pending) -> Self {
        Self::Ready(pending)
    }
}
