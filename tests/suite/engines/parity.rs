//! This crate's libtorch model against every golden: in f32, f16 and bf16 on the CPU, whole, in tiles
//! and in slices, and on CUDA where it is.

use vae_fidelity::autoencoder_kl::{Device, DeviceChoice, pick_device_and_dtype};
use vae_fidelity::golden::Suite;
use vae_fidelity::{AutoencoderKL, Dtype, Error, ErrorKind, Vae};

use super::kernels;
use crate::libtorch::one_thread;

#[test]
fn the_libtorch_model_reproduces_every_golden() {
    one_thread();
    kernels::print();
    let suite = Suite::open("golden")
        .unwrap()
        .progress(|at| println!("[{}/{}] {}", at.number, at.total, at.case.name));
    let cuda = pick_device_and_dtype(DeviceChoice::Cuda(0), Some(Dtype::F16));
    let report = suite
        .run_in_each(|checkpoint, dtype, device| {
            let device = match device {
                "cuda" => cuda.clone().map_err(|lacking| {
                    let (subject, problem) = (lacking.subject(), lacking.problem());
                    Error::new(ErrorKind::Unsupported, subject, problem, lacking.next())
                })?,
                _ => (Device::CPU, dtype),
            };
            Ok(Box::new(AutoencoderKL::load(checkpoint, device.0, dtype)?) as Box<dyn Vae>)
        })
        .unwrap();
    report.assert_pass();
    let on_cuda = suite.cases().iter().filter(|case| case.device == "cuda").count();
    let left_out = if cuda.is_ok() { 0 } else { on_cuda };
    assert_eq!(report.not_run.len(), left_out, "{:?}", report.not_run);
    assert!(report.not_run.iter().all(|case| case.reason.contains("no CUDA")), "and says so");
}
