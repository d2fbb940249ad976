//! Pixels to the sample a VAE takes, and a decoded sample back to pixels, step by step as the reference
//! script does it (`image_to_tensor`, `tensor_to_image`), each step rounded to the dtype. The names are
//! those of diffusers' `VaeImageProcessor`.

use ndarray::{Array4, ArrayView4};

use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// RGB8 to a sample in [-1, 1], shape (1, 3, H, W).
///
/// The division by 255 is in f32 and the rest in `dtype`, as in the reference script.
///
/// # Examples
///
/// ```
/// use vae_fidelity_core::Dtype;
/// use vae_fidelity_pixels::Rgb8;
/// use vae_fidelity_core::image_processor::{denormalize, normalize};
/// let pixels = Rgb8::new(1, 1, vec![0, 128, 255]).unwrap();
/// let sample = normalize(&pixels, Dtype::F32);
/// assert_eq!(sample[[0, 0, 0, 0]], -1.0);
/// assert_eq!(denormalize(sample.view(), Dtype::F32).unwrap(), pixels);
/// ```
pub fn normalize(pixels: &Rgb8, dtype: Dtype) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, pixels.height(), pixels.width()), |(_, c, y, x)| {
        let unit = dtype.round(f32::from(pixels.pixel(x, y)[c]) / 255.0);
        dtype.round(dtype.round(unit * 2.0) - 1.0)
    })
}

/// The first picture of a decoded sample (N, 3, H, W) as RGB8: halved, moved to [0, 1], clamped,
/// times 255, rounded half to even. NaN becomes 0, as numpy's cast makes it on x86-64.
///
/// # Errors
///
/// Returns an error for bf16, which numpy does not have (the reference script's `tensor_to_image` fails
/// there too), and unless `decoded` has three channels.
pub fn denormalize(decoded: ArrayView4<f32>, dtype: Dtype) -> Result<Rgb8> {
    let (n, channels, height, width) = decoded.dim();
    if dtype == Dtype::Bf16 {
        return Err(Error::option(
            "`dtype` bf16",
            "has no picture: the reference script's conversion to pixels goes through numpy, which has no bfloat16",
            "judge the decoded tensor, or use f32 or f16",
        ));
    }
    if n == 0 || channels != 3 {
        return Err(Error::tensor(
            "decoded",
            format!("expected (N, 3, H, W), found ({n}, {channels}, {height}, {width})"),
            "pass the three-channel output of a VAE",
        ));
    }
    let mut data = Vec::with_capacity(height * width * 3);
    for y in 0..height {
        for x in 0..width {
            data.extend((0..3).map(|c| to_u8(decoded[[0, c, y, x]], dtype)));
        }
    }
    Rgb8::new(width, height, data)
}

fn to_u8(value: f32, dtype: Dtype) -> u8 {
    let unit = dtype.round(dtype.round(value / 2.0) + 0.5).clamp(0.0, 1.0);
    // `as` takes NaN to 0.
    dtype.round(unit * 255.0).round_ties_even() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of numpy and torch for the reference script's own lines.
    #[test]
    fn halves_go_to_even_and_nan_to_zero() {
        for (value, level) in [
            (f32::NAN, 0),
            (f32::INFINITY, 255),
            (-7.0, 0),
            (0.0, 128),       // 127.5
            (-0.99607843, 0), // 0.5
            (-0.9882353, 1),  // 1.4999999, though exactly it would be 1.5
            (1.0, 255),
        ] {
            assert_eq!(to_u8(value, Dtype::F32), level, "{value}");
        }
    }

    #[test]
    fn every_level_survives_in_every_dtype_that_numpy_has() {
        for dtype in [Dtype::F32, Dtype::F16] {
            let pixels = Rgb8::new(256, 1, (0..768).map(|i| (i / 3) as u8).collect()).unwrap();
            let sample = normalize(&pixels, dtype);
            assert_eq!(denormalize(sample.view(), dtype).unwrap(), pixels, "{dtype}");
        }
    }
}
