//! Metrics by trained networks, those for which there are weights.

use std::path::{Path, PathBuf};

use ndarray::{ArrayView4, s};
use vae_fidelity_core::Dtype;
use vae_fidelity_core::image_processor::normalize;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::memory::available_bytes;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::{
    Dists, DistsFeatures, Features, Inception, InceptionInput, Lpips, Reference, WeightFolders,
};
use vae_fidelity_pixels::Rgb8;

use crate::identity::{MetricWeights, RFID};
use crate::metric::Metric;
use crate::pair::{Pair, PairMetrics};
use crate::protocol::{LpipsChoices, LpipsValues, Protocol};

/// LPIPS's networks and DISTS's, those that are there.
#[derive(Debug, Default)]
pub struct TrainedMetrics {
    lpips: Vec<Lpips>,
    dists: Option<Dists>,
    inception: Option<(Inception, InceptionInput)>,
    reference: Option<Reference>,
}

impl TrainedMetrics {
    /// Those of `asked` that take weights, and whose weights lie in `folders`; and the metrics that are left out, as
    /// results call them. `threads` compute, all that the process may have by default; they change no bit.
    ///
    /// # Errors
    ///
    /// When a folder or one of the files cannot be read, or a file is another than its name says.
    pub fn open(
        folders: &WeightFolders,
        asked: &[Metric],
        threads: Option<usize>,
    ) -> Result<(Self, Vec<&'static str>)> {
        let threads = threads.map_or_else(Threads::available, Threads::new);
        let (mut there, mut left_out) = (Self::default(), Vec::new());
        for metric in asked.iter().filter(|metric| metric.takes_weights()) {
            let found = match metric {
                Metric::Lpips(net) => folders.lpips(*net)?,
                _ => folders.dists()?,
            };
            match (found, metric) {
                (None, _) => left_out.push(metric.name()),
                (Some(files), Metric::Lpips(net)) => {
                    there.lpips.push(Lpips::open(*net, &files, threads)?);
                }
                (Some(files), _) => there.dists = Some(Dists::open(&files, threads)?),
            }
        }
        Ok((there, left_out))
    }

    /// All that `protocol` asks for, the network of the Fréchet inception distance too.
    ///
    /// # Errors
    ///
    /// As [`TrainedMetrics::open`].
    pub fn of_protocol(
        folders: &WeightFolders,
        protocol: &Protocol,
        threads: Option<usize>,
    ) -> Result<(Self, Vec<&'static str>)> {
        let metrics = &protocol.metrics;
        let nets = metrics.lpips.nets().into_iter().map(Metric::Lpips);
        let asked: Vec<Metric> = nets.chain(metrics.dists.then_some(Metric::Dists)).collect();
        let (mut there, mut left_out) = Self::open(folders, &asked, threads)?;
        let Some(input) = metrics.rfid.input() else { return Ok((there, left_out)) };
        match folders.inception()? {
            None => left_out.push(RFID),
            Some(file) => {
                let threads = threads.map_or_else(Threads::available, Threads::new);
                there.inception = Some((Inception::open(&file, threads)?, input));
            }
        }
        Ok((there, left_out))
    }

    /// The same with rFID against the file `reference` in place of what went in, for which `protocol` has to have rFID.
    ///
    /// # Errors
    ///
    /// When the protocol has none, or there are no weights of its network, and as [`Reference::open`].
    pub fn against(self, reference: &Path, protocol: &Protocol) -> Result<Self> {
        let refused = |problem: String, next| Err(Error::option("`reference`", problem, next));
        if protocol.metrics.rfid.input().is_none() {
            let problem = format!("is for rFID, which the protocol {} has not", protocol.name);
            return refused(problem, "take a protocol with rFID, or leave it out");
        }
        if self.inception.is_none() {
            let problem = "is for rFID, and there are no weights of InceptionV3".to_owned();
            return refused(problem, "name their folder with `metric_weights`, or leave it out");
        }
        let reference = Some(Reference::open(reference, Threads::available())?);
        Ok(Self { reference, ..self })
    }

