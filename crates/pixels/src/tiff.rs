//! TIFF files: the first page.

use std::io::BufReader;
use std::path::Path;

use ::tiff::decoder::{Decoder, DecodingResult, Limits};
use ::tiff::tags::{ByteOrder, Tag};
use ::tiff::{TiffError, TiffUnsupportedError};

use super::exif::ICC_NOTE;
use super::format::ImageFormat;
use super::limit::{MAX_PIXELS_REFUSED, check_pixels};
use super::opened::{OpenedImage, broken, failed_read, no_memory, unsupported};
use super::stream::Stream;
use super::tiff_tags;
use super::to_rgb::{ToRgb, unpack};
use super::turned::turned;
use vae_fidelity_files::error::{Error, Result};

const FORMAT: ImageFormat = ImageFormat::Tiff;

/// Opens the first page of a TIFF file: gray of 1, 2, 4, 8 or 16 bits, RGB and RGBA of 8 or 16,
/// CMYK of 8; stored plainly, or with LZW, deflate or PackBits. Follows `TiffImagePlugin.py`,
/// `OPEN_INFO` and `load_end`: unlike in other formats, Pillow turns the picture upright.
///
/// Fails for palettes, YCbCr, Lab, floating-point and signed samples, premultiplied alpha, planes,
/// JPEG and fax compression.
pub(super) fn open(path: &Path, mut file: Stream) -> Result<OpenedImage> {
    tiff_tags::check(path, &mut file)?;
    let failed = |error| failed(path, error);
    let mut decoder = Decoder::new(BufReader::new(file)).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let mut notes: Vec<_> = check_pixels(path, width.into(), height.into())?.into_iter().collect();
    // What could grow is checked: the picture above, tags and tiles by what they claim.
    check_tile(path, &mut decoder)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = usize::MAX;
    limits.intermediate_buffer_size = usize::MAX;
    decoder = decoder.with_limits(limits);
    let layout = Layout::read(path, &mut decoder)?;
    let tag = |decoder: &mut Decoder<BufReader<Stream>>, tag| decoder.find_tag_unsigned::<u16>(tag);
    let orientation = tag(&mut decoder, Tag::Orientation).map_err(failed)?.unwrap_or(1);
    let has_profile = decoder.image_ifd().directory().contains(Tag::IccProfile);
    notes.extend(has_profile.then(|| ICC_NOTE.into()));
    // One that cannot be read hides nothing of the picture.
    let profile = has_profile.then(|| decoder.get_tag_u8_vec(Tag::IccProfile).ok()).flatten();
    if decoder.more_images() {
        notes.push("several pages: only the first is used".into());
    }

    let data = decoder.read_image().map_err(failed)?;
    let (width, height) = (width as usize, height as usize);
    let mut out = ToRgb::new(path, width, height)?;
    layout.push(path, &mut out, &data, width, height)?;
    drop(data);
    let (mut pixels, lost, dropped) = out.finish()?;
    let mut dropped = dropped.with_profile(profile);
    notes.extend(lost);
    if (2..=8).contains(&orientation) {
        dropped = dropped.turned(&pixels, orientation)?;
        pixels = turned(&pixels, orientation)?;
        notes.push(format!("turned upright (orientation {orientation}), as Pillow does for TIFF"));
    }
    Ok(OpenedImage {
        pixels,
        format: FORMAT,
        mode: layout.mode,
        orientation: None,
        dropped,
        jpeg: None,
        notes,
    })
}

/// Fails if a tile, which the decoder allocates as a whole, is larger than any picture may be.
fn check_tile(path: &Path, decoder: &mut Decoder<BufReader<Stream>>) -> Result<()> {
    let mut side = |tag| -> Result<u64> {
        Ok(decoder.find_tag_unsigned::<u64>(tag).map_err(|e| failed(path, e))?.unwrap_or(1))
    };
    let (width, height) = (side(Tag::TileWidth)?, side(Tag::TileLength)?);
    match width.checked_mul(height) {
        Some(pixels) if pixels <= MAX_PIXELS_REFUSED => Ok(()),
        _ => Err(broken(path, FORMAT, format!("it has tiles of {width} x {height} pixels"))),
    }
}

/// How samples are laid out, and the mode that Pillow opens them in.
struct Layout {
    mode: &'static str,
    bits: u8,
    samples: usize,
    /// 16-bit gray in which 0 is white: Pillow does not invert it, the library does.
    uninverted: bool,
}

