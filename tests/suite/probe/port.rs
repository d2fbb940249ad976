//! A second `AutoencoderKL`, put together from the layers of the fast engine, in which one detail can be got
//! wrong on purpose.
//!
//! Blocks that the mistake leaves alone are the engine's, run by their names; of the others, convolutions, norms
//! and projections are, and padding, upsampling, activations, residual sums and attention are written here.

use ndarray::{Array2, Array4, ArrayD, ArrayView4, Axis, Ix3, Ix4, Slice, s};
use vae_fidelity::autoencoder_kl::FastAutoencoderKL;
use vae_fidelity::{Dtype, Encoded, Result, Vae, VaeConfig};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    Nothing,
    /// Downsampling pads one pixel on all sides, not right and bottom only.
    SymmetricPadding,
    /// Convolutions that keep the size pad with the opposite edge.
    CircularPadding,
    /// Upsampling interpolates between values.
    BilinearUpsampling,
    /// Upsampling puts zeros between values: the interpolation is missing.
    ZerosBetween,
    /// Upsampling convolves first and enlarges then.
    ConvolutionBeforeUpsampling,
    /// Attention without 1 / sqrt(d).
    NoAttentionScale,
    /// Attention normalises over queries, not over keys.
    SoftmaxOverQueries,
    /// Attention without the sum with its input.
    NoAttentionResidual,
    /// The first resnet of each level of the decoder without its shortcut.
    NoResidual,
    /// GELU's tanh approximation in place of SiLU.
    Gelu,
    /// ReLU in place of SiLU.
    Relu,
    /// The log-variance is taken for the mean.
    HalvesSwapped,
}

/// A kind of block.
#[derive(Debug, Clone, Copy)]
enum Block {
    Resnet,
    Attention,
    Downsampler,
    Upsampler,
}

pub struct Port {
    vae: FastAutoencoderKL,
    fault: Fault,
    /// Whether blocks without a mistake are written here as well.
    pub all_written: bool,
}

type Image = Array4<f32>;

impl Port {
    pub fn new(vae: FastAutoencoderKL, fault: Fault) -> Self {
        Self { vae, fault, all_written: false }
    }

    /// Whether the blocks of this kind are the engine's.
    fn is_whole(&self, block: Block) -> bool {
        use Fault::*;
        let changed: &[Fault] = match block {
            Block::Resnet => &[CircularPadding, NoResidual, Gelu, Relu],
            Block::Attention => &[NoAttentionScale, SoftmaxOverQueries, NoAttentionResidual],
            Block::Downsampler => &[SymmetricPadding],
            Block::Upsampler => {
                &[CircularPadding, BilinearUpsampling, ZerosBetween, ConvolutionBeforeUpsampling]
            }
        };
        !self.all_written && !changed.contains(&self.fault)
    }

    fn layer(&self, name: &str, input: ArrayD<f32>) -> Result<ArrayD<f32>> {
        self.vae.forward_module(name, input.view()).unwrap_or_else(|| panic!("no {name}"))
    }

    fn image(&self, name: &str, input: &Image) -> Result<Image> {
        let output = self.layer(name, input.clone().into_dyn())?;
        Ok(output.into_dimensionality::<Ix4>().unwrap())
    }

    /// A convolution that keeps the size.
    fn conv(&self, name: &str, input: &Image) -> Result<Image> {
        if self.fault != Fault::CircularPadding {
            return self.image(name, input);
        }
        // Zeros go around the wrapped border, and what they reach is cut off.
        let (n, channels, height, width) = input.dim();
        let mut wrapped = Image::zeros((n, channels, height + 2, width + 2));
        wrapped.slice_mut(s![.., .., 1..=height, 1..=width]).assign(input);
        for (to, from) in [(0, height), (height + 1, 1)] {
            let row = wrapped.index_axis(Axis(2), from).to_owned();
            wrapped.index_axis_mut(Axis(2), to).assign(&row);
        }
        for (to, from) in [(0, width), (width + 1, 1)] {
            let column = wrapped.index_axis(Axis(3), from).to_owned();
            wrapped.index_axis_mut(Axis(3), to).assign(&column);
        }
        Ok(self.image(name, &wrapped)?.slice(s![.., .., 1..=height, 1..=width]).to_owned())
    }

    fn act(&self, x: Image) -> Image {
        x.mapv_into(|x| match self.fault {
            Fault::Gelu => 0.5 * x * (1.0 + (0.797_884_6 * (x + 0.044_715 * x * x * x)).tanh()),
            Fault::Relu => x.max(0.0),
            _ => x / (1.0 + (-x).exp()),
        })
    }

