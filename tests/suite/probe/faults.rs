//! VAEs that are broken: in their weights, in the pipeline around them, in a port.

use vae_fidelity::{Dtype, Vae};

use super::pipelines::in_pipelines;
use super::port::{Fault, Port};
use super::sound::{changed, noisy};
use super::wrapped::Wrapped;
use crate::weights::planted::{As, Draws, Tensors, each, exchanged, kernels, layers};

/// Broken VAEs, each with a name.
pub type Planted = Vec<(&'static str, Box<dyn Vae>)>;

/// Each with a name, in a model of [`crate::weights::planted::TRAINED`].
pub fn all(model: &'static str) -> Planted {
    let mut all = in_weights(model);
    all.extend(in_pipelines(model));
    all.extend(in_ports(model));
    all
}

/// Mistakes that charts do not show, each with a name.
pub fn unseen(model: &'static str) -> Planted {
    let with =
        |change: fn(&mut Tensors)| -> Box<dyn Vae> { Box::new(changed(model, As::F32, change)) };
    let mut scaled = Wrapped::new(Box::new(changed(model, As::F32, |_| {})));
    scaled.encoded = Box::new(|z| z * 1.04);
    scaled.received = Box::new(|z| z / 1.04);
    let mut shifted = Wrapped::new(Box::new(changed(model, As::F32, |_| {})));
    let factor = shifted.vae.config().scaling_factor().unwrap() as f32;
    shifted.encoded = Box::new(move |z| z - 0.1159 / factor);
    vec![
        // A model that is turned over does to a picture what it did to the picture turned over.
        (
            "kernels with rows and columns exchanged",
            with(|t| kernels(t, |row, column, _, _| (column, row))),
        ),
        // The attention of these models does little, and does it without the scale as well.
        (
            "attention without 1 / sqrt(d)",
            Box::new(Port::new(changed(model, As::F32, |_| {}), Fault::NoAttentionScale)),
        ),
        ("to_q and to_v exchanged", with(|t| exchanged(t, "to_q", "to_v"))),
        // It cancels, and latents spread as they do.
        ("a factor 4 % off", Box::new(scaled)),
        // The built-in VAE decodes latents that are so little off as it does others.
        ("a shift that the config lacks", Box::new(shifted)),
    ]
}

/// Gives each output channel of `layer` another place and other values; the last argument of `change` says
/// whether it is the bias.
fn rows(tensors: &mut Tensors, layer: &str, change: impl Fn(usize, f32, bool) -> (usize, f32)) {
    for (name, shape, values) in tensors.iter_mut().filter(|(name, ..)| name.starts_with(layer)) {
        let row = values.len() / shape[0];
        let before = values.clone();
        for (at, value) in before.into_iter().enumerate() {
            let (to, value) = change(at / row, value, name.ends_with("bias"));
            values[to * row + at % row] = value;
        }
    }
}

fn zeroed(tensors: &mut Tensors, part: &str) {
    let found = tensors.iter_mut().filter(|(name, ..)| name.contains(part));
    let count = found.map(|(_, _, values)| values.fill(0.0)).count();
    assert!(count > 0, "{part}");
}

/// Weights as PyTorch draws them.
fn fresh(tensors: &mut Tensors, part: &str) {
    let mut draws = Draws(9);
    layers(tensors, part, |shape, values| {
        let bound = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
        values.iter_mut().for_each(|v| *v = draws.uniform() * bound);
    });
}

fn in_weights(model: &'static str) -> Planted {
    let with =
        |change: fn(&mut Tensors)| -> Box<dyn Vae> { Box::new(changed(model, As::F32, change)) };
    let in_f16 = |change: fn(&mut Tensors)| -> Box<dyn Vae> {
        Box::new(changed(model, As::F32, change).rounded_to(Dtype::F16))
    };
    vec![
        (
            "decoder trained on BGR",
            with(|t| {
                rows(t, "decoder.conv_out", |row, value, _| (2 - row, value));
            }),
        ),
        (
            "decoder that puts out [0, 1]",
            with(|t| {
                rows(t, "decoder.conv_out", |row, value, bias| {
                    (row, value * 0.5 + if bias { 0.5 } else { 0.0 })
                });
            }),
        ),
        (
            "decoder with twice the range",
            with(|t| {
                rows(t, "decoder.conv_out", |row, value, bias| {
                    (row, value * 2.0 - if bias { 1.0 } else { 0.0 })
                });
            }),
        ),
        (
            "NaN in a weight",
            with(|t| {
                let of = |(name, ..): &&mut (String, _, _)| {
                    name.starts_with("decoder.up_blocks.1.resnets.0")
                };
                t.iter_mut().find(of).unwrap().2[0] = f32::NAN;
            }),
        ),
        (
            "log-variances at the clamp",
            with(|t| {
                let quant = t.iter().any(|tensor| tensor.0 == "quant_conv.bias");
                let last = if quant { "quant_conv.bias" } else { "encoder.conv_out.bias" };
                let (_, _, values) = t.iter_mut().find(|tensor| tensor.0 == last).unwrap();
                let half = values.len() / 2;
                values[half..].iter_mut().for_each(|bias| *bias -= 60.0);
            }),
        ),
        (
            "activations beyond f16 in the decoder",
            in_f16(|t| {
                rows(t, "decoder.conv_in", |row, value, _| (row, value * 1e6));
            }),
        ),
        (
            "activations beyond f16 in the encoder",
            in_f16(|t| {
                rows(t, "encoder.conv_in", |row, value, _| (row, value * 1e6));
            }),
        ),
        ("four fifths of all weights", with(|t| each(t, |v| v * 0.8))),
        ("half of all weights", with(|t| each(t, |v| v * 0.5))),
        (
            "kernels turned by 180 degrees",
            with(|t| {
                kernels(t, |row, column, rows, columns| (rows - 1 - row, columns - 1 - column));
            }),
        ),
        ("noise as large as the weights", with(|t| noisy(t, 1.0))),
        ("noise of a third of the weights", with(|t| noisy(t, 0.33))),
        ("fresh weights", with(|t| fresh(t, ""))),
        ("a fresh decoder", with(|t| fresh(t, "decoder"))),
        ("a fresh mid block of the decoder", with(|t| fresh(t, "decoder.mid_block"))),
        ("an encoder that is cut", with(|t| layers(t, "encoder.conv_out", |_, v| v.fill(0.0)))),
        ("a decoder that is cut", with(|t| layers(t, "decoder.conv_in", |_, v| v.fill(0.0)))),
        (
            "a zero tensor in the encoder",
            with(|t| zeroed(t, "encoder.down_blocks.1.resnets.0.conv2.weight")),
        ),
        (
            "a zero tensor in the decoder",
            with(|t| zeroed(t, "decoder.up_blocks.1.resnets.0.conv2.weight")),
        ),
        (
            "a zero norm in the decoder",
            with(|t| zeroed(t, "decoder.up_blocks.2.resnets.0.norm1.weight")),
        ),
        ("a bias left out at the end", with(|t| zeroed(t, "decoder.conv_out.bias"))),
        (
            "channels of a layer shuffled",
            with(|t| {
                rows(t, "decoder.up_blocks.1.resnets.0.conv1", |row, value, _| {
                    ((row * 7 + 3) % 64, value)
                });
            }),
        ),
        (
            "the first kernel flipped",
            with(|t| {
                layers(t, "encoder.conv_in", |_, values| {
                    values.chunks_exact_mut(9).for_each(<[f32]>::reverse);
                });
            }),
        ),
    ]
}

fn in_ports(model: &'static str) -> Planted {
    use Fault::*;
    let faults = [
        ("padding on all sides", SymmetricPadding),
        ("circular padding", CircularPadding),
        ("interpolated upsampling", BilinearUpsampling),
        ("upsampling without interpolation", ZerosBetween),
        ("convolution before upsampling", ConvolutionBeforeUpsampling),
        ("softmax over queries", SoftmaxOverQueries),
        ("attention without its input", NoAttentionResidual),
        ("resnets without their shortcuts", NoResidual),
        ("GELU for SiLU", Gelu),
        ("ReLU for SiLU", Relu),
        ("log-variance taken for the mean", HalvesSwapped),
    ];
    let planted = |(name, fault)| -> (&'static str, Box<dyn Vae>) {
        (name, Box::new(Port::new(changed(model, As::F32, |_| {}), fault)))
    };
    faults.map(planted).into()
}
