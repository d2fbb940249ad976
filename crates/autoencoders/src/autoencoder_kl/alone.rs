//! One module of the model, run alone on an input of the caller's.

use ndarray::{ArrayD, ArrayView4, ArrayViewD, Axis, Ix4};

use vae_fidelity_core::config::Class;
use vae_fidelity_core::graph::{Body, Module};
use vae_fidelity_files::error::{Error, Result};

use super::engine::{Engine, Shuffle};
use super::forward::{Input, Pass, forward, no_hook};
use super::model::Model;

impl<E: Engine> Model<E> {
    /// What module `name` makes of `input` alone; `None` where there is no such module. `to_tensor`
    /// takes an image to the engine.
    pub fn forward_module(
        &self,
        name: &str,
        input: ArrayViewD<f32>,
        to_tensor: impl Fn(ArrayView4<f32>) -> Result<E::Tensor>,
    ) -> Option<Result<ArrayD<f32>>> {
        let module = self.graph.find(name)?;
        Some(self.cancellation.check().and_then(|()| self.run_alone(module, input, to_tensor)))
    }

    fn run_alone(
        &self,
        module: &Module<E::Weight>,
        input: ArrayViewD<f32>,
        to_tensor: impl Fn(ArrayView4<f32>) -> Result<E::Tensor>,
    ) -> Result<ArrayD<f32>> {
        let at = module.name.as_str();
        let layout = Layout::of(module, self.config.class());
        check_input(module, layout, input.shape())?;
        // Tokens travel as images of one column, and become tokens as in the whole model.
        let image = match layout {
            Layout::Image => input,
            Layout::Flat => input.insert_axis(Axis(3)),
            Layout::Tokens => input.permuted_axes(vec![0, 2, 1]).insert_axis(Axis(3)),
            Layout::Pixels => input.permuted_axes(vec![0, 3, 1, 2]),
        };
        let image = image
            .into_dimensionality::<Ix4>()
            .map_err(|error| Error::tensor(at, error, "report this: its shape was checked"))?;
        let mut xs = to_tensor(image)?;
        if layout == Layout::Pixels {
            xs = self.engine.shuffled(&xs, Shuffle::ChannelsLast, at)?;
        } else if layout != Layout::Image {
            xs = self.engine.flatten(&xs, at)?;
        }
        if layout == Layout::Tokens {
            xs = self.engine.to_tokens(&xs, at)?;
        }
        let output = forward(&self.engine, module, Input::Owned(xs), &mut Pass::new(&mut no_hook))?;
        let (shape, values) = self.engine.values(&output)?;
        ArrayD::from_shape_vec(shape, values)
            .map_err(|error| Error::tensor(at, error, "report this with the command that shows it"))
    }
}

/// Fails if `shape` is no input of the module.
fn check_input<W>(module: &Module<W>, layout: Layout, shape: &[usize]) -> Result<()> {
    let (channels, least) = (module.in_channels(), module.least_side());
    // A level without blocks hands on what it is given.
    let is_taken = |found: usize| channels == 0 || found == channels;
    let fits = match (layout, shape) {
        (Layout::Image, &[_, found, height, width]) => {
            is_taken(found) && height >= least && width >= least
        }
        (Layout::Flat, &[_, found, _])
        | (Layout::Tokens, &[_, _, found])
        | (Layout::Pixels, &[_, _, _, found]) => is_taken(found),
        _ => false,
    };
    if fits && !shape.contains(&0) {
        return Ok(());
    }
    let expected = match layout {
        Layout::Image if least > 1 => {
            format!("(N, {channels}, H, W) with sides of at least {least}")
        }
        Layout::Image => format!("(N, {channels}, H, W)"),
        Layout::Flat => format!("(N, {channels}, H * W)"),
        Layout::Tokens => format!("(N, H * W, {channels})"),
        Layout::Pixels => format!("(N, H, W, {channels})"),
    };
    Err(Error::tensor(
        format!("the input of {}", module.name),
        format!("expected {expected}, found {shape:?}"),
        "pass what the module is given in the whole model",
    ))
}

/// How a module's input lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// (N, C, H, W)
    Image,
    /// (N, C, H * W)
    Flat,
    /// (N, H * W, C)
    Tokens,
    /// (N, H, W, C)
    Pixels,
}

impl Layout {
    fn of<W>(module: &Module<W>, class: Class) -> Self {
        match module.body {
            Body::RmsNormOfPixels(_) => Self::Pixels,
            Body::Linear(_) if class == Class::AutoencoderDC => Self::Pixels,
            Body::Linear(_) => Self::Tokens,
            // The only norm inside attention; all others are of images.
            Body::GroupNorm(_) if module.name.ends_with(".group_norm") => Self::Flat,
            _ => Self::Image,
        }
    }
}
