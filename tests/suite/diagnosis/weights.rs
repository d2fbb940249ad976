//! Faults in weights and configs: whole models, written to a folder and opened again.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype as Stored, serialize};
use serde_json::Value;
use vae_fidelity::autoencoder_kl::{AutoencoderKL, Device};
use vae_fidelity::checkpoint::expected_tensors;
use vae_fidelity::diagnosis::{Code, Reference, UserFiles};
use vae_fidelity::{Checkpoint, Dtype, FastAutoencoderKL, Rgb8, Source, Vae};

use super::matrix::{Injection, Matrix};
use super::runs::{self, Model, Run};
use super::visible;
use crate::libtorch::one_thread;

/// The codes that these faults have to be found by.
pub const CODES: [&str; 8] = [
    "channel-swap",
    "input-not-normalised",
    "output-not-denormalised",
    "non-finite-output",
    "posterior-collapsed",
    "scaling-factor-mismatch",
    "fp16-overflow-decoder",
    "fp16-overflow-encoder",
];

/// By name: shape and values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

struct Fault {
    cause: &'static str,
    code: &'static str,
    dtype: Dtype,
    weights: fn(&mut Tensors),
    config: fn(&mut Value),
}

const NONE: fn(&mut Tensors) = |_| {};
const SAME: fn(&mut Value) = |_| {};

fn faults() -> Vec<Fault> {
    let f32 = Dtype::F32;
    let fault = |cause, code, dtype, weights, config| Fault { cause, code, dtype, weights, config };
    vec![
        fault(
            "decoder trained on BGR",
            "channel-swap",
            f32,
            |tensors| {
                rows(tensors, "decoder.conv_out", &|row, value, _| (2 - row, value));
            },
            SAME,
        ),
        fault(
            "decoder that puts out [0, 1]",
            "input-not-normalised",
            f32,
            |tensors| {
                rows(tensors, "decoder.conv_out", &|row, value, bias| {
                    (row, value * 0.5 + if bias { 0.5 } else { 0.0 })
                });
            },
            SAME,
        ),
        fault(
            "decoder with twice the range",
            "output-not-denormalised",
            f32,
            |tensors| {
                rows(tensors, "decoder.conv_out", &|row, value, bias| {
                    (row, value * 2.0 - if bias { 1.0 } else { 0.0 })
                });
            },
            SAME,
        ),
        fault(
            "NaN in a weight",
            "non-finite-output",
            f32,
            |tensors| {
                let (_, _, values) = find(tensors, "decoder.up_blocks.1.resnets.0.conv1.weight");
                values[0] = f32::NAN;
            },
            SAME,
        ),
        fault(
            "log-variances at the clamp",
            "posterior-collapsed",
            f32,
            |tensors| {
                let quant = tensors.iter().any(|tensor| tensor.0 == "quant_conv.bias");
                let last = if quant { "quant_conv.bias" } else { "encoder.conv_out.bias" };
                let (_, _, values) = find(tensors, last);
                let half = values.len() / 2;
                values[half..].iter_mut().for_each(|bias| *bias -= 60.0);
            },
            SAME,
        ),
        fault("scaling_factor a fifth", "scaling-factor-mismatch", f32, NONE, |config| {
            config["scaling_factor"] = (config["scaling_factor"].as_f64().unwrap() / 5.0).into();
        }),
        fault("scaling_factor of 1e38", "scaling-factor-mismatch", f32, NONE, |config| {
            config["scaling_factor"] = 1e38.into();
        }),
        fault(
            "activations beyond f16 in the decoder",
            "fp16-overflow-decoder",
            Dtype::F16,
            |t| {
                grown(t, "decoder.conv_in");
            },
            SAME,
        ),
        fault(
            "activations beyond f16 in the encoder",
            "fp16-overflow-encoder",
            Dtype::F16,
            |t| {
                grown(t, "encoder.conv_in");
            },
            SAME,
        ),
    ]
}

