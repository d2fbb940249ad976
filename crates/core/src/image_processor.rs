//! Pixels to the sample a VAE takes, and a decoded sample back to pixels, step by step as the reference
//! script does it (`image_to_tensor`, `tensor_to_image`), each step rounded to the dtype. The names are
//! those of diffusers' `VaeImageProcessor`.

use ndarray::{Array4, ArrayView4};

use crate::config::VaeConfig;
use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::{Alpha8, Rgb8};

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
        of_u8(pixels.pixel(x, y)[c], dtype)
    })
}

/// RGB8 and its alpha to a sample in [-1, 1], shape (1, 4, H, W), in which what is opaque is 1, as the same
/// steps make it of a picture in mode `RGBA`.
///
/// # Errors
///
/// Returns an error if `alpha` is of another size than `pixels`.
pub fn normalize_rgba(pixels: &Rgb8, alpha: &Alpha8, dtype: Dtype) -> Result<Array4<f32>> {
    alpha.check_size(pixels)?;
    Ok(Array4::from_shape_fn((1, 4, pixels.height(), pixels.width()), |(_, c, y, x)| {
        let level = if c < 3 { pixels.pixel(x, y)[c] } else { alpha.value(x, y) };
        of_u8(level, dtype)
    }))
}

/// What the encoder of a VAE of `config` is given of a picture: [`normalize`], or in RGBA
/// ([`VaeConfig::has_alpha`]) [`normalize_rgba`], where pixels without `alpha` are opaque.
///
/// # Errors
///
/// As [`normalize_rgba`].
pub fn sample_of(
    config: &VaeConfig,
    pixels: &Rgb8,
    alpha: Option<&Alpha8>,
    dtype: Dtype,
) -> Result<Array4<f32>> {
    match (config.has_alpha(), alpha) {
        (false, _) => Ok(normalize(pixels, dtype)),
        (true, Some(alpha)) => normalize_rgba(pixels, alpha, dtype),
        (true, None) => normalize_rgba(pixels, &Alpha8::opaque(pixels), dtype),
    }
}

fn of_u8(level: u8, dtype: Dtype) -> f32 {
    let unit = dtype.round(f32::from(level) / 255.0);
    dtype.round(dtype.round(unit * 2.0) - 1.0)
}

/// The first picture of a decoded sample (N, 3, H, W) as RGB8: halved, moved to [0, 1], clamped,
/// times 255, rounded half to even. NaN becomes 0, as numpy's cast makes it on x86-64. Of four channels the
/// fourth is [`denormalize_alpha`]'s.
///
/// # Errors
///
/// Returns an error for bf16, which numpy does not have (the reference script's `tensor_to_image` fails
/// there too), and unless `decoded` has three channels, or four.
pub fn denormalize(decoded: ArrayView4<f32>, dtype: Dtype) -> Result<Rgb8> {
    let (n, channels, height, width) = decoded.dim();
    if dtype == Dtype::Bf16 {
        return Err(Error::option(
            "`dtype` bf16",
            "has no picture: the reference script's conversion to pixels goes through numpy, which has no bfloat16",
            "judge the decoded tensor, or use f32 or f16",
        ));
    }
    if n == 0 || !matches!(channels, 3 | 4) {
        return Err(Error::tensor(
            "decoded",
            format!("expected (N, 3, H, W), found ({n}, {channels}, {height}, {width})"),
            "pass the output of a VAE, in RGB or RGBA",
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

/// The alpha of the first picture of a decoded sample in RGBA (N, 4, H, W), as [`denormalize`] rounds it;
/// `None` of any other number of channels, and of no picture.
///
/// # Errors
///
/// Returns an error if a side is zero.
pub fn denormalize_alpha(decoded: ArrayView4<f32>, dtype: Dtype) -> Result<Option<Alpha8>> {
    let (n, channels, height, width) = decoded.dim();
    if n == 0 || channels != 4 {
        return Ok(None);
    }
    let of = |(y, x)| to_u8(decoded[[0, 3, y, x]], dtype);
    let data = (0..height).flat_map(|y| (0..width).map(move |x| (y, x))).map(of).collect();
    Alpha8::new(width, height, data).map(Some)
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
    fn alpha_is_a_fourth_channel() {
        let pixels = Rgb8::new(2, 1, vec![0, 128, 255, 3, 2, 1]).unwrap();
        let alpha = Alpha8::new(2, 1, vec![255, 7]).unwrap();
        let sample = normalize_rgba(&pixels, &alpha, Dtype::F32).unwrap();
        assert_eq!(sample.dim(), (1, 4, 1, 2));
        assert_eq!(sample[[0, 3, 0, 0]], 1.0);
        assert_eq!(denormalize(sample.view(), Dtype::F32).unwrap(), pixels);
        assert_eq!(denormalize_alpha(sample.view(), Dtype::F32).unwrap(), Some(alpha));
        let rgb = normalize(&pixels, Dtype::F32);
        assert_eq!(denormalize_alpha(rgb.view(), Dtype::F32).unwrap(), None);
        let other = Alpha8::new(1, 2, vec![255, 7]).unwrap();
        assert!(normalize_rgba(&pixels, &other, Dtype::F32).is_err());
        let grey = Array4::zeros((1, 1, 1, 2));
        assert!(denormalize(grey.view(), Dtype::F32).is_err());
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
