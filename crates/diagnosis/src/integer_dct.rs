//! The cosine transform of blocks of 8 x 8 in whole numbers, with the roundings of libjpeg's accurate one
//! (`jfdctint.c`, `jidctint.c`), after C. Loeffler, A. Ligtenberg and G. Moschytz, "Practical fast 1-D DCT
//! algorithms with 11 multiplications", ICASSP 1989.

/// Bits behind the point of a factor, and those that the first of both passes keeps.
const POINT: u32 = 13;
const KEPT: u32 = 2;

const fn fixed(factor: f64) -> i32 {
    (factor * (1 << POINT) as f64 + 0.5) as i32
}

// Named by the multiple of pi / 16 whose cosines they are sums of.
const C6: i32 = fixed(0.541_196_100);
const C2_MINUS_C6: i32 = fixed(0.765_366_865);
const C2_PLUS_C6: i32 = fixed(1.847_759_065);
const C3: i32 = fixed(1.175_875_602);
/// By which the odd differences are multiplied, from the innermost to the outermost.
const ODD: [i32; 4] =
    [fixed(0.298_631_336), fixed(2.053_119_869), fixed(3.072_711_026), fixed(1.501_321_110)];
/// By which their sums are: of the outer, of the inner, of the even and of the odd ones.
const SUMS: [i32; 4] =
    [fixed(0.899_976_223), fixed(2.562_915_447), fixed(1.961_570_560), fixed(0.390_180_644)];

/// Halves up.
fn shifted(value: i32, bits: u32) -> i32 {
    (value + (1 << (bits - 1))) >> bits
}

/// The odd half of both directions: a rotation of four numbers, inner to outer, with the point at [`POINT`].
fn rotated(values: [i32; 4]) -> [i32; 4] {
    let [a, b, c, d] = values;
    let shared = (a + b + c + d) * C3;
    let outer = -(a + d) * SUMS[0];
    let inner = -(b + c) * SUMS[1];
    let even = shared - (a + c) * SUMS[2];
    let odd = shared - (b + d) * SUMS[3];
    [
        a * ODD[0] + outer + even,
        b * ODD[1] + inner + odd,
        c * ODD[2] + inner + even,
        d * ODD[3] + outer + odd,
    ]
}

/// Eight samples to cosines. `exact` gives those that need no factor, `rounded` the others.
fn forward_line(x: [i32; 8], exact: impl Fn(i32) -> i32, rounded: impl Fn(i32) -> i32) -> [i32; 8] {
    let sum: [i32; 4] = std::array::from_fn(|i| x[i] + x[7 - i]);
    let (outer, inner) = ([sum[0] + sum[3], sum[0] - sum[3]], [sum[1] + sum[2], sum[1] - sum[2]]);
    let turned = (inner[1] + outer[1]) * C6;
    let odd = rotated(std::array::from_fn(|i| x[3 - i] - x[4 + i]));
    [
        exact(outer[0] + inner[0]),
        rounded(odd[3]),
        rounded(turned + outer[1] * C2_MINUS_C6),
        rounded(odd[2]),
        exact(outer[0] - inner[0]),
        rounded(odd[1]),
        rounded(turned - inner[1] * C2_PLUS_C6),
        rounded(odd[0]),
    ]
}

/// Eight cosines to samples, by `rounded`.
fn inverse_line(c: [i32; 8], rounded: impl Fn(i32) -> i32) -> [i32; 8] {
    let turned = (c[2] + c[6]) * C6;
    let (low, high) = (turned + c[2] * C2_MINUS_C6, turned - c[6] * C2_PLUS_C6);
    let (sum, difference) = ((c[0] + c[4]) << POINT, (c[0] - c[4]) << POINT);
    let even = [sum + low, difference + high, difference - high, sum - low];
    let odd = rotated([c[7], c[5], c[3], c[1]]);
    std::array::from_fn(|i| match i {
        0..4 => rounded(even[i] + odd[3 - i]),
        _ => rounded(even[7 - i] - odd[i - 4]),
    })
}

fn rows(block: &mut [i32; 64], line: impl Fn([i32; 8]) -> [i32; 8]) {
    for row in block.as_chunks_mut::<8>().0 {
        *row = line(*row);
    }
}

fn columns(block: &mut [i32; 64], line: impl Fn([i32; 8]) -> [i32; 8]) {
    for x in 0..8 {
        let column = line(std::array::from_fn(|y| block[8 * y + x]));
        column.into_iter().enumerate().for_each(|(y, value)| block[8 * y + x] = value);
    }
}

/// Samples of 8 bits around 0, row by row, to cosines 8 times as large as orthonormal ones.
pub(super) fn forward(block: &mut [i32; 64]) {
    rows(block, |x| forward_line(x, |sum| sum << KEPT, |value| shifted(value, POINT - KEPT)));
    columns(block, |x| {
        forward_line(x, |sum| shifted(sum, KEPT), |value| shifted(value, POINT + KEPT))
    });
}

/// Orthonormal cosines, row by row, to samples around 0.
pub(super) fn inverse(block: &mut [i32; 64]) {
    columns(block, |c| inverse_line(c, |value| shifted(value, POINT - KEPT)));
    rows(block, |c| inverse_line(c, |value| shifted(value, POINT + KEPT + 3)));
}