    fn resnet(&self, name: &str, x: Image) -> Result<Image> {
        if self.is_whole(Block::Resnet) {
            return self.image(name, &x);
        }
        let hidden = self.act(self.image(&format!("{name}.norm1"), &x)?);
        let hidden = self.conv(&format!("{name}.conv1"), &hidden)?;
        let hidden = self.act(self.image(&format!("{name}.norm2"), &hidden)?);
        let hidden = self.conv(&format!("{name}.conv2"), &hidden)?;
        let of_decoder = name.starts_with("decoder.up_blocks") && name.ends_with("resnets.0");
        if self.fault == Fault::NoResidual && of_decoder {
            return Ok(hidden);
        }
        match hidden.dim().1 == x.dim().1 {
            true => Ok(x + hidden),
            false => Ok(self.image(&format!("{name}.conv_shortcut"), &x)? + hidden),
        }
    }

    fn attention(&self, name: &str, x: Image) -> Result<Image> {
        if self.is_whole(Block::Attention) {
            return self.image(name, &x);
        }
        let (n, channels, height, width) = x.dim();
        let flat = x.clone().into_shape_with_order((n, channels, height * width)).unwrap();
        let normed = self.layer(&format!("{name}.group_norm"), flat.into_dyn())?;
        let normed = normed.into_dimensionality::<Ix3>().unwrap();
        let tokens = normed.permuted_axes([0, 2, 1]).as_standard_layout().to_owned().into_dyn();
        let project = |part: &str| -> Result<Array2<f32>> {
            let projected = self.layer(&format!("{name}.{part}"), tokens.clone())?;
            Ok(projected.index_axis_move(Axis(0), 0).into_dimensionality().unwrap())
        };
        let (query, key, value) = (project("to_q")?, project("to_k")?, project("to_v")?);
        let scale = match self.fault {
            Fault::NoAttentionScale => 1.0,
            _ => 1.0 / (channels as f32).sqrt(),
        };
        let mut scores = query.dot(&key.t()) * scale;
        let over = if self.fault == Fault::SoftmaxOverQueries { Axis(1) } else { Axis(0) };
        for mut row in scores.axis_iter_mut(over) {
            let largest = row.fold(f32::MIN, |a, &b| a.max(b));
            row.mapv_inplace(|score| (score - largest).exp());
            let sum = row.sum();
            row.mapv_inplace(|score| score / sum);
        }
        let attended = scores.dot(&value).insert_axis(Axis(0)).into_dyn();
        let out = self.layer(&format!("{name}.to_out.0"), attended)?;
        let out = out.into_dimensionality::<Ix3>().unwrap().permuted_axes([0, 2, 1]);
        let out = out.as_standard_layout().to_owned();
        let out = out.into_shape_with_order((n, channels, height, width)).unwrap();
        Ok(if self.fault == Fault::NoAttentionResidual { out } else { x + out })
    }

    fn mid_block(&self, name: &str, x: Image) -> Result<Image> {
        let x = self.resnet(&format!("{name}.resnets.0"), x)?;
        let x = match self.config().autoencoder_kl().unwrap().mid_block_add_attention {
            true => self.attention(&format!("{name}.attentions.0"), x)?,
            false => x,
        };
        self.resnet(&format!("{name}.resnets.1"), x)
    }

    fn downsample(&self, name: &str, x: &Image) -> Result<Image> {
        if self.is_whole(Block::Downsampler) {
            return self.image(name, x);
        }
        let before = usize::from(self.fault == Fault::SymmetricPadding);
        let (n, channels, height, width) = x.dim();
        let mut padded = Image::zeros((n, channels, height + before + 1, width + before + 1));
        let inside = |length: usize| Slice::from(before..before + length);
        let mut part = padded.slice_axis_mut(Axis(2), inside(height));
        part.slice_axis_mut(Axis(3), inside(width)).assign(x);
        self.image(&format!("{name}.conv"), &padded)
    }

