//! A second `AutoencoderDC`, written out from the formulas on f64 arrays, in which one detail can be got wrong on
//! purpose. It shares no code with the model: its blocks follow from the names of the weights, and convolutions
//! are sums.

use std::cell::RefCell;

use ndarray::{Array4, ArrayView2, Axis, s};
use vae_fidelity::config::{Activation as ActFn, AutoencoderDCConfig};
use vae_fidelity::trace::{Activation, Trace};
use vae_fidelity::{Checkpoint, Result, VaeConfig};

use super::images::{Image, Weights, add_bias, convolved, weights, zeros};

/// What is wrong with it: mistakes that ports have been seen to make, or can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Half the size, or twice, without the way around the convolution.
    NoDownShortcut,
    NoUpShortcut,
    /// Latents without the means of the channels before them; the decoder without repeated latents.
    NoOutShortcut,
    NoInShortcut,
    /// Of a group of channels the first, not the mean.
    FirstOfGroup,
    /// Channels are repeated one after another, not each by itself: around upsampling, and of latents.
    TiledUpShortcut,
    TiledInShortcut,
    /// Squares of pixels are (rows, columns, channels), as where channels lie last.
    SquaresBeforeChannels,
    /// Upsampling interpolates.
    Bilinear,
    /// RMSNorm without its bias, with the eps of another model, or along rows of pixels.
    NoNormBias,
    NormEps,
    NormOverRows,
    /// Batch norm by the picture's own statistics, or with the eps of another framework.
    StatisticsOfThePicture,
    BatchNormEps,
    /// One activation everywhere: ReLU, or SiLU whatever the config has.
    ReluForSilu,
    SiluForRelu,
    /// Attention to single pixels alone: what its other kernels would give is zero.
    NoMultiscale,
    /// Attention without its denominator, or with an eps in it that is more than a guard against zero.
    NoDenominator,
    DenominatorEps,
    /// Queries and keys that may be negative.
    NoReluInAttention,
    /// Queries of all heads, then keys, then values.
    HeadsInside,
    NoAttentionResidual,
    /// `GLUMBConv` with its halves exchanged, or without its input.
    GateFirst,
    NoGlumbResidual,
    /// Kernels of one channel go on at the opposite side.
    CircularPadding,
    /// Latents as the model makes them, scaled twice; and those that come back left as they are.
    NotScaled,
    ScaledAgain,
    NotUnscaled,
}

pub struct DcPort {
    pub(super) config: VaeConfig,
    pub(super) fields: AutoencoderDCConfig,
    pub(super) weights: Weights,
    pub(super) fault: Fault,
    pub(super) trace: RefCell<Option<Trace>>,
}

impl DcPort {
    pub fn load(checkpoint: &Checkpoint, fault: Fault) -> Result<Self> {
        let config = checkpoint.config().clone();
        let VaeConfig::AutoencoderDC(fields) = config.clone() else { panic!("another class") };
        let weights = weights(checkpoint)?;
        Ok(Self { config, fields, weights, fault, trace: RefCell::new(None) })
    }

    pub(super) fn has(&self, module: &str) -> bool {
        let inside = format!("{module}.");
        let next = self.weights.range(inside.clone()..).next();
        next.is_some_and(|(name, _)| name.starts_with(&inside))
    }

    pub(super) fn values(&self, name: &str) -> &[f64] {
        &self.weights[name].1
    }

