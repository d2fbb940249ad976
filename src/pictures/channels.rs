//! One channel of a tensor as a picture and as a histogram.

use ndarray::ArrayView2;

use crate::error::Result;
use crate::pixels::Rgb8;

/// NaN and infinity: a color that the scale does not have.
const NOT_FINITE: [u8; 3] = [255, 0, 255];

/// `channel` as a picture, a pixel a value: its smallest finite value dark, its largest bright; NaN
/// and infinity magenta.
///
/// # Errors
///
/// Returns an error if `channel` is empty.
pub fn channel_picture(channel: ArrayView2<f32>) -> Result<Rgb8> {
    let range = range(channel);
    let colours = channel.iter().map(|&value| match range {
        Some((least, most)) if value.is_finite() => {
            let share = (f64::from(value) - least) / (most - least).max(f64::MIN_POSITIVE);
            let colour = colorous::VIRIDIS.eval_continuous(share.clamp(0.0, 1.0));
            [colour.r, colour.g, colour.b]
        }
        _ => NOT_FINITE,
    });
    let colours = colours.flatten().collect();
    let (height, width) = channel.dim();
    Rgb8::new(width, height, colours)
}

/// How many finite values of `channel` lie in each of `bins` equal parts of `least` to `most`;
/// values outside count in the first or the last.
pub fn histogram(channel: ArrayView2<f32>, least: f64, most: f64, bins: usize) -> Vec<usize> {
    let mut counts = vec![0; bins];
    let Some(last) = bins.checked_sub(1) else { return counts };
    let width = (most - least).max(f64::MIN_POSITIVE);
    for value in channel.iter().filter(|value| value.is_finite()) {
        let share = (f64::from(*value) - least) / width;
        // Casting from below zero gives 0.
        counts[((share * bins as f64) as usize).min(last)] += 1;
    }
    counts
}

fn range(channel: ArrayView2<f32>) -> Option<(f64, f64)> {
    let finite = channel.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value));
    finite.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((least, most)) => Some((least.min(value), most.max(value))),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;

    #[test]
    fn order_is_brightness_and_what_is_not_finite_stands_out() {
        let channel = arr2(&[[-3.0, 0.0, 5.0], [f32::NAN, f32::INFINITY, 5.0]]);
        let picture = channel_picture(channel.view()).unwrap();
        assert_eq!((picture.width(), picture.height()), (3, 2));
        let green = |x: usize| picture.pixel(x, 0)[1];
        assert!(green(0) < green(1) && green(1) < green(2));
        assert_eq!(picture.pixel(0, 1), NOT_FINITE);
        assert_eq!(picture.pixel(1, 1), NOT_FINITE);
        assert_eq!(picture.pixel(2, 1), picture.pixel(2, 0));
    }

    #[test]
    fn flat_and_hopeless_channels_have_pictures_too() {
        assert!(channel_picture(arr2(&[[2.0, 2.0]]).view()).is_ok());
        assert!(channel_picture(arr2(&[[f32::NAN]]).view()).is_ok());
        assert!(channel_picture(arr2(&[[f32::MAX, f32::MIN]]).view()).is_ok());
    }

    #[test]
    fn histograms_count_every_finite_value_once() {
        let channel = arr2(&[[-9.0, 0.0, 0.9, 1.0], [1.9, 2.0, 99.0, f32::NAN]]);
        assert_eq!(histogram(channel.view(), 0.0, 2.0, 2), [3, 4]);
        assert_eq!(histogram(channel.view(), 0.0, 0.0, 3).iter().sum::<usize>(), 7);
        assert!(histogram(channel.view(), 0.0, 1.0, 0).is_empty());
    }
}
