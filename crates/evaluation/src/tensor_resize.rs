//! A picture brought to its size as a tensor of floats, as torchvision does after `ToTensor`.

use ndarray::{Array3, Array4, Axis, s};
use vae_fidelity_pixels::Rgb8;

use crate::pillow_steps::{centered, short_side_size};

/// torchvision's `ToTensor`, `Resize(size)` with antialiasing, `CenterCrop(size)` and `Normalize` with 0.5:
/// (1, 3, size, size) with values in [-1, 1].
///
/// Follows torch's `_upsample_bilinear2d_aa` (`ATen/native/cpu/UpSampleKernel.cpp`): a triangle as wide as
/// what shrinks asks for, the width first, weights and sums in f32.
pub(crate) fn short_side_tensor(picture: &Rgb8, size: usize) -> Array4<f32> {
    let (width, height) = short_side_size(picture.width(), picture.height(), size);
    let tensor = Array3::from_shape_fn((3, picture.height(), picture.width()), |(c, y, x)| {
        f32::from(picture.pixel(x, y)[c]) / 255.0
    });
    let tensor = along(&along(&tensor, Axis(2), width), Axis(1), height);
    let (left, top) = (centered(width, size), centered(height, size));
    let square = tensor.slice(s![.., top..top + size, left..left + size]);
    square.mapv(|value| (value - 0.5) / 0.5).insert_axis(Axis(0))
}

fn along(tensor: &Array3<f32>, axis: Axis, to: usize) -> Array3<f32> {
    let from = tensor.len_of(axis);
    if from == to {
        return tensor.clone();
    }
    let mut shape = tensor.raw_dim();
    shape[axis.index()] = to;
    let mut resized = Array3::zeros(shape);
    for (index, (start, weights)) in windows(from, to).into_iter().enumerate() {
        let mut sums = resized.index_axis_mut(axis, index);
        for (offset, weight) in weights.into_iter().enumerate() {
            sums.scaled_add(weight, &tensor.index_axis(axis, start + offset));
        }
    }
    resized
}

/// For each of `to` values the first of `from` that counts, and the weights.
fn windows(from: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = from as f32 / to as f32;
    let support = scale.max(1.0);
    let window = |index: usize| {
        let center = scale * (index as f32 + 0.5);
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weight = |at: usize| (1.0 - ((at as f32 - center + 0.5) / support).abs()).max(0.0);
        let weights: Vec<f32> = (start..end).map(weight).collect();
        let total: f32 = weights.iter().sum();
        (start, weights.into_iter().map(|weight| weight / total).collect())
    };
    (0..to).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_the_size_passes_as_it_is() {
        let data: Vec<u8> = (0..4 * 4 * 3).map(|i| (i * 5) as u8).collect();
        let picture = Rgb8::new(4, 4, data).unwrap();
        let tensor = short_side_tensor(&picture, 4);
        assert_eq!(tensor.dim(), (1, 3, 4, 4));
        assert_eq!(tensor[[0, 1, 2, 3]], f32::from(picture.pixel(3, 2)[1]) / 255.0 * 2.0 - 1.0);
    }

    #[test]
    fn weights_sum_up_to_one_and_stay_inside() {
        for (from, to) in [(500, 256), (256, 300), (3, 7), (7, 3)] {
            for (start, weights) in windows(from, to) {
                assert!(start + weights.len() <= from);
                assert!((weights.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            }
        }
    }
}
