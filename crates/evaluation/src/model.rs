//! What is evaluated.

use ndarray::Array4;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

/// A VAE, and what it takes to draw from its posterior.
pub trait Model {
    /// The model itself.
    fn vae(&self) -> &dyn Vae;

    /// Noise for a draw from the posterior of a picture of `size` (width, height), in the latents' shape.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    fn noise(&self, seed: u64, size: (usize, usize)) -> Result<Array4<f32>>;

    /// Refuses a picture of `size` (width, height) that certainly takes more memory than there is.
    ///
    /// # Errors
    ///
    /// When there is not as much.
    fn check_memory(&self, size: (usize, usize)) -> Result<()>;
}
