//! One picture through one model, and the row that comes of it.

use std::borrow::Cow;

use ndarray::{Array4, s};
use sha2::{Digest, Sha256};
use vae_fidelity_core::Dtype;
use vae_fidelity_core::vae::Encoded;
use vae_fidelity_files::error::{Error, Result};

use crate::equivariance::Equivariance;
use crate::identity::Identity;
use crate::maps::Maps;
use crate::model::Model;
use crate::pair::Pair;
use crate::prepare::Prepared;
use crate::protocol::{Posterior, Protocol, Take};
use crate::row::Row;
use crate::spectrum::SpectrumSum;
use crate::trained::{Input, TrainedMetrics};

/// A picture on its way to the models.
pub(crate) struct Read {
    /// Among those of this run.
    pub place: usize,
    /// Among those of the data set.
    pub index: usize,
    pub sha256: Option<String>,
    pub prepared: Result<Prepared>,
}

/// A picture on its way to the metrics.
pub(crate) struct Ran {
    pub read: Read,
    pub trips: Vec<Result<Trip>>,
}

/// A picture on its way to the disk.
pub(crate) struct Judged {
    pub rows: Vec<Row>,
    /// Of the rows that have metrics.
    pub pairs: Vec<Pair>,
    /// Of each model; those of no picture where it could not judge this one.
    pub maps: Vec<Maps>,
    pub features: Option<Vec<Vec<f32>>>,
}

impl Judged {
    /// The picture `id` by all models; what is wrong with it is in its rows.
    pub fn of(
        id: &str,
        Ran { read, trips }: &Ran,
        identity: &Identity,
        trained: &TrainedMetrics,
    ) -> Self {
        let models = identity.models.len();
        let row = |model: usize, error: &str| Row {
            sha256: read.sha256.clone(),
            ..Row::failed(read.index as u64, id, model as u32, error.to_owned())
        };
        let mut all = Self {
            rows: Vec::with_capacity(models),
            pairs: Vec::new(),
            maps: vec![Maps::none(); models],
            features: None,
        };
        let prepared = match &read.prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                let error = error.to_string();
                all.rows.extend((0..models).map(|model| row(model, &error)));
                return all;
            }
        };
        let pair = |(width, height): (usize, usize)| (width as u32, height as u32);
        let sized = |row: Row| Row {
            source_size: Some(pair(prepared.source)),
            size: Some(pair(prepared.size())),
            ..row
        };
        let choices = identity.protocol.metrics.lpips;
        let mut input = Input::new(trained, choices, prepared.sample.view());
        let spectrum = SpectrumSum::of(prepared.sample.view());
        for (model, trip) in trips.iter().enumerate() {
            let result = trip.as_ref().map_err(Error::clone).and_then(|trip| {
                let row = sized(row(model, ""));
                judged(row, prepared, trip, &identity.protocol, &mut input, &spectrum)
            });
            match result {
                Ok((row, pair, maps)) => {
                    all.rows.push(row);
                    all.pairs.push(pair);
                    all.maps[model] = maps;
                }
                Err(error) => all.rows.push(sized(row(model, &error.to_string()))),
            }
        }
        // Sets are of the same pictures for every model.
        let has_features = identity.has_features() && all.pairs.len() == models;
        all.features = has_features.then(|| trained.features(&all.pairs));
        all
    }
}

/// What a model made of a picture.
pub(crate) struct Trip {
    encoded: Encoded,
    pub decoded: Array4<f32>,
    equivariance: Option<Equivariance>,
}

impl Trip {
    /// The same with what becomes of its latents when they are turned and halved.
    ///
    /// # Errors
    ///
    /// When the model cannot decode them.
    pub fn with_equivariance(self, model: &dyn Model) -> Result<Self> {
        let equivariance = Some(Equivariance::of(model.vae(), self.encoded.latents.view())?);
        Ok(Self { equivariance, ..self })
    }
}

