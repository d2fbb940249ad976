//! Files that are no picture, or a broken one, are refused with a reason; nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use vae_fidelity::pixels::{ImageFormat, open};

fn image(name: &str) -> Vec<u8> {
    fs::read(images().join(name)).unwrap()
}

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/images")
}

fn names() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(images())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".json") && !name.ends_with(".md"))
        .collect();
    names.sort();
    names
}

/// A file of these bytes, in a folder that goes when the guard does. It is named .png whatever it
/// holds: neither Pillow nor this crate looks at the name.
fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.png");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The problem that a file of these bytes is refused for.
fn problem(bytes: &[u8]) -> String {
    let (_folder, path) = file(bytes);
    let error = open(&path).expect_err("should be refused");
    assert_eq!(error.subject(), path.display().to_string());
    assert!(!error.next().is_empty());
    error.problem().to_string()
}

#[test]
fn what_is_no_picture_is_refused_by_name() {
    assert_eq!(problem(b""), "the file is empty");
    assert_eq!(problem(b"just some text\n"), "expected an image, found text");
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    let found = "expected an image, found a git-lfs pointer, not the picture itself";
    assert_eq!(problem(pointer), found);
    assert!(problem(b"<!DOCTYPE html><html></html>").contains("an HTML page"));
    assert_eq!(problem(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"), "AVIF is not supported");
    assert_eq!(problem(b"\0\0\0\x0cjP  \r\n\x87\n"), "JPEG 2000 is not supported");
    assert!(problem(&[7; 64]).starts_with("not an image in any format"));
}

#[test]
fn paths_that_hold_no_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let problem = |path: &Path| open(path).unwrap_err().problem().to_string();
    assert_eq!(problem(folder.path()), "expected an image file, found a directory");
    assert_eq!(problem(&folder.path().join("absent.png")), "no such file or directory");
    if cfg!(unix) {
        let found = "expected a regular file, found a pipe or device";
        assert_eq!(problem(Path::new("/dev/null")), found);
    }
}

#[test]
fn the_content_decides_the_format() {
    for (name, format) in [
        ("coffee.jpg", ImageFormat::Jpeg),
        ("picture.tga", ImageFormat::Tga),
        ("lossy.webp", ImageFormat::Webp),
    ] {
        let (_folder, path) = file(&image(name));
        assert_eq!(open(&path).unwrap().format, format);
    }
}

/// CRC-32 of a PNG chunk, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |c, _| step(c)))
}

/// A PNG file that ends after its header.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend(b"\x08\x02\0\0\0");
    png.extend(crc(&png[12..]).to_be_bytes());
    png
}

#[test]
fn decompression_bombs_are_refused_by_their_header() {
    let mut jpeg = image("baseline_444.jpg");
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let mut gif = image("picture.gif");
    gif[6..10].fill(0xFF);
    let mut bmp = image("picture.bmp");
    bmp[18..26].copy_from_slice(&[0xA0, 0x86, 1, 0, 0xA0, 0x86, 1, 0]);
    let mut tga = image("picture.tga");
    tga[12..16].fill(0xFF);
    // Width, height and rows in a strip, which has to agree.
    let mut tiff = image("picture.tiff");
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    for entry in tiff[directory + 2..].chunks_exact_mut(12) {
        if matches!(entry, [0 | 1 | 22, 1, ..]) {
            entry[2..].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0xA0, 0x86, 1, 0]);
        }
    }
    for (format, bytes) in [
        ("PNG", png_header(100_000, 100_000)),
        ("JPEG", jpeg),
        ("GIF", gif),
        ("BMP", bmp),
        ("TGA", tga),
        ("PPM", b"P6 100000 100000 255\n".to_vec()),
        ("TIFF", tiff),
    ] {
        let problem = problem(&bytes);
        assert!(problem.contains("decompression bomb"), "{format}: {problem}");
    }
    // Pillow's limit, to the pixel: one more than 2 * (2 ** 28 // 3) is refused as a bomb.
    assert!(problem(&png_header(2, 89_478_485)).contains("truncated"));
    assert!(problem(&png_header(7, 25_565_282)).contains("decompression bomb"));
}