    /// What rFID is held against, where that is not what went in.
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }

    /// The same, each picture's computed on so many threads.
    #[must_use]
    pub fn on(self, threads: usize) -> Self {
        let threads = Threads::new(threads);
        Self {
            lpips: self.lpips.into_iter().map(|lpips| lpips.on(threads)).collect(),
            dists: self.dists.map(|dists| dists.on(threads)),
            inception: self.inception.map(|(inception, how)| (inception.on(threads), how)),
            reference: self.reference,
        }
    }

    /// The features of what went in and of what came back in each of `pairs`, which are of one picture; none without
    /// the network.
    pub(crate) fn features(&self, pairs: &[Pair]) -> Vec<Vec<f32>> {
        let Some(((inception, how), first)) = self.inception.as_ref().zip(pairs.first()) else {
            return Vec::new();
        };
        let of = |picture: &Rgb8| {
            inception.features((picture.width(), picture.height()), picture.data(), *how)
        };
        [&first.input].into_iter().chain(pairs.iter().map(|pair| &pair.output)).map(of).collect()
    }

    /// Checks that there is memory for two pictures of this (width, height), of which `kept` says whether the first
    /// one's features are there.
    ///
    /// # Errors
    ///
    /// With [`ErrorKind::Memory`], what is needed and what there is.
    fn check_memory(&self, size: (usize, usize), kept: bool) -> Result<()> {
        let lpips = self.lpips.iter().map(|lpips| lpips.held(size));
        let held = lpips.chain(self.dists.iter().map(|dists| dists.held(size)));
        let (kept_bytes, working) =
            held.fold((0, 0), |(kept, working), of| (kept + of.kept, of.working.max(working)));
        let needed = kept_bytes * if kept { 1 } else { 2 } + working;
        let Some(available) = available_bytes().filter(|available| *available < needed) else {
            return Ok(());
        };
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let (width, height) = size;
        let problem = format!(
            "LPIPS and DISTS of {width} x {height} pixels take {}, of which the system can give {}",
            mib(needed),
            mib(available)
        );
        let next =
            "take a protocol with a size, such as vae-fidelity-256, or leave `metric_weights` out";
        Err(Error::new(ErrorKind::Memory, "memory", problem, next))
    }

    /// Where their weights lie; a file of several is there several times.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.by_metric().flat_map(|(_, files)| files).map(|(path, _)| path.as_path())
    }

    /// What tells a run with them from one with others.
    pub fn weights(&self) -> Vec<MetricWeights> {
        let of = |(metric, files): (&str, &[(PathBuf, String)])| MetricWeights {
            metric: metric.to_owned(),
            sha256: files.iter().map(|(_, sha256)| sha256.clone()).collect(),
        };
        self.by_metric().map(of).collect()
    }

    /// Each metric as results call it, with the files of its weights and their SHA-256.
    fn by_metric(&self) -> impl Iterator<Item = (&'static str, &[(PathBuf, String)])> {
        let lpips = self.lpips.iter();
        let lpips = lpips.map(|net| (Metric::Lpips(net.net()).name(), net.weights_sha256()));
        let dists = self.dists.iter().map(|dists| (Metric::Dists.name(), dists.weights_sha256()));
        let rfid = self.inception.iter().map(|(inception, _)| (RFID, inception.weights_sha256()));
        lpips.chain(dists).chain(rfid)
    }
}

/// One picture as it went in, which is computed once for all models.
pub(crate) struct Input<'a> {
    trained: &'a TrainedMetrics,
    choices: LpipsChoices,
    sample: ArrayView4<'a, f32>,
    known: Option<Known>,
}

/// What each network makes of as much of a picture as has this width and height; `None` of one for which that is too
/// small.
struct Known {
    size: (usize, usize),
    seen: Seen,
}

/// What the networks make of a picture.
struct Seen {
    lpips: Vec<Option<Features>>,
    dists: Option<DistsFeatures>,
}

/// How far apart two pictures are, by each metric whose network they are large enough for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distances(Vec<(Metric, f64)>);

impl Distances {
    /// Makes them those of a picture.
    pub fn give_to(&self, metrics: &mut PairMetrics) {
        self.0.iter().for_each(|&(metric, of)| *metric.place(metrics) = Some(of));
    }
}

impl<'a> Input<'a> {
    /// Of `sample` (1, 3, H, W).
    pub fn new(
        trained: &'a TrainedMetrics,
        choices: LpipsChoices,
        sample: ArrayView4<'a, f32>,
    ) -> Self {
        Self { trained, choices, sample, known: None }
    }

    /// How far `decoded` (1, 3, H, W) is from it, which were compared as `pair`.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub fn distances(&mut self, pair: &Pair, decoded: ArrayView4<f32>) -> Result<Distances> {
        let mut distances = Distances::default();
        if self.trained.lpips.is_empty() && self.trained.dists.is_none() {
            return Ok(distances);
        }
        let size = (pair.input.width(), pair.input.height());
        let known = self.known.take().filter(|known| known.size == size);
        self.trained.check_memory(size, known.is_some())?;
        let known = match known {
            Some(known) => known,
            None => Known { size, seen: self.seen(&pair.input, self.sample) },
        };
        let seen = self.seen(&pair.output, decoded);
        let both = known.seen.lpips.iter().zip(&seen.lpips);
        for (lpips, (a, b)) in self.trained.lpips.iter().zip(both) {
            let (Some(a), Some(b)) = (a, b) else { continue };
            let distance = lpips.distance(a, b, self.choices.unit_length.unit_length());
            distances.0.push((Metric::Lpips(lpips.net()), distance));
        }
        let both = known.seen.dists.as_ref().zip(seen.dists.as_ref());
        if let Some((dists, (a, b))) = self.trained.dists.as_ref().zip(both) {
            distances.0.push((Metric::Dists, dists.distance(a, b)));
        }
        distances.0.retain(|(_, distance)| distance.is_finite());
        self.known = Some(known);
        Ok(distances)
    }

    fn seen(&self, picture: &Rgb8, sample: ArrayView4<f32>) -> Seen {
        let rounded = normalize(picture, Dtype::F32);
        let of_lpips = match self.choices.values {
            LpipsValues::Rounded => rounded.view(),
            LpipsValues::Floats => sample.slice(s![.., .., ..picture.height(), ..picture.width()]),
        };
        let lpips = self.trained.lpips.iter().map(|lpips| lpips.features(of_lpips).ok()).collect();
        let dists =
            self.trained.dists.as_ref().and_then(|dists| dists.features(rounded.view()).ok());
        Seen { lpips, dists }
    }
}
