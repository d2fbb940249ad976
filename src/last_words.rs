//! How the process ends where Rust would abort: one message, exit code 2.
//!
//! Memory that the system refuses outside of [`vae_fidelity::memory::reserve`], a page of a mapped file
//! that is gone (SIGBUS), a limit on the size of files (SIGXFSZ), and code that calls `abort` or `exit`
//! end a process in ways that no caller can handle. What is said here is written without memory, since there
//! may be none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::{OsString, c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, Ordering};

use vae_fidelity::checkpoint::{mapped_file_at, watch_mapped_files};
use vae_fidelity::memory::is_fallible;

/// Whether the message goes to stdout as JSON.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether a thread is saying its last words. Several may run out of memory at once, and one message is said.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The system's allocator; what it refuses ends the process, unless the caller asked whether there is
/// memory.
pub struct Allocator;

// SAFETY: every call is the system allocator's own, with the caller's promises passed on.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.realloc(pointer, layout, size) }, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[inline(always)]
fn given(memory: *mut u8, size: usize) -> *mut u8 {
    if memory.is_null() && !is_fallible() {
        out_of_memory(size);
    }
    memory
}

#[cold]
fn out_of_memory(size: usize) -> ! {
    let mut digits = [0; 20];
    let parts = ["memory: the system refuses ", decimal(size, &mut digits), " bytes more"];
    let next = "give the process more memory, take a smaller picture, or use --max-memory";
    end("memory", &parts, next)
}

/// Says that the command can run neither on the first thread, whose stack is too small, nor on another.
pub fn no_stack() -> ! {
    let problem = "memory: the stack may not grow as large as the command needs, and no thread can be started";
    end("memory", &[problem], "raise the limit on the stack (ulimit -s 8192)")
}

/// What the first thread has of stack from the start on: several times what a command line takes to read.
const STACK_BYTES: usize = 512 << 10;

/// Whether the system lets the first thread's stack grow as large as the command needs (ulimit -s).
pub fn has_wide_stack() -> bool {
    // SAFETY: the limit is the system's to fill in.
    unsafe {
        let mut limit: libc::rlimit = MaybeUninit::zeroed().assume_init();
        let known = libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) == 0;
        known && limit.rlim_cur >= 4 * STACK_BYTES as libc::rlim_t
    }
}

/// Has the first thread's stack grow now. It grows when it is used, and where the system then refuses that, nothing
/// can be said any more.
fn grow_stack() {
    // SAFETY: what is mapped is of no use to anybody else, and unmapped.
    unsafe {
        let (nowhere, flags) = (std::ptr::null_mut(), libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let length = 2 * STACK_BYTES;
        let mapped = libc::mmap(nowhere, length, libc::PROT_NONE, flags, -1, 0);
        if mapped == libc::MAP_FAILED {
            out_of_memory(length);
        }
        libc::munmap(mapped, length);
    }
    if has_wide_stack() {
        use_stack();
    }
}

#[inline(never)]
fn use_stack() {
    std::hint::black_box(&mut [0u8; STACK_BYTES]);
}

/// Prepares all of it for a run with `arguments`.
pub fn prepare(arguments: &[OsString]) {
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|a| a == "--json");
    JSON.store(json, Ordering::Relaxed);
    watch_mapped_files();
    grow_stack();
    // SAFETY: the handler calls nothing that a signal handler may not call, and both structures are
    // zeroed and filled in as the system asks. Refusals leave what was there.
    unsafe {
        // Writing too much is then an error that the call returns.
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = page_is_gone as *const () as libc::sighandler_t;
        // On the thread's own stack: there is room on it, and the other is small.
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
        action.sa_sigaction = aborted as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGABRT, &action, std::ptr::null_mut());
        #[cfg(feature = "tch")]
        libc::atexit(a_library_exits);
    }
}

/// The command itself never comes here, since it leaves with `_exit`. libgomp, with which libtorch
/// starts its threads, does, with the exit code of a run that was judged and failed.
#[cfg(feature = "tch")]
extern "C" fn a_library_exits() {
    end(
        "memory",
        &["libtorch's threads could not be started, and it ended the process"],
        "give the process more memory or more threads, take a smaller picture, or use --engine fast",
    )
}

