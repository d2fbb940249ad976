//! What bindings.cpp has: CUDA graphs, which are what one forward pass queues, recorded once and queued
//! again in one call, and the allocator's peak.

#[cfg(cuda_graphs)]
pub(in crate::autoencoder_kl) use bound::peak_bytes;
#[cfg(cuda_graphs)]
pub(super) use bound::{Graph, stream};

#[cfg(cuda_graphs)]
mod bound {
    use std::ffi::{CStr, c_char, c_int, c_void};
    use std::ptr;

    use vae_fidelity_files::error::{Error, ErrorKind, Result};

    unsafe extern "C" {
        fn vae_fidelity_free(message: *mut c_char);
        fn vae_fidelity_stream(device: c_int, stream: *mut *mut c_void) -> *mut c_char;
        fn vae_fidelity_peak_bytes(device: c_int, reset: c_int, bytes: *mut i64) -> *mut c_char;
        fn vae_fidelity_graph_begin(device: c_int, graph: *mut *mut c_void) -> *mut c_char;
        fn vae_fidelity_graph_end(graph: *mut c_void) -> *mut c_char;
        fn vae_fidelity_graph_replay(graph: *mut c_void) -> *mut c_char;
        fn vae_fidelity_graph_delete(graph: *mut c_void) -> *mut c_char;
    }

    /// A recorded pass. What it reads and writes are the tensors that it was recorded with.
    #[derive(Debug)]
    pub struct Graph(*mut c_void);

    // SAFETY: the object behind the pointer is used by one thread at a time: `replay` takes `&mut`.
    unsafe impl Send for Graph {}

    impl Graph {
        /// Records what `pass` queues on `device`, and hands out what `pass` returns. `pass` has to have
        /// run before, so that nothing is left to set up, and may not wait for the device.
        pub fn record<T>(device: usize, pass: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
            let mut graph = ptr::null_mut();
            // SAFETY: the pointer is written before a null message is returned.
            checked(unsafe { vae_fidelity_graph_begin(device as c_int, &mut graph) })?;
            let graph = Self(graph);
            let returned = pass();
            // SAFETY: the graph was begun above, and is ended once, also where `pass` failed.
            let ended = checked(unsafe { vae_fidelity_graph_end(graph.0) });
            let returned = returned?;
            ended?;
            Ok((graph, returned))
        }

        /// Queues the pass again, on libtorch's current stream.
        pub fn replay(&mut self) -> Result<()> {
            // SAFETY: the graph was ended.
            checked(unsafe { vae_fidelity_graph_replay(self.0) })
        }
    }

    impl Drop for Graph {
        fn drop(&mut self) {
            // SAFETY: nobody else has the pointer. There is nobody to tell of a failure.
            let _ = checked(unsafe { vae_fidelity_graph_delete(self.0) });
        }
    }

    /// The stream that libtorch queues work on, as CUstream.
    pub fn stream(device: usize) -> Result<*mut c_void> {
        let mut stream = ptr::null_mut();
        // SAFETY: the pointer is written before a null message is returned.
        checked(unsafe { vae_fidelity_stream(device as c_int, &mut stream) })?;
        Ok(stream)
    }

    /// The most bytes that tensors on `device` have taken since the last call with `reset`.
    pub fn peak_bytes(device: usize, reset: bool) -> Result<u64> {
        let mut bytes = 0;
        // SAFETY: the number is written before a null message is returned.
        checked(unsafe {
            vae_fidelity_peak_bytes(device as c_int, c_int::from(reset), &mut bytes)
        })?;
        Ok(bytes.try_into().unwrap_or(0))
    }

    fn checked(message: *mut c_char) -> Result<()> {
        if message.is_null() {
            return Ok(());
        }
        // SAFETY: not null, so a C string of `strdup`, which is freed once.
        let text = unsafe {
            let text = CStr::from_ptr(message).to_string_lossy().into_owned();
            vae_fidelity_free(message);
            text
        };
        let first = text.lines().next().unwrap_or("no reason was given").to_owned();
        Err(Error::new(
            ErrorKind::Libtorch,
            "CUDA graph",
            first,
            "report this with the command that shows it",
        ))
    }
}
