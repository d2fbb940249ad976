//! The blocks and the halves of the second implementation of `AutoencoderKLHunyuanImage`, and what is done to
//! latents.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4, s};
use vae_fidelity::trace::{Stage, Trace};
use vae_fidelity::{Dtype, Encoded, Result, Vae, VaeConfig};

use super::hunyuan_port::{Fault, HunyuanPort};
use super::images::{Image, narrow, wide};

impl HunyuanPort {
    fn resnet(&self, name: &str, x: &Image) -> Image {
        let h = self.act(self.norm(&format!("{name}.norm1"), x));
        let h = self.conv(&format!("{name}.conv1"), &h);
        let h = self.act(self.norm(&format!("{name}.norm2"), &h));
        let h = self.conv(&format!("{name}.conv2"), &h);
        self.record(name, h + x)
    }

    fn attention(&self, name: &str, x: &Image) -> Image {
        let h = self.norm(&format!("{name}.norm"), x);
        let part = |part: &str| self.conv(&format!("{name}.{part}"), &h);
        let [query, key, value] = ["to_q", "to_k", "to_v"].map(part);
        let h = self.conv(&format!("{name}.proj"), &self.attended(&query, &key, &value));
        self.record(name, if self.fault == Fault::NoAttentionResidual { h } else { h + x })
    }

    fn mid_block(&self, name: &str, x: &Image) -> Image {
        let x = self.resnet(&format!("{name}.resnets.0"), x);
        let x = self.attention(&format!("{name}.attentions.0"), &x);
        let x = self.resnet(&format!("{name}.resnets.1"), &x);
        self.record(name, x)
    }

    fn down(&self, name: &str, x: &Image) -> Image {
        let h = self.to_channels(&self.conv(&format!("{name}.conv"), x), false);
        let outputs = h.len_of(Axis(1));
        let h = match self.fault {
            Fault::NoDownShortcut => h,
            _ => h + self.averaged(&self.to_channels(x, true), outputs),
        };
        self.record(name, h)
    }

    fn up(&self, name: &str, x: &Image) -> Image {
        let h = self.conv(&format!("{name}.conv"), x);
        let outputs = h.len_of(Axis(1));
        let h = self.to_squares(&h, false);
        let tiled = self.fault == Fault::TiledUpShortcut;
        let h = match self.fault {
            Fault::NoUpShortcut => h,
            _ => h + self.to_squares(&Self::repeated(x, outputs, tiled), true),
        };
        self.record(name, h)
    }

    /// One of a half's list of blocks; `None` behind its last.
    fn block(&self, half: &str, number: usize, x: &Image) -> Option<Image> {
        let list = if half == "encoder" { "down_blocks" } else { "up_blocks" };
        let name = format!("{half}.{list}.{number}");
        if self.has(&format!("{name}.conv1")) {
            Some(self.resnet(&name, x))
        } else if !self.has(&format!("{name}.conv")) {
            None
        } else if half == "encoder" {
            Some(self.down(&name, x))
        } else {
            Some(self.up(&name, x))
        }
    }

    fn blocks(&self, half: &str, mut x: Image) -> Image {
        for number in 0.. {
            match self.block(half, number, &x) {
                Some(y) => x = y,
                None => break,
            }
        }
        x
    }

    fn moments(&self, sample: &Image) -> Image {
        let x = self.blocks("encoder", self.conv("encoder.conv_in", sample));
        let x = self.mid_block("encoder.mid_block", &x);
        let normed = self.norm("encoder.norm_out", &x);
        let means_of = if self.fault == Fault::MeansOfTheNormed { normed.clone() } else { x };
        let mut y = self.conv("encoder.conv_out", &self.act(normed));
        if self.fault != Fault::NoHeadShortcut {
            y += &self.averaged(&means_of, y.len_of(Axis(1)));
        }
        self.record("encoder", y)
    }

    fn decoded(&self, latents: &Image) -> Image {
        let mut x = self.conv("decoder.conv_in", latents);
        if self.fault != Fault::NoInShortcut {
            let tiled = self.fault == Fault::TiledInShortcut;
            x += &Self::repeated(latents, x.len_of(Axis(1)), tiled);
        }
        let x = self.blocks("decoder", self.mid_block("decoder.mid_block", &x));
        let x = self.act(self.norm("decoder.norm_out", &x));
        let x = self.conv("decoder.conv_out", &x);
        self.record("decoder", x)
    }
}

impl Vae for HunyuanPort {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let moments = self.moments(&wide(sample));
        let channels = moments.len_of(Axis(1)) / 2;
        let first = moments.slice(s![.., ..channels, .., ..]).to_owned();
        let second = moments.slice(s![.., channels.., .., ..]).to_owned();
        let (mean, logvar) = match self.fault {
            Fault::LogvarFirst => (second, first),
            _ => (first, second),
        };
        let half = if self.fault == Fault::LogvarOfStd { 1.0 } else { 0.5 };
        let std = logvar.mapv(|logvar| (half * logvar.clamp(-30.0, 20.0)).exp());
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
        let factor = self.fields.scaling_factor as f32;
        Ok(latents.mapv(|z| match self.fault {
            Fault::NotScaled => z,
            Fault::ScaledAgain => z * factor * factor,
            _ => z * factor,
        }))
    }

    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let factor = self.fields.scaling_factor as f32;
        Ok(latents.mapv(|z| if self.fault == Fault::NotUnscaled { z } else { z / factor }))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        *self.trace.borrow_mut() = Some(Trace::new());
        match stage {
            Stage::Encode => drop(self.moments(&wide(input))),
            Stage::Decode => drop(self.decoded(&wide(input))),
        }
        self.trace.take().map(Ok)
    }

    /// The blocks of both lists, the layers around them, and the halves.
    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let input = wide(input.into_dimensionality::<Ix4>().ok()?);
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let output = match name {
            "encoder" => self.moments(&input),
            "decoder" => self.decoded(&input),
            "encoder.mid_block" | "decoder.mid_block" => self.mid_block(name, &input),
            "encoder.conv_in" | "encoder.conv_out" | "decoder.conv_in" | "decoder.conv_out" => {
                self.conv(name, &input)
            }
            _ => match (number("encoder.down_blocks."), number("decoder.up_blocks.")) {
                (Some(at), _) => self.block("encoder", at, &input)?,
                (_, Some(at)) => self.block("decoder", at, &input)?,
                _ => return None,
            },
        };
        Some(Ok(narrow(&output).into_dyn()))
    }
}
