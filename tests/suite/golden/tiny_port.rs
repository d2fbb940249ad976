//! A second `AutoencoderTiny`, written out from the formulas on f64 arrays, in which one detail can be got
//! wrong on purpose. It shares no code with the model: layers are counted off the config, and convolutions
//! are sums.

use std::cell::RefCell;

use ndarray::{Array4, ArrayD, ArrayView2, ArrayView4, ArrayViewD, Axis, Ix4, s};
use vae_fidelity::config::{Activation as ActFn, AutoencoderTinyConfig};
use vae_fidelity::trace::{Activation, Stage, Trace};
use vae_fidelity::{Checkpoint, Dtype, Encoded, Result, Vae, VaeConfig};

use super::images::{Image, Weights, add_bias, convolved, narrow, weights, wide, zeros};

/// What is wrong with it: mistakes that ports have been seen to make, or can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The picture goes in as AutoencoderKL takes it, in [-1, 1].
    PictureNotInUnitRange,
    /// What comes out is left in [0, 1].
    PictureLeftInUnitRange,
    /// Latents are not clamped, or cut off and not bent.
    NoClamp,
    HardClamp,
    /// A block without the sum with its input, or without the ReLU behind it.
    NoSkip,
    NoFuse,
    /// The ReLU behind a block is the config's activation.
    FuseFollowsConfig,
    /// ReLU in place of the config's activation.
    ReluForConfig,
    /// Downsampling pads as AutoencoderKL's, at the right and at the bottom.
    PadRightAndBottom,
    /// Upsampling interpolates.
    Bilinear,
    /// Latents are scaled as those of the VAE that they imitate.
    ScaledAgain,
    /// Latents as `scale_latents` puts them into pictures.
    UnitRange,
}

pub struct TinyPort {
    config: VaeConfig,
    fields: AutoencoderTinyConfig,
    weights: Weights,
    fault: Fault,
    trace: RefCell<Option<Trace>>,
}

impl TinyPort {
    pub fn load(checkpoint: &Checkpoint, fault: Fault) -> Result<Self> {
        let config = checkpoint.config().clone();
        let VaeConfig::AutoencoderTiny(fields) = config.clone() else { panic!("another class") };
        let weights = weights(checkpoint)?;
        Ok(Self { config, fields, weights, fault, trace: RefCell::new(None) })
    }

    fn record(&self, module: &str, kind: &str, output: Image) -> Image {
        if let Some(trace) = self.trace.borrow_mut().as_mut() {
            let values: Vec<f32> = output.iter().map(|&value| value as f32).collect();
            trace.push(Activation::new(module, kind, output.shape(), &values));
        }
        output
    }

    fn act(&self, x: Image) -> Image {
        match self.fields.act_fn {
            ActFn::Gelu if self.fault != Fault::ReluForConfig => {
                x.mapv(|x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())))
            }
            _ => relu(x),
        }
    }

    /// 3x3; at a stride of 2 and at one of 1 all sides are padded by one.
    fn conv(&self, name: &str, x: &Image, stride: usize) -> Image {
        let (shape, weight) = &self.weights[&format!("{name}.weight")];
        let bias = self.weights.get(&format!("{name}.bias"));
        let (n, inputs, height, width) = x.dim();
        let before = match (self.fault, stride) {
            (Fault::PadRightAndBottom, 2) => 0,
            _ => 1,
        };
        let (rows, columns) = (height.div_ceil(stride), width.div_ceil(stride));
        let kernels = ArrayView2::from_shape((shape[0], inputs * 9), weight).unwrap();
        let mut y = Array4::zeros((n, shape[0], rows, columns));
        for (x, mut y) in x.outer_iter().zip(y.outer_iter_mut()) {
            y.assign(&convolved(kernels, x, (3, stride), (rows, columns), zeros(before)));
        }
        if let Some((_, bias)) = bias {
            add_bias(&mut y, bias);
        }
        self.record(name, "Conv2d", y)
    }

    fn block(&self, name: &str, x: &Image) -> Image {
        let h = self.act(self.conv(&format!("{name}.conv.0"), x, 1));
        let h = self.act(self.conv(&format!("{name}.conv.2"), &h, 1));
        let h = self.conv(&format!("{name}.conv.4"), &h, 1);
        let h = self.record(&format!("{name}.conv"), "Sequential", h);
        let sum = if self.fault == Fault::NoSkip { h } else { h + x };
        let y = match self.fault {
            Fault::NoFuse => sum,
            Fault::FuseFollowsConfig => self.act(sum),
            _ => relu(sum),
        };
        self.record(name, "AutoencoderTinyBlock", y)
    }

    fn enlarged(&self, x: &Image) -> Image {
        let by = self.fields.upsampling_scaling_factor;
        let (n, channels, height, width) = x.dim();
        Array4::from_shape_fn((n, channels, height * by, width * by), |(n, c, y, x_at)| {
            let nearest = x[[n, c, y / by, x_at / by]];
            match self.fault {
                Fault::Bilinear => {
                    let next = x[[n, c, y / by, (x_at / by + 1).min(width - 1)]];
                    (nearest + next) / 2.0
                }
                _ => nearest,
            }
        })
    }

    fn encoded(&self, sample: &Image) -> Image {
        let picture = match self.fault {
            Fault::PictureNotInUnitRange => sample.clone(),
            _ => (sample + 1.0) / 2.0,
        };
        let (mut x, mut at) = (picture, 0);
        for (level, &blocks) in self.fields.num_encoder_blocks.iter().enumerate() {
            x = self.conv(&format!("encoder.layers.{at}"), &x, if level == 0 { 1 } else { 2 });
            for block in 1..=blocks {
                x = self.block(&format!("encoder.layers.{}", at + block), &x);
            }
            at += 1 + blocks;
        }
        x = self.conv(&format!("encoder.layers.{at}"), &x, 1);
        x = self.record("encoder.layers", "Sequential", x);
        self.record("encoder", "EncoderTiny", x)
    }

    fn decoded(&self, latents: &Image) -> Image {
        let clamped = latents.mapv(|z| match self.fault {
            Fault::NoClamp => z,
            Fault::HardClamp => z.clamp(-3.0, 3.0),
            _ => 3.0 * (z / 3.0).tanh(),
        });
        let mut x = self.act(self.conv("decoder.layers.0", &clamped, 1));
        let (mut at, last) = (2, self.fields.num_decoder_blocks.len() - 1);
        for (level, &blocks) in self.fields.num_decoder_blocks.iter().enumerate() {
            for block in 0..blocks {
                x = self.block(&format!("decoder.layers.{}", at + block), &x);
            }
            at += blocks;
            if level < last {
                x = self.enlarged(&x);
                at += 1;
            }
            x = self.conv(&format!("decoder.layers.{at}"), &x, 1);
            at += 1;
        }
        x = self.record("decoder.layers", "Sequential", x);
        let y = if self.fault == Fault::PictureLeftInUnitRange { x } else { x * 2.0 - 1.0 };
        self.record("decoder", "DecoderTiny", y)
    }
}

