//! What second implementations of a class have in common, none of it from the model: images of f64, weights, and
//! convolutions as sums.

use std::collections::BTreeMap;

use ndarray::{Array2, Array3, Array4, ArrayView2, ArrayView3, ArrayView4, Axis};
use vae_fidelity::checkpoint::expected_tensors;
use vae_fidelity::{Checkpoint, Result};

/// (N, C, H, W)
pub(super) type Image = Array4<f64>;

/// Shape and values of each tensor.
pub(super) type Weights = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

pub(super) fn weights(checkpoint: &Checkpoint) -> Result<Weights> {
    let mut weights = Weights::new();
    for spec in expected_tensors(checkpoint.config()) {
        let values = checkpoint.tensor(&spec.name)?.to_f32();
        let values = values.into_iter().map(f64::from).collect();
        weights.insert(spec.name, (spec.shape, values));
    }
    Ok(weights)
}

pub(super) fn wide(x: ArrayView4<f32>) -> Image {
    x.mapv(f64::from)
}

pub(super) fn narrow(x: &Image) -> Array4<f32> {
    x.mapv(|x| x as f32)
}

/// Where a row or column of zeros-padded input lies in it, with `before` zeros in front; `None` of a zero.
pub(super) fn zeros(before: usize) -> impl Fn(usize, usize) -> Option<usize> {
    move |at, length| at.checked_sub(before).filter(|at| *at < length)
}

/// The sums of what `kernels` (outputs, inputs * side * side) meet in `x` (inputs, H, W), `stride` apart, at as many
/// rows and columns; `source` says which of H or W a padded one is.
pub(super) fn convolved(
    kernels: ArrayView2<f64>,
    x: ArrayView3<f64>,
    (side, stride): (usize, usize),
    (rows, columns): (usize, usize),
    source: impl Fn(usize, usize) -> Option<usize>,
) -> Array3<f64> {
    let (_, height, width) = x.dim();
    // (terms, pixels): what each kernel meets.
    let met = Array2::from_shape_fn((kernels.ncols(), rows * columns), |(at, pixel)| {
        let (from, down, right) = (at / side / side, at / side % side, at % side);
        let row = source(pixel / columns * stride + down, height);
        let column = source(pixel % columns * stride + right, width);
        row.zip(column).map_or(0.0, |(row, column)| x[[from, row, column]])
    });
    kernels.dot(&met).into_shape_with_order((kernels.nrows(), rows, columns)).unwrap()
}

pub(super) fn add_bias(y: &mut Image, bias: &[f64]) {
    for (mut plane, bias) in y.axis_iter_mut(Axis(1)).zip(bias) {
        plane += *bias;
    }
}
