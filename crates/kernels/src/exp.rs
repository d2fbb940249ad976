//! The exponential function, in a form that compilers vectorize.

/// e^`x` within 2 units in the last place for results from 2^-126 to 2^127, which are the least and
/// the greatest; NaN stays NaN. It has no branch, so that compilers vectorize a loop of it.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // Taylor series to the seventh power: |rest| is at most ln 2 / 2.
    let mut sum = 1.0 / 5040.0;
    for divisor in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * rest + 1.0 / divisor;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    sum * power
}
