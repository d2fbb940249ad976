//! Pillow's resize of a picture in mode `RGBA`.

use super::alpha8::Alpha8;
use super::resize::{Filter, PassOrder, resize};
use super::rgb8::Rgb8;
use super::to_rgb::divided_by_255;
use vae_fidelity_files::error::Result;

/// `pixels` and their `alpha` at `width` x `height`, as Pillow 13.0.0's `Image.resize` makes them in mode
/// `RGBA`: colours are multiplied by alpha first and divided by it afterwards (`Image.resize`,
/// `src/libImaging/Convert.c`: `rgba2rgbA` and `rgbA2rgba`), but for [`Filter::Nearest`].
///
/// The same size returns a copy, as in Pillow.
///
/// # Errors
///
/// As [`resize`], and if `alpha` is of another size than `pixels`.
pub fn resize_rgba(
    pixels: &Rgb8,
    alpha: &Alpha8,
    (width, height): (usize, usize),
    filter: Filter,
    order: PassOrder,
) -> Result<(Rgb8, Alpha8)> {
    alpha.check_size(pixels)?;
    if (width, height) == (pixels.width(), pixels.height()) {
        return Ok((pixels.clone(), alpha.clone()));
    }
    // A pass looks at each channel by itself, so three of them may be the same.
    let three = alpha.data().iter().flat_map(|&value| [value; 3]).collect();
    let three = Rgb8::new(alpha.width(), alpha.height(), three)?;
    let three = resize(&three, width, height, filter, order)?;
    let resized = three.data().iter().step_by(3).copied().collect();
    let resized_alpha = Alpha8::new(width, height, resized)?;
    if filter == Filter::Nearest {
        return Ok((resize(pixels, width, height, filter, order)?, resized_alpha));
    }
    let premultiplied = each(pixels, alpha, |level, alpha| divided_by_255(level * alpha))?;
    let resized = resize(&premultiplied, width, height, filter, order)?;
    let divided = each(&resized, &resized_alpha, |level, alpha| match alpha {
        0 | 255 => level,
        _ => (255 * level / alpha).min(255),
    })?;
    Ok((divided, resized_alpha))
}

/// Each level by itself and its pixel's alpha.
fn each(pixels: &Rgb8, alpha: &Alpha8, of: impl Fn(u32, u32) -> u32) -> Result<Rgb8> {
    let (colours, _) = pixels.data().as_chunks::<3>();
    let levels = colours.iter().zip(alpha.data()).flat_map(|(colour, &alpha)| {
        colour.map(|level| of(u32::from(level), u32::from(alpha)) as u8)
    });
    Rgb8::new(pixels.width(), pixels.height(), levels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 5;
    const HEIGHT: usize = 4;
    #[rustfmt::skip]
    const RGBA: [u8; WIDTH * HEIGHT * 4] = [
        95, 130, 194, 217, 207, 235, 15, 163, 33, 215, 217, 130, 248, 189, 16, 69, 184, 232, 205, 78,
        169, 61, 125, 10, 29, 240, 66, 19, 182, 39, 59, 4, 59, 81, 222, 44, 120, 122, 50, 208,
        78, 28, 64, 166, 121, 89, 170, 233, 127, 178, 237, 128, 113, 123, 76, 155, 69, 154, 130, 248,
        95, 73, 192, 186, 191, 127, 220, 161, 231, 1, 43, 139, 237, 191, 86, 143, 7, 232, 96, 239,
    ];

    fn split(rgba: &[u8], width: usize, height: usize) -> (Rgb8, Alpha8) {
        let (pixels, _) = rgba.as_chunks::<4>();
        let colours = pixels.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
        let alpha = pixels.iter().map(|pixel| pixel[3]).collect();
        (Rgb8::new(width, height, colours).unwrap(), Alpha8::new(width, height, alpha).unwrap())
    }

    /// `Image.fromarray(rgba).resize(size, filter)` of Pillow 13.0.0.
    #[test]
    fn rgba_is_resized_as_pillow_resizes_it() {
        let (pixels, alpha) = split(&RGBA, WIDTH, HEIGHT);
        let resized =
            |size, filter| resize_rgba(&pixels, &alpha, size, filter, PassOrder::Pillow).unwrap();
        let smaller = [
            126, 151, 121, 113, 103, 206, 148, 74, 135, 144, 97, 115, 112, 69, 160, 165, 181, 100,
            142, 132, 80, 177, 96, 200,
        ];
        assert_eq!(resized((3, 2), Filter::Bicubic), split(&smaller, 3, 2));
        // Where bicubic overshoots, a colour is brighter than its alpha allows.
        let (larger, of_larger) = resized((7, 6), Filter::Bicubic);
        assert_eq!((larger.pixel(5, 0), of_larger.value(5, 0)), ([255, 216, 85], 66));
        assert_eq!((larger.pixel(1, 2), of_larger.value(1, 2)), ([59, 85, 110], 30));
        assert_eq!((larger.pixel(6, 5), of_larger.value(6, 5)), ([0, 238, 93], 244));
        let nearest = [
            95, 130, 194, 217, 33, 215, 217, 130, 184, 232, 205, 78, 78, 28, 64, 166, 127, 178,
            237, 128, 69, 154, 130, 248, 95, 73, 192, 186, 231, 1, 43, 139, 7, 232, 96, 239,
        ];
        assert_eq!(resized((3, 3), Filter::Nearest), split(&nearest, 3, 3));
        assert_eq!(resized((5, 4), Filter::Bicubic), (pixels.clone(), alpha.clone()));
    }

    #[test]
    fn what_is_opaque_is_resized_as_without_alpha() {
        let (pixels, _) = split(&RGBA, WIDTH, HEIGHT);
        let alpha = Alpha8::opaque(&pixels);
        let order = PassOrder::Pillow;
        let (colours, resized) =
            resize_rgba(&pixels, &alpha, (7, 3), Filter::Bicubic, order).unwrap();
        assert_eq!(colours, resize(&pixels, 7, 3, Filter::Bicubic, order).unwrap());
        assert!(resized.is_opaque());
    }

    #[test]
    fn alpha_of_another_picture_is_refused() {
        let (pixels, _) = split(&RGBA, WIDTH, HEIGHT);
        let alpha = Alpha8::new(4, 5, vec![255; 20]).unwrap();
        let order = PassOrder::Pillow;
        let error = resize_rgba(&pixels, &alpha, (2, 2), Filter::Bicubic, order).unwrap_err();
        assert!(error.to_string().contains("expected 5 x 4"), "{error}");
    }
}
