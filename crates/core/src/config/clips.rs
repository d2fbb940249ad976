//! Which classes run clips of several frames.

use super::autoencoder_kl_wan::AutoencoderKLWanConfig;
use super::vae_config::VaeConfig;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// Frames of the picture that one frame of latents stands for, but for the first, which stands for one: diffusers
/// encodes so many at a time whatever the config says (`AutoencoderKLWan._encode`).
pub const FRAMES_OF_A_LATENT: usize = 4;

impl VaeConfig {
    /// Fails for a model that no clips of several frames go through: of other classes than `AutoencoderKLWan`
    /// and `AutoencoderKLQwenImage`, and of a config whose levels do not make one frame of four.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`ErrorKind::Unsupported`] then.
    pub fn check_runs_clips(&self) -> Result<()> {
        let halved = match self {
            Self::AutoencoderKLWan(config) => halved(config),
            Self::AutoencoderKLQwenImage(config) => halved(&config.as_wan()),
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "a clip",
                    format!("{} is run on single pictures", self.class().name()),
                    "give it one picture, without `frames`; clips go through AutoencoderKLWan and AutoencoderKLQwenImage",
                ));
            }
        };
        match 1 << halved {
            FRAMES_OF_A_LATENT => Ok(()),
            made_of => Err(Error::new(
                ErrorKind::Unsupported,
                "temperal_downsample of the config",
                format!(
                    "makes one frame of latents of {made_of}, and diffusers encodes \
                     {FRAMES_OF_A_LATENT} at a time"
                ),
                "give it one picture; the published models halve the number of frames twice",
            )),
        }
    }
}

/// How many levels halve the number of frames.
fn halved(config: &AutoencoderKLWanConfig) -> u32 {
    let levels = 0..config.dim_mult.len() - 1;
    levels.map(|level| u32::from(config.halves_frames(level))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> Option<String> {
        let config = VaeConfig::from_json(json, "a test").unwrap();
        config.check_runs_clips().err().map(|error| error.to_string())
    }

    #[test]
    fn clips_go_through_wan_and_qwen_image() {
        assert_eq!(refused(r#"{"_class_name": "AutoencoderKLWan"}"#), None);
        assert_eq!(refused(r#"{"_class_name": "AutoencoderKLQwenImage"}"#), None);
        for class in ["AutoencoderKLQwenImage21", "AutoencoderTiny"] {
            let error = refused(&format!(r#"{{"_class_name": "{class}"}}"#)).unwrap();
            assert!(error.contains("single pictures"), "{error}");
        }
    }

    #[test]
    fn four_frames_have_to_become_one() {
        for (levels, of) in [("[false, false, true]", 2), ("[true, true, true]", 8)] {
            let json = format!(
                r#"{{"_class_name": "AutoencoderKLWan", "temperal_downsample": {levels}}}"#
            );
            let error = refused(&json).unwrap();
            assert!(error.contains(&format!("latents of {of},")), "{error}");
        }
    }
}
