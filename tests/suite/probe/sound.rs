//! VAEs that do their job: the trained ones as they are, rounded, and mildly quantised.

use vae_fidelity::autoencoder_kl::FastAutoencoderKL;
use vae_fidelity::{Checkpoint, Dtype, Source, Vae};

use crate::weights::planted::{As, Draws, Folder, Tensors, grouped, layers, tensors};

/// A model of [`crate::weights::planted::TRAINED`] with `change` in its weights, stored as `stored`.
pub fn changed(model: &str, stored: As, change: impl FnOnce(&mut Tensors)) -> FastAutoencoderKL {
    let mut tensors = tensors(model);
    change(&mut tensors);
    let folder = Folder::of(model, &tensors, stored);
    let source = Source::parse(folder.path(), None).unwrap();
    // The files stay mapped when the folder is gone.
    FastAutoencoderKL::load(&Checkpoint::open(&source, None).unwrap(), None).unwrap()
}

pub fn noisy(tensors: &mut Tensors, by: f32) {
    let mut draws = Draws(5);
    layers(tensors, "", |_, values| {
        let size = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|v| *v += by * size.sqrt() * draws.normal());
    });
}

/// Each with a name.
pub fn forms(model: &'static str) -> Vec<(&'static str, Box<dyn Vae>)> {
    let as_it_is = || changed(model, As::F32, |_| {});
    vec![
        ("as it is", Box::new(as_it_is())),
        ("weights in f16", Box::new(changed(model, As::F16, |_| {}))),
        ("weights in bf16", Box::new(changed(model, As::Bf16, |_| {}))),
        ("weights in scaled float8", Box::new(changed(model, As::Scaled8, |_| {}))),
        (
            "8 bits",
            Box::new(changed(model, As::F32, |t| layers(t, "", |_, v| grouped(v, 64, 256)))),
        ),
        ("6 bits", Box::new(changed(model, As::F32, |t| layers(t, "", |_, v| grouped(v, 64, 64))))),
        ("tuned: noise of 3 %", Box::new(changed(model, As::F32, |t| noisy(t, 0.03)))),
        ("arithmetic in f16", Box::new(as_it_is().rounded_to(Dtype::F16))),
        ("arithmetic in bf16", Box::new(as_it_is().rounded_to(Dtype::Bf16))),
    ]
}
