//! Which format a file is in, by its first bytes; its name counts for nothing, as in Pillow.

use std::fmt;
use std::path::Path;

use vae_fidelity_files::input::LFS_POINTER;

/// A file format that this crate opens; displays as Pillow's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageFormat {
    /// Windows bitmap.
    Bmp,
    /// Graphics Interchange Format.
    Gif,
    /// JPEG.
    Jpeg,
    /// Portable Network Graphics.
    Png,
    /// PBM, PGM and PPM.
    Ppm,
    /// Truevision Targa.
    Tga,
    /// Tagged Image File Format.
    Tiff,
    /// WebP.
    Webp,
}

impl ImageFormat {
    /// Every one of them.
    pub const ALL: [Self; 8] =
        [Self::Bmp, Self::Gif, Self::Jpeg, Self::Png, Self::Ppm, Self::Tga, Self::Tiff, Self::Webp];

    /// Pillow's name, for example `PNG`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bmp => "BMP",
            Self::Gif => "GIF",
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Ppm => "PPM",
            Self::Tga => "TGA",
            Self::Tiff => "TIFF",
            Self::Webp => "WEBP",
        }
    }

    /// The feature of this crate that reads it.
    pub(super) fn feature(self) -> &'static str {
        match self {
            Self::Bmp => "bmp",
            Self::Gif => "gif",
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Ppm => "pnm",
            Self::Tga => "tga",
            Self::Tiff => "tiff",
            Self::Webp => "webp",
        }
    }

    /// The endings of file names in this format, in small letters.
    pub fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Bmp => &["bmp"],
            Self::Gif => &["gif"],
            Self::Jpeg => &["jpg", "jpeg", "jpe"],
            Self::Png => &["png"],
            Self::Ppm => &["ppm", "pgm", "pbm"],
            Self::Tga => &["tga"],
            Self::Tiff => &["tif", "tiff"],
            Self::Webp => &["webp"],
        }
    }

    /// The format that the ending of a file's name promises; what is in the file decides.
    pub fn by_extension(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.extensions().contains(&extension.as_str()))
    }
}

impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the first bytes of a file say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sniffed {
    /// A format that this crate opens.
    Image(ImageFormat),
    /// A picture in a format that it does not open, by name.
    Unsupported(&'static str),
    /// Something else, described.
    NotAnImage(&'static str),
    /// Nothing that is known here.
    Unknown,
}

/// How many of a file's first bytes [`sniff`] looks at.
pub(super) const SNIFFED_BYTES: usize = 64;

/// Looks at the first bytes of a file: at most [`SNIFFED_BYTES`], fewer if it is shorter.
pub(super) fn sniff(head: &[u8]) -> Sniffed {
    let supported = [
        (b"\x89PNG\r\n\x1a\n".as_slice(), ImageFormat::Png),
        (b"\xff\xd8\xff", ImageFormat::Jpeg),
        (b"GIF87a", ImageFormat::Gif),
        (b"GIF89a", ImageFormat::Gif),
        (b"II*\0", ImageFormat::Tiff),
        (b"MM\0*", ImageFormat::Tiff),
        (b"II+\0", ImageFormat::Tiff),
        (b"MM\0+", ImageFormat::Tiff),
        (b"BM", ImageFormat::Bmp),
    ];
    if let Some((_, format)) = supported.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Sniffed::Image(*format);
    }
    if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        return Sniffed::Image(ImageFormat::Webp);
    }
    if matches!(head, [b'P', b'1'..=b'6', b' ' | b'\t'..=b'\r', ..]) {
        return Sniffed::Image(ImageFormat::Ppm);
    }
    if let Some(name) = unsupported(head) {
        return Sniffed::Unsupported(name);
    }
    if let Some(what) = not_an_image(head) {
        return Sniffed::NotAnImage(what);
    }
    if looks_like_tga(head) {
        return Sniffed::Image(ImageFormat::Tga);
    }
    if !head.is_empty() && head.iter().all(|b| matches!(b, b'\t'..=b'\r' | b' '..=b'~' | 0x80..)) {
        return Sniffed::NotAnImage("text");
    }
    Sniffed::Unknown
}

fn unsupported(head: &[u8]) -> Option<&'static str> {
    let at_start = [
        (b"\0\0\x01\0".as_slice(), "ICO"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"8BPS", "PSD"),
        (b"v/1\x01", "OpenEXR"),
        (b"#?RADIANCE", "Radiance HDR"),
        (b"DDS ", "DDS"),
        (b"qoif", "QOI"),
        (b"icns", "ICNS"),
        (b"%!PS", "EPS"),
        (b"P7", "PAM"),
        (b"PF", "PFM"),
        (b"Pf", "PFM"),
        (b"Py", "Pillow's private PyP"),
        (b"P0CMYK", "Pillow's private P0CMYK"),
        (b"\x0a\x05\x01", "PCX"),
        (b"\x01\xda", "SGI"),
        (b"\x59\xa6\x6a\x95", "Sun raster"),
        (b"<svg", "SVG"),
    ];
    if let Some((_, name)) = at_start.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(name);
    }
    // ISO media files name their kind after the length and type of the first box.
    if head.get(4..8) == Some(b"ftyp") {
        return match head.get(8..12)? {
            b"avif" | b"avis" => Some("AVIF"),
            b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" => Some("HEIF"),
            _ => None,
        };
    }
    None
}

fn not_an_image(head: &[u8]) -> Option<&'static str> {
    let kinds = [
        (LFS_POINTER, "a git-lfs pointer, not the picture itself"),
        (b"%PDF", "a PDF document"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"\x93NUMPY", "a numpy array"),
        (b"\x7fELF", "a program"),
    ];
    if let Some((_, what)) = kinds.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    let start = head.iter().position(|b| !b.is_ascii_whitespace()).unwrap_or(0);
    let word = head[start..].to_ascii_lowercase();
    if word.starts_with(b"<!doctype html") || word.starts_with(b"<html") {
        return Some("an HTML page (a download that failed?)");
    }
    // safetensors: a 64-bit header length, then JSON.
    (head.get(8..10) == Some(b"{\"") && head.get(5..8) == Some(&[0; 3]))
        .then_some("a safetensors file")
}

/// TGA has no signature: like Pillow (`TgaImagePlugin.py`, `_open`), go by plausible header fields.
fn looks_like_tga(head: &[u8]) -> bool {
    let Some(header) = head.first_chunk::<18>() else { return false };
    let [_, map, kind, ..] = *header;
    let [width, height] = [12, 14].map(|at| u16::from_le_bytes([header[at], header[at + 1]]));
    map <= 1
        && matches!(kind, 1..=3 | 9..=11)
        && width > 0
        && height > 0
        && matches!(header[16], 1 | 8 | 16 | 24 | 32)
}
