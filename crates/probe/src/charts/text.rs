//! Lines of text in three sizes: black on white above, white on black below.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_9X15, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Baseline, Text};

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Written again and again; it has every letter.
const WORDS: &str =
    "The quick brown fox jumps over the lazy dog. PACK MY BOX WITH 0123456789 JUGS! ";

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    let mut page = Page { side, ink: vec![false; side * side] };
    let fonts = [&FONT_10X20, &FONT_9X15, &FONT_6X10];
    let mut letters = WORDS.chars().cycle();
    let half = side / 2;
    for top_of_half in [0, half] {
        let mut top = top_of_half;
        for at in 0.. {
            let font: &MonoFont = fonts[at % fonts.len()];
            let (width, height) =
                (font.character_size.width as usize, font.character_size.height as usize);
            if top + height > top_of_half + half {
                break;
            }
            let line: String = letters.by_ref().take(side / width).collect();
            let style = MonoTextStyle::new(font, BinaryColor::On);
            let place = Point::new(0, top as i32);
            // Drawing on it cannot fail: the error has no values.
            let Ok(_) = Text::with_baseline(&line, place, style, Baseline::Top).draw(&mut page);
            top += height;
        }
    }
    square(side, |x, y| {
        let ink = page.ink[y * side + x];
        // Dark ink above, bright ink below.
        [if ink == (y < half) { 0 } else { 255 }; 3]
    })
}

/// Where there is ink.
struct Page {
    side: usize,
    ink: Vec<bool>,
}

impl OriginDimensions for Page {
    fn size(&self) -> Size {
        Size::new(self.side as u32, self.side as u32)
    }
}

impl DrawTarget for Page {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(
        &mut self,
        pixels: I,
    ) -> std::result::Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            if let (Ok(x), Ok(y), BinaryColor::On) =
                (usize::try_from(at.x), usize::try_from(at.y), colour)
                && x < self.side
                && y < self.side
            {
                self.ink[y * self.side + x] = true;
            }
        }
        Ok(())
    }
}
