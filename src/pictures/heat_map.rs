//! Where two pictures differ, in colors that can be read back as numbers.

use super::canvas::{Canvas, INK, LINE_HEIGHT, enlargement, text_size, text_width};
use crate::error::Result;
use crate::metrics::Visibility;
use crate::pixels::Rgb8;

/// What the colors of a heat map stand for: Butteraugli distances from 0, dark, to `top`, bright.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    top: f64,
}

/// Tops of scales in one decade, and into how many parts each falls whose ends are short numbers.
const TOPS: [(f64, u32); 7] =
    [(1.0, 4), (1.2, 4), (1.6, 4), (2.0, 4), (4.0, 4), (6.0, 3), (8.0, 4)];

impl Scale {
    /// The smallest of a row of round scales that holds every distance of `visibility`; its top is
    /// at least 1, so that what nobody sees stays dark.
    pub fn of(visibility: &Visibility) -> Self {
        let largest = f64::from(visibility.distances().iter().fold(0.0, |a: f32, &b| a.max(b)));
        let mut decade = 1.0;
        loop {
            let tops = TOPS.iter().map(|(top, _)| top * decade);
            // Distances are finite, so that some decade holds them.
            if let Some(top) = tops.into_iter().find(|top| *top >= largest) {
                return Self { top };
            }
            decade *= 10.0;
        }
    }

    /// The distance that has the brightest color.
    pub fn top(self) -> f64 {
        self.top
    }

    /// Distances that are written beside the colors, from 0 to the top.
    pub fn ticks(self) -> Vec<f64> {
        let leading = self.top / 10f64.powf(self.top.log10().floor());
        let near = |(top, _): &&(f64, u32)| (top - leading).abs() < 0.05;
        let parts = TOPS.iter().find(near).map_or(4, |(_, parts)| *parts);
        (0..=parts).map(|tick| self.top * f64::from(tick) / f64::from(parts)).collect()
    }

    fn share(self, distance: f64) -> f64 {
        (distance / self.top).clamp(0.0, 1.0)
    }
}

/// `count` colors of the scale, evenly from its bottom to its top.
pub fn colours(count: usize) -> impl Iterator<Item = [u8; 3]> {
    (0..count).map(move |at| colour(at as f64 / count.saturating_sub(1).max(1) as f64))
}

/// Of a share from 0 to 1. Brightness alone tells the order: it can be read without color vision
/// and in print.
fn colour(share: f64) -> [u8; 3] {
    let colour = colorous::INFERNO.eval_continuous(share);
    [colour.r, colour.g, colour.b]
}

/// The distances of `visibility` as colors of `scale`, a pixel each.
///
/// # Errors
///
/// Returns an error if `visibility` has no pixels.
pub fn heat_map(visibility: &Visibility, scale: Scale) -> Result<Rgb8> {
    let colours = visibility.distances().iter().map(|&d| colour(scale.share(f64::from(d))));
    Rgb8::new(visibility.width(), visibility.height(), colours.flatten().collect())
}

/// The heat map of `visibility` above a bar that says what its colors mean, for a file of its own.
/// Small pictures are enlarged by whole numbers.
///
/// # Errors
///
/// Returns an error if `visibility` has no pixels.
pub fn with_scale(visibility: &Visibility) -> Result<Rgb8> {
    let scale = Scale::of(visibility);
    let map = heat_map(visibility, scale)?;
    let enlarged = enlargement(&map);
    let (width, height) = (map.width() * enlarged, map.height() * enlarged);
    let size = text_size(width);
    let full_width = width.max(bar_width(size));
    let mut canvas = Canvas::new(full_width, height + bar_height(size));
    canvas.paste((full_width - width) / 2, 0, &map, enlarged);
    draw_bar(&mut canvas, 0, height, full_width, scale, size);
    canvas.finish()
}

/// A distance on a scale, in as few digits as it needs.
pub fn written(distance: f64) -> String {
    let hundredths = (distance * 100.0).round() / 100.0;
    format!("{hundredths}")
}

const MEANING: &str = "Butteraugli distance, 1 = just visible";

fn margin(size: usize) -> usize {
    12 * size
}

