//! Faults in the values of weights, as `check` sees them: before the run, and in it.

use vae_fidelity::diagnosis::{Code, UserFiles};
use vae_fidelity::{Checkpoint, FastAutoencoderKL, Pipeline, Rgb8, Source};

use super::matrix::{Injection, Matrix};
use super::runs::{Model, Run};
use super::visible;
use crate::weights::planted::{Folder, TRAINED, tensors};
use crate::weights::values::faults;

/// Of the faults in values, what nobody has to see.
const WEAK: [&str; 2] = ["4 bits", "4 bits for 32 values"];

/// Plants every one in the trained VAE `model`.
pub fn measure(matrix: &mut Matrix, model: &str, pictures: &[&(String, Rgb8)]) {
    let folder = TRAINED.into_iter().find(|folder| folder.ends_with(model)).unwrap();
    let whole = Model::load(model).vae;
    for (code, what, stored, change) in faults() {
        let mut tensors = tensors(folder);
        change(&mut tensors);
        let changed = Folder::of(folder, &tensors, stored);
        let pipeline = Pipeline::builder().repo(changed.path());
        let weights = pipeline.weights_findings().unwrap();
        let source = Source::parse(changed.path(), None).unwrap();
        let checkpoint = Checkpoint::open(&source, None).unwrap();
        let vae = FastAutoencoderKL::load(&checkpoint, Some(1)).unwrap();
        let (cause, code) = (format!("weights: {what}"), Code::from_name(code).unwrap());
        let strong = !WEAK.contains(&what);
        for (picture, source) in pictures {
            let run = Run::of(&vae, source).unwrap();
            let found = |unknown: &[Code]| {
                let files = UserFiles::default();
                run.diagnosed(unknown, &vae, &weights, &files, None).unwrap().findings
            };
            let seen = visible::in_runs(&Run::of(&whole, source).unwrap(), &run);
            let in_weights = true;
            let injection =
                Injection { cause: &cause, code, strong, seen, in_weights, model, picture };
            matrix.planted(injection, &found(&[]), Some(&found(&[code])));
        }
        eprintln!("{model}: {cause}");
    }
}