/// Plants every fault in this trained VAE and adds what `check` finds to `matrix`.
pub fn measure(matrix: &mut Matrix, model: &str, pictures: &[(String, Rgb8)]) {
    one_thread();
    let sound = runs::checkpoint(model);
    let whole = Model::load(model).vae;
    for fault in faults() {
        matrix.due(fault.cause, model);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &sound, &fault);
        let source = Source::parse(folder.path().to_str().unwrap(), None).unwrap();
        let checkpoint = Checkpoint::open(&source, None).unwrap();
        let vae: Box<dyn Vae> = match fault.dtype {
            Dtype::F32 => Box::new(FastAutoencoderKL::load(&checkpoint, Some(1)).unwrap()),
            other => Box::new(AutoencoderKL::load(&checkpoint, Device::CPU, other).unwrap()),
        };
        let vae = vae.as_ref();
        for (name, picture) in pictures {
            // f16 is slow on the CPU, and the order of channels shows only in colour.
            let small = vae_fidelity::pixels::resize_bicubic(picture, 32, 32).unwrap();
            let picture = if fault.dtype == Dtype::F16 { &small } else { picture };
            let run = Run::of(vae, picture).unwrap();
            if fault.code == "channel-swap" && !super::plot::colourful(&run) {
                continue;
            }
            // The spread of latents says something on pictures with contrast only.
            if fault.cause == "scaling_factor a fifth" && !super::plot::contrasty(picture) {
                continue;
            }
            let load = || -> vae_fidelity::Result<Box<dyn Vae>> {
                Ok(Box::new(Model::open(folder.path()).vae))
            };
            let reference = Reference { name: "the CPU", remedy: None, load: &load };
            let files = UserFiles::default();
            let reference = (fault.dtype == Dtype::F16).then_some(reference);
            let code = Code::from_name(fault.code).unwrap();
            let found = run.diagnosis(vae, &files, reference).unwrap().findings;
            let unknown = run.diagnosis_without(code, vae, &files, reference).unwrap().findings;
            let cause = fault.cause;
            let seen = visible::in_runs(&Run::of(&whole, picture).unwrap(), &run);
            let (strong, in_weights) = (true, true);
            let injection =
                Injection { cause, code, strong, seen, in_weights, model, picture: name };
            matrix.planted(injection, &found, Some(&unknown));
        }
        eprintln!("{model}: {}", fault.cause);
    }
}

fn write(folder: &Path, sound: &Checkpoint, fault: &Fault) {
    let mut tensors: Tensors = expected_tensors(sound.config())
        .into_iter()
        .map(|spec| {
            let values = sound.tensor(&spec.name).unwrap().to_f32();
            (spec.name, spec.shape, values)
        })
        .collect();
    (fault.weights)(&mut tensors);
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, values)| values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Stored::F32, shape.clone(), bytes).unwrap())
    });
    let weights = serialize(views, None).unwrap();
    std::fs::write(folder.join("diffusion_pytorch_model.safetensors"), weights).unwrap();
    let mut config = serde_json::to_value(sound.config()).unwrap();
    config["_class_name"] = "AutoencoderKL".into();
    (fault.config)(&mut config);
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

fn find<'a>(tensors: &'a mut Tensors, name: &str) -> &'a mut (String, Vec<usize>, Vec<f32>) {
    tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap_or_else(|| panic!("{name}"))
}

/// Gives each output channel of `layer` another place and other values; the last argument of
/// `change` says whether it is the bias.
fn rows(tensors: &mut Tensors, layer: &str, change: &dyn Fn(usize, f32, bool) -> (usize, f32)) {
    for leaf in ["weight", "bias"] {
        let (_, shape, values) = find(tensors, &format!("{layer}.{leaf}"));
        let row = values.len() / shape[0];
        let before = values.clone();
        for (at, value) in before.into_iter().enumerate() {
            let (to, value) = change(at / row, value, leaf == "bias");
            values[to * row + at % row] = value;
        }
    }
}

/// Multiplies a layer so that its output passes 65504; the norm after it hides that in f32.
fn grown(tensors: &mut Tensors, layer: &str) {
    rows(tensors, layer, &|row, value, _| (row, value * 1e6));
}
