//! DISTS: how alike two pictures are in texture and in structure.

use std::path::PathBuf;

use ndarray::ArrayView4;
use vae_fidelity_checkpoint::StateDict;
use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

use crate::net::{Held, dists_steps, held};
use crate::sample::{checked, planes, too_small};
use crate::trunk::Trunk;
use crate::weight_files::WeightFiles;

/// ImageNet's mean and deviation of a channel in [0, 1], by which torchvision's networks take their pictures.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
/// Of what is compared: the picture, and the five levels of VGG16.
const CHANNELS: [usize; 6] = [3, 64, 128, 256, 512, 512];
/// Keeps ratios of what hardly is there away from chance.
const SMALL: f64 = 1e-6;

/// DISTS (Ding et al. 2020) on the CPU in f32, as the authors' package `DISTS_pytorch` 0.1 computes it (`DISTS_pt.py`):
/// VGG16 whose pooling is of squares, and for each channel how alike means are, and how values go together.
#[derive(Debug)]
pub struct Dists {
    trunk: Trunk,
    /// Of each channel: of its mean, and of its covariance.
    alpha: Vec<f32>,
    beta: Vec<f32>,
    sha256: Vec<(PathBuf, String)>,
}

/// What DISTS makes of one picture, to be compared with another's.
#[derive(Debug)]
pub struct DistsFeatures {
    levels: Vec<NhwcTensor>,
}

impl Dists {
    /// Loads torchvision's VGG16 and the authors' weights. `threads` change no bit of a distance.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or has not the tensors with their shapes.
    pub fn open(files: &WeightFiles, threads: Threads) -> Result<Self> {
        let (trunk, own) = (StateDict::open(&files.trunk)?, StateDict::open(&files.heads)?);
        let mut loaded = Self::with_weights(threads, |name, shape| match name {
            "alpha" | "beta" => own.values(name, shape),
            _ => trunk.values(name, shape),
        })?;
        for (path, of) in [(&files.trunk, trunk), (&files.heads, own)] {
            loaded.sha256.push((path.clone(), of.sha256()?));
        }
        Ok(loaded)
    }

    /// The same with weights from elsewhere: `tensor` gives the values of a tensor by its name, torchvision's
    /// `features.0.weight`, `alpha` or `beta`, and its shape.
    ///
    /// # Errors
    ///
    /// As `tensor`.
    pub fn with_weights(
        threads: Threads,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let shape = [1, CHANNELS.iter().sum(), 1, 1];
        let (alpha, beta) = (tensor("alpha", &shape)?, tensor("beta", &shape)?);
        let trunk = Trunk::load(dists_steps(), threads, &mut tensor)?;
        Ok(Self { trunk, alpha, beta, sha256: Vec::new() })
    }

    /// The same, computed on so many threads.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        Self { trunk: self.trunk.on(threads), ..self }
    }

    /// The files of the weights, with the SHA-256 of each in hexadecimal.
    pub fn weights_sha256(&self) -> &[(PathBuf, String)] {
        &self.sha256
    }

    /// How much is held of a picture of this (width, height).
    pub fn held(&self, (width, height): (usize, usize)) -> Held {
        held(&dists_steps(), (height, width))
    }

    /// What is compared of `sample` (1, 3, H, W), which is in [-1, 1] where it is a picture's.
    ///
    /// # Errors
    ///
    /// When it is no sample of one picture in RGB, or has no pixel.
    pub fn features(&self, sample: ArrayView4<f32>) -> Result<DistsFeatures> {
        let size = checked("DISTS", sample)?;
        let unit = planes(sample, |_, value| (value + 1.0) / 2.0);
        let picture = self.trunk.tensor(size, &unit);
        let normalized = planes(sample, |channel, value| {
            ((value + 1.0) / 2.0 - MEAN[channel]) / DEVIATION[channel]
        });
        let levels = self.trunk.features(size, &normalized);
        let levels = levels.ok_or_else(|| too_small("DISTS", size))?;
        Ok(DistsFeatures { levels: [picture].into_iter().chain(levels).collect() })
    }

    /// How far apart two pictures of one size are: 0 where they are the same, 1 where nothing is alike.
    ///
    /// # Panics
    ///
    /// When the two are of other sizes.
    pub fn distance(&self, a: &DistsFeatures, b: &DistsFeatures) -> f64 {
        let sum = |weights: &[f32]| weights.iter().map(|&weight| f64::from(weight)).sum::<f64>();
        let all = sum(&self.alpha) + sum(&self.beta);
        let (mut first, mut alike) = (0, 0.0);
        for (a, b) in a.levels.iter().zip(&b.levels) {
            for (channel, of) in moments(a, b).into_iter().enumerate() {
                let [alpha, beta] =
                    [&self.alpha, &self.beta].map(|of| f64::from(of[first + channel]));
                alike += (alpha * of.texture() + beta * of.structure()) / all;
            }
            first += a.channels;
        }
        1.0 - alike
    }
}

/// Sums over the pixels of two channels.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    a: f64,
    b: f64,
    aa: f64,
    bb: f64,
    ab: f64,
}

impl Moments {
    /// How alike the means are.
    fn texture(self) -> f64 {
        (2.0 * self.a * self.b + SMALL) / (self.a * self.a + self.b * self.b + SMALL)
    }

    /// How values go together.
    fn structure(self) -> f64 {
        let variances = self.aa - self.a * self.a + self.bb - self.b * self.b;
        (2.0 * (self.ab - self.a * self.b) + SMALL) / (variances + SMALL)
    }
}

/// The means of each channel.
fn moments(a: &NhwcTensor, b: &NhwcTensor) -> Vec<Moments> {
    assert_eq!((a.height, a.width, a.channels), (b.height, b.width, b.channels));
    let mut sums = vec![Moments::default(); a.channels];
    let pixels = a.values().chunks_exact(a.pitch).zip(b.values().chunks_exact(b.pitch));
    for (a, b) in pixels {
        for ((sums, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            let (a, b) = (f64::from(a), f64::from(b));
            sums.a += a;
            sums.b += b;
            sums.aa += a * a;
            sums.bb += b * b;
            sums.ab += a * b;
        }
    }
    let count = a.pixels() as f64;
    let mean = |of: Moments| Moments {
        a: of.a / count,
        b: of.b / count,
        aa: of.aa / count,
        bb: of.bb / count,
        ab: of.ab / count,
    };
    sums.into_iter().map(mean).collect()
}
