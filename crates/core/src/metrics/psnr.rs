//! Peak signal-to-noise ratio of two pictures.

use vae_fidelity_pixels::Rgb8;

/// PSNR of two pictures in dB, infinite for equal ones; `None` where their sizes differ.
///
/// ```
/// use vae_fidelity_core::metrics::psnr;
/// use vae_fidelity_pixels::Rgb8;
/// let grey = |level, width| Rgb8::new(width, 1, vec![level; 3 * width]).unwrap();
/// assert_eq!(psnr(&grey(7, 2), &grey(7, 2)), Some(f64::INFINITY));
/// assert_eq!(psnr(&grey(0, 2), &grey(255, 2)), Some(0.0));
/// assert_eq!(psnr(&grey(7, 2), &grey(7, 3)), None);
/// ```
pub fn psnr(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    if (a.width(), a.height()) != (b.width(), b.height()) {
        return None;
    }
    let pairs = a.data().iter().zip(b.data());
    let squares: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b)).pow(2)).sum();
    Some(match squares {
        0 => f64::INFINITY,
        _ => decibels(squares, a.data().len()),
    })
}

/// PSNR of `values` 8-bit values whose differences, squared, sum up to `squares`.
pub(super) fn decibels(squares: u64, values: usize) -> f64 {
    10.0 * (255.0 * 255.0 * values as f64 / squares as f64).log10()
}
