//! NVRTC and the driver, as they come with libtorch: compiles kernels and looks them up.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::Path;
use std::ptr;

use libloading::Library;

use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// A kernel, as the driver launches it.
pub(super) type Function = *mut c_void;

/// NVRTC and the driver. Functions stay loaded while it lives.
#[derive(Debug)]
pub(super) struct Nvrtc(Library);

impl Nvrtc {
    /// Fails if libtorch has no CUDA, or there is no driver.
    pub fn load() -> Result<Self> {
        // Depends on NVRTC and the driver, so that their symbols are found in it.
        // SAFETY: libtorch loads the same library, for the same purpose.
        unsafe { Library::new("libcaffe2_nvrtc.so") }
            .map(Self)
            .map_err(|error| failed(error.to_string()))
    }

    /// The driver's function of that name.
    ///
    /// # Safety
    ///
    /// `T` is its signature.
    pub unsafe fn symbol<T: Copy>(&self, name: &CStr) -> Result<T> {
        // SAFETY: the caller's promise.
        unsafe { symbol(&self.0, name) }
    }

    /// Compiles `source` with `options` for `device`, whose context is current on this thread, and looks
    /// the kernels `names` up.
    pub fn compile<const N: usize>(
        &self,
        source: &str,
        options: &[String],
        device: usize,
        names: [&CStr; N],
    ) -> Result<[Function; N]> {
        let _builtins = load_builtins(&self.0);
        // SAFETY: the signatures are those of nvrtc.h and cuda.h of CUDA 11 to 13.
        unsafe { load_functions(&self.0, source, options, device, names) }
    }
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
unsafe fn load_functions<const N: usize>(
    library: &Library,
    source: &str,
    options: &[String],
    device: usize,
    names: [&CStr; N],
) -> Result<[Function; N]> {
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

        let architecture = format!("--gpu-architecture=compute_{major}{minor}");
        let held: Vec<CString> = options
            .iter()
            .chain([&architecture])
            .map(|option| CString::new(option.as_str()).unwrap_or_default())
            .collect();
        let options: Vec<_> = held.iter().map(|option| option.as_ptr()).collect();
        let source = CString::new(source).unwrap_or_default();
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
        let mut functions = [ptr::null_mut(); N];
        for (function, name) in functions.iter_mut().zip(names) {
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

/// An error about kernels that could not be had, or run.
pub(super) fn failed(problem: String) -> Error {
    Error::new(
        ErrorKind::Libtorch,
        "CUDA kernels",
        problem,
        "use `engine` reference, and report this with the output of nvidia-smi",
    )
}
