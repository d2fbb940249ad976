//! All of the suite on one picture that no rule was tuned on: `vae_fidelity_tools.measurement.calibration`
//! runs it for each.

use std::path::PathBuf;

use serde::Deserialize;
use vae_fidelity::pixels;

use super::matrix::Matrix;
use super::runs::{Model, UNTOUCHED};
use super::{MODELS, OF_OTHER_CLASSES, clean, measure, values, weights};

/// What is asked for, in JSON.
#[derive(Deserialize)]
struct Task {
    name: String,
    path: PathBuf,
    /// The how many-th photograph it is; of what is none, only clean runs are made.
    photograph: Option<usize>,
    /// Whether the trained VAEs' other forms are run too, and those with faults in their values.
    forms: bool,
    /// Where the matrix goes.
    out: PathBuf,
}

#[test]
#[ignore = "takes long: vae_fidelity_tools.measurement.calibration runs it"]
fn one_picture() {
    let task = std::env::var("VAE_FIDELITY_CALIBRATION").unwrap();
    let task: Task = serde_json::from_str(&task).unwrap();
    let source = pixels::open(&task.path).unwrap().pixels;
    let picture = (task.name, source);
    let mut matrix = Matrix::default();
    for name in ["builtin", UNTOUCHED] {
        let model = Model::load(name);
        if let Some(number) = task.photograph {
            measure(&mut matrix, (name, &model), (number, &picture), false, true);
            weights::measure(&mut matrix, name, std::slice::from_ref(&picture));
        }
        clean::measure(&mut matrix, name, &model, (&picture.0, &picture.1));
        if task.forms {
            if task.photograph.is_some() {
                values::measure(&mut matrix, name, &[&picture]);
            }
            let folder = crate::weights::planted::TRAINED.into_iter().find(|of| of.ends_with(name));
            // The first is as it is.
            let forms = crate::probe::sound::forms(folder.unwrap()).split_off(1);
            clean::measure_forms(&mut matrix, &forms, (name, &model), &[&picture]);
        }
    }
    if let Some(number) = task.photograph {
        let drawn = MODELS.into_iter().filter(|model| *model != "builtin");
        for name in drawn.chain(OF_OTHER_CLASSES) {
            measure(&mut matrix, (name, &Model::load(name)), (number, &picture), false, true);
        }
    }
    std::fs::write(task.out, serde_json::to_vec(&matrix).unwrap()).unwrap();
}
