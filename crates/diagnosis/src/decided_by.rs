//! What has to be run, and given, for a cause to be seen.

use std::fmt;

use serde::{Serialize, Serializer};

/// One way in which a cause is decided.
///
/// Displays and serializes as what is run and the parameter that it needs, which stands in
/// backticks: ``check `latents` ``.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecidedBy {
    /// The files of a checkpoint, without running it.
    Inspect,
    /// One round trip.
    Check,
    /// One round trip in f16.
    HalfPrecision,
    /// What a round trip in f32 says of f16.
    Forecast,
    /// The latents of the user's own pipeline.
    Latents,
    /// The tensor that it fed to the encoder.
    Preprocessed,
    /// The picture that it decoded.
    DecodedImage,
    /// A trace of its layers.
    Against,
    /// The same tensors through a second implementation.
    CrossCheck,
    /// The model as it is in memory, from Python.
    LiveModel,
}

impl DecidedBy {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Inspect,
        Self::Check,
        Self::HalfPrecision,
        Self::Forecast,
        Self::Latents,
        Self::Preprocessed,
        Self::DecodedImage,
        Self::Against,
        Self::CrossCheck,
        Self::LiveModel,
    ];

    /// Whether it is a file of the user's own pipeline.
    pub fn is_file(self) -> bool {
        matches!(self, Self::Latents | Self::Preprocessed | Self::DecodedImage | Self::Against)
    }

    /// The parameter of `check` that it needs, in backticks, with the value that it has to have;
    /// `None` where it needs none.
    pub fn parameter(self) -> Option<&'static str> {
        match self {
            Self::Inspect | Self::Check | Self::LiveModel => None,
            Self::HalfPrecision => Some("`dtype` f16"),
            Self::Forecast => Some("`forecast`"),
            Self::Latents => Some("`latents`"),
            Self::Preprocessed => Some("`preprocessed`"),
            Self::DecodedImage => Some("`decoded_image`"),
            Self::Against => Some("`against`"),
            Self::CrossCheck => Some("`cross_check`"),
        }
    }
}

impl fmt::Display for DecidedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter() {
            Some(parameter) => write!(f, "check {parameter}"),
            None if *self == Self::Inspect => f.write_str("inspect"),
            None if *self == Self::LiveModel => {
                f.write_str("check, from Python, of a model in memory")
            }
            None => f.write_str("check"),
        }
    }
}

impl Serialize for DecidedBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
