//! Pillow's `convert("RGB")`, row by row, for each mode that a file opens in.

use std::path::Path;

use super::dropped::Dropped;
use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// How the note begins that a picture with transparent pixels gets.
pub(super) const ALPHA_IS_DROPPED: &str =
    "alpha is dropped, not composited, as by Pillow's convert(\"RGB\")";

/// What is said of a file that names a transparent colour.
pub(super) const TRANSPARENT_IS_IGNORED: &str =
    "the transparent colour (tRNS) is ignored, as by convert(\"RGB\")";

/// Collects rows of any mode as RGB, and counts what the conversion loses.
pub(super) struct ToRgb {
    width: usize,
    height: usize,
    data: Vec<u8>,
    see_through: u64,
    clipped: u64,
    /// One for each pixel, from the first that is not opaque on.
    alpha: Option<Vec<u8>>,
    /// The same of grey values, from the first that is clipped on.
    grey16: Option<Vec<u16>>,
}

impl ToRgb {
    /// Room for a `width` x `height` picture, whose size has been checked; errors without memory.
    pub(super) fn new(path: &Path, width: usize, height: usize) -> Result<Self> {
        let mut data = Vec::new();
        reserve(&mut data, width * height * 3).map_err(|_| {
            Error::image(
                path,
                format!("no memory for {width} x {height} pixels"),
                "reduce the picture first",
            )
        })?;
        Ok(Self { width, height, data, see_through: 0, clipped: 0, alpha: None, grey16: None })
    }

    /// The alpha of the pixel whose colour comes next.
    pub(super) fn alpha(&mut self, alpha: u8) {
        if alpha != 255 && self.see_through == 0 {
            self.alpha = self.so_far(|_| 255);
        }
        self.see_through += u64::from(alpha != 255);
        if let Some(all) = &mut self.alpha {
            all.push(alpha);
        }
    }

    /// What all pixels before this one have, with room for the others; without memory for it `None`, and
    /// the picture is then not read in other ways.
    fn so_far<T>(&self, of: impl Fn(u8) -> T) -> Option<Vec<T>> {
        let mut values = Vec::new();
        reserve(&mut values, self.width * self.height).ok()?;
        values.extend(self.data.iter().step_by(3).map(|&red| of(red)));
        Some(values)
    }

    /// Mode `L`, and `1` as 0 and 255: the value three times.
    pub(super) fn grey(&mut self, samples: &[u8]) {
        for &value in samples {
            self.data.extend([value; 3]);
        }
    }

    /// Modes `I;16` and `I`: values above 255 become 255. Nothing is scaled.
    pub(super) fn grey_clipped(&mut self, samples: impl IntoIterator<Item = u32>) {
        for value in samples {
            if value > 255 && self.clipped == 0 {
                self.grey16 = self.so_far(u16::from);
            }
            self.clipped += u64::from(value > 255);
            if let Some(all) = &mut self.grey16 {
                all.push(value.min(65535) as u16);
            }
            self.data.extend([value.min(255) as u8; 3]);
        }
    }

    /// Mode `LA`: alpha is dropped.
    pub(super) fn grey_alpha(&mut self, samples: &[u8]) {
        for pixel in samples.chunks_exact(2) {
            self.alpha(pixel[1]);
            self.data.extend([pixel[0]; 3]);
        }
    }

    /// Mode `RGB`.
    pub(super) fn rgb(&mut self, samples: &[u8]) {
        self.data.extend_from_slice(samples);
    }

    /// Mode `RGBA`: alpha is dropped.
    pub(super) fn rgba(&mut self, samples: &[u8]) {
        for pixel in samples.chunks_exact(4) {
            self.alpha(pixel[3]);
            self.data.extend_from_slice(&pixel[..3]);
        }
    }

    /// Mode `P`: the palette's colour.
    pub(super) fn palette(&mut self, indices: &[u8], palette: &Palette) {
        for &index in indices {
            self.alpha(palette.alpha[usize::from(index)]);
            self.data.extend(palette.colours[usize::from(index)]);
        }
    }

    /// Mode `CMYK`, 255 being full ink: no profile, ink takes light away (`Convert.c`, `cmyk2rgb`).
    pub(super) fn cmyk(&mut self, samples: &[u8]) {
        for pixel in samples.chunks_exact(4) {
            let light = 255 - u32::from(pixel[3]);
            for &ink in &pixel[..3] {
                self.data.push((light - divided_by_255(u32::from(ink) * light)) as u8);
            }
        }
    }

    /// The picture, notes on what the conversion lost, and that itself.
    pub(super) fn finish(self) -> Result<(Rgb8, Vec<String>, Dropped)> {
        let share = |count: u64| 100.0 * count as f64 / (self.width * self.height) as f64;
        let mut notes = Vec::new();
        if self.see_through > 0 {
            notes.push(format!(
                "{ALPHA_IS_DROPPED}: {:.1} % of the pixels are not opaque",
                share(self.see_through)
            ));
        }
        if self.clipped > 0 {
            notes.push(format!(
                "grey of more than 8 bits is clipped at 255, not scaled, as by Pillow's \
                 convert(\"RGB\"): {:.1} % of the pixels became white",
                share(self.clipped)
            ));
        }
        let dropped = Dropped {
            alpha: self.alpha.unwrap_or_default(),
            transparent: None,
            grey16: self.grey16.unwrap_or_default(),
            profile: Vec::new(),
        };
        Ok((Rgb8::new(self.width, self.height, self.data)?, notes, dropped))
    }
}

/// `value / 255`, rounded to nearest (`ImagingUtils.h`, `MULDIV255`).
pub(super) fn divided_by_255(value: u32) -> u32 {
    let value = value + 128;
    ((value >> 8) + value) >> 8
}

/// 256 colors with an alpha each. What a file leaves out is black, as in Pillow.
pub(super) struct Palette {
    colours: [[u8; 3]; 256],
    alpha: [u8; 256],
}

impl Palette {
    /// From consecutive red, green, blue bytes; more than 256 colors are ignored.
    pub(super) fn from_rgb(bytes: &[u8]) -> Self {
        let mut colours = [[0; 3]; 256];
        for (colour, rgb) in colours.iter_mut().zip(bytes.chunks_exact(3)) {
            colour.copy_from_slice(rgb);
        }
        Self { colours, alpha: [255; 256] }
    }

    /// The alpha of a color.
    pub(super) fn alpha_of(&self, index: u8) -> u8 {
        self.alpha[usize::from(index)]
    }

    /// With the alpha of the first colors.
    pub(super) fn with_alpha(mut self, alpha: &[u8]) -> Self {
        let count = alpha.len().min(256);
        self.alpha[..count].copy_from_slice(&alpha[..count]);
        self
    }
}

/// `count` samples of 1, 2, 4 or 8 bits from a packed row, first sample in the high bits, unscaled.
///
/// Missing bytes read as zero.
pub(super) fn unpack(row: &[u8], bits: u8, count: usize) -> Vec<u8> {
    let per_byte = usize::from(8 / bits);
    let mask = 0xFF_u8 >> (8 - bits);
    (0..count)
        .map(|i| {
            let byte = row.get(i / per_byte).copied().unwrap_or(0);
            let shift = 8 - bits as usize * (i % per_byte + 1);
            (byte >> shift) & mask
        })
        .collect()
}
