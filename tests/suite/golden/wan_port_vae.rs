//! The halves of the second implementation of Wan's family, their patches of pixels, and what is done to latents.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4, s};
use vae_fidelity::trace::{Stage, Trace};
use vae_fidelity::{Dtype, Encoded, Result, Vae, VaeConfig};

use super::images::{Image, narrow, wide};
use super::wan_port::{Fault, WanPort};

impl WanPort {
    /// (c, pw, ph), or what it is taken for.
    fn place(&self, channel: usize, rows_first: bool) -> (usize, usize, usize) {
        let patch = self.patch;
        let (slow, fast) = (channel / patch % patch, channel % patch);
        let (row, column) = if rows_first { (slow, fast) } else { (fast, slow) };
        (channel / patch / patch, row, column)
    }

    fn moments(&self, sample: &Image) -> Image {
        let (n, channels, height, width) = sample.dim();
        let patch = self.patch;
        let shape = (n, channels * patch * patch, height / patch, width / patch);
        let patches = Array4::from_shape_fn(shape, |(n, c, y, x)| {
            let (from, row, column) = self.place(c, self.fault == Fault::PatchedRowsFirst);
            sample[[n, from, y * patch + row, x * patch + column]]
        });
        let mut x = self.conv("encoder.conv_in", &patches, (1, 1));
        for at in (0..).take_while(|at| self.has(&format!("encoder.down_blocks.{at}"))) {
            x = self.down_block(at, &x);
        }
        let x = self.head("encoder", &self.mid_block("encoder.mid_block", &x));
        self.conv("quant_conv", &x, (1, 0))
    }

    fn decoded(&self, latents: &Image) -> Image {
        let x = self.conv("post_quant_conv", latents, (1, 0));
        let x = self.conv("decoder.conv_in", &x, (1, 1));
        let mut x = self.mid_block("decoder.mid_block", &x);
        for at in 0..self.levels {
            x = self.up_block(at, &x);
        }
        let patches = self.head("decoder", &x);
        let (n, channels, height, width) = patches.dim();
        let patch = self.patch;
        let mut y = Array4::zeros((n, channels / patch / patch, height * patch, width * patch));
        for ((n, c, row, column), value) in patches.indexed_iter() {
            let (to, down, right) = self.place(c, self.fault == Fault::UnpatchedRowsFirst);
            let value = if self.fault == Fault::NoClamp { *value } else { value.clamp(-1.0, 1.0) };
            y[[n, to, row * patch + down, column * patch + right]] = value;
        }
        y
    }

    /// `f` of each latent, with the mean and the deviation of its channel.
    fn by_channel(
        &self,
        latents: ArrayView4<f32>,
        f: impl Fn(f32, f32, f32) -> f32,
    ) -> Array4<f32> {
        let mut changed = latents.to_owned();
        for (mut channel, (mean, std)) in changed.axis_iter_mut(Axis(1)).zip(&self.statistics) {
            channel.mapv_inplace(|z| f(z, *mean, *std));
        }
        changed
    }
}

impl Vae for WanPort {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = self.moments(&wide(sample));
        let channels = moments.len_of(Axis(1)) / 2;
        let mean = moments.slice(s![.., ..channels, .., ..]).to_owned();
        let std = moments.slice(s![.., channels.., .., ..]);
        let std = std.mapv(|logvar| (logvar.clamp(-30.0, 20.0) / 2.0).exp());
        let latents = match noise {
            Some(noise) => &mean + &(&std * &wide(noise)),
            None => mean,
        };
        let [moments, std, latents] = [&moments, &std, &latents].map(narrow);
        Ok(Encoded { moments: Some(moments), std: Some(std), latents })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        Ok(narrow(&self.decoded(&wide(latents))))
    }

    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        Ok(self.by_channel(latents, |z, mean, std| match self.fault {
            Fault::NotNormalised => z,
            Fault::WrongWayRound => z * std + mean,
            _ => (z - mean) * (1.0 / std),
        }))
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        Ok(self.by_channel(latents, |z, mean, std| match self.fault {
            Fault::NotDenormalised => z,
            _ => z / (1.0 / std) + mean,
        }))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        *self.trace.borrow_mut() = Some(Trace::new());
        match stage {
            Stage::Encode => drop(self.moments(&wide(input))),
            Stage::Decode => drop(self.decoded(&wide(input))),
        }
        self.trace.take().map(Ok)
    }

    /// The blocks of both halves.
    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let input = wide(input.into_dimensionality::<Ix4>().ok()?);
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let output = match name {
            "encoder.mid_block" | "decoder.mid_block" => self.mid_block(name, &input),
            _ => match (number("encoder.down_blocks."), number("decoder.up_blocks.")) {
                (Some(at), _) => self.down_block(at, &input),
                (_, Some(at)) => self.up_block(at, &input),
                _ => return None,
            },
        };
        Some(Ok(narrow(&output).into_dyn()))
    }
}
