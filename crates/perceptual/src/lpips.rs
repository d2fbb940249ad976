//! The distance itself.

use std::path::{Path, PathBuf};

use ndarray::ArrayView4;
use sha2::{Digest, Sha256};
use vae_fidelity_checkpoint::StateDict;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

use crate::net::{Held, Net, held};
use crate::sample::{checked, planes, too_small};
use crate::trunk::Trunk;
use crate::weight_files::WeightFiles;

/// What is subtracted from each channel of a sample in [-1, 1], and what it is divided by (`ScalingLayer`).
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];

/// How the features of a pixel are brought to length 1, in which implementations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitLength {
    /// Over their length and 1e-10: the authors' package, and what was copied from it.
    Lpips,
    /// Over the root of their squares' sum and 1e-8: torchmetrics 1.9. Pixels without features count less.
    Torchmetrics,
}

impl UnitLength {
    /// What a pixel's features are divided by.
    fn of(self, pixel: &[f32]) -> f64 {
        let squares: f64 = pixel.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        match self {
            Self::Lpips => squares.sqrt() + 1e-10,
            Self::Torchmetrics => (squares + 1e-8).sqrt(),
        }
    }
}

/// SHA-256 of the values of all heads, of version 0.0: they were calibrated on samples that were not scaled.
const VERSION_0_0: [&str; 3] = [
    "8a9f071221953c589f32ea6727d04f800af07c3f4d97ef07514bcc3c4e82f687",
    "e60d8ee2c0926a5b9ea5353744a0b2d63f81e12b5df5365fbfe1375a034f8619",
    "1a1c8db5a561a6810279754ae5f042398fc4cc02b0b8c64d48be743b450da288",
];

/// LPIPS with one network, on the CPU in f32.
#[derive(Debug)]
pub struct Lpips {
    net: Net,
    trunk: Trunk,
    /// A weight for each channel of each tap.
    heads: Vec<Vec<f32>>,
    sha256: Vec<(PathBuf, String)>,
}

/// What a network makes of one picture, to be compared with another's.
#[derive(Debug)]
pub struct Features {
    taps: Vec<NhwcTensor>,
}

impl Lpips {
    /// Loads the weights of `net`. `threads` change no bit of a distance.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, has not the tensors of `net` with their shapes, or has the heads of version 0.0.
    pub fn open(net: Net, files: &WeightFiles, threads: Threads) -> Result<Self> {
        let trunk = StateDict::open(&files.trunk)?;
        let heads = match files.heads == files.trunk {
            true => None,
            false => Some(StateDict::open(&files.heads)?),
        };
        let of_heads = heads.as_ref().unwrap_or(&trunk);
        let mut loaded =
            Self::with_weights(net, threads, |name, shape| match name.starts_with("lin") {
                true => of_heads.values(name, shape),
                false => trunk.values(&in_file(&trunk, name), shape),
            })?;
        check_version(net, &loaded.heads, &files.heads)?;
        loaded.sha256.push((files.trunk.clone(), trunk.sha256()?));
        if let Some(heads) = heads {
            loaded.sha256.push((files.heads.clone(), heads.sha256()?));
        }
        Ok(loaded)
    }

    /// The same with weights from elsewhere: `tensor` gives the values of a tensor by its name, torchvision's
    /// `features.0.weight` and the heads' `lin0.model.1.weight`, and its shape.
    ///
    /// # Errors
    ///
    /// As `tensor`.
    pub fn with_weights(
        net: Net,
        threads: Threads,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let trunk = Trunk::load(net.steps(), threads, &mut tensor)?;
        let heads = net.channels().iter().enumerate();
        let heads = heads
            .map(|(at, &channels)| tensor(&format!("lin{at}.model.1.weight"), &[1, channels, 1, 1]))
            .collect::<Result<_>>()?;
        Ok(Self { net, trunk, heads, sha256: Vec::new() })
    }

    /// The same, computed on so many threads.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        Self { trunk: self.trunk.on(threads), ..self }
    }

    /// Which network it has.
    pub fn net(&self) -> Net {
        self.net
    }

    /// The files of the weights, with the SHA-256 of each in hexadecimal.
    pub fn weights_sha256(&self) -> &[(PathBuf, String)] {
        &self.sha256
    }

    /// How much the network holds of a picture of this (width, height).
    pub fn held(&self, (width, height): (usize, usize)) -> Held {
        held(&self.net.steps(), (height, width))
    }

    /// What the network makes of `sample` (1, 3, H, W), which is in [-1, 1] where it is a picture's.
    ///
    /// # Errors
    ///
    /// When it is no sample of one picture in RGB, or is too small for the network: AlexNet takes 31 pixels a side
    /// or more.
    pub fn features(&self, sample: ArrayView4<f32>) -> Result<Features> {
        let size = checked("LPIPS", sample)?;
        let planes = planes(sample, |channel, value| (value - SHIFT[channel]) / SCALE[channel]);
        let taps = self.trunk.features(size, &planes);
        Ok(Features { taps: taps.ok_or_else(|| too_small(self.net.trunk(), size))? })
    }

    /// How far apart two pictures of one size are: 0 where they are the same, about 1 at most.
    ///
    /// # Panics
    ///
    /// When the two are of other sizes, or of another network than this one.
    pub fn distance(&self, a: &Features, b: &Features, unit_length: UnitLength) -> f64 {
        assert_eq!((a.taps.len(), b.taps.len()), (self.heads.len(), self.heads.len()));
        let taps = a.taps.iter().zip(&b.taps).zip(&self.heads);
        taps.map(|((a, b), head)| tap_distance(a, b, head, unit_length)).sum()
    }
}