    fn upsample(&self, name: &str, x: &Image) -> Result<Image> {
        if self.is_whole(Block::Upsampler) {
            return self.image(name, x);
        }
        let conv = format!("{name}.conv");
        let (n, channels, height, width) = x.dim();
        let size = (n, channels, 2 * height, 2 * width);
        match self.fault {
            Fault::ConvolutionBeforeUpsampling => {
                let x = self.conv(&conv, x)?;
                Ok(Image::from_shape_fn(size, |(n, c, y, x_at)| x[[n, c, y / 2, x_at / 2]]))
            }
            Fault::ZerosBetween => {
                let apart = |(n, c, y, x_at): (usize, usize, usize, usize)| match (y % 2, x_at % 2)
                {
                    (0, 0) => x[[n, c, y / 2, x_at / 2]],
                    _ => 0.0,
                };
                self.conv(&conv, &Image::from_shape_fn(size, apart))
            }
            Fault::BilinearUpsampling => {
                // As torch does it with align_corners=False.
                let place = |at: usize, length: usize| {
                    let at = ((at as f32 + 0.5) / 2.0 - 0.5).max(0.0);
                    let first = at as usize;
                    (first, (first + 1).min(length - 1), at - first as f32)
                };
                let between = |(n, c, y, x_at): (usize, usize, usize, usize)| {
                    let ((top, below, dy), (left, right, dx)) =
                        (place(y, height), place(x_at, width));
                    let row = |y: usize| x[[n, c, y, left]] * (1.0 - dx) + x[[n, c, y, right]] * dx;
                    row(top) * (1.0 - dy) + row(below) * dy
                };
                self.conv(&conv, &Image::from_shape_fn(size, between))
            }
            _ => {
                let nearest = Image::from_shape_fn(size, |(n, c, y, at)| x[[n, c, y / 2, at / 2]]);
                self.conv(&conv, &nearest)
            }
        }
    }

    fn out(&self, half: &str, x: Image) -> Result<Image> {
        let x = self.act(self.image(&format!("{half}.conv_norm_out"), &x)?);
        self.conv(&format!("{half}.conv_out"), &x)
    }
}

impl Vae for Port {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        assert!(noise.is_none(), "the mode alone");
        let config = self.config().autoencoder_kl().unwrap();
        let mut x = self.conv("encoder.conv_in", &sample.to_owned())?;
        let levels = config.block_out_channels.len();
        for level in 0..levels {
            let block = format!("encoder.down_blocks.{level}");
            for layer in 0..config.layers_per_block {
                x = self.resnet(&format!("{block}.resnets.{layer}"), x)?;
            }
            if level + 1 < levels {
                x = self.downsample(&format!("{block}.downsamplers.0"), &x)?;
            }
        }
        let x = self.mid_block("encoder.mid_block", x)?;
        let x = self.out("encoder", x)?;
        let moments = if config.use_quant_conv { self.image("quant_conv", &x)? } else { x };
        let (mut mean, mut logvar) = moments.view().split_at(Axis(1), config.latent_channels);
        if self.fault == Fault::HalvesSwapped {
            (mean, logvar) = (logvar, mean);
        }
        let std = logvar.mapv(|logvar| (0.5 * logvar.clamp(-30.0, 20.0)).exp());
        let latents = mean.to_owned();
        Ok(Encoded { moments: None, std: Some(std), latents })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let config = self.config().autoencoder_kl().unwrap();
        let latents = latents.to_owned();
        let x = match config.use_post_quant_conv {
            true => self.image("post_quant_conv", &latents)?,
            false => latents,
        };
        let x = self.conv("decoder.conv_in", &x)?;
        let mut x = self.mid_block("decoder.mid_block", x)?;
        let levels = config.block_out_channels.len();
        for level in 0..levels {
            let block = format!("decoder.up_blocks.{level}");
            for layer in 0..=config.layers_per_block {
                x = self.resnet(&format!("{block}.resnets.{layer}"), x)?;
            }
            if level + 1 < levels {
                x = self.upsample(&format!("{block}.upsamplers.0"), &x)?;
            }
        }
        self.out("decoder", x)
    }
}

/// Without a mistake the port is the engine, up to rounding: else its mistakes would prove nothing.
#[test]
fn a_port_without_a_mistake_is_the_engine() {
    use super::sound::changed;
    use crate::weights::planted::{As, TRAINED};

    for model in TRAINED {
        let load = || changed(model, As::F32, |_| {});
        let (vae, mut port) = (load(), Port::new(load(), Fault::Nothing));
        let sample = Image::from_shape_fn((1, 3, 64, 64), |(_, c, y, x)| {
            ((x * 7 + y * 3 + c * 5) % 64) as f32 / 32.0 - 1.0
        });
        for all_written in [false, true] {
            port.all_written = all_written;
            let expected = vae.encode(sample.view(), None).unwrap().latents;
            let latents = port.encode(sample.view(), None).unwrap().latents;
            // NaN is not near anything.
            let near = |a: &Image, b: &Image| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.02);
            assert!(near(&latents, &expected), "{model}, all written: {all_written}");
            let decoded = port.decode(expected.view()).unwrap();
            assert!(near(&decoded, &vae.decode(expected.view()).unwrap()), "{model}");
        }
    }
}