    pub(super) fn record(&self, module: &str, output: Image) -> Image {
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            let values: Vec<f32> = output.iter().map(|&value| value as f32).collect();
            trace.push(Activation::new(module, "a port's", output.shape(), &values));
        }
        output
    }

    /// Of what diffusers has with channels behind pixels.
    pub(super) fn record_channels_last(&self, module: &str, output: Image) -> Image {
        let there = self.record(module, output.permuted_axes([0, 2, 3, 1]));
        there.permuted_axes([0, 3, 1, 2])
    }

    pub(super) fn conv(&self, name: &str, x: &Image, stride: usize) -> Image {
        self.record(name, self.convolved(name, x, stride))
    }

    pub(super) fn linear(&self, name: &str, x: &Image) -> Image {
        self.record_channels_last(name, self.convolved(name, x, 1))
    }

    /// Kernels of any odd side, with half of it as padding all around; how many groups there are follows from the
    /// weight. A linear layer has kernels of one pixel.
    fn convolved(&self, name: &str, x: &Image, stride: usize) -> Image {
        let (shape, weight) = &self.weights[&format!("{name}.weight")];
        let (outputs, inputs, side) = (shape[0], shape[1], shape.get(2).map_or(1, |side| *side));
        let (n, channels, height, width) = x.dim();
        let (groups, before) = (channels / inputs, side / 2);
        let each = outputs / groups;
        let circular = self.fault == Fault::CircularPadding && inputs == 1;
        let source = |at: usize, length: usize| match circular {
            true => Some((at + before * (length - 1)) % length),
            false => zeros(before)(at, length),
        };
        let kernels = ArrayView2::from_shape((outputs, inputs * side * side), weight).unwrap();
        let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
        let mut y = Array4::zeros((n, outputs, rows, columns));
        for (image, group) in (0..n).flat_map(|image| (0..groups).map(move |group| (image, group)))
        {
            let given = x.slice(s![image, group * inputs..(group + 1) * inputs, .., ..]);
            let here = group * each..(group + 1) * each;
            let kernels = kernels.slice(s![here.clone(), ..]);
            let sums = convolved(kernels, given, (side, stride), (rows, columns), source);
            y.slice_mut(s![image, here, .., ..]).assign(&sums);
        }
        if let Some((_, bias)) = self.weights.get(&format!("{name}.bias")) {
            add_bias(&mut y, bias);
        }
        y
    }

    pub(super) fn norm(&self, name: &str, x: &Image) -> Image {
        match self.weights.contains_key(&format!("{name}.running_var")) {
            true => self.batch_norm(name, x),
            false => self.rms_norm(name, x),
        }
    }

    fn rms_norm(&self, name: &str, x: &Image) -> Image {
        let axis = if self.fault == Fault::NormOverRows { Axis(3) } else { Axis(1) };
        let eps = if self.fault == Fault::NormEps { 1e-6 } else { 1e-5 };
        let squares = x.mapv(|x| x * x).mean_axis(axis).unwrap().insert_axis(axis);
        let mut y = x / &squares.mapv(|square| (square + eps).sqrt());
        let weight = self.values(&format!("{name}.weight"));
        let bias = self.values(&format!("{name}.bias"));
        for ((mut channel, weight), bias) in y.axis_iter_mut(Axis(1)).zip(weight).zip(bias) {
            let bias = if self.fault == Fault::NoNormBias { 0.0 } else { *bias };
            channel.mapv_inplace(|x| x * weight + bias);
        }
        self.record_channels_last(name, y)
    }

    fn batch_norm(&self, name: &str, x: &Image) -> Image {
        let eps = if self.fault == Fault::BatchNormEps { 1e-3 } else { 1e-5 };
        let of = |part: &str| self.values(&format!("{name}.{part}"));
        let (weight, bias) = (of("weight"), of("bias"));
        let (running_mean, running_var) = (of("running_mean"), of("running_var"));
        let mut y = x.clone();
        for (at, mut channel) in y.axis_iter_mut(Axis(1)).enumerate() {
            let (mean, var) = match self.fault {
                Fault::StatisticsOfThePicture => (channel.mean().unwrap(), channel.var(0.0)),
                _ => (running_mean[at], running_var[at]),
            };
            channel.mapv_inplace(|x| (x - mean) / (var + eps).sqrt() * weight[at] + bias[at]);
        }
        self.record(name, y)
    }

    pub(super) fn act(&self, act_fn: ActFn, x: Image) -> Image {
        match (act_fn, self.fault) {
            (ActFn::Silu, Fault::ReluForSilu) => relu(x),
            (ActFn::Relu, Fault::SiluForRelu) | (ActFn::Silu, _) => silu(x),
            (ActFn::Relu, _) => relu(x),
            (other, _) => panic!("no golden has {other:?}"),
        }
    }

    /// Where channel `at` of squares of pixels comes from, or goes: a channel, a row and a column.
    fn place(&self, at: usize, channels: usize) -> (usize, usize, usize) {
        let (channel, pixel) = match self.fault {
            Fault::SquaresBeforeChannels => (at % channels, at / channels),
            _ => (at / 4, at % 4),
        };
        (channel, pixel / 2, pixel % 2)
    }

    /// Squares of four pixels as four channels.
    pub(super) fn unshuffled(&self, x: &Image) -> Image {
        let (n, channels, height, width) = x.dim();
        let shape = (n, 4 * channels, height / 2, width / 2);
        Array4::from_shape_fn(shape, |(n, at, row, column)| {
            let (channel, down, right) = self.place(at, channels);
            x[[n, channel, 2 * row + down, 2 * column + right]]
        })
    }

    /// The way back.
    pub(super) fn shuffled(&self, x: &Image) -> Image {
        let (n, channels, height, width) = x.dim();
        let mut y = Array4::zeros((n, channels / 4, 2 * height, 2 * width));
        for ((n, at, row, column), value) in x.indexed_iter() {
            let (channel, down, right) = self.place(at, channels / 4);
            y[[n, channel, 2 * row + down, 2 * column + right]] = *value;
        }
        y
    }

    /// Channels in groups of neighbours, each as its mean.
    pub(super) fn averaged(&self, x: &Image, outputs: usize) -> Image {
        let (n, channels, height, width) = x.dim();
        let group = channels / outputs;
        Array4::from_shape_fn((n, outputs, height, width), |(n, channel, row, column)| {
            let values = x.slice(s![n, channel * group..(channel + 1) * group, row, column]);
            if self.fault == Fault::FirstOfGroup { values[0] } else { values.mean().unwrap() }
        })
    }

    /// Each channel many times, one beside another; or `tiled`, all of them over and over.
    pub(super) fn repeated(x: &Image, outputs: usize, tiled: bool) -> Image {
        let channels = x.len_of(Axis(1));
        let from = |at: usize| if tiled { at % channels } else { at * channels / outputs };
        x.select(Axis(1), &(0..outputs).map(from).collect::<Vec<_>>())
    }

    /// Twice the size.
    pub(super) fn interpolated(&self, x: &Image) -> Image {
        let (n, channels, height, width) = x.dim();
        // The pixel that lies in the other direction from the one that is repeated.
        let other = |at: usize, length: usize| match at % 2 {
            0 => (at / 2).saturating_sub(1),
            _ => (at / 2 + 1).min(length - 1),
        };
        Array4::from_shape_fn((n, channels, 2 * height, 2 * width), |(n, channel, row, column)| {
            let value = |row: usize, column: usize| x[[n, channel, row, column]];
            let along =
                |row| 0.75 * value(row, column / 2) + 0.25 * value(row, other(column, width));
            match self.fault {
                Fault::Bilinear => 0.75 * along(row / 2) + 0.25 * along(other(row, height)),
                _ => value(row / 2, column / 2),
            }
        })
    }
}