fn relu(x: Image) -> Image {
    x.mapv(|x| x.max(0.0))
}

impl Vae for TinyPort {
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
            Fault::ScaledAgain => z * factor * 0.18215,
            Fault::UnitRange => (z / 6.0 + 0.5).clamp(0.0, 1.0),
            _ => z * factor,
        }))
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        *self.trace.borrow_mut() = Some(Trace::new());
        match stage {
            Stage::Encode => drop(self.encoded(&wide(input))),
            Stage::Decode => drop(self.decoded(&wide(input))),
        }
        self.trace.take().map(Ok)
    }

    /// Blocks and the halves.
    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let input = wide(input.into_dimensionality::<Ix4>().ok()?);
        let output = match name {
            "encoder" => self.encoded(&input),
            "decoder" => self.decoded(&input),
            block if self.weights.contains_key(&format!("{block}.conv.0.weight")) => {
                self.block(block, &input)
            }
            _ => return None,
        };
        Some(Ok(narrow(&output).into_dyn()))
    }
}

/// A control of the port itself: what it makes of one pixel by hand.
#[test]
fn a_convolution_is_what_it_is_by_hand() {
    let mut port = TinyPort {
        config: VaeConfig::from_json(r#"{"_class_name": "AutoencoderTiny"}"#, "a test").unwrap(),
        fields: match VaeConfig::from_json(r#"{"_class_name": "AutoencoderTiny"}"#, "a test") {
            Ok(VaeConfig::AutoencoderTiny(fields)) => fields,
            _ => unreachable!(),
        },
        weights: Weights::new(),
        fault: Fault::None,
        trace: RefCell::new(None),
    };
    let kernel = (1..=9).map(f64::from).collect();
    port.weights.insert("one.weight".to_owned(), (vec![1, 1, 3, 3], kernel));
    let x = Array4::from_shape_vec((1, 1, 3, 3), (1..=9).map(f64::from).collect()).unwrap();
    let at = |y: &Image, row, column| y.slice(s![0, 0, row, column]).sum();
    let y = port.conv("one", &x, 1);
    assert_eq!((y.dim(), at(&y, 1, 1)), ((1, 1, 3, 3), 285.0));
    assert_eq!(at(&y, 0, 0), 5.0 + 2.0 * 6.0 + 4.0 * 8.0 + 5.0 * 9.0);
    let y = port.conv("one", &x, 2);
    assert_eq!((y.len_of(Axis(2)), y.len_of(Axis(3))), (2, 2));
    assert_eq!(at(&y, 1, 1), 1.0 * 5.0 + 2.0 * 6.0 + 4.0 * 8.0 + 5.0 * 9.0);
}
