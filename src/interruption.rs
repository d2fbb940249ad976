//! Ctrl-C, a closed terminal, or a scheduler's SIGTERM: the process ends by the signal, as it would by itself, and
//! what it was writing goes first.

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::thread::Builder;

use vae_fidelity::output::remove_unfinished;

/// Those that ask a process to end. SIGQUIT asks for a core dump of it as it is.
const SIGNALS: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// What it takes to remove a folder.
const STACK_BYTES: usize = 128 << 10;

/// Has a thread wait for the signals. They are held back in all others, which have to be started later; where no
/// thread can be started, they end the process as ever, and a later run clears what is left.
pub fn watch() {
    // SAFETY: the sets and actions are the system's to fill in; a signal that the caller ignores, as nohup and shells
    // in the background do, stays ignored.
    let (signals, before) = unsafe {
        let mut signals: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        let mut before: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigemptyset(&raw mut signals);
        for signal in SIGNALS {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            if action.sa_sigaction == libc::SIG_DFL {
                libc::sigaddset(&raw mut signals, signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, &raw mut before);
        (signals, before)
    };
    let waiting = Builder::new().stack_size(STACK_BYTES).spawn(move || end_by_one_of(&signals));
    if waiting.is_err() {
        // SAFETY: it is the set that was there before.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, null_mut()) };
    }
}

fn end_by_one_of(signals: &libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: the signals are held back, as waiting for them asks.
    if unsafe { libc::sigwait(signals, &raw mut signal) } != 0 {
        return;
    }
    remove_unfinished();
    // SAFETY: no action was ever set for it, so it ends the process: in this thread, which lets it through now.
    unsafe {
        libc::kill(libc::getpid(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, signals, null_mut());
    }
}
