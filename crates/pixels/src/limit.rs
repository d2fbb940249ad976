//! How many pixels a file may declare.

use std::path::Path;

use vae_fidelity_files::error::{Error, Result};

/// Above this many pixels Pillow warns (`PIL.Image.MAX_IMAGE_PIXELS`: a quarter of a GiB of RGB).
pub const MAX_PIXELS_UNWARNED: u64 = 1024 * 1024 * 1024 / 4 / 3;
/// Above this many pixels Pillow refuses (`PIL.Image._decompression_bomb_check`).
pub const MAX_PIXELS_REFUSED: u64 = 2 * MAX_PIXELS_UNWARNED;

/// Checks the size that a header declares, before anything of that size is allocated.
///
/// Returns a note where Pillow warns. Fails where Pillow raises `DecompressionBombError`, and if a side
/// is zero.
pub(super) fn check_pixels(path: &Path, width: u64, height: u64) -> Result<Option<String>> {
    if width == 0 || height == 0 {
        return Err(Error::image(
            path,
            format!("the header declares {width} x {height} pixels"),
            "the file is broken: save it again",
        ));
    }
    let pixels = u128::from(width) * u128::from(height);
    // A fuzzer (cargo-fuzz sets the flag) learns nothing from large pictures but to be slow.
    let most = if cfg!(fuzzing) { 1 << 20 } else { MAX_PIXELS_REFUSED };
    if pixels > u128::from(most) {
        return Err(Error::image(
            path,
            format!(
                "the header declares {width} x {height} pixels; Pillow refuses more than \
                 {MAX_PIXELS_REFUSED} as a decompression bomb"
            ),
            "reduce the picture first",
        ));
    }
    Ok((pixels > u128::from(MAX_PIXELS_UNWARNED)).then(|| {
        format!("{width} x {height} pixels: Pillow warns above {MAX_PIXELS_UNWARNED} pixels")
    }))
}
