//! A VAE that has nothing to do with libtorch; its goldens are numpy's:
//! `tests/fixtures/toy/make.py`.

use ndarray::{Array4, ArrayView4, Axis, concatenate};
use vae_fidelity::trace::{Activation, Stage, Trace};
use vae_fidelity::{Checkpoint, Dtype, Encoded, Result, Vae, VaeConfig};

/// Folder of the toy's suite.
pub const TOY: &str = "tests/fixtures/toy";

/// Latents are means of 2 x 2 pixels times a gain; decoding divides and repeats.
pub struct Toy {
    pub config: VaeConfig,
    /// One factor a channel, from the checkpoint.
    pub gain: Vec<f32>,
    pub dtype: Dtype,
    /// Exposes neither moments nor a trace.
    pub secretive: bool,
    /// Changes tensors on their way out, by name.
    pub tamper: fn(&str, &mut Array4<f32>),
}

impl Toy {
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        let bias = checkpoint.tensor("quant_conv.bias")?.to_f32();
        Ok(Self {
            config: checkpoint.config().clone(),
            gain: bias.iter().take(3).map(|bias| 1.0 + bias).collect(),
            dtype: Dtype::F32,
            secretive: false,
            tamper: |_, _| (),
        })
    }

    fn pooled(&self, sample: ArrayView4<f32>) -> Array4<f32> {
        let (n, c, h, w) = sample.dim();
        Array4::from_shape_fn((n, c, h / 2, w / 2), |(n, c, y, x)| {
            let at = |dy, dx| sample[[n, c, 2 * y + dy, 2 * x + dx]];
            ((at(0, 0) + at(0, 1)) + (at(1, 0) + at(1, 1))) * 0.25
        })
    }

    fn per_channel(&self, tensor: &Array4<f32>, change: fn(f32, f32) -> f32) -> Array4<f32> {
        let mut changed = tensor.clone();
        for (mut channel, gain) in changed.axis_iter_mut(Axis(1)).zip(&self.gain) {
            channel.mapv_inplace(|value| change(value, *gain));
        }
        changed
    }

    fn out(&self, name: &str, mut tensor: Array4<f32>) -> Array4<f32> {
        (self.tamper)(name, &mut tensor);
        tensor
    }
}

impl Vae for Toy {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let pooled = self.pooled(sample);
        let mean = self.per_channel(&pooled, |value, gain| value * gain);
        let logvar = pooled.mapv(|value| value - 3.0);
        let moments = concatenate![Axis(1), mean, logvar];
        let std = logvar.mapv(|logvar| (0.5 * logvar).exp());
        let latents = match noise {
            Some(noise) => &mean + &std * &noise,
            None => mean,
        };
        Ok(Encoded {
            moments: (!self.secretive).then(|| self.out("moments", moments)),
            std: None,
            latents: self.out("latents", latents),
        })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let latents = self.per_channel(&latents.to_owned(), |value, gain| value / gain);
        let (n, c, h, w) = latents.dim();
        let repeated = Array4::from_shape_fn((n, c, 2 * h, 2 * w), |(n, c, y, x)| {
            latents[[n, c, y / 2, x / 2]]
        });
        Ok(self.out("decoded", repeated))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        if self.secretive {
            return None;
        }
        let entry = |module: &str, tensor: Array4<f32>| {
            let values: Vec<f32> = tensor.iter().copied().collect();
            Activation::new(module, "Toy", tensor.shape(), &values)
        };
        Some(match stage {
            Stage::Encode => self.encode(input, None).map(|encoded| {
                vec![
                    entry("encoder", self.pooled(input)),
                    entry("quant_conv", self.out("quant_conv", encoded.latents)),
                ]
            }),
            Stage::Decode => self.decode(input).map(|decoded| vec![entry("decoder", decoded)]),
        })
    }
}
