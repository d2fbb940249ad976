//! This crate's libtorch model against every golden, on the CPU in f32.
#![cfg(feature = "tch")]

use vae_fidelity::autoencoder_kl::{Device, set_threads};
use vae_fidelity::golden::Suite;
use vae_fidelity::{AutoencoderKL, Dtype};

#[test]
fn the_libtorch_model_reproduces_every_golden() {
    let suite = Suite::open("golden")
        .unwrap()
        .progress(|at| println!("[{}/{}] {}", at.number, at.total, at.case.name));
    // Sums are split among threads, so their number is part of what was measured.
    set_threads(suite.origin().threads);
    let report = suite
        .run(|checkpoint| Ok(Box::new(AutoencoderKL::load(checkpoint, Device::CPU, Dtype::F32)?)))
        .unwrap();
    report.assert_pass();
    assert_eq!(report.not_run, [], "a full run leaves nothing out");
}
