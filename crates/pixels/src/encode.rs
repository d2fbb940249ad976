//! Pixels to a PNG file.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use super::alpha8::Alpha8;
use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// `pixels` as the bytes of an 8-bit RGB PNG file. Every reader gives the same pixels back.
///
/// # Errors
///
/// When a side does not fit PNG's 31 bits.
pub fn encode_png(pixels: &Rgb8) -> Result<Vec<u8>> {
    encode((pixels.width(), pixels.height()), ColorType::Rgb, pixels.data())
}

/// The same with `alpha`, where there is one, as an RGBA PNG file.
///
/// # Errors
///
/// As [`encode_png`], and if `alpha` is of another size than `pixels`.
pub fn encode_rgba_png(pixels: &Rgb8, alpha: Option<&Alpha8>) -> Result<Vec<u8>> {
    let Some(alpha) = alpha else { return encode_png(pixels) };
    let data = alpha.interleaved(pixels)?;
    encode((pixels.width(), pixels.height()), ColorType::Rgba, &data)
}

fn encode((width, height): (usize, usize), colour: ColorType, data: &[u8]) -> Result<Vec<u8>> {
    let failed = |problem: String| {
        let problem = format!("{width} x {height} pixels: {problem}");
        Error::new(ErrorKind::Output, "PNG", problem, "use a smaller picture")
    };
    let side = |side: usize| u32::try_from(side).map_err(|error| failed(error.to_string()));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    // A run waits for it: at 2048 x 2048, better compression takes seconds.
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(data))
        .map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}
