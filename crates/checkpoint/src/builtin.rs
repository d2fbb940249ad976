//! The VAE that comes with this project, where it was built in.

use vae_fidelity_files::error::Result;

/// Its config.json, and its weights as safetensors.
///
/// # Errors
///
/// Where it was left out of this build.
pub(super) fn builtin() -> Result<(&'static str, &'static [u8])> {
    #[cfg(feature = "builtin")]
    return Ok((vae_fidelity_goldens::BUILTIN_CONFIG, vae_fidelity_goldens::BUILTIN_WEIGHTS));
    #[cfg(not(feature = "builtin"))]
    return Err(vae_fidelity_files::Error::new(
        vae_fidelity_files::ErrorKind::Checkpoint,
        "builtin",
        "the built-in VAE was left out of this build",
        "name a file or folder, or build vae-fidelity-checkpoint with the feature builtin",
    ));
}
