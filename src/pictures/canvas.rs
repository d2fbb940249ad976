//! Pixels that pictures and text are drawn on.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_9X15;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};

use crate::error::Result;
use crate::pixels::Rgb8;

pub(super) const BACKGROUND: [u8; 3] = [16, 18, 24];
pub(super) const INK: [u8; 3] = [232, 234, 240];
/// Columns of one letter, the gap to the next included.
const LETTER_WIDTH: usize = 9;
/// Rows of one line of text.
pub(super) const LINE_HEIGHT: usize = 15;

/// A picture in the making; what lies outside is cut off.
pub(super) struct Canvas {
    width: usize,
    height: usize,
    data: Vec<u8>,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, data: BACKGROUND.repeat(width * height) }
    }

    pub fn fill(&mut self, left: usize, top: usize, width: usize, height: usize, colour: [u8; 3]) {
        let right = (left + width).min(self.width);
        for y in top..(top + height).min(self.height) {
            for x in left.min(right)..right {
                let at = (y * self.width + x) * 3;
                self.data[at..at + 3].copy_from_slice(&colour);
            }
        }
    }

    /// Puts `picture` with its top left at `left`, `top`, each of its pixels `enlarged` times as
    /// wide and high.
    pub fn paste(&mut self, left: usize, top: usize, picture: &Rgb8, enlarged: usize) {
        for y in 0..picture.height() {
            for x in 0..picture.width() {
                let (at_x, at_y) = (left + x * enlarged, top + y * enlarged);
                self.fill(at_x, at_y, enlarged, enlarged, picture.pixel(x, y));
            }
        }
    }

    /// Writes one line of ASCII from `left`, `top` on, `size` times as large as the font is.
    pub fn write(&mut self, left: usize, top: usize, text: &str, size: usize) {
        let mut letters = Letters { canvas: self, left, top, size };
        let style = MonoTextStyle::new(&FONT_9X15, BinaryColor::On);
        // Drawing on it cannot fail: the error has no values.
        let Ok(_) =
            Text::with_baseline(text, Point::zero(), style, Baseline::Top).draw(&mut letters);
    }

    pub fn finish(self) -> Result<Rgb8> {
        Rgb8::new(self.width, self.height, self.data)
    }
}

/// How wide `text` is written.
pub(super) fn text_width(text: &str, size: usize) -> usize {
    text.chars().count() * LETTER_WIDTH * size
}

/// How much larger letters are on a picture of `width` columns, so that it can be shown small.
pub(super) fn text_size(width: usize) -> usize {
    (width / 640).max(1)
}

/// How often a picture's pixels are repeated, so that a small one can be seen.
pub(super) fn enlargement(picture: &Rgb8) -> usize {
    (512 / picture.width().max(picture.height())).max(1)
}

struct Letters<'a> {
    canvas: &'a mut Canvas,
    left: usize,
    top: usize,
    size: usize,
}

impl OriginDimensions for Letters<'_> {
    fn size(&self) -> Size {
        // Letters that do not fit are cut off by the canvas.
        Size::new(u32::MAX >> 1, LINE_HEIGHT as u32)
    }
}

impl DrawTarget for Letters<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> std::result::Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y), BinaryColor::On) =
                (usize::try_from(at.x), usize::try_from(at.y), colour)
            {
                let (left, top) = (self.left + x * self.size, self.top + y * self.size);
                self.canvas.fill(left, top, self.size, self.size, INK);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inked(canvas: &Canvas) -> usize {
        canvas.data.chunks_exact(3).filter(|pixel| *pixel == INK).count()
    }

    #[test]
    fn letters_are_drawn_and_cut_off_at_the_edge() {
        let mut canvas = Canvas::new(40, 16);
        canvas.write(0, 0, "8", 1);
        let one = inked(&canvas);
        assert!(one > 10);
        let mut canvas = Canvas::new(40, 32);
        canvas.write(0, 0, "8", 2);
        assert_eq!(inked(&canvas), 4 * one);
        let mut canvas = Canvas::new(3, 3);
        canvas.write(0, 0, "a long line", 2);
        canvas.write(9, 9, "outside", 1);
        assert_eq!(canvas.data.len(), 27);
    }

    #[test]
    fn every_character_that_is_written_is_in_the_font() {
        for character in (b' '..=b'~').map(char::from).filter(|c| *c != ' ') {
            let mut canvas = Canvas::new(9, 15);
            canvas.write(0, 0, &character.to_string(), 1);
            assert!(inked(&canvas) > 0, "{character}");
        }
    }

    #[test]
    fn pasted_pixels_are_repeated() {
        let picture = Rgb8::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let mut canvas = Canvas::new(6, 3);
        canvas.paste(1, 1, &picture, 2);
        let canvas = canvas.finish().unwrap();
        assert_eq!(canvas.pixel(0, 1), BACKGROUND);
        assert_eq!((canvas.pixel(1, 1), canvas.pixel(2, 2)), ([1, 2, 3], [1, 2, 3]));
        assert_eq!((canvas.pixel(3, 1), canvas.pixel(4, 2)), ([4, 5, 6], [4, 5, 6]));
        assert_eq!(canvas.pixel(5, 2), BACKGROUND);
    }
}
