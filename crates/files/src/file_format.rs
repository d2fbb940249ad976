//! What a file is by its first bytes, whatever its name says: for the sentence that a user reads who
//! gave one thing where another was wanted.

use std::fmt;

/// A format that its first bytes show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFormat {
    /// Weights of ggml: llama.cpp, stable-diffusion.cpp, ComfyUI-GGUF.
    Gguf,
    /// A graph of ONNX.
    Onnx,
    /// HDF5, as Keras writes its weights.
    Hdf5,
    /// A map of msgpack, as Flax writes its weights.
    Msgpack,
    /// A model of Core ML, or its file of weights.
    CoreMl,
    /// An engine of TensorRT.
    TensorRt,
    /// A flatbuffer of TensorFlow Lite.
    TfLite,
    /// One NumPy array.
    Npy,
    /// A picture, by the name of its format.
    Picture(&'static str),
    /// A page for a browser.
    Html,
    /// Another document in XML.
    Xml,
    /// An object of JSON.
    Json,
    /// A compressed or packed file, by the name of what packed it.
    Packed(&'static str),
    /// What git-lfs leaves in place of a file.
    LfsPointer,
}

/// How many bytes of a file [`FileFormat::of`] looks at.
const LOOKED_AT: usize = 512;

/// Signatures at the start of a file.
const SIGNATURES: [(&[u8], FileFormat); 29] = [
    (super::input::LFS_POINTER, FileFormat::LfsPointer),
    (b"GGUF", FileFormat::Gguf),
    (b"FUGG", FileFormat::Gguf),
    // ggml before GGUF, as little-endian numbers: ggml, ggmf, ggjt, ggla.
    (b"lmgg", FileFormat::Gguf),
    (b"fmgg", FileFormat::Gguf),
    (b"tjgg", FileFormat::Gguf),
    (b"algg", FileFormat::Gguf),
    (b"\x89HDF\r\n\x1a\n", FileFormat::Hdf5),
    (b"ptrt", FileFormat::TensorRt),
    (b"ftrt", FileFormat::TensorRt),
    (b"\x93NUMPY", FileFormat::Npy),
    (b"\x89PNG\r\n\x1a\n", FileFormat::Picture("PNG")),
    (b"\xff\xd8\xff", FileFormat::Picture("JPEG")),
    (b"GIF87a", FileFormat::Picture("GIF")),
    (b"GIF89a", FileFormat::Picture("GIF")),
    (b"II*\0", FileFormat::Picture("TIFF")),
    (b"MM\0*", FileFormat::Picture("TIFF")),
    (b"\xff\x0a", FileFormat::Picture("JPEG XL")),
    (b"\0\0\0\x0cJXL \r\n\x87\n", FileFormat::Picture("JPEG XL")),
    (b"\0\0\0\x0cjP  \r\n\x87\n", FileFormat::Picture("JPEG 2000")),
    (b"8BPS", FileFormat::Picture("Photoshop")),
    (b"v/1\x01", FileFormat::Picture("OpenEXR")),
    (b"\x1f\x8b", FileFormat::Packed("gzip")),
    (b"BZh", FileFormat::Packed("bzip2")),
    (b"\xfd7zXZ\0", FileFormat::Packed("xz")),
    (b"\x28\xb5\x2f\xfd", FileFormat::Packed("zstd")),
    (b"7z\xbc\xaf\x27\x1c", FileFormat::Packed("7-Zip")),
    (b"Rar!\x1a\x07", FileFormat::Packed("RAR")),
    (b"\x04\x22\x4d\x18", FileFormat::Packed("LZ4")),
];

impl FileFormat {
    /// What a file that begins with `bytes` is; `None` for zip archives, pickles and safetensors, which
    /// are weights, and for what nothing here knows.
    ///
    /// ```
    /// use vae_fidelity_files::FileFormat;
    /// assert_eq!(FileFormat::of(b"GGUF\x03\0\0\0"), Some(FileFormat::Gguf));
    /// assert_eq!(FileFormat::of(b"\x10\0\0\0\0\0\0\0{\"a\":{}}"), None);
    /// ```
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(LOOKED_AT)];
        // safetensors: the length of a header, whose low bytes can look like anything, and the header.
        if let Some((length, [b'{', ..])) = bytes.split_first_chunk::<8>()
            && length[5..] == [0; 3]
        {
            return None;
        }
        let signed = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature));
        if let Some((_, format)) = signed {
            return Some(*format);
        }
        of_container(bytes).or_else(|| of_text(bytes)).or_else(|| of_message(bytes))
    }

    /// What to give in its place where weights are wanted.
    pub fn instead_of_weights(self) -> &'static str {
        match self {
            Self::Gguf => "give the .safetensors file that it was converted from",
            Self::Onnx | Self::CoreMl | Self::TensorRt | Self::TfLite => {
                "give the weights that it was exported from (.safetensors, .bin, .pt or .ckpt)"
            }
            Self::Hdf5 | Self::Msgpack => {
                "give the PyTorch weights of the same model (.safetensors, .bin, .pt or .ckpt)"
            }
            Self::Npy => "give the weights as .safetensors; an array alone has no names",
            Self::Picture(_) => {
                "give the file or folder of the VAE; pictures are arguments of check"
            }
            Self::Html => {
                "it is what a browser is shown, such as a page that asks to log in: download the file \
                 itself, from the hub through /resolve/ in place of /blob/"
            }
            Self::Xml => "give the weights (.safetensors, .bin, .pt or .ckpt)",
            Self::Json => "give the weights that lie beside it, or the folder that holds both",
            Self::Packed(_) => "unpack it, and give the file of weights in it",
            Self::LfsPointer => {
                "run `git lfs pull` in the repository, or download the file from the model's page"
            }
        }
    }
}

