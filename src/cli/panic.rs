//! A bug is one line for the user, not a backtrace.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;

/// What to do about a bug.
pub const NEXT: &str = "please report it to the authors with the command line";

/// Where the last panic happened, for the report; its message may be a C++ exception with a
/// backtrace, which helps nobody at a prompt.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Runs `work`. Gives the place, ` at FILE:LINE`, if it panicked; nothing is printed.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!(" at {}:{}", place.file(), place.line()));
        if let Ok(mut slot) = PLACE.lock() {
            *slot = place.unwrap_or_default();
        }
    }));
    // Nothing that `work` could leave half-done is looked at again: the process ends.
    panic::catch_unwind(AssertUnwindSafe(work))
        .map_err(|_| PLACE.lock().map(|place| place.clone()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_its_place() {
        let place = super::caught(|| panic!("c10::Error")).unwrap_err();
        assert!(place.starts_with(" at src/cli/panic.rs:"), "{place}");
        assert_eq!(super::caught(|| 3), Ok(3));
    }
}
