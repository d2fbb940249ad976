//! Normal numbers from uniform ones, 16 at a time, with the logarithm and the sine that torch takes:
//! those of Pommier's and Garberoglio's avx_mathfun.h, after Moshier's Cephes library, with the fused
//! operations that its compiler makes of them.

#![allow(clippy::excessive_precision, reason = "coefficients are written as Cephes writes them")]

/// Makes 8 uniform numbers in [0, 1) and the 8 after them standard normal (Box and Muller).
pub(super) fn fill_16(values: &mut [f32; 16]) {
    let (lengths, angles) = values.split_at_mut(8);
    for (length, angle) in lengths.iter_mut().zip(angles) {
        // Not 0, which has no logarithm.
        let radius = (-2.0 * ln(1.0 - *length)).sqrt();
        let (sine, cosine) = sin_cos(std::f64::consts::TAU as f32 * *angle);
        // torch multiplies by the deviation, 1, and adds the mean, 0: no zero stays negative.
        *length = radius * cosine + 0.0;
        *angle = radius * sine + 0.0;
    }
}

/// From the coefficient of the highest power down.
fn series(coefficients: &[f64], x: f32) -> f32 {
    let coefficients = coefficients.iter().map(|coefficient| *coefficient as f32);
    coefficients.reduce(|sum, coefficient| sum.mul_add(x, coefficient)).unwrap_or_default()
}

/// The natural logarithm of a positive number that is not denormal.
fn ln(x: f32) -> f32 {
    const SERIES: [f64; 9] = [
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ];
    const LN_2_HIGH: f32 = 0.693359375;
    const LN_2_LOW: f32 = -2.12194440e-4;
    // x = fraction * 2^exponent, the fraction in [sqrt(1/2), sqrt(2)).
    let half = f32::from_bits(x.to_bits() & !0x7f80_0000 | 0.5f32.to_bits());
    let exponent = (x.to_bits() >> 23) as f32 - 127.0 + 1.0;
    let (fraction, exponent) = match half < std::f32::consts::FRAC_1_SQRT_2 {
        true => ((half - 1.0) + half, exponent - 1.0),
        false => (half - 1.0, exponent),
    };
    let square = fraction * fraction;
    let curve = series(&SERIES, fraction) * fraction;
    let rest = curve.mul_add(square, exponent * LN_2_LOW);
    exponent.mul_add(LN_2_HIGH, fraction + square.mul_add(-0.5, rest))
}

/// Sine and cosine of an angle in [0, 2 pi).
fn sin_cos(angle: f32) -> (f32, f32) {
    const SINE: [f64; 3] = [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1];
    const COSINE: [f64; 3] = [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2];
    /// A quarter of pi in three parts, of which the first two have few bits.
    const PARTS: [f32; 3] = [0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8];
    // The octant, odd ones counted to the next.
    let octant = ((angle * 1.27323954473516f64 as f32) as i32 + 1) & !1;
    let turned = PARTS.iter().fold(angle, |angle, part| (octant as f32).mul_add(-part, angle));
    let square = turned * turned;
    let cosine = {
        let curve = series(&COSINE, square) * square;
        curve.mul_add(square, -(square * 0.5)) + 1.0
    };
    let sine = (series(&SINE, square) * square).mul_add(turned, turned);
    let negative = |wanted: bool, value: f32| if wanted { -value } else { value };
    let (of_sine, of_cosine) = if octant & 2 == 0 { (sine, cosine) } else { (cosine, sine) };
    (negative(octant & 4 != 0, of_sine), negative((octant - 2) & 4 == 0, of_cosine))
}
