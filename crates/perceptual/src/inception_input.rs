//! A picture as InceptionV3 takes it: 299 x 299 pixels in about [-1, 1].

/// Pixels a side.
pub(crate) const SIDE: usize = 299;

/// How a picture comes to that size, in which implementations of the Fréchet inception distance differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InceptionInput {
    /// pytorch-fid's: `torch.nn.functional.interpolate`, bilinear between the middles of pixels, without
    /// antialiasing, of values in [0, 1].
    PytorchFid,
    /// torch-fidelity's, and TensorFlow's of 2015: bilinear between the upper left corners of pixels
    /// (`interpolate_bilinear_2d_like_tensorflow1x`), of levels.
    TorchFidelity,
}

impl InceptionInput {
    /// Where pixel `at` of `SIDE` lies among `length` pixels.
    fn source(self, at: usize, length: usize) -> f32 {
        let scale = length as f32 / SIDE as f32;
        match self {
            Self::PytorchFid => ((at as f32 + 0.5) * scale - 0.5).max(0.0),
            Self::TorchFidelity => at as f32 * scale,
        }
    }
}

/// Two neighbours, and how far it is from the first to the second.
type Between = (usize, usize, f32);

fn between(how: InceptionInput, length: usize) -> Vec<Between> {
    let of = |at| {
        let source = how.source(at, length);
        let first = (source as usize).min(length - 1);
        (first, (first + 1).min(length - 1), source - first as f32)
    };
    (0..SIDE).map(of).collect()
}

/// The values of a picture, channel by channel.
pub(crate) fn input(
    (width, height): (usize, usize),
    levels: &[u8],
    how: InceptionInput,
) -> Vec<f32> {
    let (rows, columns) = (between(how, height), between(how, width));
    let mut planes = Vec::with_capacity(3 * SIDE * SIDE);
    for channel in 0..3 {
        let value = |row: usize, column: usize| {
            let level = f32::from(levels[(row * width + column) * 3 + channel]);
            match how {
                InceptionInput::PytorchFid => level / 255.0,
                InceptionInput::TorchFidelity => level,
            }
        };
        for &(above, below, down) in &rows {
            for &(left, right, across) in &columns {
                let along = |row| {
                    let (left, right) = (value(row, left), value(row, right));
                    left + (right - left) * across
                };
                let (above, below) = (along(above), along(below));
                let mixed = above + (below - above) * down;
                planes.push(match how {
                    InceptionInput::PytorchFid => 2.0 * mixed - 1.0,
                    InceptionInput::TorchFidelity => (mixed - 128.0) / 128.0,
                });
            }
        }
    }
    planes
}
