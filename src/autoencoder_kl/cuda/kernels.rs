//! kernels.cu, compiled for the GPU at hand by the NVRTC that comes with libtorch.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs;
use std::path::Path;
use std::ptr;

use libloading::Library;
use tch::{Cuda, Device, Kind, Tensor};

use crate::error::{Error, ErrorKind, Result};

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

type Function = *mut c_void;

/// The kernels for one dtype, loaded on one device.
#[derive(Debug)]
pub(super) struct Kernels {
    device: usize,
    kind: Kind,
    functions: [Function; NAMES.len()],
    launch: Launch,
    /// Last: the functions are its.
    _library: Library,
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
    /// Errors when NVRTC or the driver is not there, or will not have it.
    pub fn load(device: usize, kind: Kind) -> Result<Self> {
        // Depends on NVRTC and the driver, so that their symbols are found in it.
        // SAFETY: libtorch loads the same library, for the same purpose.
        let library = unsafe { Library::new("libcaffe2_nvrtc.so") }
            .map_err(|error| failed(error.to_string()))?;
        let _builtins = load_builtins(&library);
        // On this thread a context has to be current.
        let device_tensor = Tensor::f_zeros([1], (kind, Device::Cuda(device)))
            .map_err(|error| failed(error.to_string()))?;
        Cuda::synchronize(device as i64);
        drop(device_tensor);
        // SAFETY: the signatures are those of nvrtc.h and cuda.h of CUDA 11 to 13.
        let functions = unsafe { load_functions(&library, device, kind)? };
        // SAFETY: as above.
        let launch = unsafe { symbol::<Launch>(&library, c"cuLaunchKernel")? };
        Ok(Self { device, kind, functions, launch, _library: library })
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

/// NVRTC looks for its own second library on the loader's paths alone, where Python's packages do not put
/// it: it lies beside the first. Whether it was found shows when something is compiled.
fn load_builtins(library: &Library) -> Option<Library> {
    let mut info = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: only the symbol's address is used; `dladdr` fills in the name of a loaded file.
    let path = unsafe {
        let version = symbol::<*const c_void>(library, c"nvrtcVersion").ok()?;
        if libc::dladdr(version, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        Path::new(CStr::from_ptr(info.dli_fname).to_str().ok()?).canonicalize().ok()?
    };
    let mut beside = fs::read_dir(path.parent()?).ok()?.flatten().map(|entry| entry.path());
    let builtins = beside.find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libnvrtc-builtins.so") || name.starts_with("libnvrtc-builtins-")
    })?;
    // SAFETY: NVRTC would load it too.
    unsafe { Library::new(builtins) }.ok()
}

/// Compiles the source and looks its kernels up.
///
/// # Safety
///
/// `library` has NVRTC's and the driver's functions, with the signatures of their headers.
unsafe fn load_functions(
    library: &Library,
    device: usize,
    kind: Kind,
) -> Result<[Function; NAMES.len()]> {
    type Create = unsafe extern "C" fn(
        *mut *mut c_void,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> c_int;
    type Compile = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int;
    type SizeOf = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
    type Get = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;
    type DeviceGet = unsafe extern "C" fn(*mut c_int, c_int) -> c_int;
    type Attribute = unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int;
    type LoadData = unsafe extern "C" fn(*mut *mut c_void, *const c_void) -> c_int;
    type GetFunction = unsafe extern "C" fn(*mut Function, *mut c_void, *const c_char) -> c_int;
    // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, and MINOR.
    const MAJOR: c_int = 75;
    const MINOR: c_int = 76;

    // SAFETY: the caller's promise; pointers are to what lives here.
    unsafe {
        let attribute = symbol::<Attribute>(library, c"cuDeviceGetAttribute")?;
        let mut handle = 0;
        done(
            symbol::<DeviceGet>(library, c"cuDeviceGet")?(&mut handle, device as c_int),
            "cuDeviceGet",
        )?;
        let (mut major, mut minor) = (0, 0);
        done(attribute(&mut major, MAJOR, handle), "cuDeviceGetAttribute")?;
        done(attribute(&mut minor, MINOR, handle), "cuDeviceGetAttribute")?;

        let stored = match kind {
            Kind::Half => 16,
            Kind::BFloat16 => 17,
            _ => 32,
        };
        let options = [
            format!("-DSTORED={stored}"),
            format!("--gpu-architecture=compute_{major}{minor}"),
            "--std=c++17".to_owned(),
        ]
        .map(|option| CString::new(option).unwrap_or_default());
        let options = options.each_ref().map(|option| option.as_ptr());
        let source = CString::new(SOURCE).unwrap_or_default();
        let mut program = ptr::null_mut();
        let create = symbol::<Create>(library, c"nvrtcCreateProgram")?;
        let made = create(
            &mut program,
            source.as_ptr(),
            c"kernels.cu".as_ptr(),
            0,
            ptr::null(),
            ptr::null(),
        );
        done(made, "nvrtcCreateProgram")?;
        let compile = symbol::<Compile>(library, c"nvrtcCompileProgram")?;
        if compile(program, options.len() as c_int, options.as_ptr()) != 0 {
            let mut size = 0;
            symbol::<SizeOf>(library, c"nvrtcGetProgramLogSize")?(program, &mut size);
            let mut log = vec![0u8; size];
            symbol::<Get>(library, c"nvrtcGetProgramLog")?(program, log.as_mut_ptr().cast());
            return Err(failed(
                String::from_utf8_lossy(&log).trim_end_matches('\0').trim().to_owned(),
            ));
        }
        let mut size = 0;
        done(
            symbol::<SizeOf>(library, c"nvrtcGetPTXSize")?(program, &mut size),
            "nvrtcGetPTXSize",
        )?;
        let mut ptx = vec![0u8; size];
        done(
            symbol::<Get>(library, c"nvrtcGetPTX")?(program, ptx.as_mut_ptr().cast()),
            "nvrtcGetPTX",
        )?;
        let mut module = ptr::null_mut();
        let load = symbol::<LoadData>(library, c"cuModuleLoadData")?;
        done(load(&mut module, ptx.as_ptr().cast()), "cuModuleLoadData")?;
        let get = symbol::<GetFunction>(library, c"cuModuleGetFunction")?;
        let mut functions = [ptr::null_mut(); NAMES.len()];
        // Attention in f32 is libtorch's.
        let of_kind = NAMES.len() - usize::from(kind == Kind::Float);
        for (function, name) in functions.iter_mut().zip(NAMES).take(of_kind) {
            done(get(function, module, name.as_ptr()), "cuModuleGetFunction")?;
        }
        Ok(functions)
    }
}

/// # Safety
///
/// `T` is the signature of the function of that name.
unsafe fn symbol<T: Copy>(library: &Library, name: &CStr) -> Result<T> {
    // SAFETY: the caller's promise.
    unsafe { library.get::<T>(name.to_bytes_with_nul()) }
        .map(|found| *found)
        .map_err(|error| failed(error.to_string()))
}

fn done(status: c_int, what: &str) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(failed(format!("{what}: error {status}"))) }
}

fn no_room(error: tch::TchError) -> Error {
    failed(error.to_string().lines().next().unwrap_or_default().to_owned())
}

fn failed(problem: String) -> Error {
    Error::new(
        ErrorKind::Libtorch,
        "CUDA kernels",
        problem,
        "use --engine reference, and report this with the output of nvidia-smi",
    )
}
