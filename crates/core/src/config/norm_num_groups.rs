//! Into how many groups channels are normalized, which no tensor's shape shows.

use super::VaeConfig;

impl VaeConfig {
    /// `norm_num_groups` of every GroupNorm; `None` for classes whose config has none.
    pub fn norm_num_groups(&self) -> Option<usize> {
        match self {
            Self::AutoencoderKL(config) => Some(config.norm_num_groups),
            Self::AutoencoderKLFlux2(config) => Some(config.norm_num_groups),
            Self::AsymmetricAutoencoderKL(config) => Some(config.norm_num_groups),
            Self::AutoencoderTiny(_)
            | Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => None,
        }
    }

    /// The same with another `norm_num_groups`; `None` where the config has none, or one of its widths
    /// is no multiple of `groups`.
    ///
    /// ```
    /// use vae_fidelity_core::config::VaeConfig;
    /// let text = r#"{"block_out_channels": [48], "norm_num_groups": 16}"#;
    /// let config = VaeConfig::from_json(text, "a test")?;
    /// assert_eq!(config.clone().with_norm_num_groups(8).unwrap().norm_num_groups(), Some(8));
    /// assert!(config.with_norm_num_groups(32).is_none());
    /// # Ok::<(), vae_fidelity_files::Error>(())
    /// ```
    #[must_use]
    pub fn with_norm_num_groups(mut self, groups: usize) -> Option<Self> {
        let (encoder, decoder) = (self.block_out_channels(), self.decoder_widths());
        let divides = |width: &usize| width.is_multiple_of(groups);
        if !encoder.iter().chain(decoder.iter()).all(divides) {
            return None;
        }
        match &mut self {
            Self::AutoencoderKL(config) => config.norm_num_groups = groups,
            Self::AutoencoderKLFlux2(config) => config.norm_num_groups = groups,
            Self::AsymmetricAutoencoderKL(config) => config.norm_num_groups = groups,
            Self::AutoencoderTiny(_)
            | Self::AutoencoderKLWan(_)
            | Self::AutoencoderKLQwenImage(_)
            | Self::AutoencoderKLQwenImage21(_)
            | Self::AutoencoderDC(_)
            | Self::AutoencoderKLHunyuanImage(_) => return None,
        }
        Some(self)
    }
}
