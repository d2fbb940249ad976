//! A second autoencoder of Wan's family, of one picture, written out from the formulas on f64 arrays, in which one
//! detail can be got wrong on purpose. It shares no code with the model: its blocks follow from the names of the
//! weights, and convolutions are sums.

use std::cell::RefCell;

use ndarray::{Array2, Array4, Axis, concatenate, s};
use vae_fidelity::trace::{Activation, Trace};
use vae_fidelity::{Checkpoint, Result, VaeConfig};

use super::images::{Image, Weights, add_bias, convolved, weights, zeros};

/// What is wrong with it: mistakes that ports have been seen to make, or can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Of three frames of a kernel the picture meets the first, or the one in the middle, as where frames are
    /// padded at both ends.
    FirstSlice,
    MiddleSlice,
    /// A norm without the root of the number of channels, or over the pixels of a channel.
    NoRoot,
    NormOverPixels,
    /// Downsampling pads all four sides.
    SymmetricPadding,
    /// Attention without 1 / sqrt(d), with keys in front of queries, or without its input.
    NoAttentionScale,
    KeysFirst,
    NoAttentionResidual,
    /// Upsampling interpolates.
    Bilinear,
    /// A level without the way around it, or with a mean over the frames that there are.
    NoLevelShortcut,
    MeanOfOneFrame,
    /// Channels are repeated one after another, not each by itself.
    RepeatedInTurn,
    /// Patches of pixels are (c, ph, pw).
    PatchedRowsFirst,
    UnpatchedRowsFirst,
    /// What is decoded is left as it comes.
    NoClamp,
    /// Latents as the model makes them; z * std + mean; and those that come back left as they are.
    NotNormalised,
    WrongWayRound,
    NotDenormalised,
}

pub struct WanPort {
    pub(super) config: VaeConfig,
    pub(super) patch: usize,
    temperal_downsample: Vec<bool>,
    pub(super) levels: usize,
    pub(super) statistics: Vec<(f32, f32)>,
    weights: Weights,
    pub(super) fault: Fault,
    pub(super) trace: RefCell<Option<Trace>>,
}

impl WanPort {
    pub fn load(checkpoint: &Checkpoint, fault: Fault) -> Result<Self> {
        let config = checkpoint.config().clone();
        let wan = match &config {
            VaeConfig::AutoencoderKLWan(wan) => wan.clone(),
            VaeConfig::AutoencoderKLQwenImage(qwen) => qwen.as_wan(),
            VaeConfig::AutoencoderKLQwenImage21(qwen) => qwen.as_wan(),
            _ => panic!("another class"),
        };
        let weights = weights(checkpoint)?;
        let pairs = wan.latents_mean.iter().zip(&wan.latents_std);
        Ok(Self {
            patch: wan.patch(),
            levels: wan.dim_mult.len(),
            statistics: pairs.map(|(&mean, &std)| (mean as f32, std as f32)).collect(),
            temperal_downsample: wan.temperal_downsample,
            config,
            weights,
            fault,
            trace: RefCell::new(None),
        })
    }

    pub(super) fn has(&self, module: &str) -> bool {
        let inside = format!("{module}.");
        self.weights
            .range(inside.clone()..)
            .next()
            .is_some_and(|(name, _)| name.starts_with(&inside))
    }

