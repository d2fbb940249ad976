//! The port as a `Vae`: what is before and after the network, with the mistakes that are made there.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4};
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::trace::{Stage, Trace};
use vae_fidelity::{Dtype, Encoded, Error, Result, Rgb8, Vae, VaeConfig};

use super::fault::Fault;
use super::port::{Planted, array, tensor};

impl Planted {
    fn shift(&self) -> f32 {
        match self.fault {
            Fault::Shift => self.fields.shift_factor as f32,
            _ => 0.0,
        }
    }

    fn factor(&self) -> f32 {
        match self.fault {
            Fault::ScalingFactor => 0.13025,
            _ => self.fields.scaling_factor as f32,
        }
    }
}

impl Vae for Planted {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = tch::no_grad(|| array(&self.moments(sample)));
        let (mut mean, mut logvar) = moments.view().split_at(Axis(1), self.fields.latent_channels);
        if self.fault == Fault::HalvesSwapped {
            (mean, logvar) = (logvar, mean);
        }
        let std = logvar.map(|&logvar| match self.fault {
            Fault::NoLogvarClamp => (0.5 * logvar).exp(),
            Fault::VarianceForStd => logvar.clamp(-30.0, 20.0).exp(),
            _ => (0.5 * logvar.clamp(-30.0, 20.0)).exp(),
        });
        let latents = match noise {
            Some(noise) => &mean + &std * &noise,
            None => mean.to_owned(),
        };
        Ok(Encoded { moments: Some(moments), std: Some(std), latents })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        if self.fault == Fault::DecodeFails {
            return Err(Error::tensor("latents", "planted failure", "nothing to be done"));
        }
        Ok(tch::no_grad(|| self.decoded(latents)))
    }

    fn to_rgb8(&self, decoded: ArrayView4<f32>) -> Option<Result<Rgb8>> {
        let level = match self.fault {
            Fault::Truncation => |value: f32| ((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0) as u8,
            Fault::Wraparound => {
                |value: f32| ((value / 2.0 + 0.5) * 255.0).round_ties_even() as i32 as u8
            }
            _ => return Some(denormalize(decoded, Dtype::F32)),
        };
        let (_, _, height, width) = decoded.dim();
        let first = decoded.index_axis(Axis(0), 0);
        let data = first.permuted_axes([1, 2, 0]).iter().map(|&value| level(value)).collect();
        Some(Rgb8::new(width, height, data))
    }

    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let again = if self.fault == Fault::ScaledTwice { self.factor() } else { 1.0 };
        Ok(latents.map(|latent| (latent - self.shift()) * self.factor() * again))
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        if self.fault == Fault::NotUnscaled {
            return Ok(latents.to_owned());
        }
        Ok(latents.map(|latent| latent / self.factor() + self.shift()))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        *self.trace.borrow_mut() = Some(Trace::new());
        tch::no_grad(|| match stage {
            Stage::Encode => drop(self.moments(input)),
            Stage::Decode => drop(self.decoded(input)),
        });
        self.trace.take().map(Ok)
    }

    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let input = input.into_dimensionality::<Ix4>().ok()?;
        let output = tch::no_grad(|| self.block(name, &tensor(input)))?;
        Some(Ok(array(&output).into_dyn()))
    }
}
