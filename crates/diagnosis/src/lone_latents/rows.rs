//! The axes of latents whose size nothing tells: which are channels, rows and columns.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD, Axis, Ix4, s};

use super::super::finding::Finding;
use super::super::sizes::{WRONG_FAMILY_CHANNELS, other_size};

/// What was done to the axes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axes {
    /// (N, C, h, w), or with an axis of frames, or without the batch's.
    ChannelsFirst,
    /// (N, h, w, C).
    ChannelsLast,
    /// Moments (N, 2C, h, w), of which the mean is taken.
    Moments,
}

impl Axes {
    /// What a reader has to know; `None` where it is what pipelines hand on.
    pub fn note(self) -> Option<&'static str> {
        match self {
            Self::ChannelsFirst => None,
            Self::ChannelsLast => Some("your latents are (N, h, w, C), and read so"),
            Self::Moments => {
                Some("your latents are moments: their first half, the mean, is decoded")
            }
        }
    }
}

/// The latents in `tensor`, each (1, C, h, w), for a VAE of `channels` latent channels: those of a batch,
/// or of frames. A finding where no axis has that many.
///
/// # Errors
///
/// Returns `wrong-family-channels`, or `size-mismatch` for a tensor that is no batch of pictures.
pub fn latent_rows(
    tensor: &ArrayD<f32>,
    channels: usize,
) -> Result<(Vec<Array4<f32>>, Axes), Box<Finding>> {
    let shape = tensor.shape();
    let view = tensor.view();
    let title = || format!("your latents are {shape:?}, expected (N, {channels}, h, w)");
    let found = match view.ndim() {
        3 => with_channels(view.insert_axis(Axis(0)), channels),
        4 => with_channels(view.clone(), channels).or_else(|| {
            // Frames of one clip: (C, F, h, w).
            let frames = (shape[0] == channels).then_some(view)?;
            let mut four = frames.into_dimensionality::<Ix4>().ok()?;
            four.swap_axes(0, 1);
            Some((four.as_standard_layout().to_owned(), Axes::ChannelsFirst))
        }),
        5 => frames(view, channels),
        _ => None,
    };
    let Some((rows, axes)) = found else {
        let expected = ["N".to_owned(), channels.to_string(), "h".to_owned(), "w".to_owned()];
        return Err(Box::new(match shape.len() {
            3..=5 => Finding::new(
                &WRONG_FAMILY_CHANNELS,
                format!("{}: no axis has the {channels} channels of this VAE", title()),
            )
            .evidence("expected", expected)
            .evidence("found", shape),
            _ => other_size(title(), false, &[1, channels, 0, 0], shape),
        }));
    };
    if rows.is_empty() {
        return Err(Box::new(other_size(
            format!("{}: there is nothing in it", title()),
            false,
            &[1, channels, 1, 1],
            shape,
        )));
    }
    let rows = rows.axis_iter(Axis(0)).map(|row| row.insert_axis(Axis(0)).to_owned()).collect();
    Ok((rows, axes))
}

/// A tensor of four axes as (N, C, h, w).
fn with_channels(tensor: ArrayViewD<f32>, channels: usize) -> Option<(Array4<f32>, Axes)> {
    let four: ArrayView4<f32> = tensor.into_dimensionality::<Ix4>().ok()?;
    let (_, second, _, last) = four.dim();
    // Channels last only where nothing else is possible: a side may be as long.
    if second == channels {
        return Some((four.to_owned(), Axes::ChannelsFirst));
    }
    if second == 2 * channels {
        return Some((four.slice(s![.., ..channels, .., ..]).to_owned(), Axes::Moments));
    }
    (last == channels).then(|| {
        (four.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned(), Axes::ChannelsLast)
    })
}

/// (N, C, F, h, w) or (N, F, C, h, w) as (N F, C, h, w).
fn frames(tensor: ArrayViewD<f32>, channels: usize) -> Option<(Array4<f32>, Axes)> {
    let mut five = tensor;
    if five.shape()[1] == channels {
        five.swap_axes(1, 2);
    } else if five.shape()[2] != channels {
        return None;
    }
    let shape = five.shape().to_vec();
    let values: Vec<f32> = five.iter().copied().collect();
    let four = Array4::from_shape_vec((shape[0] * shape[1], shape[2], shape[3], shape[4]), values);
    Some((four.ok()?, Axes::ChannelsFirst))
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

    #[test]
    fn channels_are_found_wherever_programs_put_them() {
        let of = |shape: &[usize]| latent_rows(&counted(shape), 4).unwrap();
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
        let refused = |shape: &[usize]| latent_rows(&counted(shape), 4).unwrap_err();
        assert_eq!(refused(&[1, 16, 2, 3]).code, Code::WrongFamilyChannels);
        assert_eq!(refused(&[16, 2, 3]).code, Code::WrongFamilyChannels);
        assert_eq!(refused(&[24]).code, Code::SizeMismatch);
        assert_eq!(refused(&[0, 4, 2, 3]).code, Code::SizeMismatch);
    }
}
