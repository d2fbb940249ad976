//! What a long call is doing.

use std::fmt;

use crate::probe::Sent;

/// What a long call is doing; displays as a word or a few, such as `encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The picture is read.
    Opening,
    /// Sample to latents.
    Encoding,
    /// Latents to sample.
    Decoding,
    /// Decoded sample to pixels.
    Judging,
    /// Rules look for what is wrong.
    Diagnosing,
    /// Both halves run again, and every layer's output is recorded.
    Tracing,
    /// Half precision is tried.
    Forecasting,
    /// A clip goes through.
    Clip,
    /// A synthetic chart is sent through.
    Probing(Sent),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::Opening => "opening",
            Self::Encoding => "encoding",
            Self::Decoding => "decoding",
            Self::Judging => "judging",
            Self::Diagnosing => "diagnosing",
            Self::Tracing => "tracing",
            Self::Clip => "running the clip",
            Self::Forecasting => "forecasting f16 and bf16",
            Self::Probing(sent) => return sent.fmt(f),
        };
        f.write_str(words)
    }
}