    fn record(&self, module: &str, output: Image) -> Image {
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            let values: Vec<f32> = output.iter().map(|&value| value as f32).collect();
            trace.push(Activation::new(module, "a port's", output.shape(), &values));
        }
        output
    }

    /// A kernel over space, or the slice of one over time that the only frame meets; `before` zeros stand at
    /// the left and at the top, and as many as are needed behind.
    pub(super) fn conv(&self, name: &str, x: &Image, (stride, before): (usize, usize)) -> Image {
        let (shape, weight) = &self.weights[&format!("{name}.weight")];
        let bias = &self.weights[&format!("{name}.bias")].1;
        let (frames, side) = (if shape.len() == 5 { shape[2] } else { 1 }, shape[shape.len() - 1]);
        let slice = match self.fault {
            Fault::FirstSlice => 0,
            Fault::MiddleSlice => frames / 2,
            _ => frames - 1,
        };
        let (n, inputs, height, width) = x.dim();
        let terms = inputs * side * side;
        // (outputs, terms): of each kernel the slice.
        let kernels = Array2::from_shape_fn((shape[0], terms), |(out, at)| {
            let (from, place) = (at / side / side, at % (side * side));
            weight[((out * inputs + from) * frames + slice) * side * side + place]
        });
        let (rows, columns) = (height / stride, width / stride);
        let mut y = Array4::zeros((n, shape[0], rows, columns));
        for (x, mut y) in x.outer_iter().zip(y.outer_iter_mut()) {
            let view = kernels.view();
            y.assign(&convolved(view, x, (side, stride), (rows, columns), zeros(before)));
        }
        add_bias(&mut y, bias);
        self.record(name, y)
    }

    fn norm(&self, name: &str, x: &Image) -> Image {
        let gamma = &self.weights[&format!("{name}.gamma")].1;
        let axis = if self.fault == Fault::NormOverPixels { Axis(3) } else { Axis(1) };
        let root = match self.fault {
            Fault::NoRoot => 1.0,
            _ => (gamma.len() as f64).sqrt(),
        };
        let length = x.mapv(|x| x * x).sum_axis(axis).mapv(f64::sqrt).insert_axis(axis);
        let mut y = x / &length * root;
        for (mut channel, gamma) in y.axis_iter_mut(Axis(1)).zip(gamma) {
            channel *= *gamma;
        }
        self.record(name, y)
    }

    fn resnet(&self, name: &str, x: &Image) -> Image {
        let shortcut = format!("{name}.conv_shortcut");
        let around = if self.has(&shortcut) { self.conv(&shortcut, x, (1, 0)) } else { x.clone() };
        let h = silu(self.norm(&format!("{name}.norm1"), x));
        let h = silu(
            self.norm(&format!("{name}.norm2"), &self.conv(&format!("{name}.conv1"), &h, (1, 1))),
        );
        let h = self.conv(&format!("{name}.conv2"), &h, (1, 1));
        self.record(name, h + around)
    }

    fn attention(&self, name: &str, x: &Image) -> Image {
        let qkv = self.norm(&format!("{name}.norm"), x);
        let qkv = self.conv(&format!("{name}.to_qkv"), &qkv, (1, 0));
        let (n, channels, height, width) = x.dim();
        let part = |number: usize| {
            let part = qkv.slice(s![.., number * channels..(number + 1) * channels, .., ..]);
            part.to_shape((n, channels, height * width)).unwrap().into_owned()
        };
        let order = if self.fault == Fault::KeysFirst { [1, 0] } else { [0, 1] };
        let (query, key, value) = (part(order[0]), part(order[1]), part(2));
        let scale = match self.fault {
            Fault::NoAttentionScale => 1.0,
            _ => 1.0 / (channels as f64).sqrt(),
        };
        let mut attended = Array4::zeros((n, channels, height, width));
        for image in 0..n {
            let of = |part: &ndarray::Array3<f64>| part.index_axis(Axis(0), image).to_owned();
            let (query, key, value) = (of(&query), of(&key), of(&value));
            let mut scores = query.t().dot(&key) * scale;
            for mut row in scores.outer_iter_mut() {
                let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                row.mapv_inplace(|score| (score - largest).exp());
                let sum = row.sum();
                row /= sum;
            }
            let pixels = value.dot(&scores.t());
            let pixels = pixels.to_shape((channels, height, width)).unwrap();
            attended.index_axis_mut(Axis(0), image).assign(&pixels);
        }
        let y = self.conv(&format!("{name}.proj"), &attended, (1, 0));
        let y = if self.fault == Fault::NoAttentionResidual { y } else { y + x };
        self.record(name, y)
    }

    fn down(&self, name: &str, x: &Image) -> Image {
        let before = if self.fault == Fault::SymmetricPadding { 1 } else { 0 };
        let y = self.conv(&format!("{name}.resample.1"), x, (2, before));
        let y = self.record(&format!("{name}.resample"), y);
        self.record(name, y)
    }

    fn up(&self, name: &str, x: &Image) -> Image {
        let (n, channels, height, width) = x.dim();
        let twice =
            Array4::from_shape_fn((n, channels, 2 * height, 2 * width), |(n, c, y, right)| {
                let nearest = x[[n, c, y / 2, right / 2]];
                match self.fault {
                    Fault::Bilinear => {
                        (nearest + x[[n, c, y / 2, (right / 2 + 1).min(width - 1)]]) / 2.0
                    }
                    _ => nearest,
                }
            });
        let y = self.conv(&format!("{name}.resample.1"), &twice, (1, 1));
        let y = self.record(&format!("{name}.resample"), y);
        self.record(name, y)
    }

    /// Groups of a block's values, channel by channel and frame by frame, each as its mean.
    fn avg_down(&self, name: &str, x: &Image, outputs: usize, level: usize) -> Image {
        let last = level + 1 == self.levels;
        let side = if last { 1 } else { 2 };
        let frames = if !last && self.temperal_downsample[level] { 2 } else { 1 };
        let (n, inputs, height, width) = x.dim();
        let group = inputs * frames * side * side / outputs;
        let y =
            Array4::from_shape_fn((n, outputs, height / side, width / side), |(n, c, y, right)| {
                let (mut sum, mut count) = (0.0, 0);
                for flat in c * group..(c + 1) * group {
                    let (from, frame) = (flat / side / side / frames, flat / side / side % frames);
                    if frame + 1 == frames {
                        let (row, column) = (flat / side % side, flat % side);
                        sum += x[[n, from, y * side + row, right * side + column]];
                        count += 1;
                    }
                }
                sum / if self.fault == Fault::MeanOfOneFrame { count } else { group } as f64
            });
        self.record(name, y)
    }

    /// Repeated channels as blocks, of which the last frame is kept.
    fn dup_up(&self, name: &str, x: &Image, outputs: usize, level: usize) -> Image {
        // The decoder undoes the encoder's levels from the last one on.
        let frames = if self.temperal_downsample[self.levels - 2 - level] { 2 } else { 1 };
        let (n, inputs, height, width) = x.dim();
        let repeats = outputs * frames * 4 / inputs;
        let y = Array4::from_shape_fn((n, outputs, 2 * height, 2 * width), |(n, c, y, right)| {
            let flat = (((c + 1) * frames - 1) * 2 + y % 2) * 2 + right % 2;
            let from = match self.fault {
                Fault::RepeatedInTurn => flat % inputs,
                _ => flat / repeats,
            };
            x[[n, from, y / 2, right / 2]]
        });
        self.record(name, y)
    }

    pub(super) fn mid_block(&self, name: &str, x: &Image) -> Image {
        let x = self.resnet(&format!("{name}.resnets.0"), x);
        let x = self.attention(&format!("{name}.attentions.0"), &x);
        let x = self.resnet(&format!("{name}.resnets.1"), &x);
        self.record(name, x)
    }

    fn resnets(&self, name: &str, x: &Image) -> Image {
        let numbers = (0..).map(|number| format!("{name}.resnets.{number}"));
        numbers.take_while(|name| self.has(name)).fold(x.clone(), |x, name| self.resnet(&name, &x))
    }

    pub(super) fn down_block(&self, at: usize, x: &Image) -> Image {
        let name = format!("encoder.down_blocks.{at}");
        if self.has(&format!("{name}.resample")) {
            return self.down(&name, x);
        }
        if !self.has(&format!("{name}.resnets")) {
            return self.resnet(&name, x);
        }
        let mut y = self.resnets(&name, x);
        let outputs = y.len_of(Axis(1));
        let sampler = format!("{name}.downsampler");
        if self.has(&sampler) {
            y = self.down(&sampler, &y);
        }
        let around = self.avg_down(&format!("{name}.avg_shortcut"), x, outputs, at);
        let y = if self.fault == Fault::NoLevelShortcut { y } else { y + around };
        self.record(&name, y)
    }

    pub(super) fn up_block(&self, at: usize, x: &Image) -> Image {
        let name = format!("decoder.up_blocks.{at}");
        let mut y = self.resnets(&name, x);
        let outputs = y.len_of(Axis(1));
        let [plain, around] = [format!("{name}.upsamplers.0"), format!("{name}.upsampler")];
        if self.has(&plain) {
            y = self.up(&plain, &y);
        } else if self.has(&around) {
            y = self.up(&around, &y);
            let around = self.dup_up(&format!("{name}.avg_shortcut"), x, outputs, at);
            y = if self.fault == Fault::NoLevelShortcut { y } else { y + around };
        }
        self.record(&name, y)
    }

    pub(super) fn head(&self, half: &str, x: &Image) -> Image {
        let x = silu(self.norm(&format!("{half}.norm_out"), x));
        let x = self.conv(&format!("{half}.conv_out"), &x, (1, 1));
        self.record(half, x)
    }
}