extern "C" fn page_is_gone(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    // SAFETY: the system hands over a description of the fault.
    let address = unsafe { (*info).si_addr() }.addr();
    match mapped_file_at(address) {
        Some(file) => end(
            "checkpoint",
            &[file, ": was shortened by another process while it was read"],
            "wait until nothing writes to it, and run it again",
        ),
        None => end(
            "internal",
            &["a file that is read in place was shortened, or its disk fails or is full"],
            "look at the disk, and at TMPDIR's with --max-memory, and run it again",
        ),
    }
}

/// The standard library aborts where a thread that has just started finds no memory for its own signal
/// stack; what it printed stands above.
extern "C" fn aborted(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    end(
        "internal",
        &["the process was aborted, most often because there is no memory left for its threads"],
        "give the process more memory, or use fewer threads with --threads; else report this",
    )
}

/// `number` in digits, without memory of its own.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}

/// Says what `parts` are together, and what to do next; ends the process.
fn end(code: &str, parts: &[&str], next: &str) -> ! {
    if ENDING.swap(true, Ordering::Relaxed) {
        // The other ends the process; should it not, this one does.
        // SAFETY: both are calls that a signal handler may make.
        unsafe {
            libc::sleep(1);
            libc::_exit(2)
        }
    }
    let json = JSON.load(Ordering::Relaxed);
    let to = if json { libc::STDOUT_FILENO } else { libc::STDERR_FILENO };
    let mut message = Message { bytes: [0; MESSAGE_BYTES], length: 0 };
    if json {
        message.plain("{\"schema_version\":1,\"verdict\":null,\"error\":{\"code\":\"");
        message.plain(code);
        message.plain("\",\"message\":\"");
        parts.iter().for_each(|part| message.quoted(part));
        message.plain("\",\"next\":\"");
        message.quoted(next);
        message.plain("\"}}\n");
    } else {
        // A line of progress may stand there.
        // SAFETY: it only asks what the descriptor is.
        if unsafe { libc::isatty(to) } == 1 {
            message.plain("\r\u{1b}[2K");
        }
        message.plain("error: ");
        parts.iter().for_each(|part| message.plain(part));
        message.plain("\n next: ");
        message.plain(next);
        message.plain("\n");
    }
    let mut rest = &message.bytes[..message.length];
    while !rest.is_empty() {
        // SAFETY: the bytes are there.
        let written = unsafe { libc::write(to, rest.as_ptr().cast(), rest.len()) };
        let Some(written) = usize::try_from(written).ok().filter(|count| *count > 0) else { break };
        rest = &rest[written..];
    }
    // SAFETY: nothing is run at exit, which could ask for memory.
    unsafe { libc::_exit(2) }
}

/// Room for the longest path, and what is said of it.
const MESSAGE_BYTES: usize = 6 << 10;

/// Text that is put together on the stack; what has no room is left out.
struct Message {
    bytes: [u8; MESSAGE_BYTES],
    length: usize,
}

impl Message {
    fn plain(&mut self, text: &str) {
        text.bytes().for_each(|byte| self.push(byte));
    }

    /// As a JSON string has it; control characters were escaped before.
    fn quoted(&mut self, text: &str) {
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                self.push(b'\\');
            }
            self.push(byte);
        }
    }

    fn push(&mut self, byte: u8) {
        // Room for the end of the object.
        if self.length < self.bytes.len() {
            self.bytes[self.length] = byte;
            self.length += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_memory() {
        let mut digits = [0; 20];
        assert_eq!(decimal(0, &mut digits), "0");
        assert_eq!(decimal(usize::MAX, &mut digits), usize::MAX.to_string());
    }

    #[test]
    fn json_is_quoted() {
        let mut message = Message { bytes: [0; MESSAGE_BYTES], length: 0 };
        message.quoted("a \"b\" \\u{1b}");
        assert_eq!(&message.bytes[..message.length], b"a \\\"b\\\" \\\\u{1b}");
    }
}
