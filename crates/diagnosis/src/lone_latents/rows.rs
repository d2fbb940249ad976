//! The axes of latents whose size nothing tells: which are channels, rows and columns.

use ndarray::{Array4, ArrayD, ArrayView3, ArrayView4, ArrayViewD, Axis, Ix4, s};

use super::super::finding::Finding;
use super::super::sizes::{WRONG_FAMILY_CHANNELS, other_size};
use vae_fidelity_core::config::VaeConfig;

/// What was done to the axes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// (N, C, h, w), or with an axis of frames, or without the batch's.
    ChannelsFirst,
    /// (N, h, w, C).
    ChannelsLast,
    /// Moments (N, 2C, h, w), of which the mean is taken.
    Moments,
    /// FLUX.2's tokens (N, h w, C), as its pipeline returns latents; nothing in the file says their sides.
    Tokens {
        /// Rows at which what lies one below the other is most alike.
        height: usize,
        /// Columns of the same.
        width: usize,
    },
}

impl Axes {
    /// What a reader has to know; `None` where it is what pipelines hand on.
    pub fn note(self) -> Option<String> {
        match self {
            Self::ChannelsFirst => None,
            Self::ChannelsLast => Some("your latents are (N, h, w, C), and read so".to_owned()),
            Self::Moments => {
                let note = "your latents are moments: their first half, the mean, is decoded";
                Some(note.to_owned())
            }
            Self::Tokens { height, width } => Some(format!(
                "your latents are tokens (N, h * w, C), taken as {height} rows of {width}: the sides at \
                 which rows are most alike, since the file does not say them"
            )),
        }
    }
}

/// The latents in `tensor`, each (1, C, h, w), for a VAE of `config`: those of a batch, or of frames. C is
/// what the model makes, or where patches of it become channels, either number. A finding where no axis
/// has that many.
///
/// # Errors
///
/// Returns `wrong-family-channels`, or `size-mismatch` for a tensor that is no batch of pictures.
pub fn latent_rows(
    tensor: &ArrayD<f32>,
    config: &VaeConfig,
) -> Result<(Vec<Array4<f32>>, Axes), Box<Finding>> {
    let made = config.latent_channels();
    let patched = match config {
        VaeConfig::AutoencoderKLFlux2(config) => {
            Some(made * config.patch_size.iter().product::<usize>())
        }
        _ => None,
    };
    let channels: Vec<usize> = patched.into_iter().chain([made]).collect();
    let shape = tensor.shape();
    let view = tensor.view();
    let title = || {
        let wanted: Vec<String> = channels.iter().map(|c| format!("(N, {c}, h, w)")).collect();
        format!("your latents are {shape:?}, expected {}", wanted.join(" or "))
    };
    let found = match view.ndim() {
        3 if !channels.contains(&shape[0]) && patched == Some(shape[2]) => {
            tokens(view.into_dimensionality().ok())
        }
        3 => with_channels(view.insert_axis(Axis(0)), &channels),
        4 => with_channels(view.clone(), &channels).or_else(|| {
            // Frames of one clip: (C, F, h, w).
            let frames = channels.contains(&shape[0]).then_some(view)?;
            let mut four = frames.into_dimensionality::<Ix4>().ok()?;
            four.swap_axes(0, 1);
            Some((four.as_standard_layout().to_owned(), Axes::ChannelsFirst))
        }),
        5 => frames(view, &channels),
        _ => None,
    };
    let Some((rows, axes)) = found else {
        let counts: Vec<String> = channels.iter().map(usize::to_string).collect();
        let counts = counts.join(" or ");
        let expected = ["N".to_owned(), counts.clone(), "h".to_owned(), "w".to_owned()];
        return Err(Box::new(match shape.len() {
            3..=5 => Finding::new(
                &WRONG_FAMILY_CHANNELS,
                format!("{}: no axis has the {counts} channels of this VAE", title()),
            )
            .evidence("expected", expected)
            .evidence("found", shape),
            _ => other_size(title(), false, &[1, made, 0, 0], shape),
        }));
    };
    if rows.is_empty() {
        return Err(Box::new(other_size(
            format!("{}: there is nothing in it", title()),
            false,
            &[1, made, 1, 1],
            shape,
        )));
    }
    let rows = rows.axis_iter(Axis(0)).map(|row| row.insert_axis(Axis(0)).to_owned()).collect();
    Ok((rows, axes))
}

