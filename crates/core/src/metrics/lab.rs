//! sRGB to CIELAB.

/// Linear sRGB to XYZ: the matrix of IEC 61966-2-1 with seven digits, as
/// <http://www.brucelindbloom.com/index.html?Eqn_RGB_XYZ_Matrix.html> lists it.
const TO_XYZ: [[f64; 3]; 3] = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
];

/// CIELAB under D65 of a colour given as sRGB `levels` from 0 to 255: L* from 0 to 100, a*, b*.
///
/// White is what the matrix makes of 255, 255, 255, so that every grey has a* = b* = 0 exactly.
pub fn lab(levels: [f64; 3]) -> [f64; 3] {
    let linear = levels.map(|level| linear(level / 255.0));
    let [x, y, z] = TO_XYZ.map(|row| {
        let white: f64 = row.iter().sum();
        let value: f64 = row.iter().zip(linear).map(|(weight, part)| weight * part).sum();
        compressed(value / white)
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

/// sRGB's own curve undone, of a share from 0 to 1.
fn linear(share: f64) -> f64 {
    match share {
        dark if dark <= 0.04045 => dark / 12.92,
        share => ((share + 0.055) / 1.055).powf(2.4),
    }
}

/// CIE 15: the cube root, with a line near black.
fn compressed(share: f64) -> f64 {
    match share {
        share if share > 216.0 / 24389.0 => share.cbrt(),
        dark => (24389.0 / 27.0 * dark + 16.0) / 116.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of scikit-image's `rgb2lab` (D65, 2 degrees), whose white has four
    /// digits.
    #[test]
    fn colours_are_where_scikit_image_has_them() {
        for (levels, expected) in [
            ([255.0, 0.0, 0.0], [53.2406, 80.0923, 67.2028]),
            ([0.0, 255.0, 0.0], [87.7351, -86.1830, 83.1797]),
            ([0.0, 0.0, 255.0], [32.2957, 79.1856, -107.8573]),
            ([115.0, 82.0, 68.0], [38.0168, 11.7960, 13.6661]),
            ([98.0, 122.0, 157.0], [50.6276, 0.3687, -21.5969]),
            ([3.0, 2.0, 10.0], [0.7650, 1.3738, -2.9352]),
        ] {
            let found = lab(levels);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 0.02, "{levels:?}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn greys_have_no_colour_and_nan_stays() {
        for level in 0..=255 {
            let [_, a, b] = lab([f64::from(level); 3]);
            assert!(a.abs() < 1e-9 && b.abs() < 1e-9);
        }
        assert!((lab([255.0; 3])[0] - 100.0).abs() < 1e-9 && lab([0.0; 3])[0].abs() < 1e-9);
        assert!(lab([f64::NAN, 0.0, 0.0])[0].is_nan());
    }
}
