//! How far two pictures, or two tensors, lie apart.
//!
//! NaN never counts as agreement: a value that is not finite differs from everything, itself
//! included, and no tolerance accepts it.

#[cfg(feature = "perceptual")]
mod perceptual;
mod psnr;
mod alpha;
mod lab;
mod pixels;
mod windows;
mod ssim;
mod ssim_rule;
mod pairs;
mod tensors;
mod weights;
mod grid;
mod value_difference;

pub use alpha::AlphaMetrics;
pub use grid::Grid;
pub use lab::lab;
pub use pairs::{Pairs, position};
#[cfg(feature = "perceptual")]
pub use perceptual::{PERCEPTUAL_SIDE, Visibility, ssimulacra2};
pub use pixels::{Channel, PixelMetrics, Position};
pub use psnr::psnr;
pub use ssim::{MS_SSIM_SIDE, WINDOW, ms_ssim, ssim, ssim_and_ms_ssim};
pub use ssim_rule::{Covariance, SsimBorder, SsimRule, SsimWindow, Values};
pub use tensors::{Over, TensorMetrics, WorstPair};
pub use value_difference::ValueDifference;
pub use weights::{LEAST_VALUES, Moments, WeightStatistics};