/// A tensor of four axes as (N, C, h, w), where C is one of `channels`; the last of them has moments.
fn with_channels(tensor: ArrayViewD<f32>, channels: &[usize]) -> Option<(Array4<f32>, Axes)> {
    let four: ArrayView4<f32> = tensor.into_dimensionality::<Ix4>().ok()?;
    let (_, second, _, last) = four.dim();
    // Channels last only where nothing else is possible: a side may be as long.
    if channels.contains(&second) {
        return Some((four.to_owned(), Axes::ChannelsFirst));
    }
    if let Some(made) = channels.last().filter(|made| second == 2 * **made) {
        return Some((four.slice(s![.., ..*made, .., ..]).to_owned(), Axes::Moments));
    }
    channels.contains(&last).then(|| {
        (four.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned(), Axes::ChannelsLast)
    })
}

/// (N, C, F, h, w) or (N, F, C, h, w) as (N F, C, h, w).
fn frames(tensor: ArrayViewD<f32>, channels: &[usize]) -> Option<(Array4<f32>, Axes)> {
    let mut five = tensor;
    if channels.contains(&five.shape()[1]) {
        five.swap_axes(1, 2);
    } else if !channels.contains(&five.shape()[2]) {
        return None;
    }
    let shape = five.shape().to_vec();
    let values: Vec<f32> = five.iter().copied().collect();
    let four = Array4::from_shape_vec((shape[0] * shape[1], shape[2], shape[3], shape[4]), values);
    Some((four.ok()?, Axes::ChannelsFirst))
}

/// Sides that differ less from the best ones than this are no worse: then the nearest to a square counts.
const AS_GOOD: f64 = 1.02;

/// Tokens (N, h w, C), row by row, as (N, C, h, w). Of the sides that their number allows, those at which
/// a token is most like the one below it.
fn tokens(tensor: Option<ArrayView3<f32>>) -> Option<(Array4<f32>, Axes)> {
    let tokens = tensor?;
    let (n, count, channels) = tokens.dim();
    // RMS difference of tokens that are `width` apart.
    let unlike = |width: usize| {
        let (above, below) =
            (tokens.slice(s![.., ..count - width, ..]), tokens.slice(s![.., width.., ..]));
        let sum = above.iter().zip(below).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        (sum / above.len() as f64).sqrt()
    };
    // Nothing is below a single row, and no picture is 16 times as long as it is wide.
    let sides = (1..count).filter(|width| count % width == 0).map(|width| (count / width, width));
    let sides = sides.filter(|(height, width)| (*height).max(*width) < 16 * (*height).min(*width));
    let tried: Vec<(f64, (usize, usize))> =
        sides.map(|(height, width)| (unlike(width), (height, width))).collect();
    // NaN leaves nothing to choose by: the values are refused later, and the shape is a square's.
    let least = tried.iter().map(|(unlike, _)| *unlike).fold(f64::INFINITY, f64::min);
    let as_good = tried.iter().filter(|(unlike, _)| unlike.is_nan() || *unlike <= AS_GOOD * least);
    let (_, (height, width)) = *as_good.min_by_key(|(_, (h, w))| h.abs_diff(*w))?;
    let rows = Array4::from_shape_fn((n, channels, height, width), |(image, channel, y, x)| {
        tokens[[image, y * width + x, channel]]
    });
    Some((rows, Axes::Tokens { height, width }))
}

#[cfg(test)]
mod tests {
    use super::super::super::codes::Code;
    use super::*;
    use ndarray::IxDyn;

    fn counted(shape: &[usize]) -> ArrayD<f32> {
        let count = shape.iter().product::<usize>();
        ArrayD::from_shape_vec(IxDyn(shape), (0..count).map(|value| value as f32).collect())
            .unwrap()
    }