fn relu(x: Image) -> Image {
    x.mapv(|x| x.max(0.0))
}

pub(super) fn silu(x: Image) -> Image {
    x.mapv(|x| x / (1.0 + (-x).exp()))
}

/// A control of the port itself: what it makes of a few pixels by hand.
#[test]
fn layers_are_what_they_are_by_hand() {
    let config = VaeConfig::from_json(r#"{"_class_name": "AutoencoderDC"}"#, "a test").unwrap();
    let VaeConfig::AutoencoderDC(fields) = config.clone() else { unreachable!() };
    let (weights, trace) = (Weights::new(), RefCell::new(None));
    let mut port = DcPort { config, fields, weights, fault: Fault::None, trace };
    let nine = |times: f64| (1..=9).map(|at| times * f64::from(at)).collect::<Vec<_>>();
    // Two channels, each with kernels of its own.
    let kernels = [nine(1.0), nine(2.0)].concat();
    port.weights.insert("depth.weight".to_owned(), (vec![2, 1, 3, 3], kernels));
    let x = Array4::from_shape_vec((1, 2, 3, 3), [nine(1.0), nine(10.0)].concat()).unwrap();
    let y = port.conv("depth", &x, 1);
    assert_eq!((y[[0, 0, 1, 1]], y[[0, 1, 1, 1]]), (285.0, 20.0 * 285.0));
    assert_eq!(y[[0, 0, 0, 0]], 5.0 + 2.0 * 6.0 + 4.0 * 8.0 + 5.0 * 9.0);
    assert_eq!(port.conv("depth", &x, 2).dim(), (1, 2, 2, 2));

    let x = Array4::from_shape_fn((1, 4, 1, 1), |(_, channel, ..)| channel as f64);
    let square = port.shuffled(&x);
    assert_eq!(square.iter().copied().collect::<Vec<_>>(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(port.unshuffled(&square), x);
    let flat = |x: &Image| x.iter().copied().collect::<Vec<_>>();
    assert_eq!(flat(&port.averaged(&x, 2)), [0.5, 2.5]);
    let two = x.slice(s![.., ..2, .., ..]).to_owned();
    assert_eq!(flat(&DcPort::repeated(&two, 4, false)), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(flat(&DcPort::repeated(&two, 4, true)), [0.0, 1.0, 0.0, 1.0]);
}