/// The decoder would set aside 32 bytes for each value that a tag claims, and as much as a tile does.
#[test]
fn tiff_tags_that_claim_more_than_the_file_holds_are_refused() {
    let mut checked = 0;
    let whole = image("picture.tiff");
    let directory = u32::from_le_bytes(whole[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes([whole[directory], whole[directory + 1]]));
    for entry in 0..entries {
        let mut tiff = whole.clone();
        let count = directory + 2 + 12 * entry + 4;
        tiff[count..count + 4].copy_from_slice(&0xFFFF_FF00_u32.to_le_bytes());
        assert!(problem(&tiff).contains("bytes of values, the whole file has"));
        checked += 1;
    }
    assert!(checked > 8);
    // The same in BigTIFF, where a count has eight bytes.
    let mut big = b"II\x2b\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x01\x04\0".to_vec();
    big.extend([0xff; 7]);
    big.extend([0; 9]);
    assert!(problem(&big).contains("tag 256 claims"), "{}", problem(&big));
    // What places its strips, made to place tiles; rows a strip and planes become a tile's sides.
    let mut tiff = whole;
    for entry in tiff[directory + 2..].chunks_exact_mut(12).take(entries) {
        let tag = match u16::from_le_bytes([entry[0], entry[1]]) {
            273 => 324_u16,
            279 => 325,
            278 => 322,
            284 => 323,
            _ => continue,
        };
        entry[..2].copy_from_slice(&tag.to_le_bytes());
        if matches!(tag, 322 | 323) {
            entry[2..].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0, 0, 1, 0]);
        }
    }
    assert!(problem(&tiff).contains("tiles of 65536 x 65536 pixels"), "{}", problem(&tiff));
}

/// The decoder would make room for the frame, whatever the file says of the picture.
#[test]
fn a_webp_frame_of_another_size_than_its_picture_is_refused() {
    let extended = |frame: &[u8]| {
        let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        webp.extend_from_slice(frame);
        let length = webp.len() as u32 - 8;
        webp[4..8].copy_from_slice(&length.to_le_bytes());
        webp
    };
    let lossy = extended(b"VP8 \x0c\0\0\0\xb0\x01\0\x9d\x01\x2a\xff\x3f\xff\x3f\0\0");
    let lossless = extended(b"VP8L\x0a\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0");
    for (bytes, frame) in [(lossy, "16383 x 16383"), (lossless, "16384 x 16384")] {
        let problem = problem(&bytes);
        let reason = format!("a frame of {frame} pixels in a picture of 1 x 1");
        assert!(problem.contains(&reason), "{problem}");
    }
}

/// Every golden image that is small, cut after every byte: refused, or still whole.
#[test]
fn cut_files_are_refused_or_whole() {
    let mut refused = 0;
    for name in names() {
        let bytes = image(&name);
        if bytes.len() > 3000 {
            continue;
        }
        let (_folder, path) = file(&bytes);
        let whole = open(&path).unwrap().pixels;
        let shorter = fs::File::options().write(true).open(&path).unwrap();
        for length in (0..bytes.len()).rev() {
            shorter.set_len(length as u64).unwrap();
            match open(&path) {
                Ok(opened) => assert!(opened.pixels == whole, "{name} cut to {length} bytes"),
                Err(_) => refused += 1,
            }
        }
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = open(&path).unwrap_err();
        let known = ["truncated", "broken"].iter().any(|word| error.problem().contains(word));
        assert!(known, "{name}: {error}");
    }
    assert!(refused > 10_000, "only {refused} refused");
}

fn cases() -> ProptestConfig {
    let seeds = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/suite/pixels/bad_pictures.proptest-regressions"
    );
    ProptestConfig {
        cases: 512,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(names()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        near_the_start in any::<bool>(),
    ) {
        let mut bytes = image(&name);
        for (place, value) in damage {
            let at = place.index(if near_the_start { bytes.len().min(100) } else { bytes.len() });
            bytes[at] = value;
        }
        let (_folder, path) = file(&bytes);
        if let Err(error) = open(&path) {
            prop_assert!(!error.problem().contains("panicked"), "{}", error);
        }
    }
}