/// The least that the bar and its words need.
pub(super) fn bar_width(size: usize) -> usize {
    text_width(MEANING, size) + 2 * margin(size)
}

pub(super) fn bar_height(size: usize) -> usize {
    2 * margin(size) + (14 + 6 + 2 * (LINE_HEIGHT + 4)) * size
}

/// Colours, numbers and their meaning, from `left`, `top` on.
pub(super) fn draw_bar(
    canvas: &mut Canvas,
    left: usize,
    top: usize,
    width: usize,
    scale: Scale,
    size: usize,
) {
    let left = left + margin(size);
    let bar = width.saturating_sub(2 * margin(size)).max(2);
    let top = top + margin(size);
    for (x, colour) in colours(bar).enumerate() {
        canvas.fill(left + x, top, 1, 14 * size, colour);
    }
    let at = |distance: f64| left + (scale.share(distance) * (bar - 1) as f64).round() as usize;
    // The threshold of vision, wherever it lies on the bar.
    canvas.fill(at(1.0).saturating_sub(size / 2), top, size, 14 * size, INK);
    let below = top + 14 * size;
    for tick in scale.ticks() {
        canvas.fill(at(tick), below, size, 4 * size, INK);
        let number = written(tick);
        let wide = text_width(&number, size);
        let centred = at(tick)
            .saturating_sub(wide / 2)
            .clamp(left, (left + bar).saturating_sub(wide).max(left));
        canvas.write(centred, below + 6 * size, &number, size);
    }
    canvas.write(left, below + (6 + LINE_HEIGHT + 4) * size, MEANING, size);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures(noise: u8) -> (Rgb8, Rgb8) {
        let plain = Rgb8::new(32, 24, vec![128; 32 * 24 * 3]).unwrap();
        let mut data = plain.data().to_vec();
        // The right half only.
        for (at, level) in data.iter_mut().enumerate().filter(|(at, _)| at / 3 % 32 >= 16) {
            *level = if at % 2 == 0 { 128 - noise } else { 128 + noise };
        }
        (plain, Rgb8::new(32, 24, data).unwrap())
    }

    fn visibility(noise: u8) -> Visibility {
        let (a, b) = pictures(noise);
        Visibility::of(&a, &b).unwrap().unwrap()
    }

    #[test]
    fn equal_pictures_are_dark_and_differences_bright_where_they_are() {
        let same = visibility(0);
        assert_eq!((same.score(), Scale::of(&same).top()), (0.0, 1.0));
        let dark = heat_map(&same, Scale::of(&same)).unwrap();
        let darkest: Vec<_> = colours(2).take(1).collect();
        assert!(dark.data().chunks_exact(3).all(|pixel| pixel == darkest[0]));
        let differs = visibility(90);
        let scale = Scale::of(&differs);
        assert!(scale.top() >= differs.score() && differs.score() > 1.0);
        let map = heat_map(&differs, scale).unwrap();
        let brightness = |x: usize| map.pixel(x, 12).map(u32::from).iter().sum::<u32>();
        assert!(brightness(28) > 2 * brightness(1), "{} {}", brightness(28), brightness(1));
    }

    #[test]
    fn scales_end_in_round_numbers_and_their_ticks_are_short() {
        for top in [1.0, 1.2, 1.6, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 60.0, 120.0] {
            let ticks = Scale { top }.ticks();
            assert_eq!((ticks[0], ticks[ticks.len() - 1]), (0.0, top));
            assert!(ticks.iter().all(|&tick| written(tick).len() <= 4), "{ticks:?}");
        }
    }

    #[test]
    fn a_map_for_a_file_has_room_for_its_scale() {
        for (width, height) in [(8, 8), (8, 300), (900, 8)] {
            let a = Rgb8::new(width, height, vec![9; width * height * 3]).unwrap();
            let b = Rgb8::new(width, height, vec![99; width * height * 3]).unwrap();
            let picture = with_scale(&Visibility::of(&a, &b).unwrap().unwrap()).unwrap();
            assert!(picture.width() >= text_width(MEANING, 1));
            assert!(picture.height() > height);
            let written = picture.data().chunks_exact(3).filter(|pixel| *pixel == INK).count();
            assert!(written > 500, "{written} pixels of text");
        }
    }
}
