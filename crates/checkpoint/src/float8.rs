//! 8-bit floats to f16, which holds each of them exactly.

use half::f16;

/// `float8_e5m2` is an f16 without its lower byte. A signalling NaN becomes a quiet one, as in torch.
pub(super) fn e5m2_to_f16(byte: u8) -> u16 {
    let is_nan = byte & 0x7f > 0x7c;
    u16::from(byte) << 8 | if is_nan { 0x0200 } else { 0 }
}

/// `float8_e4m3fn`: sign, 4 bits of exponent with bias 7, 3 of mantissa; only 0x7f and 0xff are
/// NaN, and nothing is infinite.
pub(super) fn e4m3_to_f16(byte: u8) -> u16 {
    let sign = u16::from(byte & 0x80) << 8;
    let (exponent, mantissa) = (u16::from(byte >> 3) & 0xf, u16::from(byte) & 7);
    let magnitude = match (exponent, mantissa) {
        // The NaN that torch makes of it.
        (0xf, 7) => 0x7f80,
        // Multiples of 2^-9, each of which f16 holds as a normal number.
        (0, _) => f16::from_f32(f32::from(mantissa as u8) / 512.0).to_bits(),
        _ => ((exponent + 8) << 10) | (mantissa << 7),
    };
    sign | magnitude
}
