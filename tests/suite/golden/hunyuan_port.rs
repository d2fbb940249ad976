//! A second `AutoencoderKLHunyuanImage`, written out from the formulas on f64 arrays, in which one detail can be got
//! wrong on purpose. It shares no code with the model: its blocks follow from the names of the weights, and
//! convolutions are sums.

use std::cell::RefCell;

use ndarray::{Array2, Array4, ArrayView2, Axis, s};
use vae_fidelity::config::AutoencoderKLHunyuanImageConfig;
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
    /// Moments without the means of the channels before them; the decoder without repeated latents.
    NoHeadShortcut,
    NoInShortcut,
    /// The means are those of what the last norm made.
    MeansOfTheNormed,
    /// Of a group of channels the first, not the mean.
    FirstOfGroup,
    /// Channels are repeated one after another, not each by itself: around upsampling, and of latents.
    TiledUpShortcut,
    TiledInShortcut,
    /// Squares of pixels are (channels, rows, columns), as `pixel_shuffle` and DC-AE have them: everywhere, or where
    /// the convolution is not.
    ChannelsBeforeSquares,
    ChannelsBeforeSquaresAround,
    /// They are (columns, rows, channels).
    ColumnsBeforeRows,
    /// Upsampling repeats pixels, as AutoencoderKL's does, and its convolution's channels are taken as they come.
    Nearest,
    /// Norms with PyTorch's eps, or of fewer groups.
    NormEps,
    SixteenGroups,
    ReluForSilu,
    /// Attention without 1 / sqrt(C), without its input, or of keys to queries.
    NoAttentionScale,
    NoAttentionResidual,
    KeysFirst,
    /// Convolutions go on at the opposite side.
    CircularPadding,
    /// The second half of the moments is the mean.
    LogvarFirst,
    /// The logvar is the std's, not the variance's.
    LogvarOfStd,
    /// Latents as the model makes them, scaled twice; and those that come back left as they are.
    NotScaled,
    ScaledAgain,
    NotUnscaled,
}

pub struct HunyuanPort {
    pub(super) config: VaeConfig,
    pub(super) fields: AutoencoderKLHunyuanImageConfig,
    pub(super) weights: Weights,
    pub(super) fault: Fault,
    pub(super) trace: RefCell<Option<Trace>>,
}

impl HunyuanPort {
    pub fn load(checkpoint: &Checkpoint, fault: Fault) -> Result<Self> {
        let config = checkpoint.config().clone();
        let VaeConfig::AutoencoderKLHunyuanImage(fields) = config.clone() else {
            panic!("another class")
        };
        let weights = weights(checkpoint)?;
        Ok(Self { config, fields, weights, fault, trace: RefCell::new(None) })
    }

    pub(super) fn has(&self, module: &str) -> bool {
        self.weights.contains_key(&format!("{module}.weight"))
    }

