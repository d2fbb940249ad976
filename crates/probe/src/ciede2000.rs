//! The colour difference CIEDE2000.

use std::f64::consts::PI;

/// How different two colours of CIELAB look, ΔE00: about 1 is just noticed side by side.
///
/// All three parametric factors are 1. After Sharma, Wu and Dalal, *The CIEDE2000 color-difference
/// formula: implementation notes, supplementary test data, and mathematical observations*, Color Research
/// and Application 30 (2005), whose 34 pairs are a test here. NaN gives NaN.
///
/// ```
/// use vae_fidelity_probe::{ciede2000, lab};
/// let (orange, a_little_darker) = (lab([214.0, 126.0, 44.0]), lab([208.0, 122.0, 43.0]));
/// assert!((1.0..2.0).contains(&ciede2000(orange, a_little_darker)));
/// ```
pub fn ciede2000(one: [f64; 3], other: [f64; 3]) -> f64 {
    let [l1, a1, b1] = one;
    let [l2, a2, b2] = other;
    let mean_chroma = (a1.hypot(b1) + a2.hypot(b2)) / 2.0;
    let g = 0.5 * (1.0 - seventh(mean_chroma));
    let (a1, a2) = ((1.0 + g) * a1, (1.0 + g) * a2);
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let grey = c1 * c2 == 0.0;

    let turn = match h2 - h1 {
        _ if grey => 0.0,
        turn if turn > PI => turn - 2.0 * PI,
        turn if turn < -PI => turn + 2.0 * PI,
        turn => turn,
    };
    let (delta_l, delta_c) = (l2 - l1, c2 - c1);
    let delta_h = 2.0 * (c1 * c2).sqrt() * (turn / 2.0).sin();

    let mean_h = match h1 + h2 {
        sum if grey => sum,
        sum if (h1 - h2).abs() <= PI => sum / 2.0,
        sum if sum < 2.0 * PI => sum / 2.0 + PI,
        sum => sum / 2.0 - PI,
    };
    let (mean_l, mean_c) = ((l1 + l2) / 2.0, (c1 + c2) / 2.0);
    let wave = |times: f64, degrees: f64| (times * mean_h - degrees.to_radians()).cos();
    let t = 1.0 - 0.17 * wave(1.0, 30.0) + 0.24 * wave(2.0, 0.0) + 0.32 * wave(3.0, -6.0)
        - 0.20 * wave(4.0, 63.0);
    let middle = (mean_l - 50.0).powi(2);
    let s_l = 1.0 + 0.015 * middle / (20.0 + middle).sqrt();
    let s_c = 1.0 + 0.045 * mean_c;
    let s_h = 1.0 + 0.015 * mean_c * t;
    let blue = 30f64.to_radians() * (-((mean_h.to_degrees() - 275.0) / 25.0).powi(2)).exp();
    let r_t = -2.0 * seventh(mean_c) * (2.0 * blue).sin();
    let (l, c, h) = (delta_l / s_l, delta_c / s_c, delta_h / s_h);
    (l * l + c * c + h * h + r_t * c * h).sqrt()
}

/// The formula's share of colours that are full.
fn seventh(chroma: f64) -> f64 {
    (chroma.powi(7) / (chroma.powi(7) + 25f64.powi(7))).sqrt()
}

/// From 0 to 2 pi; 0 where there is none.
fn hue(a: f64, b: f64) -> f64 {
    if a == 0.0 && b == 0.0 { 0.0 } else { b.atan2(a).rem_euclid(2.0 * PI) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L*, a*, b* of two colours, and their difference to four digits: table 1 of the paper.
    #[rustfmt::skip]
    const PAIRS: [[f64; 7]; 34] = [
        [50.0000, 2.6772, -79.7751, 50.0000, 0.0000, -82.7485, 2.0425],
        [50.0000, 3.1571, -77.2803, 50.0000, 0.0000, -82.7485, 2.8615],
        [50.0000, 2.8361, -74.0200, 50.0000, 0.0000, -82.7485, 3.4412],
        [50.0000, -1.3802, -84.2814, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -1.1848, -84.8006, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, -0.9009, -85.5211, 50.0000, 0.0000, -82.7485, 1.0000],
        [50.0000, 0.0000, 0.0000, 50.0000, -1.0000, 2.0000, 2.3669],
        [50.0000, -1.0000, 2.0000, 50.0000, 0.0000, 0.0000, 2.3669],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0009, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0010, 7.1792],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0011, 7.2195],
        [50.0000, 2.4900, -0.0010, 50.0000, -2.4900, 0.0012, 7.2195],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0009, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0010, -2.4900, 4.8045],
        [50.0000, -0.0010, 2.4900, 50.0000, 0.0011, -2.4900, 4.7461],
        [50.0000, 2.5000, 0.0000, 50.0000, 0.0000, -2.5000, 4.3065],
        [50.0000, 2.5000, 0.0000, 73.0000, 25.0000, -18.0000, 27.1492],
        [50.0000, 2.5000, 0.0000, 61.0000, -5.0000, 29.0000, 22.8977],
        [50.0000, 2.5000, 0.0000, 56.0000, -27.0000, -3.0000, 31.9030],
        [50.0000, 2.5000, 0.0000, 58.0000, 24.0000, 15.0000, 19.4535],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.1736, 0.5854, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2972, 0.0000, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 1.8634, 0.5757, 1.0000],
        [50.0000, 2.5000, 0.0000, 50.0000, 3.2592, 0.3350, 1.0000],
        [60.2574, -34.0099, 36.2677, 60.4626, -34.1751, 39.4387, 1.2644],
        [63.0109, -31.0961, -5.8663, 62.8187, -29.7946, -4.0864, 1.2630],
        [61.2901, 3.7196, -5.3901, 61.4292, 2.2480, -4.9620, 1.8731],
        [35.0831, -44.1164, 3.7933, 35.0232, -40.0716, 1.5901, 1.8645],
        [22.7233, 20.0904, -46.6940, 23.0331, 14.9730, -42.5619, 2.0373],
        [36.4612, 47.8580, 18.3852, 36.2715, 50.5065, 21.2231, 1.4146],
        [90.8027, -2.0831, 1.4410, 91.1528, -1.6435, 0.0447, 1.4441],
        [90.9257, -0.5406, -0.9208, 88.6381, -0.8985, -0.7239, 1.5381],
        [6.7747, -0.2908, -2.4247, 5.8714, -0.0985, -2.2286, 0.6377],
        [2.0776, 0.0795, -1.1350, 0.9033, -0.0636, -0.5514, 0.9082],
    ];

    #[test]
    fn the_34_pairs_of_sharma_wu_and_dalal() {
        for [l1, a1, b1, l2, a2, b2, expected] in PAIRS {
            for (one, other) in [([l1, a1, b1], [l2, a2, b2]), ([l2, a2, b2], [l1, a1, b1])] {
                let found = ciede2000(one, other);
                assert!((found - expected).abs() < 6e-5, "{one:?} {other:?}: {found}");
            }
        }
    }

    #[test]
    fn one_colour_differs_by_nothing_and_nan_by_nan() {
        assert_eq!(ciede2000([50.0, 3.0, -9.0], [50.0, 3.0, -9.0]), 0.0);
        assert!(ciede2000([50.0, f64::NAN, 0.0], [50.0, 0.0, 0.0]).is_nan());
        assert!(ciede2000([50.0, 0.0, 0.0], [f64::NAN, 0.0, 0.0]).is_nan());
    }
}
