//! Where and in which dtype the model runs, and torch's random numbers.

use std::fmt;
use std::str::FromStr;

use ndarray::Array4;
use tch::Tensor;

use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Result};

use super::libtorch::{Attempt, kind_of, to_array};

/// What `--device` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// CUDA where it is, else the CPU.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The CUDA device of that number.
    Cuda(usize),
    /// Apple's GPU.
    Mps,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "mps" => Ok(Self::Mps),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|number| number.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda, cuda:N or mps".to_owned()),
        }
    }
}

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device(pub(super) tch::Device);

impl Device {
    /// The processor.
    pub const CPU: Self = Self(tch::Device::Cpu);

    /// Waits until everything that was queued on the device has run; at once on the CPU.
    pub fn synchronize(self) {
        if let tch::Device::Cuda(index) = self.0 {
            tch::Cuda::synchronize(index as i64);
        }
    }
}

impl Device {
    /// The most bytes that libtorch's tensors on this GPU have taken since the last call with `reset`;
    /// `None` on the CPU, and where this crate was built without CUDA's headers.
    pub fn peak_bytes(self, reset: bool) -> Option<u64> {
        #[cfg(cuda_graphs)]
        if let tch::Device::Cuda(index) = self.0 {
            return super::cuda::peak_bytes(index, reset).ok();
        }
        let _ = reset;
        None
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            tch::Device::Cpu => f.write_str("cpu"),
            tch::Device::Cuda(index) => write!(f, "cuda:{index}"),
            tch::Device::Mps => f.write_str("mps"),
            tch::Device::Vulkan => f.write_str("vulkan"),
        }
    }
}

/// The device and dtype to run in; left open, they are the gist's choice (its function of this
/// name): CUDA with f16, else the CPU with f32.
///
/// Errors when the device asked for is not there, saying whether this libtorch could have it.
pub fn pick_device_and_dtype(
    device: DeviceChoice,
    dtype: Option<Dtype>,
) -> Result<(Device, Dtype)> {
    let device = match device {
        DeviceChoice::Cpu => tch::Device::Cpu,
        DeviceChoice::Auto => tch::Device::cuda_if_available(),
        DeviceChoice::Cuda(index) => cuda(index)?,
        DeviceChoice::Mps if tch::utils::has_mps() => tch::Device::Mps,
        DeviceChoice::Mps => {
            return Err(Error::new(
                ErrorKind::Device,
                "--device mps",
                "this libtorch has no MPS, which only Apple's machines have",
                "use --device cpu",
            ));
        }
    };
    let usual = if device == tch::Device::Cpu { Dtype::F32 } else { Dtype::F16 };
    Ok((Device(device), dtype.unwrap_or(usual)))
}

fn cuda(index: usize) -> Result<tch::Device> {
    let missing = |problem: String, next: &str| {
        Err(Error::new(ErrorKind::Device, format!("--device cuda:{index}"), problem, next))
    };
    if !tch::utils::has_cuda() {
        return missing(
            "no CUDA: this libtorch was built for the CPU, or finds no GPU and driver".into(),
            "use --device cpu, or install the CUDA libtorch with scripts/libtorch.py --cuda and check nvidia-smi",
        );
    }
    match tch::Cuda::device_count() {
        count if (index as i64) < count => Ok(tch::Device::Cuda(index)),
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
    let (n, c, h, w) = shape;
    tch::manual_seed(seed);
    Tensor::f_randn([n as i64, c as i64, h as i64, w as i64], (kind_of(dtype), device.0))
        .attempt(|| "drawing noise")
        .and_then(|tensor| to_array(&tensor))
}