    pub(super) fn record(&self, module: &str, output: Image) -> Image {
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            let values: Vec<f32> = output.iter().map(|&value| value as f32).collect();
            trace.push(Activation::new(module, "a port's", output.shape(), &values));
        }
        output
    }

    /// Kernels of any odd side, with half of it as padding all around.
    pub(super) fn conv(&self, name: &str, x: &Image) -> Image {
        let (shape, weight) = &self.weights[&format!("{name}.weight")];
        let (outputs, inputs, side) = (shape[0], shape[1], shape[2]);
        let (n, _, height, width) = x.dim();
        let before = side / 2;
        let source = |at: usize, length: usize| match self.fault {
            Fault::CircularPadding => Some((at + before * (length - 1)) % length),
            _ => zeros(before)(at, length),
        };
        let kernels = ArrayView2::from_shape((outputs, inputs * side * side), weight).unwrap();
        let mut y = Array4::zeros((n, outputs, height, width));
        for image in 0..n {
            let given = x.slice(s![image, .., .., ..]);
            let sums = convolved(kernels, given, (side, 1), (height, width), source);
            y.slice_mut(s![image, .., .., ..]).assign(&sums);
        }
        add_bias(&mut y, &self.weights[&format!("{name}.bias")].1);
        self.record(name, y)
    }

    /// 32 groups of channels, each of mean 0 and variance 1.
    pub(super) fn norm(&self, name: &str, x: &Image) -> Image {
        let eps = if self.fault == Fault::NormEps { 1e-5 } else { 1e-6 };
        let groups = if self.fault == Fault::SixteenGroups { 16 } else { 32 };
        let (weight, bias) =
            (&self.weights[&format!("{name}.weight")].1, &self.weights[&format!("{name}.bias")].1);
        let each = x.len_of(Axis(1)) / groups;
        let mut y = x.clone();
        for mut image in y.axis_iter_mut(Axis(0)) {
            for (group, mut values) in image.axis_chunks_iter_mut(Axis(0), each).enumerate() {
                let (mean, deviation) = (values.mean().unwrap(), values.var(0.0) + eps);
                for (at, mut plane) in values.axis_iter_mut(Axis(0)).enumerate() {
                    let channel = group * each + at;
                    plane.mapv_inplace(|x| {
                        (x - mean) / deviation.sqrt() * weight[channel] + bias[channel]
                    });
                }
            }
        }
        self.record(name, y)
    }

    pub(super) fn act(&self, x: Image) -> Image {
        match self.fault {
            Fault::ReluForSilu => x.mapv(|x| x.max(0.0)),
            _ => x.mapv(|x| x / (1.0 + (-x).exp())),
        }
    }

    /// Every pixel looks at every other, by the products of their channels.
    pub(super) fn attended(&self, query: &Image, key: &Image, value: &Image) -> Image {
        let (n, channels, height, width) = query.dim();
        let scale = match self.fault {
            Fault::NoAttentionScale => 1.0,
            _ => 1.0 / (channels as f64).sqrt(),
        };
        let mut y = Array4::zeros(query.dim());
        for image in 0..n {
            // (C, pixels)
            let part = |x: &Image| -> Array2<f64> {
                let x = x.slice(s![image, .., .., ..]);
                x.to_shape((channels, height * width)).unwrap().into_owned()
            };
            let (query, key, value) = match self.fault {
                Fault::KeysFirst => (part(key), part(query), part(value)),
                _ => (part(query), part(key), part(value)),
            };
            let mut weights = query.t().dot(&key) * scale;
            for mut row in weights.axis_iter_mut(Axis(0)) {
                let most = row.fold(f64::NEG_INFINITY, |most, value| most.max(*value));
                row.mapv_inplace(|x| (x - most).exp());
                let sum = row.sum();
                row.mapv_inplace(|x| x / sum);
            }
            let pixels = value.dot(&weights.t());
            let pixels = pixels.to_shape((channels, height, width)).unwrap();
            y.slice_mut(s![image, .., .., ..]).assign(&pixels);
        }
        y
    }

    /// Where channel `at` of squares of pixels comes from, or goes, by the mistake that is made on this way: a
    /// channel, a row and a column.
    fn place(&self, at: usize, channels: usize, around: bool) -> (usize, usize, usize) {
        let (channel, pixel) = match self.fault {
            Fault::ChannelsBeforeSquares => (at / 4, at % 4),
            Fault::ChannelsBeforeSquaresAround if around => (at / 4, at % 4),
            _ => (at % channels, at / channels),
        };
        match self.fault {
            Fault::ColumnsBeforeRows => (channel, pixel % 2, pixel / 2),
            _ => (channel, pixel / 2, pixel % 2),
        }
    }

    /// Squares of four pixels as channels; `around` is the way around the convolution.
    pub(super) fn to_channels(&self, x: &Image, around: bool) -> Image {
        let (n, channels, height, width) = x.dim();
        let shape = (n, 4 * channels, height / 2, width / 2);
        Array4::from_shape_fn(shape, |(n, at, row, column)| {
            let (channel, down, right) = self.place(at, channels, around);
            x[[n, channel, 2 * row + down, 2 * column + right]]
        })
    }

    /// The way back.
    pub(super) fn to_squares(&self, x: &Image, around: bool) -> Image {
        let (n, channels, height, width) = x.dim();
        let mut y = Array4::zeros((n, channels / 4, 2 * height, 2 * width));
        for ((n, at, row, column), value) in x.indexed_iter() {
            let (channel, down, right) = match self.fault {
                Fault::Nearest if !around => (at % (channels / 4), at % 2, at / 2 % 2),
                _ => self.place(at, channels / 4, around),
            };
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
}

/// A control of the port itself: what it makes of a few pixels by hand.
#[test]
fn layers_are_what_they_are_by_hand() {
    let text = r#"{"_class_name": "AutoencoderKLHunyuanImage", "in_channels": 3, "out_channels": 3,
        "latent_channels": 4, "block_out_channels": [32], "layers_per_block": 1, "sample_size": 32,
        "spatial_compression_ratio": 1}"#;
    let config = VaeConfig::from_json(text, "a test").unwrap();
    let VaeConfig::AutoencoderKLHunyuanImage(fields) = config.clone() else { unreachable!() };
    let (weights, trace) = (Weights::new(), RefCell::new(None));
    let mut port = HunyuanPort { config, fields, weights, fault: Fault::None, trace };
    let nine = |times: f64| (1..=9).map(|at| times * f64::from(at)).collect::<Vec<_>>();
    port.weights.insert("one.weight".to_owned(), (vec![1, 1, 3, 3], nine(1.0)));
    port.weights.insert("one.bias".to_owned(), (vec![1], vec![0.5]));
    let x = Array4::from_shape_vec((1, 1, 3, 3), nine(1.0)).unwrap();
    let y = port.conv("one", &x);
    assert_eq!((y[[0, 0, 1, 1]], y[[0, 0, 0, 0]]), (285.5, 94.5));

    // Two channels of a square: of its four pixels each first, row by row.
    let flat = |x: &Image| x.iter().copied().collect::<Vec<_>>();
    let x = Array4::from_shape_fn((1, 8, 1, 1), |(_, channel, ..)| channel as f64);
    let squares = port.to_squares(&x, false);
    assert_eq!(flat(&squares), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    assert_eq!(port.to_channels(&squares, false), x);
    port.fault = Fault::ChannelsBeforeSquares;
    assert_eq!(flat(&port.to_squares(&x, false)), flat(&x));
    port.fault = Fault::None;

    let four = x.slice(s![.., ..4, .., ..]).to_owned();
    assert_eq!(flat(&port.averaged(&four, 2)), [0.5, 2.5]);
    let two = x.slice(s![.., ..2, .., ..]).to_owned();
    assert_eq!(flat(&HunyuanPort::repeated(&two, 4, false)), [0.0, 0.0, 1.0, 1.0]);
    assert_eq!(flat(&HunyuanPort::repeated(&two, 4, true)), [0.0, 1.0, 0.0, 1.0]);

    // A pixel that looks at itself alone gives its own value.
    assert_eq!(port.attended(&two, &two, &two), two);
    let ones = Array4::ones((1, 2, 1, 2));
    let value = Array4::from_shape_vec((1, 2, 1, 2), vec![1.0, 3.0, 10.0, 30.0]).unwrap();
    assert_eq!(flat(&port.attended(&ones, &ones, &value)), [2.0, 2.0, 20.0, 20.0]);
}
