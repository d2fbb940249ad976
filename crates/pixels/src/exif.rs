//! The one EXIF field that matters here: the orientation.

/// The orientation (2 to 8) that an EXIF block declares, `None` when it is upright or unreadable.
///
/// `block` is a TIFF structure, with or without the `Exif\0\0` that JPEG puts in front. Follows
/// EXIF 2.3, section 4.6: tag 0x0112, one 16-bit number, in the first directory.
pub(super) fn orientation(block: &[u8]) -> Option<u16> {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let big = match tiff.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let u16_at = |at: usize| -> Option<u16> {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| -> Option<u32> {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = u32_at(4)? as usize;
    (0..usize::from(u16_at(directory)?))
        .map(|entry| directory + 2 + entry * 12)
        .find(|&at| u16_at(at) == Some(0x0112))
        .and_then(|at| u16_at(at + 8))
        .filter(|value| (2..=8).contains(value))
}

/// What to tell the user about an orientation that the pixels do not have.
pub(super) fn orientation_note(orientation: u16) -> String {
    format!(
        "EXIF orientation {orientation} is ignored, as by Pillow's convert(\"RGB\"): the pixels \
         are used as they are stored"
    )
}

/// What to tell the user about an ICC profile.
pub(super) const ICC_NOTE: &str =
    "the ICC profile is ignored, as by Pillow's convert(\"RGB\"): the numbers are used as they are";
