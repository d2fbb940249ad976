//! JPEG files, decoded by libjpeg-turbo's algorithms, as Pillow does.
//!
//! Decoders differ in the inverse DCT and in how they enlarge the chroma; only libjpeg-turbo's own
//! arithmetic gives Pillow's bytes. `mozjpeg` carries it.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use mozjpeg::{ColorSpace, Decompress, Marker};

use super::exif::{ICC_NOTE, orientation, orientation_note};
use super::format::ImageFormat;
use super::jpeg_coding::{MAX_SCANS, Markers};
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, failed_read, no_memory, truncated, unsupported};
use super::stream::Stream;
use super::to_rgb::ToRgb;
use vae_fidelity_files::error::Result;
use vae_fidelity_files::memory::reserve;

/// Opens a JPEG file: baseline or progressive Huffman coding, 8 bits, 1, 3 or 4 components, any
/// subsampling. Follows `JpegImagePlugin.py` and `JpegDecode.c`: four components are taken to be
/// stored inverted, as Adobe does, whatever the file says.
///
/// Fails for arithmetic and lossless coding, other depths and component counts, and broken or truncated
/// files.
pub(super) fn open(path: &Path, file: Stream) -> Result<OpenedImage> {
    let mut file = BufReader::new(file);
    let markers =
        Markers::read(&mut file).map_err(|error| failed_read(path, ImageFormat::Jpeg, &error))?;
    if markers.scans > MAX_SCANS {
        let what = format!("more than {MAX_SCANS} scans, each of which goes over all pixels,");
        return Err(unsupported(path, ImageFormat::Jpeg, what));
    }
    let starved = Rc::new(Cell::new(false));
    let source = Source { file, starved: Rc::clone(&starved) };
    // The decoder reports fatal errors by unwinding (without calling the panic hook, so nothing is
    // printed). All that it has built is dropped on the way.
    match catch_unwind(AssertUnwindSafe(|| decode(path, source, &starved))) {
        Ok(result) => result.map(|opened| OpenedImage { jpeg: markers.coding(), ..opened }),
        // Running out of bytes can surface as some other complaint: the cause is what helps.
        Err(_) if starved.get() => Err(truncated(path, ImageFormat::Jpeg)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map_or("libjpeg failed", |text| text);
            let reason = text.strip_prefix("libjpeg fatal error: ").unwrap_or(text).to_lowercase();
            // A marker that no writer writes is a byte that changed, whatever libjpeg calls it.
            let is_damage = reason.contains("marker type");
            let is_variant = reason.contains("not supported") || reason.contains("unsupported");
            let reason = reason.replace("unsupported marker type", "an unknown marker,");
            Err(if is_variant && !is_damage {
                unsupported(path, ImageFormat::Jpeg, reason)
            } else {
                broken(path, ImageFormat::Jpeg, reason)
            })
        }
    }
}

fn decode(path: &Path, source: Source, starved: &Cell<bool>) -> Result<OpenedImage> {
    let failed = |error: io::Error| {
        if starved.get() {
            truncated(path, ImageFormat::Jpeg)
        } else {
            failed_read(path, ImageFormat::Jpeg, &error)
        }
    };
    let decoder = Decompress::builder()
        .with_markers(&[Marker::APP(1), Marker::APP(2)])
        .from_reader(source)
        .map_err(failed)?;
    let (width, height) = decoder.size();
    let mut notes: Vec<_> = check_pixels(path, width as u64, height as u64)?.into_iter().collect();
    let (told, turned, profile) = marker_notes(&decoder);
    notes.extend(told);

    let components = decoder.components().len();
    let (mode, space) = match components {
        1 => ("L", ColorSpace::JCS_GRAYSCALE),
        3 => ("RGB", ColorSpace::JCS_RGB),
        4 => ("CMYK", ColorSpace::JCS_CMYK),
        n => {
            let what = format!("{n} components (Pillow opens 1, 3 and 4)");
            return Err(unsupported(path, ImageFormat::Jpeg, what));
        }
    };
    let mut out = ToRgb::new(path, width, height)?;
    let mut started = decoder.to_colorspace(space).map_err(failed)?;
    let mut row = Vec::new();
    reserve(&mut row, width * components).map_err(|_| no_memory(path))?;
    row.resize(width * components, 0_u8);
    for _ in 0..height {
        started.read_scanlines_into(&mut row).map_err(failed)?;
        match components {
            1 => out.grey(&row),
            3 => out.rgb(&row),
            _ => {
                row.iter_mut().for_each(|ink| *ink = 255 - *ink);
                out.cmyk(&row);
            }
        }
    }
    // libjpeg feeds itself an end marker when the bytes run out, and paints the rest gray. Pillow's
    // source does not, and Pillow refuses the file. A missing end marker alone is no reason: that is
    // looked for after the last row.
    if starved.get() {
        return Err(truncated(path, ImageFormat::Jpeg));
    }
    // Reads on to the end marker: Pillow refuses a file in which something else is met.
    started.finish().map_err(failed)?;
    let (pixels, lost, dropped) = out.finish()?;
    notes.extend(lost);
    let dropped = dropped.with_profile(profile);
    Ok(OpenedImage {
        pixels,
        format: ImageFormat::Jpeg,
        mode,
        orientation: turned,
        dropped,
        jpeg: None,
        notes,
    })
}

/// What APP1 and APP2 hold that the pixels do not show: notes, the orientation, and an ICC profile.
fn marker_notes<R>(decoder: &Decompress<R>) -> (Vec<String>, Option<u16>, Option<Vec<u8>>) {
    let mut notes = Vec::new();
    let mut turned = None;
    let mut profile = Vec::new();
    for marker in decoder.markers() {
        if marker.data.starts_with(b"Exif\0\0") {
            turned = orientation(marker.data);
            notes.extend(turned.map(orientation_note));
        }
        // Numbered from 1, and how many there are (ICC.1, annex B.4); too large for one marker, it goes on.
        if let Some([number, _, part @ ..]) = marker.data.strip_prefix(b"ICC_PROFILE\0") {
            profile.push((*number, part));
        }
        if marker.data.starts_with(b"MPF\0") {
            notes.push("several pictures in one file (MPO): only the first is used".into());
        }
    }
    profile.sort_by_key(|(number, _)| *number);
    let profile: Vec<&[u8]> = profile.into_iter().map(|(_, part)| part).collect();
    let profile = (!profile.is_empty()).then(|| profile.concat());
    notes.extend(profile.is_some().then(|| ICC_NOTE.into()));
    (notes, turned, profile)
}

/// The file, remembering whether the decoder asked for more bytes than there are.
struct Source {
    file: BufReader<Stream>,
    starved: Rc<Cell<bool>>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let bytes = self.file.fill_buf()?;
        if bytes.is_empty() {
            self.starved.set(true);
        }
        Ok(bytes)
    }

    fn consume(&mut self, count: usize) {
        self.file.consume(count);
    }
}
