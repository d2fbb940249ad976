//! LPIPS beside the other metrics, by the networks for which there are weights.

use std::path::Path;

use ndarray::{Array4, ArrayView4, s};
use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::threads::{Instructions, Threads};
use vae_fidelity_perceptual::{Features, Lpips, Net, WeightFiles};
use vae_fidelity_pixels::Rgb8;

use crate::identity::MetricWeights;
use crate::metric::Metric;
use crate::pair::{LpipsDistances, Pair};
use crate::protocol::{LpipsChoices, LpipsValues, Protocol};

/// The networks of LPIPS that are there.
#[derive(Debug, Default)]
pub struct LpipsNets(Vec<Lpips>);

impl LpipsNets {
    /// Those of `asked` whose weights lie in `folder`, under the names by which they were published; and the metrics
    /// that are left out, as results call them. `threads` compute, all that the process may have by default; they
    /// change no bit.
    ///
    /// # Errors
    ///
    /// When the folder or one of the files cannot be read, or a file is another than its name says.
    pub fn open(
        folder: Option<&Path>,
        asked: &[Net],
        threads: Option<usize>,
    ) -> Result<(Self, Vec<&'static str>)> {
        let threads = threads.map_or_else(Threads::available, Threads::new);
        let (mut nets, mut left_out) = (Vec::new(), Vec::new());
        for &net in asked {
            let files = folder.map(|folder| WeightFiles::find(folder, net)).transpose()?.flatten();
            match files {
                Some(files) => nets.push(Lpips::open(net, &files, threads)?),
                None => left_out.push(Metric::Lpips(net).name()),
            }
        }
        Ok((Self(nets), left_out))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The instructions of this processor that these and the other metrics of `protocol` are computed with; `None`
    /// where none depends on them.
    pub fn instructions(&self, protocol: &Protocol) -> Option<String> {
        let depend = protocol.metrics.depend_on_instructions() || !self.is_empty();
        depend.then(|| Instructions::detected().to_owned())
    }

    /// What tells a run with them from one with others.
    pub fn weights(&self) -> Vec<MetricWeights> {
        let of = |lpips: &Lpips| MetricWeights {
            metric: Metric::Lpips(lpips.net()).name().to_owned(),
            sha256: lpips.weights_sha256().iter().map(|(_, sha256)| sha256.clone()).collect(),
        };
        self.0.iter().map(of).collect()
    }
}

/// One picture as it went in, which is computed once for all models.
pub(crate) struct Input<'a> {
    nets: &'a LpipsNets,
    choices: LpipsChoices,
    sample: ArrayView4<'a, f32>,
    known: Option<Known>,
}

/// What each network makes of as much of a picture as has this width and height; `None` of one for which that is too
/// small.
struct Known {
    size: (usize, usize),
    features: Vec<Option<Features>>,
}

impl<'a> Input<'a> {
    /// Of `sample` (1, 3, H, W).
    pub fn new(nets: &'a LpipsNets, choices: LpipsChoices, sample: ArrayView4<'a, f32>) -> Self {
        Self { nets, choices, sample, known: None }
    }

    /// How far `decoded` (1, 3, H, W) is from it, which were compared as `pair`.
    pub fn distances(&mut self, pair: &Pair, decoded: ArrayView4<f32>) -> LpipsDistances {
        let mut distances = LpipsDistances::default();
        let (width, height) = (pair.input.width(), pair.input.height());
        let values = self.choices.values;
        let seen = |picture: &Rgb8, sample: ArrayView4<f32>| match values {
            LpipsValues::Rounded => unit(picture),
            LpipsValues::Floats => sample.slice(s![.., .., ..height, ..width]).to_owned(),
        };
        let features = |sample: &Array4<f32>| -> Vec<Option<Features>> {
            self.nets.0.iter().map(|lpips| lpips.features(sample.view()).ok()).collect()
        };
        if self.nets.is_empty() {
            return distances;
        }
        let known = match self.known.take().filter(|known| known.size == (width, height)) {
            Some(known) => known,
            None => {
                let features = features(&seen(&pair.input, self.sample));
                Known { size: (width, height), features }
            }
        };
        let of_output = features(&seen(&pair.output, decoded));
        for ((lpips, a), b) in self.nets.0.iter().zip(&known.features).zip(&of_output) {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let place = match lpips.net() {
                Net::Alex => &mut distances.alex,
                Net::Vgg => &mut distances.vgg,
                Net::Squeeze => &mut distances.squeeze,
            };
            let distance = lpips.distance(a, b, self.choices.unit_length.unit_length());
            *place = Some(distance).filter(|distance| distance.is_finite());
        }
        self.known = Some(known);
        distances
    }
}

/// The levels of a picture in [-1, 1].
fn unit(picture: &Rgb8) -> Array4<f32> {
    let (width, levels) = (picture.width(), picture.data());
    Array4::from_shape_fn((1, 3, picture.height(), width), |(_, c, y, x)| {
        f32::from(levels[(y * width + x) * 3 + c]) / 255.0 * 2.0 - 1.0
    })
}
