//! The one error type: what went wrong, where, and what to do next.

use std::fmt;
use std::path::Path;

use crate::printable::{shortened_to, shown};

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What a problem quotes of a file may be of any length; a message is not.
const LONGEST: usize = 2000;

/// Which part of a run could not go on; [`ErrorKind::code`] is what the tool's JSON prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An image file could not be read as Pillow would read it.
    Image,
    /// Weights could not be read, or do not fit their config.
    Checkpoint,
    /// A hub, or its cache on disk, does not give what was asked of it.
    Hub,
    /// A `config.json` is absent, broken or describes a model that this crate does not run.
    Config,
    /// A tensor (from a caller or a file) has the wrong shape, name or dtype.
    Tensor,
    /// A command-line option or an argument of the API is wrong.
    Option,
    /// Something could not be written.
    Output,
    /// The device asked for is not there.
    Device,
    /// The golden suite itself is broken, or does not hold what was asked for.
    Golden,
    /// It would take more memory than there is.
    Memory,
    /// libtorch refused an operation.
    Libtorch,
    /// The caller ended the run.
    Cancelled,
    /// The implementation does not offer what was asked: the golden harness reports it as not
    /// judged, where any other error of an implementation is a failure.
    Unsupported,
}

impl ErrorKind {
    /// The stable name used in JSON, for example `checkpoint`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Checkpoint => "checkpoint",
            Self::Hub => "hub",
            Self::Config => "config",
            Self::Tensor => "tensor",
            Self::Option => "option",
            Self::Output => "output",
            Self::Device => "device",
            Self::Golden => "golden",
            Self::Memory => "memory",
            Self::Libtorch => "libtorch",
            Self::Cancelled => "cancelled",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Why a run could not be judged.
///
/// `subject` names the file, tensor, layer or option; `problem` says what was expected and what
/// was found; `next` says what to do. All three are [`printable`](crate::printable). Displays as `subject: problem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    subject: String,
    problem: String,
    next: String,
}

impl Error {
    /// An error about `subject`, with the step to take next.
    pub fn new(
        kind: ErrorKind,
        subject: impl fmt::Display,
        problem: impl fmt::Display,
        next: impl fmt::Display,
    ) -> Self {
        let problem = shortened_to(&shown(problem), LONGEST).into_owned();
        Self { kind, subject: shown(subject), problem, next: shown(next) }
    }

    /// An error about an image file.
    pub fn image(path: &Path, problem: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Image, path.display(), problem, next)
    }

    /// An error about a weights file or folder.
    pub fn checkpoint(path: &Path, problem: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Checkpoint, path.display(), problem, next)
    }

    /// An error about a file that could not be written.
    pub fn output(path: &Path, problem: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Output, path.display(), problem, next)
    }

    /// An error about an option or an argument, named as the user typed it.
    pub fn option(
        option: impl fmt::Display,
        problem: impl fmt::Display,
        next: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::Option, option, problem, next)
    }

    /// An error about a tensor, by name.
    pub fn tensor(
        name: impl fmt::Display,
        problem: impl fmt::Display,
        next: impl fmt::Display,
    ) -> Self {
        Self::new(ErrorKind::Tensor, name, problem, next)
    }

    /// Which part of the run failed.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file, tensor, layer or option that the error is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What was expected and what was found.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// All of it in one line: `subject: problem (next)`.
    pub fn with_next(&self) -> String {
        format!("{self} ({})", self.next)
    }

    /// What to do next.
    pub fn next(&self) -> &str {
        &self.next
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)
    }
}

impl std::error::Error for Error {}

/// The operating system's reason, without Rust's `(os error N)`.
pub fn io_reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text.to_lowercase(),
    }
}

/// What to do about an error that lies in the process and not in the file; `None` for all others.
pub fn next_by_number(error: &std::io::Error) -> Option<&'static str> {
    // Rust has no kind for them. EMFILE and ENFILE are the same numbers on all of Unix.
    match error.raw_os_error() {
        Some(24) if cfg!(unix) => Some("raise the limit on open files (ulimit -n)"),
        Some(23) if cfg!(unix) => Some("close other programs: the system has no open file left"),
        _ => None,
    }
}