fn silu(x: Image) -> Image {
    x.mapv(|x| x / (1.0 + (-x).exp()))
}

/// A control of the port itself: what it makes of one pixel by hand.
#[test]
fn a_convolution_is_what_it_is_by_hand() {
    let text = r#"{"_class_name": "AutoencoderKLWan"}"#;
    let mut port = WanPort {
        config: VaeConfig::from_json(text, "a test").unwrap(),
        patch: 1,
        temperal_downsample: Vec::new(),
        levels: 1,
        statistics: Vec::new(),
        weights: Weights::new(),
        fault: Fault::None,
        trace: RefCell::new(None),
    };
    // Three frames: the last is 1 to 9.
    let kernel = (0..27).map(|at| if at < 18 { 100.0 } else { f64::from(at - 17) }).collect();
    port.weights.insert("one.weight".to_owned(), (vec![1, 1, 3, 3, 3], kernel));
    port.weights.insert("one.bias".to_owned(), (vec![1], vec![0.5]));
    let x = Array4::from_shape_vec((1, 1, 3, 3), (1..=9).map(f64::from).collect()).unwrap();
    let y = port.conv("one", &x, (1, 1));
    assert_eq!((y.dim(), y[[0, 0, 1, 1]]), ((1, 1, 3, 3), 285.5));
    assert_eq!(y[[0, 0, 0, 0]], 5.0 + 2.0 * 6.0 + 4.0 * 8.0 + 5.0 * 9.0 + 0.5);
    let two = concatenate![Axis(1), x, x];
    port.weights.insert("norm.gamma".to_owned(), (vec![2, 1, 1, 1], vec![1.0, 3.0]));
    let normed = port.norm("norm", &two);
    assert!((normed[[0, 0, 1, 1]] - 1.0).abs() < 1e-12);
    assert!((normed[[0, 1, 2, 2]] - 3.0).abs() < 1e-12);
}
