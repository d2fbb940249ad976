//! Many pairs of pictures on one sheet.

use super::canvas::{Canvas, LINE_HEIGHT, text_size, text_width};
use crate::error::Result;
use crate::pixels::Rgb8;

/// Pairs in a row.
const COLUMNS: usize = 3;

/// Each pair of `pairs` beside each other under its name, three pairs in a row. The pictures of the first
/// pair say how large all are: smaller ones are enlarged by whole numbers.
///
/// # Errors
///
/// Returns an error if there is no pair.
pub fn sheet(pairs: &[(String, &Rgb8, &Rgb8)]) -> Result<Rgb8> {
    let (width, height) = pairs.first().map_or((0, 0), |(_, a, _)| (a.width(), a.height()));
    let size = text_size(width);
    let (gap, title) = (8 * size, (LINE_HEIGHT + 8) * size);
    let (across, down) = (2 * width + gap / 2 + 2 * gap, title + height + gap);
    let rows = pairs.len().div_ceil(COLUMNS);
    let columns = pairs.len().min(COLUMNS);
    let mut canvas = match pairs.is_empty() {
        true => Canvas::new(0, 0),
        false => Canvas::new(columns * across, rows * down + gap),
    };
    for (at, (name, first, second)) in pairs.iter().enumerate() {
        let (left, top) = (at % COLUMNS * across + gap, at / COLUMNS * down + gap);
        let enough: String = name.chars().take(2 * width / text_width("m", size)).collect();
        canvas.write(left, top, &enough, size);
        let enlarged = (width / first.width()).max(1);
        canvas.paste(left, top + title, first, enlarged);
        canvas.paste(left + width + gap / 2, top + title, second, enlarged);
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_there_as_a_whole() {
        let plain = |level| Rgb8::new(20, 10, vec![level; 600]).unwrap();
        let (first, second) = (plain(77), plain(201));
        let pairs: Vec<_> = (0..7).map(|at| (format!("pair {at}"), &first, &second)).collect();
        for count in [1, 2, 7] {
            let sheet = sheet(&pairs[..count]).unwrap();
            let of = |level: u8| {
                sheet.data().chunks_exact(3).filter(|pixel| *pixel == [level; 3]).count()
            };
            assert_eq!((of(77), of(201)), (200 * count, 200 * count));
        }
        let (large, small) = (plain(77), Rgb8::new(10, 5, vec![201; 150]).unwrap());
        let pairs = [("".to_owned(), &large, &large), ("".to_owned(), &small, &small)];
        let both = sheet(&pairs).unwrap();
        let of =
            |level: u8| both.data().chunks_exact(3).filter(|pixel| *pixel == [level; 3]).count();
        assert_eq!((of(77), of(201)), (400, 400));
        assert!(sheet(&[]).is_err());
    }
}
