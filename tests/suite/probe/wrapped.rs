//! A sound VAE with a mistake of a pipeline around it.

use std::cell::Cell;

use ndarray::{Array4, ArrayView4};
use vae_fidelity::{Dtype, Encoded, Result, Rgb8, Vae, VaeConfig};

use crate::weights::planted::Draws;

/// What a pipeline does between the parts of a trip.
pub type Change = Box<dyn Fn(Array4<f32>) -> Array4<f32> + Send>;
/// What it decodes raw latents with.
pub type Decode = fn(&dyn Vae, ArrayView4<f32>) -> Result<Array4<f32>>;

/// A VAE, and what is done before, between and after.
pub struct Wrapped {
    pub vae: Box<dyn Vae>,
    /// To the sample, before the encoder.
    pub fed: Change,
    /// How many draws of the posterior's noise are added; 0 is the mode.
    pub draws: usize,
    /// To raw latents, after the encoder.
    pub encoded: Change,
    /// To raw latents, before the decoder.
    pub received: Change,
    /// In the decoder's place.
    pub decode: Decode,
    /// To what was decoded.
    pub decoded: Change,
    /// How a decoded value becomes a level; `None` leaves it to who asks.
    pub level: Option<fn(f32) -> u8>,
    calls: Cell<u64>,
}

impl Wrapped {
    pub fn new(vae: Box<dyn Vae>) -> Self {
        let same = || -> Change { Box::new(|tensor| tensor) };
        Self {
            vae,
            fed: same(),
            draws: 0,
            encoded: same(),
            received: same(),
            decode: |vae, latents| vae.decode(latents),
            decoded: same(),
            level: None,
            calls: Cell::new(0),
        }
    }
}

impl Vae for Wrapped {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        self.vae.dtype()
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let mut encoded = self.vae.encode((self.fed)(sample.to_owned()).view(), noise)?;
        if self.draws > 0 {
            self.calls.set(self.calls.get() + 1);
            let mut numbers = Draws(self.calls.get() << 32);
            let noise = |std: f32| (0..self.draws).map(|_| std * numbers.normal()).sum::<f32>();
            encoded.latents += &encoded.std.as_ref().unwrap().mapv(noise);
        }
        Ok(Encoded { latents: (self.encoded)(encoded.latents), ..encoded })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let latents = (self.received)(latents.to_owned());
        Ok((self.decoded)((self.decode)(self.vae.as_ref(), latents.view())?))
    }

    fn to_rgb8(&self, decoded: ArrayView4<f32>) -> Option<Result<Rgb8>> {
        let level = self.level?;
        let (_, _, height, width) = decoded.dim();
        let first = decoded.index_axis(ndarray::Axis(0), 0);
        let data = first.permuted_axes([1, 2, 0]).iter().map(|&value| level(value)).collect();
        Some(Rgb8::new(width, height, data))
    }
}