/// Sends `prepared` through `model`.
///
/// # Errors
///
/// When the model cannot run on it.
pub(crate) fn trip(
    model: &dyn Model,
    prepared: &Prepared,
    id: &str,
    posterior: Posterior,
) -> Result<Trip> {
    let vae = model.vae();
    model.check_memory(prepared.size())?;
    let drawn = posterior.take == Take::Draw && vae.config().has_posterior();
    let noise = drawn
        .then(|| model.noise(picture_seed(posterior.seed, id), prepared.size()))
        .transpose()?;
    let mut sample = Cow::Borrowed(&prepared.sample);
    if vae.config().has_alpha() {
        sample = Cow::Owned(opaque(&sample));
    }
    if vae.dtype() != Dtype::F32 {
        sample.to_mut().mapv_inplace(|value| vae.dtype().round(value));
    }
    let encoded = vae.encode(sample.view(), noise.as_ref().map(|noise| noise.view()))?;
    // Scaled and back, as `check` does it and a pipeline would.
    let scaled = vae.scale(encoded.latents.view())?;
    let mut decoded = vae.decode(vae.unscale(scaled.view())?.view())?;
    if vae.config().has_alpha() {
        decoded.slice_collapse(s![.., ..3, .., ..]);
    }
    Ok(Trip { encoded, decoded, equivariance: None })
}

/// `sample` (1, 3, H, W) as a VAE of RGBA takes it: opaque, as a data set's pictures are taken to be.
fn opaque(sample: &Array4<f32>) -> Array4<f32> {
    let (n, channels, height, width) = sample.dim();
    let mut with_alpha = Array4::ones((n, channels + 1, height, width));
    with_alpha.slice_mut(s![.., ..channels, .., ..]).assign(sample);
    with_alpha
}

/// The seed of one picture's noise: the first eight bytes of a SHA-256 of the protocol's seed and the
/// picture's name, so that it depends on nothing else.
fn picture_seed(seed: u64, id: &str) -> u64 {
    let hash = Sha256::digest(format!("{seed}\n{id}"));
    hash.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// The metrics of `trip`, in a row that has all but them, and its maps; `spectrum` is of what went in.
///
/// # Errors
///
/// When NaN or infinity was encoded or decoded, and when there is no memory to compare it.
fn judged(
    row: Row,
    prepared: &Prepared,
    trip: &Trip,
    protocol: &Protocol,
    trained: &mut Input,
    spectrum: &SpectrumSum,
) -> Result<(Row, Pair, Maps)> {
    let tensors = [("latents", &trip.encoded.latents), ("decoded", &trip.decoded)].into_iter();
    let of_changed = trip.equivariance.iter().flat_map(Equivariance::decoded);
    for (what, tensor) in tensors.chain(of_changed) {
        let broken = tensor.iter().filter(|value| !value.is_finite()).count();
        if broken > 0 {
            return Err(Error::tensor(
                what,
                format!("{broken} of {} values are NaN or infinite", tensor.len()),
                "run `check` on the picture",
            ));
        }
    }
    let mut pair = Pair::of(prepared.sample.view(), trip.decoded.view(), &protocol.metrics)?;
    trained.distances(&pair, trip.decoded.view())?.give_to(&mut pair.metrics);
    if let Some(of) = &trip.equivariance {
        [pair.metrics.rotation_psnr_db, pair.metrics.scaling_psnr_db] =
            of.psnr_db(prepared.sample.view(), protocol.metrics.rounding)?;
    }
    let row = Row { metrics: Some(pair.metrics), error: None, ..row };
    let [decoded, latents] =
        [&trip.decoded, &trip.encoded.latents].map(|of| SpectrumSum::of(of.view()));
    let maps = Maps::of(&pair, [spectrum.clone(), decoded, latents]);
    Ok((row.with_latents(&trip.encoded), pair, maps))
}