/// What it is, with its article: `a GGUF file, as stable-diffusion.cpp reads it`.
impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gguf => "a GGUF file: weights for ggml, such as stable-diffusion.cpp reads",
            Self::Onnx => "an ONNX file: an exported graph",
            Self::Hdf5 => "an HDF5 file, as Keras writes weights",
            Self::Msgpack => "a msgpack file, as Flax writes weights",
            Self::CoreMl => "a Core ML file: an exported model",
            Self::TensorRt => "a TensorRT engine: a model compiled for one GPU",
            Self::TfLite => "a TensorFlow Lite file: an exported model",
            Self::Npy => "a NumPy array (.npy)",
            Self::Picture(name) => return write!(f, "a picture ({name})"),
            Self::Html => "a web page (HTML)",
            Self::Xml => "a text in XML",
            Self::Json => "a text in JSON",
            Self::Packed(name) => return write!(f, "a file packed by {name}"),
            Self::LfsPointer => "a git-LFS pointer, not the file itself",
        })
    }
}

/// Formats whose signature does not stand first.
fn of_container(bytes: &[u8]) -> Option<FileFormat> {
    let at = |start: usize, signature: &[u8]| {
        bytes.get(start..).is_some_and(|rest| rest.starts_with(signature))
    };
    match () {
        () if at(0, b"RIFF") && at(8, b"WEBP") => Some(FileFormat::Picture("WebP")),
        () if at(4, b"TFL3") => Some(FileFormat::TfLite),
        () if at(257, b"ustar") => Some(FileFormat::Packed("tar")),
        // weight.bin of an .mlpackage: its blobs begin with this at a multiple of 64.
        () if at(64, b"\xef\xbe\xad\xde") => Some(FileFormat::CoreMl),
        () if at(4, b"ftyp") => {
            let heif = [&b"avif"[..], b"avis", b"heic", b"heix", b"mif1", b"msf1"];
            heif.iter().any(|brand| at(8, brand)).then_some(FileFormat::Picture("HEIF or AVIF"))
        }
        // A bitmap announces its size, and zeros after it.
        () if at(0, b"BM") && at(6, &[0; 4]) => Some(FileFormat::Picture("BMP")),
        () => None,
    }
}

/// Text that says what it is.
fn of_text(bytes: &[u8]) -> Option<FileFormat> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let lower: Vec<u8> = bytes.iter().take(32).map(u8::to_ascii_lowercase).collect();
    match () {
        () if lower.starts_with(b"<!doctype html") || lower.starts_with(b"<html") => {
            Some(FileFormat::Html)
        }
        () if lower.starts_with(b"<?xml") => Some(FileFormat::Xml),
        () if lower.starts_with(b"<!--") || lower.starts_with(b"<head") => Some(FileFormat::Html),
        () => {
            let (&first, rest) = bytes.split_first()?;
            let next = rest.trim_ascii_start().first();
            (first == b'{' && matches!(next, Some(b'"' | b'}'))).then_some(FileFormat::Json)
        }
    }
}