    /// Of 4 latent channels, which FLUX.2 patches to 16.
    fn config(class: &str) -> VaeConfig {
        let text = format!(r#"{{"_class_name": "{class}", "latent_channels": 4}}"#);
        VaeConfig::from_json(&text, "config.json").unwrap()
    }

    #[test]
    fn channels_are_found_wherever_programs_put_them() {
        let of = |shape: &[usize]| latent_rows(&counted(shape), &config("AutoencoderKL")).unwrap();
        for (shape, count, axes, second) in [
            (&[1, 4, 2, 3][..], 1, Axes::ChannelsFirst, 1.0),
            (&[4, 2, 3], 1, Axes::ChannelsFirst, 1.0),
            (&[2, 4, 2, 3], 2, Axes::ChannelsFirst, 1.0),
            (&[1, 2, 3, 4], 1, Axes::ChannelsLast, 4.0),
            (&[2, 3, 4], 1, Axes::ChannelsLast, 4.0),
            (&[1, 8, 2, 3], 1, Axes::Moments, 1.0),
            (&[4, 5, 2, 3], 5, Axes::ChannelsFirst, 1.0),
            (&[2, 4, 5, 2, 3], 10, Axes::ChannelsFirst, 1.0),
            (&[2, 5, 4, 2, 3], 10, Axes::ChannelsFirst, 1.0),
        ] {
            let (rows, found) = of(shape);
            assert_eq!((rows.len(), found), (count, axes), "{shape:?}");
            assert_eq!(rows[0].dim(), (1, 4, 2, 3), "{shape:?}");
            assert_eq!(rows[0][[0, 0, 0, 1]], second, "{shape:?}");
        }
        // Frames are told apart from channels by what stands first.
        let (rows, _) = of(&[4, 5, 2, 3]);
        assert_eq!(rows[1][[0, 1, 0, 0]], 36.0);
    }

    #[test]
    fn other_channels_are_another_familys() {
        let refused =
            |shape: &[usize]| latent_rows(&counted(shape), &config("AutoencoderKL")).unwrap_err();
        assert_eq!(refused(&[1, 16, 2, 3]).code, Code::WrongFamilyChannels);
        assert_eq!(refused(&[16, 2, 3]).code, Code::WrongFamilyChannels);
        assert_eq!(refused(&[24]).code, Code::SizeMismatch);
        assert_eq!(refused(&[0, 4, 2, 3]).code, Code::SizeMismatch);
    }

    #[test]
    fn flux2s_are_patches_or_not_and_other_numbers_are_another_familys() {
        let of = |shape: &[usize]| latent_rows(&counted(shape), &config("AutoencoderKLFlux2"));
        for (shape, channels, axes) in [
            (&[1, 16, 2, 3][..], 16, Axes::ChannelsFirst),
            (&[16, 2, 3], 16, Axes::ChannelsFirst),
            (&[1, 2, 3, 16], 16, Axes::ChannelsLast),
            (&[1, 4, 2, 3], 4, Axes::ChannelsFirst),
            (&[1, 4, 2, 16], 4, Axes::ChannelsFirst),
            (&[1, 8, 2, 3], 4, Axes::Moments),
        ] {
            let (rows, found) = of(shape).unwrap();
            assert_eq!((rows[0].dim().1, found), (channels, axes), "{shape:?}");
        }
        let refused = of(&[1, 3, 5, 7]).unwrap_err();
        assert_eq!(refused.code, Code::WrongFamilyChannels);
        assert!(refused.title.contains("(N, 16, h, w) or (N, 4, h, w)"), "{}", refused.title);
        // So many tokens are no picture.
        assert_eq!(of(&[1, 17, 16]).unwrap_err().code, Code::WrongFamilyChannels);
    }

    #[test]
    fn tokens_have_the_sides_at_which_rows_are_alike() {
        for (height, width) in [(6, 6), (4, 9), (9, 4), (3, 12), (12, 3)] {
            let picture = |y: usize, x: usize, c: usize| {
                ((x * 7 + c) as f32).sin() + 0.1 * y as f32 + 0.05 * ((x * y) as f32).cos()
            };
            let tokens = ArrayD::from_shape_fn(IxDyn(&[2, height * width, 16]), |at| {
                picture(at[1] / width, at[1] % width, at[2])
            });
            let (rows, axes) = latent_rows(&tokens, &config("AutoencoderKLFlux2")).unwrap();
            assert_eq!(axes, Axes::Tokens { height, width });
            assert_eq!((rows.len(), rows[1].dim()), (2, (1, 16, height, width)));
            assert_eq!(rows[1][[0, 5, height - 1, 1]], picture(height - 1, 1, 5));
        }
        // Where nothing tells, the nearest to a square.
        let nan = ArrayD::from_elem(IxDyn(&[1, 24, 16]), f32::NAN);
        let (_, axes) = latent_rows(&nan, &config("AutoencoderKLFlux2")).unwrap();
        assert!(matches!(
            axes,
            Axes::Tokens { height: 4, width: 6 } | Axes::Tokens { height: 6, width: 4 }
        ));
        let note = axes.note().unwrap();
        assert!(note.contains("the file does not say them"), "{note}");
    }
}