impl Layout {
    fn read(path: &Path, decoder: &mut Decoder<BufReader<Stream>>) -> Result<Self> {
        let mut numbers = |tag, default: &[u16]| -> Result<Vec<u16>> {
            let found = decoder.find_tag_unsigned_vec::<u16>(tag).map_err(|e| failed(path, e))?;
            Ok(found.unwrap_or_else(|| default.to_vec()))
        };
        let one = |values: &[u16]| values.first().copied().unwrap_or(0);
        let photometric = one(&numbers(Tag::PhotometricInterpretation, &[0])?);
        let bits = numbers(Tag::BitsPerSample, &[1])?;
        let formats = numbers(Tag::SampleFormat, &[1])?;
        let extra = numbers(Tag::ExtraSamples, &[])?;
        let samples = one(&numbers(Tag::SamplesPerPixel, &[1])?);
        let planes = one(&numbers(Tag::PlanarConfiguration, &[1])?);
        let order = one(&numbers(Tag::FillOrder, &[1])?);
        let compression = one(&numbers(Tag::Compression, &[1])?);

        let refuse = |what: String| Err(unsupported(path, FORMAT, what));
        match compression {
            1 | 5 | 8 | 32773 | 32946 => {}
            2..=4 => return refuse("fax compression".into()),
            6 | 7 => return refuse("JPEG compression".into()),
            other => return refuse(format!("compression {other}")),
        }
        if planes != 1 && samples > 1 {
            return refuse("one plane for each channel".into());
        }
        if order != 1 {
            return refuse(format!("bits in fill order {order}"));
        }
        if formats.iter().any(|&format| format != 1) {
            return refuse("signed or floating-point samples".into());
        }
        let depth = one(&bits);
        if bits.iter().any(|&b| b != depth) {
            return refuse(format!("channels of {bits:?} bits"));
        }
        let mode = match (photometric, depth, samples, extra.as_slice()) {
            (0 | 1, 1, 1, []) => "1",
            (0 | 1, 2 | 4 | 8, 1, []) => "L",
            // Pillow knows big-endian 16-bit gray only with 0 as black.
            (1, 16, 1, []) if decoder.byte_order() == ByteOrder::BigEndian => "I;16B",
            (0, 16, 1, []) if decoder.byte_order() == ByteOrder::BigEndian => {
                return refuse("big-endian 16-bit grey in which 0 is white".into());
            }
            (0 | 1, 16, 1, []) => "I;16",
            (1, 8, 2, [2]) => "LA",
            (2, 8 | 16, 3, []) => "RGB",
            (2, 8 | 16, 4, [] | [2]) => "RGBA",
            (5, 8, 4, []) => "CMYK",
            (2, _, _, [1, ..]) => return refuse("premultiplied alpha".into()),
            (3, ..) => return refuse("a palette".into()),
            (6, ..) => return refuse("YCbCr samples".into()),
            (8 | 9, ..) => return refuse("Lab samples".into()),
            _ => {
                return refuse(format!(
                    "photometric interpretation {photometric}, {samples} samples of {depth} bits, \
                     extra samples {extra:?}"
                ));
            }
        };
        Ok(Self {
            mode,
            bits: depth as u8,
            samples: samples.into(),
            uninverted: photometric == 0 && depth == 16,
        })
    }

    fn push(
        &self,
        path: &Path,
        out: &mut ToRgb,
        data: &DecodingResult,
        width: usize,
        height: usize,
    ) -> Result<()> {
        let per_row = width * self.samples;
        let short = || broken(path, FORMAT, "its strips hold less than its size says");
        match data {
            DecodingResult::U8(bytes) => {
                let stride = (per_row * usize::from(self.bits)).div_ceil(8);
                for y in 0..height {
                    let row = bytes.get(y * stride..(y + 1) * stride).ok_or_else(short)?;
                    self.push_row(out, row, width);
                }
            }
            DecodingResult::U16(values) => {
                for y in 0..height {
                    let row = values.get(y * per_row..(y + 1) * per_row).ok_or_else(short)?;
                    if self.samples == 1 {
                        let value = |v: u16| if self.uninverted { !v } else { v };
                        out.grey_clipped(row.iter().map(|&v| value(v).into()));
                    } else {
                        let high: Vec<u8> = row.iter().map(|value| (value >> 8) as u8).collect();
                        self.push_row(out, &high, width);
                    }
                }
            }
            _ => return Err(unsupported(path, FORMAT, "samples of an unusual kind")),
        }
        Ok(())
    }

    fn push_row(&self, out: &mut ToRgb, row: &[u8], width: usize) {
        match self.mode {
            "RGB" => out.rgb(row),
            "RGBA" => out.rgba(row),
            "CMYK" => out.cmyk(row),
            "LA" => out.grey_alpha(row),
            _ if self.bits < 8 => {
                let white = 255 / (0xFF_u8 >> (8 - self.bits));
                let samples = unpack(row, self.bits, width);
                out.grey(&samples.into_iter().map(|value| value * white).collect::<Vec<_>>());
            }
            _ => out.grey(row),
        }
    }
}

fn failed(path: &Path, error: TiffError) -> Error {
    match error {
        TiffError::IoError(error) => failed_read(path, FORMAT, &error),
        TiffError::LimitsExceeded => no_memory(path),
        TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
            unsupported(path, FORMAT, format!("compression {method:?}"))
        }
        TiffError::UnsupportedError(what) => {
            unsupported(path, FORMAT, what.to_string().to_lowercase())
        }
        other => broken(path, FORMAT, other.to_string().to_lowercase()),
    }
}
