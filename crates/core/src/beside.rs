//! Two pieces of work at once, or one after the other where the system gives no thread.

use std::thread::Builder;

/// What `other` and `own` return: `other` runs on a thread of its own while this one runs `own`.
///
/// The system may have no more threads, or no memory for one's stack, which `std`'s own `spawn`
/// answers with a panic: then this thread runs both. A panic of `other` goes on here.
pub(crate) fn beside<A: Send, B>(other: impl Fn() -> A + Sync, own: impl FnOnce() -> B) -> (A, B) {
    with_thread(Builder::new(), &other, own)
}

fn with_thread<A: Send, B>(
    thread: Builder,
    other: &(impl Fn() -> A + Sync),
    own: impl FnOnce() -> B,
) -> (A, B) {
    std::thread::scope(|scope| {
        let started = thread.spawn_scoped(scope, other);
        let own = own();
        let other = match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => other(),
        };
        (other, own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_done_with_and_without_a_thread() {
        let here = std::thread::current().id();
        let id = || std::thread::current().id();
        let (other, own) = beside(id, id);
        assert!(other != here && own == here);
        // No system has memory for such a stack.
        let (other, own) = with_thread(Builder::new().stack_size(1 << 60), &id, id);
        assert!(other == here && own == here);
    }

    #[test]
    fn a_panic_goes_on_here() {
        let panicked = std::panic::catch_unwind(|| beside(|| panic!("the other"), || ()));
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"the other"));
    }
}
