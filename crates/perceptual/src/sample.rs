//! A sample as networks take it.

use ndarray::{ArrayView4, Axis};
use vae_fidelity_files::error::{Error, Result};

/// (height, width) of a sample of one picture in RGB, for the metric `name`.
///
/// # Errors
///
/// When it is none.
pub(crate) fn checked(name: &str, sample: ArrayView4<f32>) -> Result<(usize, usize)> {
    let (pictures, channels, height, width) = sample.dim();
    if (pictures, channels) == (1, 3) && height * width > 0 {
        return Ok((height, width));
    }
    let problem = format!("expected (1, 3, H, W), found {:?}", sample.shape());
    Err(Error::tensor(format!("a sample for {name}"), problem, "give one picture in RGB"))
}

/// Its values channel by channel, each changed by `value` of the channel and itself.
pub(crate) fn planes(sample: ArrayView4<f32>, value: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    let mut planes = Vec::with_capacity(sample.len());
    for (channel, plane) in sample.index_axis(Axis(0), 0).outer_iter().enumerate() {
        planes.extend(plane.iter().map(|&of| value(channel, of)));
    }
    planes
}

/// That `network` takes larger ones.
pub(crate) fn too_small(network: &str, (height, width): (usize, usize)) -> Error {
    let problem = format!("{width} x {height} pixels are too few for {network}");
    Error::tensor("a sample", problem, "take larger pictures")
}
