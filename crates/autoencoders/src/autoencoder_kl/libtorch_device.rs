//! The devices that libtorch finds, and its random numbers.

use std::sync::{Mutex, PoisonError};

use ndarray::Array4;
use tch::Tensor;

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

use super::device::{Device, DeviceChoice};
use super::libtorch::{Attempt, kind_of, to_array};

impl Device {
    pub(super) fn of_libtorch(self) -> tch::Device {
        match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda(index) => tch::Device::Cuda(index),
            Self::Mps => tch::Device::Mps,
        }
    }

    /// Waits until everything that was queued on the device has run; at once on the CPU.
    pub fn synchronize(self) {
        if let Self::Cuda(index) = self {
            tch::Cuda::synchronize(index as i64);
        }
    }

    /// The most bytes that libtorch's tensors on this GPU have taken since the last call with `reset`;
    /// `None` on the CPU, and where this crate was built without CUDA's headers.
    pub fn peak_bytes(self, reset: bool) -> Option<u64> {
        #[cfg(cuda_graphs)]
        if let Self::Cuda(index) = self {
            return super::cuda::peak_bytes(index, reset).ok();
        }
        let _ = reset;
        None
    }
}

/// The device and dtype to run in. By default as the reference script chooses them (in its function of
/// this name): CUDA with f16 if available, else the CPU with f32.
///
/// # Errors
///
/// Returns an error if the device is not available; it says whether this libtorch could use it.
pub fn pick_device_and_dtype(
    device: DeviceChoice,
    dtype: Option<Dtype>,
) -> Result<(Device, Dtype)> {
    let device = match device {
        DeviceChoice::Cpu => Device::Cpu,
        DeviceChoice::Auto if tch::Cuda::is_available() => Device::Cuda(0),
        DeviceChoice::Auto => Device::Cpu,
        DeviceChoice::Cuda(index) => cuda(index)?,
        DeviceChoice::Mps if tch::utils::has_mps() => Device::Mps,
        DeviceChoice::Mps => {
            return Err(Error::new(
                ErrorKind::Device,
                "`device` mps",
                "this libtorch has no MPS, which only Apple's machines have",
                "use `device` cpu",
            ));
        }
    };
    let usual = if device == Device::Cpu { Dtype::F32 } else { Dtype::F16 };
    Ok((device, dtype.unwrap_or(usual)))
}

fn cuda(index: usize) -> Result<Device> {
    let missing = |problem: String, next: &str| {
        Err(Error::new(ErrorKind::Device, format!("`device` cuda:{index}"), problem, next))
    };
    if !tch::utils::has_cuda() {
        return missing(
            "no CUDA: this libtorch was built for the CPU, or finds no GPU and driver".into(),
            "use `device` cpu, or install the CUDA libtorch with scripts/libtorch.py --cuda and check nvidia-smi",
        );
    }
    match tch::Cuda::device_count() {
        count if (index as i64) < count => Ok(Device::Cuda(index)),
        count => missing(
            format!("expected a number below {count}, the CUDA devices found here"),
            "name another device, or see what nvidia-smi lists",
        ),
    }
}

/// How many threads libtorch computes with.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
}

/// Standard normal noise as diffusers' `randn_tensor` draws it from
/// `torch.Generator(device).manual_seed(seed)`: same seed, shape, dtype and device, same numbers.
pub fn noise(
    shape: (usize, usize, usize, usize),
    seed: i64,
    device: Device,
    dtype: Dtype,
) -> Result<Array4<f32>> {
    // libtorch has one generator for the process: another thread would seed it, or draw, in between.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let (n, c, h, w) = shape;
    tch::manual_seed(seed);
    Tensor::f_randn(
        [n as i64, c as i64, h as i64, w as i64],
        (kind_of(dtype), device.of_libtorch()),
    )
    .attempt(|| "drawing noise")
    .and_then(|tensor| to_array(&tensor))
}
