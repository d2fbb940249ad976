//! Photographs, and pictures that are none.

use vae_fidelity_pixels::Rgb8;

/// Pixels of a side below which there is too little of a picture to say anything of the weights.
const LEAST_SIDE: usize = 64;

/// Whether there is enough of a picture to say anything of the weights that it was sent through.
pub(super) fn is_large_enough(seen: &Rgb8) -> bool {
    seen.width().min(seen.height()) >= LEAST_SIDE
}

/// Whether a picture has what photographs have: size, contrast, many levels, and neighbours that
/// are alike but not equal. Statistics of latents mean nothing on anything else.
pub(super) fn is_natural(seen: &Rgb8) -> bool {
    let (width, height) = (seen.width(), seen.height());
    if !is_large_enough(seen) {
        return false;
    }
    let mut levels = [0usize; 256];
    let (mut equal, mut steps, mut deviation) = (0usize, 0.0, 0.0);
    let green = |x: usize, y: usize| f64::from(seen.pixel(x, y)[1]);
    let mean = (0..width * height).map(|i| green(i % width, i / width)).sum::<f64>()
        / (width * height) as f64;
    for y in 0..height {
        for x in 0..width {
            let here = green(x, y);
            levels[here as usize] += 1;
            deviation += (here - mean).powi(2);
            let left = green(x.saturating_sub(1), y);
            steps += (here - left).powi(2);
            equal += usize::from(here == left);
        }
    }
    let pixels = (width * height) as f64;
    let distinct = levels.iter().filter(|&&count| count > 0).count();
    // Half the squared step over the variance is 1 - the correlation of neighbours.
    let rough = steps / 2.0 / deviation.max(1e-9);
    (deviation / pixels).sqrt() >= 25.0
        && distinct >= 96
        && (0.001..0.25).contains(&rough)
        && (equal as f64) < 0.5 * pixels
}
