//! What is being done, on stderr, while somebody watches.

#[cfg(feature = "tch")]
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;

/// A line on stderr that names the current step and goes away; nothing where stderr is no
/// terminal, nor for --quiet.
pub struct Progress {
    bar: ProgressBar,
    #[cfg(feature = "tch")]
    images: usize,
}

impl Progress {
    /// For a run over `images` pictures; other commands name their steps themselves.
    #[cfg_attr(not(feature = "tch"), allow(unused_variables))]
    pub fn new(images: usize, console: Console) -> Self {
        // indicatif hides a bar by itself where stderr is no terminal.
        let target = match console.quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self {
            bar,
            #[cfg(feature = "tch")]
            images,
        }
    }

    /// Shows a step that concerns no image.
    pub fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    #[cfg(feature = "tch")]
    /// Shows a step of image number `index`, from 0.
    pub fn image(&self, index: usize, image: &Path, what: &str) {
        let which = match self.images {
            1 => String::new(),
            images => format!("{} of {images}: ", index + 1),
        };
        self.bar.set_message(format!("{which}{what} {}", image.display()));
    }

    #[cfg(feature = "tch")]
    /// Clears the line while `print` writes to the terminal.
    pub fn around<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
