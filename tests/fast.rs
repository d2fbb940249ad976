//! The fast engine: held to the goldens like any port, and to the reference engine at sizes and in
//! batches that no golden has.

use vae_fidelity::golden::Suite;
use vae_fidelity::{FastAutoencoderKL, Vae};

#[test]
fn the_fast_engine_passes_every_golden() {
    let suite = Suite::open("golden").unwrap();
    let suite = suite.progress(|at| println!("[{}/{}] {}", at.number, at.total, at.case.name));
    let report = suite
        .run(|checkpoint| {
            Ok(Box::new(FastAutoencoderKL::load(checkpoint, Some(2))?) as Box<dyn Vae>)
        })
        .unwrap();
    report.assert_pass();
    assert_eq!(report.not_run, [], "a full run leaves nothing out");
}
