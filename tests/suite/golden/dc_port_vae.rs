//! The blocks and the halves of the second implementation of `AutoencoderDC`, and what is done to latents.

use ndarray::{Array2, Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4, concatenate, s};
use vae_fidelity::config::Activation as ActFn;
use vae_fidelity::trace::{Stage, Trace};
use vae_fidelity::{Dtype, Encoded, Result, Vae, VaeConfig};

use super::dc_port::{DcPort, Fault, silu};
use super::images::{Image, narrow, wide};

impl DcPort {
    fn res_block(&self, name: &str, act_fn: ActFn, x: &Image) -> Image {
        let h = self.act(act_fn, self.conv(&format!("{name}.conv1"), x, 1));
        let h = self.conv(&format!("{name}.conv2"), &h, 1);
        let h = self.norm(&format!("{name}.norm"), &h);
        self.record(name, h + x)
    }

    fn attention(&self, name: &str, x: &Image) -> Image {
        let part = |part: &str| self.linear(&format!("{name}.{part}"), x);
        let [query, key, value] = ["to_q", "to_k", "to_v"].map(part);
        let qkv = concatenate![Axis(1), query, key, value];
        let mut attended = vec![self.attended(&qkv)];
        let scales = (0..).map(|number| format!("{name}.to_qkv_multiscale.{number}"));
        for scale in scales.take_while(|scale| self.has(scale)) {
            if self.fault == Fault::NoMultiscale {
                attended.push(Image::zeros(attended[0].raw_dim()));
                continue;
            }
            let h = self.conv(&format!("{scale}.proj_in"), &qkv, 1);
            let h = self.conv(&format!("{scale}.proj_out"), &h, 1);
            attended.push(self.attended(&self.record(&scale, h)));
        }
        let views: Vec<_> = attended.iter().map(Image::view).collect();
        let h = self.linear(&format!("{name}.to_out"), &concatenate(Axis(1), &views).unwrap());
        let h = self.norm(&format!("{name}.norm_out"), &h);
        self.record(name, if self.fault == Fault::NoAttentionResidual { h } else { h + x })
    }

    /// What the heads of one scale make of their queries, keys and values. diffusers multiplies in another order
    /// where there are few pixels, which changes nothing but rounding.
    fn attended(&self, qkv: &Image) -> Image {
        let (n, channels, height, width) = qkv.dim();
        let (inner, head_dim) = (channels / 3, self.fields.attention_head_dim);
        let mut y = Array4::zeros((n, inner, height, width));
        let heads = inner / head_dim;
        for (image, head) in (0..n).flat_map(|image| (0..heads).map(move |head| (image, head))) {
            // (head_dim, pixels)
            let part = |number: usize| -> Array2<f64> {
                let from = match self.fault {
                    Fault::HeadsInside => number * inner + head * head_dim,
                    _ => (3 * head + number) * head_dim,
                };
                let part = qkv.slice(s![image, from..from + head_dim, .., ..]);
                part.to_shape((head_dim, height * width)).unwrap().into_owned()
            };
            let positive = |part: Array2<f64>| match self.fault {
                Fault::NoReluInAttention => part,
                _ => part.mapv(|x| x.max(0.0)),
            };
            let (query, key, value) = (positive(part(0)), positive(part(1)), part(2));
            let sums = key.sum_axis(Axis(1)).dot(&query);
            let denominator = match self.fault {
                Fault::NoDenominator => sums.mapv(|_| 1.0),
                Fault::DenominatorEps => sums + 1e-2,
                _ => sums + 1e-15,
            };
            let pixels = value.dot(&key.t()).dot(&query) / denominator;
            let here = s![image, head * head_dim..(head + 1) * head_dim, .., ..];
            y.slice_mut(here).assign(&pixels.to_shape((head_dim, height, width)).unwrap());
        }
        y
    }

    fn glumb_conv(&self, name: &str, x: &Image) -> Image {
        let h = self.act(ActFn::Silu, self.conv(&format!("{name}.conv_inverted"), x, 1));
        let h = self.conv(&format!("{name}.conv_depth"), &h, 1);
        let half = h.len_of(Axis(1)) / 2;
        let hidden = h.slice(s![.., ..half, .., ..]).to_owned();
        let gate = h.slice(s![.., half.., .., ..]).to_owned();
        let h = match self.fault {
            Fault::GateFirst => silu(hidden) * gate,
            _ => hidden * self.act(ActFn::Silu, gate),
        };
        let h = self.conv(&format!("{name}.conv_point"), &h, 1);
        let h = self.norm(&format!("{name}.norm"), &h);
        self.record(name, if self.fault == Fault::NoGlumbResidual { h } else { h + x })
    }

