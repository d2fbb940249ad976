//! How far two pictures, or two tensors, lie apart.
//!
//! NaN never counts as agreement: a value that is not finite differs from everything, itself
//! included, and no tolerance accepts it.

mod checkpoints;
mod pixels;
mod ssim;
mod tensors;
mod weights;

pub use checkpoints::{CheckpointDifference, FieldDifference, TensorDifference, ValueDifference};
pub use pixels::{Channel, PixelMetrics, Position};
pub use ssim::{WINDOW, ssim};
pub use tensors::{Over, TensorMetrics, WorstPair};
pub use weights::{LEAST_VALUES, Moments, WeightStatistics};
