//! The pixels of one picture.

use vae_fidelity_files::error::{Error, Result};

/// 8-bit RGB pixels, row by row from the top left, three bytes a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rgb8 {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Rgb8 {
    /// Pixels from `data`, laid out (height, width, 3).
    ///
    /// # Errors
    ///
    /// Returns an error if a side is zero, or if `data` does not have `width * height * 3` bytes.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self> {
        let expected = width.checked_mul(height).and_then(|n| n.checked_mul(3));
        if width == 0 || height == 0 || expected != Some(data.len()) {
            return Err(Error::tensor(
                "RGB8 pixels",
                format!(
                    "{width} x {height} needs {} bytes, found {}",
                    expected.map_or("too many".into(), |n| n.to_string()),
                    data.len()
                ),
                "pass height * width * 3 bytes, both sides at least 1",
            ));
        }
        Ok(Self { width, height, data })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, laid out (height, width, 3).
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Red, green and blue at column `x` of row `y`; panics outside the picture, as indexing does.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.data[at], self.data[at + 1], self.data[at + 2]]
    }

    /// The colour that every pixel has; `None` where there are several, or no pixels.
    pub fn only_colour(&self) -> Option<[u8; 3]> {
        let (pixels, _) = self.data.as_chunks();
        let first = pixels.first()?;
        pixels.iter().all(|pixel| pixel == first).then_some(*first)
    }
}
