//! A second `AutoencoderKL`, and `AsymmetricAutoencoderKL`, written out from the formulas on plain f64
//! tensors, in which one detail can be got wrong on purpose.
//!
//! It shares no code with `src/autoencoder_kl`: group norm is means and squares, attention is two
//! products and a softmax, upsampling repeats values. What it differs from the goldens by is the
//! rounding of the reference itself. With [`Fault::None`] it has to pass, within tolerance: that is
//! the control without which no fault proves anything.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ndarray::{Array4, ArrayView4, s};
use tch::{Kind, Tensor};
use vae_fidelity::checkpoint::expected_tensors;
use vae_fidelity::config::Activation as ActFn;
use vae_fidelity::trace::{Activation, Trace};
use vae_fidelity::{Checkpoint, Dtype, Result, VaeConfig};

pub use super::fault::Fault;
use crate::libtorch::one_thread;

pub struct Planted {
    pub config: VaeConfig,
    pub fields: Fields,
    weights: BTreeMap<String, Tensor>,
    pub fault: Fault,
    /// Filled while a trace is taken.
    pub trace: RefCell<Option<Trace>>,
}

/// What this port reads of a config, of either class.
pub struct Fields {
    pub latent_channels: usize,
    pub scaling_factor: f64,
    pub shift_factor: f64,
    norm_num_groups: usize,
    act_fn: ActFn,
    levels: usize,
    /// Resnets in a level of the encoder; the decoder has one more than its own number.
    down_layers: usize,
    up_layers: usize,
    attention: bool,
    quant_conv: bool,
    post_quant_conv: bool,
    decoder: &'static str,
}

impl Fields {
    fn of(config: &VaeConfig) -> Self {
        match config {
            VaeConfig::AutoencoderKL(config) => Self {
                latent_channels: config.latent_channels,
                scaling_factor: config.scaling_factor,
                shift_factor: config.shift_factor.unwrap_or(0.0),
                norm_num_groups: config.norm_num_groups,
                act_fn: config.act_fn,
                levels: config.block_out_channels.len(),
                down_layers: config.layers_per_block,
                up_layers: config.layers_per_block,
                attention: config.mid_block_add_attention,
                quant_conv: config.use_quant_conv,
                post_quant_conv: config.use_post_quant_conv,
                decoder: "Decoder",
            },
            VaeConfig::AsymmetricAutoencoderKL(config) => Self {
                latent_channels: config.latent_channels,
                scaling_factor: config.scaling_factor,
                shift_factor: 0.0,
                norm_num_groups: config.norm_num_groups,
                act_fn: config.act_fn,
                levels: config.up_block_out_channels.len(),
                down_layers: config.layers_per_down_block,
                up_layers: config.layers_per_up_block,
                attention: true,
                quant_conv: true,
                post_quant_conv: true,
                decoder: "MaskConditionDecoder",
            },
            other => panic!("this port does not have {}", other.class().name()),
        }
    }
}

impl Planted {
    pub fn load(checkpoint: &Checkpoint, fault: Fault) -> Result<Self> {
        one_thread();
        let mut weights = BTreeMap::new();
        for spec in expected_tensors(checkpoint.config()) {
            let mut values = checkpoint.tensor(&spec.name)?.to_f32();
            if fault == Fault::HalfWeights {
                values.iter_mut().for_each(|value| *value = Dtype::F16.round(*value));
            }
            let shape: Vec<i64> = spec.shape.iter().map(|&size| size as i64).collect();
            let tensor = tensor64(&values, &shape);
            let tensor = match (fault, spec.name.as_str()) {
                (Fault::TransposedQuery, "encoder.mid_block.attentions.0.to_q.weight") => {
                    tensor.tr()
                }
                (Fault::FlippedKernel, "encoder.conv_in.weight") => tensor.flip([2, 3]),
                (Fault::MissingBias, "decoder.conv_out.bias") => tensor.zeros_like(),
                _ => tensor,
            };
            weights.insert(spec.name, tensor);
        }
        let config = checkpoint.config().clone();
        let fields = Fields::of(&config);
        Ok(Self { config, fields, weights, fault, trace: RefCell::new(None) })
    }

