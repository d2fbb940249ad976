//! kernels.cu, compiled for the GPU at hand by the NVRTC that comes with libtorch.

use std::ffi::{CStr, c_int, c_uint, c_void};
use std::ptr;

use tch::{Cuda, Device, Kind, Tensor};

use super::nvrtc::{Function, Nvrtc, failed};
use vae_fidelity_files::error::{Error, Result};

const SOURCE: &str = include_str!("kernels.cu");
const NAMES: [&CStr; 5] =
    [c"add_and_sum", c"scale_and_shift", c"apply", c"upsample_nearest_2x", c"softmax"];
/// Threads of a block, where a pixel's channels leave room for several rows of them.
const THREADS: usize = 256;
/// Blocks of a kernel: four for each multiprocessor of an H100, which is what fits there.
const BLOCKS: usize = 528;
/// Threads of `scale_and_shift` and of `softmax`, whose shared memory is made for as many.
const SCALE_THREADS: usize = 512;
const SOFTMAX_THREADS: usize = 256;

/// What a `Sums` of kernels.cu takes.
const SUMS: i64 = 3;

/// The kernels for one dtype, loaded on one device.
#[derive(Debug)]
pub(super) struct Kernels {
    device: usize,
    kind: Kind,
    functions: [Function; NAMES.len()],
    launch: Launch,
    /// Last: the functions are its.
    _nvrtc: Nvrtc,
}

// SAFETY: function handles of the driver may be used from any thread.
unsafe impl Send for Kernels {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Kernels {}

type Launch = unsafe extern "C" fn(
    Function,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    c_uint,
    *mut c_void,
    *mut *mut c_void,
    *mut *mut c_void,
) -> c_int;

/// The sums of a tensor (N, H, W, C), by chunk and channel.
#[derive(Debug)]
pub(super) struct Sums {
    values: Tensor,
    chunk: usize,
}

impl Sums {
    pub fn alias(&self) -> Self {
        Self { values: self.values.shallow_clone(), chunk: self.chunk }
    }
}

/// How a tensor (N, H, W, C) is cut up.
struct Shape {
    pictures: usize,
    pixels: usize,
    channels: usize,
    lanes: usize,
    rows: usize,
    chunk: usize,
}

impl Shape {
    fn of(tensor: &Tensor) -> Self {
        let size: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        let (pictures, pixels, channels) = (size[0], size[1] * size[2], size[3]);
        let lanes = channels / width(tensor.kind());
        let rows = (THREADS / lanes).max(1);
        // A chunk is a whole number of rows; at least four each, so that sums pay.
        let blocks = (BLOCKS / pictures).max(1);
        let chunk = pixels.div_ceil(blocks).next_multiple_of(rows).max(4 * rows);
        Self { pictures, pixels, channels, lanes, rows, chunk }
    }

    fn chunks(&self) -> usize {
        self.pixels.div_ceil(self.chunk)
    }
}

/// Values of 16 bytes.
fn width(kind: Kind) -> usize {
    16 / kind.elt_size_in_bytes()
}

/// Whether the kernels can take tensors of so many channels.
pub(super) fn fits(channels: usize, kind: Kind) -> bool {
    channels.is_multiple_of(width(kind)) && channels / width(kind) <= 512
}

impl Kernels {
    /// Compiles for `device`, which has been used by libtorch on this thread.
    ///
    /// Fails if NVRTC or the driver is missing, or refuses the kernels.
    pub fn load(device: usize, kind: Kind) -> Result<Self> {
        let nvrtc = Nvrtc::load()?;
        // On this thread a context has to be current.
        let tensor = Tensor::f_zeros([1], (kind, Device::Cuda(device))).map_err(no_room)?;
        Cuda::synchronize(device as i64);
        drop(tensor);
        let stored = match kind {
            Kind::Half => 16,
            Kind::BFloat16 => 17,
            _ => 32,
        };
        let options = [format!("-DSTORED={stored}"), "--std=c++17".to_owned()];
        let functions = nvrtc.compile(SOURCE, &options, device, NAMES)?;
        // SAFETY: the signature is cuda.h's.
        let launch = unsafe { nvrtc.symbol::<Launch>(c"cuLaunchKernel")? };
        Ok(Self { device, kind, functions, launch, _nvrtc: nvrtc })
    }

