//! Faults in pictures that were kept as JPEG, whose own loss lies over what they change.

use vae_fidelity::diagnosis::{Code, Severity, UserFiles};
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::{Dtype, Result, Vae};

use super::colours;
use super::faults::{Fault, TRAINED, in_pictures};
use super::legitimate::through_jpeg;
use super::photograph;
use super::plot::Plot;
use super::runs::{Model, Run};

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

/// A JPEG's own loss does not bend the number: what is left by one that is only near would look like more than
/// a shift.
#[test]
fn a_shift_that_nobody_published_is_found_to_a_hundredth_beside_a_jpegs_loss() {
    let model = Model::load("builtin");
    for name in ["coffee.jpg", "astronaut.png"] {
        let run = Run::of(&model.vae, &photograph(name)).unwrap();
        for shift in [-0.5f32, 0.8] {
            let raw = run.encoded.latents.mapv(|z| z + shift);
            let decoded = model.vae.decode(raw.view()).unwrap();
            let exact = denormalize(decoded.view(), Dtype::F32).unwrap();
            let decoded_image = Some(through_jpeg(&exact, 90.0));
            let files = UserFiles { decoded_image, ..UserFiles::default() };
            let findings = run.diagnosis(&model.vae, &files, None).unwrap().findings;
            let found = findings.iter().find(|one| one.code == Code::ShiftFactorDropped);
            let Some(first) = found else { panic!("{name} {shift}: {findings:#?}") };
            assert_eq!(first.severity, Severity::Error, "{name} {shift}: {findings:#?}");
            let said = first.title.split_whitespace().find_map(|word| word.parse::<f32>().ok());
            let off = said.unwrap() - shift.abs();
            assert!(off.abs() <= 0.01, "{name} {shift}: {}", first.title);
        }
    }
}