    fn record(&self, module: &str, kind: &str, output: Tensor) -> Tensor {
        if self.fault_is_nan_at(module) {
            let _ = output.view([-1]).get(0).fill_(f64::NAN);
        }
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            let shape: Vec<usize> = output.size().iter().map(|&size| size as usize).collect();
            trace.push(Activation::new(module, kind, &shape, &values(&output)));
        }
        output
    }

    fn fault_is_nan_at(&self, module: &str) -> bool {
        matches!(self.fault, Fault::Nan(at) if at == module)
    }

    fn weight(&self, name: &str) -> (&Tensor, &Tensor) {
        (&self.weights[&format!("{name}.weight")], &self.weights[&format!("{name}.bias")])
    }

    fn conv(&self, name: &str, x: &Tensor, stride: i64, padding: i64) -> Tensor {
        let (weight, bias) = self.weight(name);
        let mode = match self.fault {
            Fault::CircularPadding => Some("circular"),
            Fault::ReflectPadding => Some("reflect"),
            Fault::ReplicatePadding => Some("replicate"),
            _ => None,
        };
        let padded =
            mode.filter(|_| padding > 0).map(|mode| x.pad([padding; 4], mode, None::<f64>));
        let (x, padding) = padded.as_ref().map_or((x, padding), |padded| (padded, 0));
        let y = x.conv2d(weight, Some(bias), [stride, stride], [padding, padding], [1, 1], 1);
        self.record(name, "Conv2d", y)
    }

    fn linear(&self, name: &str, x: &Tensor) -> Tensor {
        let (weight, bias) = self.weight(name);
        self.record(name, "Linear", x.matmul(&weight.transpose(0, 1)) + bias)
    }

    /// (x - mean) / sqrt(variance + eps) over each group, times weight, plus bias.
    fn norm(&self, name: &str, x: &Tensor) -> Tensor {
        let eps = if self.fault == Fault::Eps1e5 { 1e-5 } else { 1e-6 };
        let size = x.size();
        let factor = if self.fault == Fault::Groups { 2 } else { 1 };
        let groups = x.reshape([size[0], factor * self.fields.norm_num_groups as i64, -1]);
        let centred = &groups - groups.mean_dim([2i64].as_slice(), true, Kind::Double);
        let variance = (&centred * &centred).mean_dim([2i64].as_slice(), true, Kind::Double);
        let normed = (centred / (variance + eps).sqrt()).reshape(&size);
        let (weight, bias) = self.weight(name);
        let mut per_channel = vec![1; size.len()];
        per_channel[1] = size[1];
        let y = normed * weight.reshape(&per_channel) + bias.reshape(&per_channel);
        self.record(name, "GroupNorm", y)
    }

    fn act(&self, x: Tensor) -> Tensor {
        match self.fields.act_fn {
            _ if self.fault == Fault::GeluForSilu => x.gelu("none"),
            ActFn::Gelu if self.fault == Fault::TanhGelu => x.gelu("tanh"),
            ActFn::Silu => silu(&x),
            ActFn::Mish => &x * (x.exp() + 1.0).log().tanh(),
            ActFn::Gelu => &x * 0.5 * ((&x / 2f64.sqrt()).erf() + 1.0),
            ActFn::Relu => x.clamp_min(0.0),
        }
    }

    fn conv_act(&self, x: Tensor) -> Tensor {
        if self.fault == Fault::ConvActFollowsConfig { self.act(x) } else { silu(&x) }
    }

    fn resnet(&self, name: &str, x: &Tensor) -> Tensor {
        let normed = self.norm(&format!("{name}.norm1"), x);
        let into_shortcut = match self.fault {
            Fault::ShortcutAfterNorm => normed.shallow_clone(),
            _ => x.shallow_clone(),
        };
        let h = self.act(normed);
        let h = self.conv(&format!("{name}.conv1"), &h, 1, 1);
        let h = self.act(self.norm(&format!("{name}.norm2"), &h));
        let h = self.conv(&format!("{name}.conv2"), &h, 1, 1);
        let shortcut = format!("{name}.conv_shortcut");
        let y = match self.weights.contains_key(&format!("{shortcut}.weight")) {
            true => self.conv(&shortcut, &into_shortcut, 1, 0) + h,
            false
                if self.fault == Fault::MissingResidual
                    && name == "decoder.up_blocks.1.resnets.1" =>
            {
                h
            }
            false => x + h,
        };
        self.record(name, "ResnetBlock2D", y)
    }

    fn attention(&self, name: &str, x: &Tensor) -> Tensor {
        let size = x.size();
        let (n, channels) = (size[0], size[1]);
        let flat = x.reshape([n, channels, -1]);
        let tokens = self.norm(&format!("{name}.group_norm"), &flat).transpose(1, 2);
        let q = self.linear(&format!("{name}.to_q"), &tokens);
        let k = self.linear(&format!("{name}.to_k"), &tokens);
        let v = self.linear(&format!("{name}.to_v"), &tokens);
        let scale = match self.fault {
            Fault::NoAttentionScale => 1.0,
            _ => (channels as f64).sqrt().recip(),
        };
        let over = if self.fault == Fault::SoftmaxOverQueries { 1 } else { -1 };
        let weights = (q.matmul(&k.transpose(1, 2)) * scale).softmax(over, Kind::Double);
        let out = self.linear(&format!("{name}.to_out.0"), &weights.matmul(&v));
        let out = out.transpose(1, 2).reshape(&size);
        let y = if self.fault == Fault::MissingAttentionResidual { out } else { out + x };
        self.record(name, "Attention", y)
    }

    fn mid_block(&self, name: &str, x: &Tensor) -> Tensor {
        let mut x = self.resnet(&format!("{name}.resnets.0"), x);
        if self.fields.attention {
            x = self.attention(&format!("{name}.attentions.0"), &x);
        }
        let x = self.resnet(&format!("{name}.resnets.1"), &x);
        self.record(name, "UNetMidBlock2D", x)
    }

    fn downsample(&self, name: &str, x: &Tensor) -> Tensor {
        let conv = format!("{name}.conv");
        let y = match self.fault {
            Fault::SymmetricPadding => self.conv(&conv, x, 2, 1),
            _ => self.conv(&conv, &x.constant_pad_nd([0, 1, 0, 1]), 2, 0),
        };
        self.record(name, "Downsample2D", y)
    }

    fn upsample(&self, name: &str, x: &Tensor) -> Tensor {
        let size = x.size();
        if self.fault == Fault::ConvBeforeUpsampling {
            let y = self.conv(&format!("{name}.conv"), x, 1, 1);
            let y = y.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None);
            return self.record(name, "Upsample2D", y);
        }
        let larger = match self.fault {
            Fault::BilinearUpsampling => {
                x.upsample_bilinear2d([2 * size[2], 2 * size[3]], false, None, None)
            }
            _ => x.repeat_interleave_self_int(2, 2, None).repeat_interleave_self_int(2, 3, None),
        };
        let y = self.conv(&format!("{name}.conv"), &larger, 1, 1);
        self.record(name, "Upsample2D", y)
    }

    fn down_block(&self, level: usize, x: &Tensor) -> Tensor {
        let block = format!("encoder.down_blocks.{level}");
        let mut x = x.shallow_clone();
        for layer in 0..self.fields.down_layers {
            x = self.resnet(&format!("{block}.resnets.{layer}"), &x);
        }
        if level + 1 < self.fields.levels {
            x = self.downsample(&format!("{block}.downsamplers.0"), &x);
        }
        self.record(&block, "DownEncoderBlock2D", x)
    }

    fn up_block(&self, level: usize, x: &Tensor) -> Tensor {
        let block = format!("decoder.up_blocks.{level}");
        let fewer = usize::from(self.fault == Fault::OneResnetLess);
        let mut x = x.shallow_clone();
        for layer in 0..=self.fields.up_layers - fewer {
            x = self.resnet(&format!("{block}.resnets.{layer}"), &x);
        }
        if level + 1 < self.fields.levels {
            x = self.upsample(&format!("{block}.upsamplers.0"), &x);
        }
        self.record(&block, "UpDecoderBlock2D", x)
    }

    fn encoder(&self, sample: &Tensor) -> Tensor {
        let mut x = self.conv("encoder.conv_in", sample, 1, 1);
        for level in 0..self.fields.levels {
            x = self.down_block(level, &x);
        }
        let x = self.mid_block("encoder.mid_block", &x);
        let x = self.conv_act(self.norm("encoder.conv_norm_out", &x));
        let x = self.conv("encoder.conv_out", &x, 1, 1);
        self.record("encoder", "Encoder", x)
    }

    fn after_encoder(&self, x: Tensor) -> Tensor {
        if self.fields.quant_conv { self.conv("quant_conv", &x, 1, 0) } else { x }
    }

    fn before_decoder(&self, latents: &Tensor) -> Tensor {
        match self.fields.post_quant_conv {
            true => self.conv("post_quant_conv", latents, 1, 0),
            false => latents.shallow_clone(),
        }
    }

    fn decoder(&self, x: &Tensor) -> Tensor {
        let x = self.conv("decoder.conv_in", x, 1, 1);
        let mut x = self.mid_block("decoder.mid_block", &x);
        for level in 0..self.fields.levels {
            x = self.up_block(level, &x);
        }
        let x = self.conv_act(self.norm("decoder.conv_norm_out", &x));
        let x = self.conv("decoder.conv_out", &x, 1, 1);
        self.record("decoder", self.fields.decoder, x)
    }

    pub fn moments(&self, sample: ArrayView4<f32>) -> Tensor {
        match self.fault {
            Fault::BgrInput => {
                let swapped = tensor(sample.slice(s![.., ..;-1, .., ..]));
                self.after_encoder(self.encoder(&swapped))
            }
            _ => self.after_encoder(self.encoder(&tensor(sample))),
        }
    }

    /// Any of the blocks between which goldens keep whole tensors.
    pub fn block(&self, name: &str, x: &Tensor) -> Option<Tensor> {
        let last = name.rsplit('.').next()?;
        let level = || last.parse().ok();
        Some(match name.strip_suffix(last)?.trim_end_matches('.') {
            "" if name == "encoder" => self.encoder(x),
            "" if name == "decoder" => self.decoder(x),
            "" if name == "quant_conv" => self.conv(name, x, 1, 0),
            "" if name == "post_quant_conv" => self.conv(name, x, 1, 0),
            "encoder.down_blocks" => self.down_block(level()?, x),
            "decoder.up_blocks" => self.up_block(level()?, x),
            "encoder.mid_block.resnets" | "decoder.mid_block.resnets" => self.resnet(name, x),
            "encoder.mid_block.attentions" | "decoder.mid_block.attentions" => {
                self.attention(name, x)
            }
            "encoder" | "decoder" => match last {
                "conv_in" | "conv_out" => self.conv(name, x, 1, 1),
                "conv_norm_out" => self.norm(name, x),
                "mid_block" => self.mid_block(name, x),
                _ => return None,
            },
            _ => return None,
        })
    }

    pub fn decoded(&self, latents: ArrayView4<f32>) -> Array4<f32> {
        let decoded = array(&self.decoder(&self.before_decoder(&tensor(latents))));
        match self.fault {
            Fault::BgrOutput => decoded.slice(s![.., ..;-1, .., ..]).to_owned(),
            Fault::NarrowOutput => decoded.slice(s![.., .., .., ..-1]).to_owned(),
            _ => decoded,
        }
    }
}

fn silu(x: &Tensor) -> Tensor {
    x * x.sigmoid()
}

pub fn tensor(array: ArrayView4<f32>) -> Tensor {
    let shape: Vec<i64> = array.shape().iter().map(|&size| size as i64).collect();
    let values: Vec<f32> = array.iter().copied().collect();
    tensor64(&values, &shape)
}

fn tensor64(values: &[f32], shape: &[i64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Double).reshape(shape)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(Kind::Float).contiguous().view([-1])).expect("f32 values")
}

pub fn array(tensor: &Tensor) -> Array4<f32> {
    let (n, c, h, w) = tensor.size4().expect("NCHW");
    let shape = (n as usize, c as usize, h as usize, w as usize);
    Array4::from_shape_vec(shape, values(tensor)).expect("as many values as the shape has")
}