/// The mean over pixels of the squares of what differs between the directions of two pixels' features, weighed.
fn tap_distance(a: &NhwcTensor, b: &NhwcTensor, head: &[f32], unit_length: UnitLength) -> f64 {
    assert_eq!((a.height, a.width, a.channels), (b.height, b.width, b.channels));
    let pixels = a.values().chunks_exact(a.pitch).zip(b.values().chunks_exact(b.pitch));
    let sum: f64 = pixels
        .map(|(a, b)| {
            let (by_a, by_b) = (unit_length.of(a), unit_length.of(b));
            let values = a.iter().zip(b).zip(head);
            values
                .map(|((&a, &b), &weight)| {
                    let difference = f64::from(a) / by_a - f64::from(b) / by_b;
                    f64::from(weight) * difference * difference
                })
                .sum::<f64>()
        })
        .sum();
    sum / a.pixels() as f64
}

/// What `trunk` calls torchvision's tensor `name`: in the state dict of a whole LPIPS `features.0` is
/// `net.slice1.0`.
fn in_file(trunk: &StateDict, name: &str) -> String {
    let rest = name.strip_prefix("features.").unwrap_or(name);
    let is_it = |found: &&str| {
        found
            .strip_prefix("net.slice")
            .and_then(|found| found.split_once('.'))
            .is_some_and(|(slice, found)| slice.parse::<usize>().is_ok() && found == rest)
    };
    trunk.names().find(is_it).unwrap_or(name).to_owned()
}

fn check_version(net: Net, heads: &[Vec<f32>], path: &Path) -> Result<()> {
    let mut hash = Sha256::new();
    heads.iter().flatten().for_each(|value| hash.update(value.to_le_bytes()));
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if !VERSION_0_0.contains(&hash.as_str()) {
        return Ok(());
    }
    let problem =
        "has the heads of LPIPS 0.0, which were calibrated on samples that were not scaled";
    let next = format!("take weights/v0.1/{net}.pth of the package lpips");
    Err(Error::checkpoint(path, problem, next))
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;
    use vae_fidelity_core::recipe::Recipe;

    use super::*;

    fn by_recipe(net: Net, threads: usize) -> Lpips {
        let recipe = Recipe { hash: Recipe::HASH.to_owned(), ..Recipe::default() };
        Lpips::with_weights(
            net,
            Threads::new(threads),
            |name, shape| Ok(recipe.values(name, shape)),
        )
        .unwrap()
    }

    /// Two pictures of smooth colours, and a little apart.
    fn pictures(height: usize, width: usize) -> [Array4<f32>; 2] {
        [0.0, 0.7].map(|phase| {
            Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
                let (y, x) = (y as f32 / 7.0 + phase, x as f32 / 11.0);
                ((y + c as f32).sin() * (x - phase * c as f32).cos()).clamp(-1.0, 1.0)
            })
        })
    }

    fn distance(net: Net, threads: usize, [a, b]: &[Array4<f32>; 2]) -> f64 {
        let lpips = by_recipe(net, threads);
        let features = |sample: &Array4<f32>| lpips.features(sample.view()).unwrap();
        lpips.distance(&features(a), &features(b), UnitLength::Lpips)
    }

    #[test]
    fn the_same_picture_is_no_distance_away_and_threads_change_no_bit() {
        let pictures = pictures(48, 67);
        for net in Net::ALL {
            let [one, two] = [1, 2].map(|threads| distance(net, threads, &pictures));
            assert_eq!(one.to_bits(), two.to_bits(), "{net}");
            assert!(one.is_finite() && one != 0.0, "{net}: {one}");
            let [a, _] = &pictures;
            assert_eq!(distance(net, 2, &[a.clone(), a.clone()]), 0.0, "{net}");
        }
    }

    #[test]
    fn too_small_pictures_are_said_to_be() {
        for (net, side) in [(Net::Alex, 30), (Net::Vgg, 15), (Net::Squeeze, 16)] {
            let sample = Array4::zeros((1, 3, side, side));
            let error = by_recipe(net, 1).features(sample.view()).unwrap_err().to_string();
            assert!(error.contains("too few for"), "{net}: {error}");
        }
    }
}
