//! What is known of one picture and model.

use vae_fidelity_core::vae::Encoded;

use crate::moments::ChannelMoments;
use crate::pair::PairMetrics;

/// One picture and one model: a row of `rows.parquet`, whose columns have these names.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The picture's place in the data set, from 0.
    pub picture: u64,
    /// Its name in the data set.
    pub id: String,
    /// The model's place in the command, from 0.
    pub model: u32,
    /// SHA-256 of the picture's file; `None` where it could not be read.
    pub sha256: Option<String>,
    /// Columns and rows in the file; `None` where it could not be opened.
    pub source_size: Option<(u32, u32)>,
    /// Columns and rows that the encoder was given; `None` likewise.
    pub size: Option<(u32, u32)>,
    /// Why there are no metrics; `None` where there are.
    pub error: Option<String>,
    /// The metrics.
    pub metrics: Option<PairMetrics>,
    /// Moments of each channel of the latents; empty where there are no metrics.
    pub channels: Vec<ChannelMoments>,
}

impl Row {
    /// The row of a picture that could not be judged.
    pub(crate) fn failed(picture: u64, id: &str, model: u32, error: String) -> Self {
        Self {
            picture,
            id: id.to_owned(),
            model,
            sha256: None,
            source_size: None,
            size: None,
            error: Some(error),
            metrics: None,
            channels: Vec::new(),
        }
    }

    /// Adds what the encoder gave.
    pub(crate) fn with_latents(mut self, encoded: &Encoded) -> Self {
        self.channels = ChannelMoments::of(encoded);
        self
    }
}
