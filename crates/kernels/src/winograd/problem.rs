//! The convolution that is asked for, and the blocks that its output is cut into.

use crate::norm::Normalize;
use crate::tensor::NhwcTensor;

/// Transformed input that a thread works on at once, in bytes.
const BLOCK_BYTES: usize = 5 << 20;

/// Input channels up to which the weights stay in a core's cache, so that blocks may be small enough to stay there
/// beside them.
const FEW_CHANNELS: usize = 112;

/// A 3x3 convolution of stride 1 whose padding of one keeps the size.
#[derive(Debug, Clone, Copy)]
pub struct Conv2dParams<'a> {
    /// (outputs, inputs, 3, 3), as `torch.nn.Conv2d` has them.
    pub weight: &'a [f32],
    /// (outputs).
    pub bias: &'a [f32],
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Applied to the input while it is read. Padding is zero after it, as in a model that
    /// normalizes before it pads.
    pub normalize: Option<&'a Normalize>,
    /// Whether the input is upsampled to twice its height and width first, each pixel becoming a 2x2
    /// square.
    pub upsample: bool,
}

impl Conv2dParams<'_> {
    /// Height and width of the output.
    pub fn output_size(&self, input: &NhwcTensor) -> (usize, usize) {
        let times = 1 + usize::from(self.upsample);
        (input.height * times, input.width * times)
    }
}

/// How the output is cut into blocks, which threads work on one at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blocks {
    /// Rows of tiles in a block; the last block may have fewer.
    pub rows: usize,
    /// Columns of tiles in a block; the last block may have fewer.
    pub columns: usize,
    /// Blocks side by side.
    pub across: usize,
    /// Blocks one below the other.
    down: usize,
}

impl Blocks {
    pub fn new<const POINTS: usize, const TILE: usize>(
        height: usize,
        width: usize,
        pitch: usize,
    ) -> Self {
        let (tall, wide) = (height.div_ceil(TILE), width.div_ceil(TILE));
        let bytes_per_tile = POINTS * POINTS * pitch * size_of::<f32>();
        let most = if pitch <= FEW_CHANNELS { 48 } else { 192 };
        let tiles = (BLOCK_BYTES / bytes_per_tile).clamp(12, most);
        // Nearly square blocks have the shortest borders, which are read twice; rows and columns are
        // distributed evenly.
        let across = wide.div_ceil(((tiles as f64).sqrt() * 1.5) as usize);
        let columns = wide.div_ceil(across);
        let down = tall.div_ceil((tiles / columns).max(1));
        Self { rows: tall.div_ceil(down), columns, across, down }
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.across * self.down
    }
}
