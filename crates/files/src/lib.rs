//! Files, and what is said when something is wrong with them.
//!
//! An [`Error`] says which file, parameter or tensor it is about, what was expected and found, and what
//! to do next. [`input`] reads regular files within a bound, [`output`] replaces a file in one step or
//! leaves it as it was, [`new_folder`] does so with folders, [`printable`] keeps what files say from acting on a terminal,
//! and [`memory`] makes the lack of it an error.

pub mod memory;
pub mod printable;
pub mod error;
pub mod input;
mod file_format;
mod unfinished;
pub mod output;
pub mod new_folder;

pub use error::{Error, ErrorKind, Result};
pub use file_format::FileFormat;
