//! Faults in pictures that were kept as JPEG, whose own loss lies over what they change.

use vae_fidelity::Result;
use vae_fidelity::diagnosis::UserFiles;

use super::colours;
use super::faults::{Fault, TRAINED, in_pictures};
use super::legitimate::through_jpeg;
use super::plot::Plot;

/// What the fault of this name makes of the picture, as JPEG at quality 90.
fn kept(plot: &Plot, cause: &str) -> Result<Option<UserFiles>> {
    let mut planted = in_pictures().into_iter().chain(colours::faults());
    let fault = planted.find(|fault| fault.cause == cause).expect("a fault of this name");
    let files = (fault.plant)(plot)?;
    Ok(files.map(|files| {
        let picture = files.decoded_image.expect("a fault that shows in the picture");
        let decoded_image = Some(through_jpeg(&picture.pixels, 90.0));
        UserFiles { decoded_image, ..UserFiles::default() }
    }))
}

macro_rules! kept {
    ($cause:literal, $code:literal) => {
        Fault {
            cause: concat!($cause, ", kept as JPEG"),
            code: $code,
            strong: true,
            models: TRAINED,
            plant: |plot| kept(plot, $cause),
        }
    };
}

pub fn faults() -> Vec<Fault> {
    vec![
        kept!("a picture in video range", "levels-changed"),
        kept!("less contrast", "levels-changed"),
        kept!("a picture in linear light", "gamma-mismatch"),
        kept!("less saturation", "colour-matrix"),
        kept!("a part pasted in after decoding", "edited-region"),
        kept!("BGR written", "channel-swap"),
        kept!("turned by 180 degrees", "exif-ignored"),
        kept!("levels cut off", "u8-truncated"),
        kept!("32 levels", "banding"),
        kept!("decoded with half the factor", "scaling-factor-mismatch"),
        kept!("a shift between latents and decoder", "shift-factor-dropped"),
        kept!("latents reshaped, seen in the picture", "layout-scrambled"),
    ]
}
