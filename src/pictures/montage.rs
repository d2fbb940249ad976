//! A round trip at a glance: input, output and difference in one picture.

use super::canvas::{Canvas, LINE_HEIGHT, enlargement, text_size, text_width};
use super::heat_map::{Scale, bar_height, bar_width, draw_bar, heat_map};
use crate::error::Result;
use crate::metrics::Visibility;
use crate::pixels::Rgb8;

/// `input`, `output` and the heat map of `visibility` (theirs) with its scale, each under its name
/// from `names`: beside each other, or below each other where they are wide. Small pictures are
/// enlarged by whole numbers.
///
/// # Errors
///
/// Returns an error if `visibility` has no pixels.
pub fn montage(
    input: &Rgb8,
    output: &Rgb8,
    visibility: &Visibility,
    names: [&str; 2],
) -> Result<Rgb8> {
    let scale = Scale::of(visibility);
    let map = heat_map(visibility, scale)?;
    let panels = [(names[0], input), (names[1], output), ("difference", &map)];
    let enlarged = enlargement(input);
    let side = |of: fn(&Rgb8) -> usize| {
        panels.iter().map(|(_, picture)| of(picture) * enlarged).max().unwrap_or_default()
    };
    let (picture_width, picture_height) = (side(Rgb8::width), side(Rgb8::height));
    let size = text_size(picture_width);
    let gap = 8 * size;
    let title = (LINE_HEIGHT + 8) * size;
    let width = picture_width.max(bar_width(size));
    let height = title + picture_height;
    let below = picture_width > 2 * picture_height;
    let (columns, rows) = if below { (1, 3) } else { (3, 1) };
    let mut canvas = Canvas::new(
        columns * width + (columns + 1) * gap,
        rows * height + (rows + 1) * gap + bar_height(size),
    );
    for (at, (name, picture)) in panels.iter().enumerate() {
        let (column, row) = if below { (0, at) } else { (at, 0) };
        let (left, top) = (gap + column * (width + gap), gap + row * (height + gap));
        let enough: String = name.chars().take(width / text_width("m", size)).collect();
        let margin = (width - picture_width) / 2;
        canvas.write(left + margin.min(width - text_width(&enough, size)), top, &enough, size);
        canvas.paste(left + margin, top + title, picture, enlarged);
        if at == 2 {
            draw_bar(&mut canvas, left, top + height, width, scale, size);
        }
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_pictures_are_there_at_any_size() {
        for (width, height) in [(8, 8), (40, 24), (8, 400), (700, 16), (1300, 900)] {
            let plain = |level| Rgb8::new(width, height, vec![level; width * height * 3]).unwrap();
            let (input, output) = (plain(77), plain(201));
            let visibility = Visibility::of(&input, &output).unwrap().unwrap();
            let picture = montage(&input, &output, &visibility, ["before", "after"]).unwrap();
            let count = |level: u8| {
                picture.data().chunks_exact(3).filter(|pixel| *pixel == [level; 3]).count()
            };
            let pixels = width * height * enlargement(&input).pow(2);
            assert_eq!((count(77), count(201)), (pixels, pixels), "{width} x {height}");
            assert!(picture.data().len() > 9 * pixels);
        }
    }
}
