//! Pictures for tests that no golden has.

use ndarray::Array4;

/// Two pictures with edges and ramps, (2, 3, height, width) in [-1, 1].
pub fn samples(height: usize, width: usize) -> Array4<f32> {
    Array4::from_shape_fn((2, 3, height, width), |(n, c, y, x)| {
        let ramp = (x * (c + 1) + y * (n + 1)) as f32 / (width * 4 + height * 2) as f32;
        let stripes = if (x / 5 + y / 7).is_multiple_of(2) { 0.2 } else { -0.2 };
        ramp * 1.6 - 0.8 + stripes
    })
}
