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

/// Pictures of one size, each with its alpha or all without, as an animated PNG file: eight a second, again and
/// again. A reader that knows no animations shows the first.
///
/// # Errors
///
/// As [`encode_rgba_png`], if there is no picture, and if they are of different sizes.
pub fn encode_frames_png(frames: &[(&Rgb8, Option<&Alpha8>)]) -> Result<Vec<u8>> {
    let Some((first, alpha)) = frames.first() else {
        return Err(failed((0, 0), "there are no frames".to_owned()));
    };
    let size = (first.width(), first.height());
    let colour = if alpha.is_some() { ColorType::Rgba } else { ColorType::Rgb };
    let mut data = Vec::new();
    for (pixels, alpha) in frames {
        if (pixels.width(), pixels.height()) != size
            || alpha.is_some() != (colour == ColorType::Rgba)
        {
            return Err(failed(size, "the frames are not alike".to_owned()));
        }
        data.push(match alpha {
            None => pixels.data().to_vec(),
            Some(alpha) => alpha.interleaved(pixels)?,
        });
    }
    let frames: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    encode_each(size, colour, &frames)
}

fn encode(size: (usize, usize), colour: ColorType, data: &[u8]) -> Result<Vec<u8>> {
    encode_each(size, colour, &[data])
}

fn failed((width, height): (usize, usize), problem: String) -> Error {
    let problem = format!("{width} x {height} pixels: {problem}");
    Error::new(ErrorKind::Output, "PNG", problem, "use a smaller picture")
}

fn encode_each(
    (width, height): (usize, usize),
    colour: ColorType,
    frames: &[&[u8]],
) -> Result<Vec<u8>> {
    let failed = |problem: String| failed((width, height), problem);
    let side = |side: usize| u32::try_from(side).map_err(|error| failed(error.to_string()));
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, side(width)?, side(height)?);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    // A run waits for it: at 2048 x 2048, better compression takes seconds.
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    let written = || {
        if frames.len() > 1 {
            encoder.set_animated(frames.len() as u32, 0)?;
            encoder.set_frame_delay(1, 8)?;
        }
        let mut writer = encoder.write_header()?;
        frames.iter().try_for_each(|frame| writer.write_image_data(frame))?;
        writer.finish()
    };
    written().map_err(|error: png::EncodingError| failed(error.to_string()))?;
    Ok(bytes)
}
