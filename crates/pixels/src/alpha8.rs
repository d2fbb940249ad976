//! How opaque the pixels of one picture are.

use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, Result};

/// Opacity of 8 bits, one value a pixel, row by row from the top left: 0 is transparent, 255 opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alpha8 {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Alpha8 {
    /// Values from `data`, laid out (height, width).
    ///
    /// # Errors
    ///
    /// Returns an error if a side is zero, or if `data` does not have `width * height` bytes.
    pub fn new(width: usize, height: usize, data: Vec<u8>) -> Result<Self> {
        let expected = width.checked_mul(height);
        if width == 0 || height == 0 || expected != Some(data.len()) {
            return Err(Error::tensor(
                "alpha",
                format!(
                    "{width} x {height} needs {} bytes, found {}",
                    expected.map_or("too many".into(), |n| n.to_string()),
                    data.len()
                ),
                "pass height * width bytes, both sides at least 1",
            ));
        }
        Ok(Self { width, height, data })
    }

    /// What a picture without alpha has: 255 for each of its pixels.
    pub fn opaque(pixels: &Rgb8) -> Self {
        let (width, height) = (pixels.width(), pixels.height());
        Self { width, height, data: vec![255; width * height] }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, laid out (height, width).
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The value at column `x` of row `y`; panics outside the picture, as indexing does.
    pub fn value(&self, x: usize, y: usize) -> u8 {
        self.data[y * self.width + x]
    }

    /// Whether all is opaque.
    pub fn is_opaque(&self) -> bool {
        self.data.iter().all(|&value| value == 255)
    }

    /// `pixels` with this alpha behind each of them, laid out (height, width, 4).
    ///
    /// # Errors
    ///
    /// Returns an error if `pixels` are of another size.
    pub fn interleaved(&self, pixels: &Rgb8) -> Result<Vec<u8>> {
        self.check_size(pixels)?;
        let (colours, _) = pixels.data().as_chunks::<3>();
        let pairs = colours.iter().zip(&self.data);
        Ok(pairs.flat_map(|(&[r, g, b], &alpha)| [r, g, b, alpha]).collect())
    }

    /// Refuses `pixels` of another size.
    ///
    /// # Errors
    ///
    /// Returns an error that names both sizes.
    pub fn check_size(&self, pixels: &Rgb8) -> Result<()> {
        let (own, theirs) = ((self.width, self.height), (pixels.width(), pixels.height()));
        if own == theirs {
            return Ok(());
        }
        Err(Error::tensor(
            "alpha",
            format!(
                "expected {} x {} as the pixels have, found {} x {}",
                theirs.0, theirs.1, own.0, own.1
            ),
            "pass both of one picture",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_value_for_each_pixel() {
        let alpha = Alpha8::new(2, 3, (0..6).collect()).unwrap();
        assert_eq!((alpha.value(1, 0), alpha.value(0, 2)), (1, 4));
        assert!(!alpha.is_opaque());
        for (width, height, bytes) in [(2, 3, 5), (0, 0, 0), (usize::MAX, 2, 0)] {
            let error = Alpha8::new(width, height, vec![0; bytes]).unwrap_err().to_string();
            assert!(error.contains("alpha"), "{error}");
        }
        let pixels = Rgb8::new(3, 2, vec![0; 18]).unwrap();
        assert!(Alpha8::opaque(&pixels).is_opaque());
        assert!(alpha.check_size(&pixels).is_err() && alpha.interleaved(&pixels).is_err());
        let pixels = Rgb8::new(1, 2, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let alpha = Alpha8::new(1, 2, vec![7, 8]).unwrap();
        assert_eq!(alpha.interleaved(&pixels).unwrap(), [1, 2, 3, 7, 4, 5, 6, 8]);
    }
}