    fn down(&self, name: &str, x: &Image, shortcut: bool) -> Image {
        let conv = format!("{name}.conv");
        let y = match self.fields.downsample_block_type == "pixel_unshuffle" {
            true => self.unshuffled(&self.conv(&conv, x, 1)),
            false => self.conv(&conv, x, 2),
        };
        let around = shortcut && self.fault != Fault::NoDownShortcut;
        let outputs = y.len_of(Axis(1));
        let y = if around { y + self.averaged(&self.unshuffled(x), outputs) } else { y };
        self.record(name, y)
    }

    fn up(&self, name: &str, x: &Image, shortcut: bool) -> Image {
        let conv = format!("{name}.conv");
        let y = match self.fields.upsample_block_type == "interpolate" {
            true => self.conv(&conv, &self.interpolated(x), 1),
            false => self.shuffled(&self.conv(&conv, x, 1)),
        };
        let around = shortcut && self.fault != Fault::NoUpShortcut;
        let tiled = self.fault == Fault::TiledUpShortcut;
        let repeated = |outputs: usize| self.shuffled(&Self::repeated(x, 4 * outputs, tiled));
        let outputs = y.len_of(Axis(1));
        self.record(name, if around { y + repeated(outputs) } else { y })
    }

    /// The blocks of one size, and the one that comes from it or leads to it.
    fn level(&self, half: &str, at: usize, x: &Image) -> Image {
        let (name, act_fn) = match half {
            "encoder" => (format!("encoder.down_blocks.{at}"), ActFn::Silu),
            _ => (format!("decoder.up_blocks.{at}"), self.fields.decoder_act_fns[at]),
        };
        let mut y = x.clone();
        for block in (0..).map(|number| format!("{name}.{number}")) {
            y = if self.has(&format!("{block}.conv1")) {
                self.res_block(&block, act_fn, &y)
            } else if self.has(&format!("{block}.attn")) {
                let attended = self.attention(&format!("{block}.attn"), &y);
                let y = self.glumb_conv(&format!("{block}.conv_out"), &attended);
                self.record(&block, y)
            } else if self.has(&block) {
                if half == "encoder" {
                    self.down(&block, &y, true)
                } else {
                    self.up(&block, &y, true)
                }
            } else {
                return self.record(&name, y);
            };
        }
        unreachable!("numbers do not end")
    }

    /// The first and the last layer of a half, which change the size where the level of full size has no blocks.
    fn end(&self, name: &str, x: &Image) -> Image {
        match (self.has(&format!("{name}.conv")), name.starts_with("encoder")) {
            (false, _) => self.conv(name, x, 1),
            (true, true) => self.down(name, x, false),
            (true, false) => self.up(name, x, false),
        }
    }

    fn encoded(&self, sample: &Image) -> Image {
        let mut x = self.end("encoder.conv_in", sample);
        for at in 0..self.fields.encoder_block_out_channels.len() {
            x = self.level("encoder", at, &x);
        }
        let mut y = self.end("encoder.conv_out", &x);
        if self.fields.encoder_out_shortcut && self.fault != Fault::NoOutShortcut {
            y += &self.averaged(&x, self.fields.latent_channels);
        }
        self.record("encoder", y)
    }

    fn decoded(&self, latents: &Image) -> Image {
        let mut x = self.end("decoder.conv_in", latents);
        if self.fields.decoder_in_shortcut && self.fault != Fault::NoInShortcut {
            let tiled = self.fault == Fault::TiledInShortcut;
            x += &Self::repeated(latents, x.len_of(Axis(1)), tiled);
        }
        for at in (0..self.fields.decoder_block_out_channels.len()).rev() {
            x = self.level("decoder", at, &x);
        }
        let x = self.norm("decoder.norm_out", &x);
        let x = self.end("decoder.conv_out", &self.act(self.fields.decoder_conv_act_fn, x));
        self.record("decoder", x)
    }
}

impl Vae for DcPort {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        assert!(noise.is_none(), "nothing is drawn in this class");
        let latents = narrow(&self.encoded(&wide(sample)));
        Ok(Encoded { moments: None, std: None, latents })
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
            Stage::Encode => drop(self.encoded(&wide(input))),
            Stage::Decode => drop(self.decoded(&wide(input))),
        }
        self.trace.take().map(Ok)
    }

    /// The levels, the layers around them, and the halves.
    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let input = wide(input.into_dimensionality::<Ix4>().ok()?);
        let number = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let output = match name {
            "encoder" => self.encoded(&input),
            "decoder" => self.decoded(&input),
            "encoder.conv_in" | "encoder.conv_out" | "decoder.conv_in" | "decoder.conv_out" => {
                self.end(name, &input)
            }
            _ => match (number("encoder.down_blocks."), number("decoder.up_blocks.")) {
                (Some(at), _) => self.level("encoder", at, &input),
                (_, Some(at)) => self.level("decoder", at, &input),
                _ => return None,
            },
        };
        Some(Ok(narrow(&output).into_dyn()))
    }
}