/// Messages of protobuf and msgpack, which have no signature: their first fields are what a writer
/// puts there.
fn of_message(bytes: &[u8]) -> Option<FileFormat> {
    let is_text =
        |text: &[u8]| !text.is_empty() && text.iter().all(|&b| b.is_ascii_graphic() || b == b' ');
    match *bytes {
        // Field 1 is a number, of ONNX's format or Core ML's; field 2 the producer's name in ONNX,
        // and a description, which is a message, in Core ML.
        [0x08, 1..=0x20, 0x12, length, ref rest @ ..] => {
            let length = usize::from(length);
            match rest.get(..length) {
                Some(name) if length < 0x80 && is_text(name) => Some(FileFormat::Onnx),
                _ if matches!(rest.first(), Some(0x0a | 0x52 | 0xa2)) => Some(FileFormat::CoreMl),
                _ if length >= 0x80 && matches!(rest.get(1), Some(0x0a)) => {
                    Some(FileFormat::CoreMl)
                }
                _ => None,
            }
        }
        // Without a producer: the graph (7), or the sets of operators (8).
        [0x08, 1..=0x20, 0x3a | 0x42, length, ..] if length != 0 => Some(FileFormat::Onnx),
        // A map whose first key is a name, and what it leads to a map or an extension (an array).
        [0x81..=0x8f, ref rest @ ..] | [0xde, _, _, ref rest @ ..] => {
            let (length, rest) = match *rest {
                [length @ 0xa1..=0xbf, ref rest @ ..] => (usize::from(length & 0x1f), rest),
                [0xd9, length, ref rest @ ..] => (usize::from(length), rest),
                _ => return None,
            };
            let (name, value) = rest.split_at_checked(length)?;
            let nested =
                matches!(value.first(), Some(0x81..=0x8f | 0xc7..=0xc9 | 0xd4..=0xd8 | 0xde));
            (is_text(name) && nested).then_some(FileFormat::Msgpack)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        let of = |bytes: &[u8]| FileFormat::of(bytes);
        let tar = [&[b'a'; 257][..], b"ustar"].concat();
        let blob = [&[2, 0, 0, 0][..], &[0; 60], b"\xef\xbe\xad\xde"].concat();
        for (bytes, format) in [
            (&b"GGUF\x03\0\0\0"[..], FileFormat::Gguf),
            (b"tjgg\x03\0\0\0", FileFormat::Gguf),
            (b"\x08\x08\x12\x07pytorch\x1a\x052.4.0", FileFormat::Onnx),
            (b"\x08\x07\x3a\xf0\x01", FileFormat::Onnx),
            (b"\x89HDF\r\n\x1a\n\0", FileFormat::Hdf5),
            (b"\x84\xa7encoder\x85\xa7conv_in", FileFormat::Msgpack),
            (b"\x81\xa6kernel\xc7\x10\x01", FileFormat::Msgpack),
            (b"\x08\x07\x12\x2a\x0a\x10\x0a\x05image", FileFormat::CoreMl),
            (b"\x08\x05\x12\xaa\x03\x0a\x10\x0a\x05image", FileFormat::CoreMl),
            (&blob, FileFormat::CoreMl),
            (b"ftrt\0\0", FileFormat::TensorRt),
            (b"\x1c\0\0\0TFL3\0", FileFormat::TfLite),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", FileFormat::Npy),
            (b"RIFF\x10\0\0\0WEBPVP8 ", FileFormat::Picture("WebP")),
            (b"\xff\xd8\xff\xe0", FileFormat::Picture("JPEG")),
            (b"BM\x36\x01\0\0\0\0\0\0\x36", FileFormat::Picture("BMP")),
            (b"\0\0\0\x20ftypavif", FileFormat::Picture("HEIF or AVIF")),
            (b"\n <!DOCTYPE html><html>", FileFormat::Html),
            (b"<?xml version=\"1.0\"?>", FileFormat::Xml),
            (b"{\"error\": \"not found\"}", FileFormat::Json),
            (&tar, FileFormat::Packed("tar")),
            (b"version https://git-lfs.github.com/spec/v1\n", FileFormat::LfsPointer),
        ] {
            assert_eq!(of(bytes), Some(format), "{bytes:?}");
        }
    }

    #[test]
    fn weights_and_noise_are_not_taken_for_something_else() {
        // Lengths of safetensors headers whose low bytes are the start of something else.
        for start in [&b"GGUF"[..], b"\x08\x08\x12\x07", b"\x84\xa7en", b"BM", b"\x1f\x8b", b"ptrt"]
        {
            let mut bytes = start.to_vec();
            bytes.resize(8, 0);
            bytes.extend(b"{\"encoder.conv_in.weight\":{}}");
            assert_eq!(FileFormat::of(&bytes), None, "{start:?}");
        }
        for bytes in [
            &b""[..],
            b"PK\x03\x04data",
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
            b"\x08",
            b"\x08\x08\x12",
            b"\x84",
            b"\x84\xa7enc",
            b"\x81\xa1a\x01",
            &[0; 512],
            &[0xff; 512],
        ] {
            assert_eq!(FileFormat::of(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn every_format_says_what_to_give_instead() {
        for (_, format) in SIGNATURES {
            assert!(!format.instead_of_weights().contains("again"), "{format}");
            assert!(format.to_string().starts_with("a"), "{format}");
        }
    }
}