    /// `hidden + residual + bias` rounded to the dtype, where there is something to add, and the sums of
    /// that, in one pass. All tensors are (N, H, W, C) and contiguous; `bias` is (C) in f32.
    pub fn add_and_sum(
        &self,
        hidden: &Tensor,
        residual: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Result<(Option<Tensor>, Sums)> {
        let shape = Shape::of(hidden);
        let out = match residual.is_some() || bias.is_some() {
            true => Some(hidden.f_empty_like().map_err(no_room)?),
            false => None,
        };
        let size = [shape.pictures as i64, shape.chunks() as i64, shape.channels as i64, SUMS];
        let values = Tensor::f_empty(size, (Kind::Float, hidden.device())).map_err(no_room)?;
        let mut pointers =
            [Some(hidden), residual, bias, out.as_ref(), Some(&values)].map(pointer_of);
        let mut numbers = [shape.pixels, shape.channels, shape.chunk].map(|number| number as c_int);
        let shared = shape.rows * shape.channels * 8;
        let [pixels, channels, chunk] = &mut numbers;
        let [a, b, c, d, e] = &mut pointers;
        let mut arguments = [
            address(a),
            address(b),
            address(c),
            address(d),
            address(e),
            address(pixels),
            address(channels),
            address(chunk),
        ];
        self.launch(
            0,
            (shape.chunks(), shape.pictures),
            shape.rows * shape.lanes,
            shared,
            &mut arguments,
        )?;
        Ok((out, Sums { values, chunk: shape.chunk }))
    }

    /// Scale and shift (N, C) in f32, as group norm has them; see kernels.cu.
    pub fn scale_and_shift(
        &self,
        sums: &Sums,
        hidden: &Tensor,
        bias: Option<&Tensor>,
        (weight, beta): (&Tensor, &Tensor),
        groups: usize,
        mut eps: f64,
    ) -> Result<(Tensor, Tensor)> {
        let shape = Shape { chunk: sums.chunk, ..Shape::of(hidden) };
        let empty = || {
            let size = [shape.pictures as i64, shape.channels as i64];
            Tensor::f_empty(size, (Kind::Float, hidden.device())).map_err(no_room)
        };
        let (scale, shift) = (empty()?, empty()?);
        let tensors =
            [Some(&sums.values), bias, Some(weight), Some(beta), Some(&scale), Some(&shift)];
        let mut pointers = tensors.map(pointer_of);
        let mut numbers = [shape.pixels, shape.channels, shape.chunk, shape.chunks()]
            .map(|number| number as c_int);
        let mut arguments: Vec<*mut c_void> =
            pointers.iter_mut().map(address).chain(numbers.iter_mut().map(address)).collect();
        arguments.push(address(&mut eps));
        self.launch(1, (groups, shape.pictures), SCALE_THREADS, 0, &mut arguments)?;
        Ok((scale, shift))
    }

    /// `activation(scale * hidden + shift)`, (N, H, W, C); the activation by its number in kernels.cu.
    pub fn apply(
        &self,
        hidden: &Tensor,
        (scale, shift): (&Tensor, &Tensor),
        activation: i32,
    ) -> Result<Tensor> {
        let shape = Shape::of(hidden);
        let out = hidden.f_empty_like().map_err(no_room)?;
        let mut pointers = [Some(hidden), Some(scale), Some(shift), Some(&out)].map(pointer_of);
        let numbers = [shape.pixels, shape.channels, shape.chunk].map(|number| number as c_int);
        let mut numbers = [numbers[0], numbers[1], numbers[2], activation];
        let mut arguments: Vec<*mut c_void> =
            pointers.iter_mut().map(address).chain(numbers.iter_mut().map(address)).collect();
        self.launch(
            2,
            (shape.chunks(), shape.pictures),
            shape.rows * shape.lanes,
            0,
            &mut arguments,
        )?;
        Ok(out)
    }

    /// (N, H, W, C) to (N, 2 H, 2 W, C).
    pub fn upsample_nearest_2x(&self, hidden: &Tensor) -> Result<Tensor> {
        let shape = Shape::of(hidden);
        let size = hidden.size();
        let out = [size[0], 2 * size[1], 2 * size[2], size[3]];
        let out = Tensor::f_empty(out, (self.kind, hidden.device())).map_err(no_room)?;
        let mut pointers = [Some(hidden), Some(&out)].map(pointer_of);
        let numbers = [shape.pixels, shape.channels, shape.chunk, size[2] as usize];
        let mut numbers = numbers.map(|number| number as c_int);
        let mut arguments: Vec<*mut c_void> =
            pointers.iter_mut().map(address).chain(numbers.iter_mut().map(address)).collect();
        let grid = (shape.chunks(), shape.pictures);
        self.launch(3, grid, shape.rows * shape.lanes, 0, &mut arguments)?;
        Ok(out)
    }

    /// `softmax(scale * scores)` over the last dimension of (N, rows, columns) in f32, whose number is
    /// even, as 16-bit floats.
    pub fn softmax(&self, scores: &Tensor, scale: f32) -> Result<Tensor> {
        let out = Tensor::f_empty(scores.size(), (self.kind, scores.device())).map_err(no_room)?;
        let columns = scores.size().last().map_or(0, |&columns| columns as usize);
        let rows = scores.numel() / columns.max(1);
        let mut pointers = [Some(scores), Some(&out)].map(pointer_of);
        let (mut columns, mut scale) = (columns as c_int, scale);
        let [a, b] = &mut pointers;
        let mut arguments = [address(a), address(b), address(&mut columns), address(&mut scale)];
        self.launch(4, (rows, 1), SOFTMAX_THREADS, 0, &mut arguments)?;
        Ok(out)
    }

    fn launch(
        &self,
        which: usize,
        grid: (usize, usize),
        threads: usize,
        shared_bytes: usize,
        arguments: &mut [*mut c_void],
    ) -> Result<()> {
        let stream = self.stream()?;
        let [x, y, threads, shared] =
            [grid.0, grid.1, threads, shared_bytes].map(|number| number as c_uint);
        // SAFETY: the function is the driver's, the arguments are those of the kernel in kernels.cu, and
        // the tensors that they point to live until the launch is queued; libtorch gives memory to
        // others only behind what is queued on the stream.
        let status = unsafe {
            (self.launch)(
                self.functions[which],
                x,
                y,
                1,
                threads,
                1,
                1,
                shared,
                stream,
                arguments.as_mut_ptr(),
                ptr::null_mut(),
            )
        };
        match status {
            0 => Ok(()),
            code => {
                Err(failed(format!("{:?} in {:?}: CUDA error {code}", NAMES[which], self.kind)))
            }
        }
    }

    /// Without graphs nothing changes libtorch's stream from the default one.
    fn stream(&self) -> Result<*mut c_void> {
        #[cfg(cuda_graphs)]
        return super::bindings::stream(self.device);
        #[cfg(not(cuda_graphs))]
        {
            let _ = self.device;
            Ok(ptr::null_mut())
        }
    }
}

fn pointer_of(tensor: Option<&Tensor>) -> *mut c_void {
    tensor.map_or(ptr::null_mut(), Tensor::data_ptr)
}

fn address<T>(value: &mut T) -> *mut c_void {
    ptr::from_mut(value).cast()
}

fn no_room(error: tch::TchError) -> Error {
    failed(error.to_string().lines().next().unwrap_or_default().to_owned())
}
