//! One picture through one model, and the row that comes of it.

use ndarray::Array4;
use sha2::{Digest, Sha256};
use vae_fidelity_core::Dtype;
use vae_fidelity_core::vae::Encoded;
use vae_fidelity_files::error::{Error, Result};

use crate::equivariance::Equivariance;
use crate::model::Model;
use crate::pair::Pair;
use crate::prepare::Prepared;
use crate::protocol::{Posterior, Protocol, Take};
use crate::row::Row;
use crate::trained::Input;

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
    let rounded =
        (vae.dtype() != Dtype::F32).then(|| prepared.sample.mapv(|value| vae.dtype().round(value)));
    let sample = rounded.as_ref().unwrap_or(&prepared.sample).view();
    let encoded = vae.encode(sample, noise.as_ref().map(|noise| noise.view()))?;
    // Scaled and back, as `check` does it and a pipeline would.
    let scaled = vae.scale(encoded.latents.view())?;
    let decoded = vae.decode(vae.unscale(scaled.view())?.view())?;
    Ok(Trip { encoded, decoded, equivariance: None })
}

/// The seed of one picture's noise: the first eight bytes of a SHA-256 of the protocol's seed and the
/// picture's name, so that it depends on nothing else.
fn picture_seed(seed: u64, id: &str) -> u64 {
    let hash = Sha256::digest(format!("{seed}\n{id}"));
    hash.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// The metrics of `trip`, in a row that has all but them.
///
/// # Errors
///
/// When NaN or infinity was encoded or decoded, and when there is no memory to compare it.
pub(crate) fn judged(
    row: Row,
    prepared: &Prepared,
    trip: &Trip,
    protocol: &Protocol,
    trained: &mut Input,
) -> Result<(Row, Pair)> {
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
    Ok((row.with_latents(&trip.encoded), pair))
}
