//! What decides a number: every choice between a picture's file and its metrics, as one record.

mod choices;
mod published;
mod record;

pub use choices::{
    Average, Confidence, ExifChoice, FilterChoice, Input, LpipsChoices, LpipsValues, Metrics,
    Posterior, Resize, RfidChoice, Rounding, Ssim, Take, UnitLengthChoice, ValuesChoice, Zero,
};
pub use published::NAMES;
pub use record::Protocol;
