//! What is being done, on stderr, while somebody watches.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::checkpoint::{HubProgress, HubStep};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Console;

const STEP: &str = "{spinner} {msg} [{elapsed}]";
const DOWNLOAD: &str =
    "{spinner} {msg} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// A line on stderr that names the current step and goes away; nothing where stderr is no
/// terminal, nor for --quiet.
pub struct Progress {
    bar: ProgressBar,
    images: usize,
}

impl Progress {
    /// For a run over `images` pictures; other commands name their steps themselves.
    pub fn new(images: usize, console: Console) -> Self {
        // indicatif hides a bar by itself where stderr is no terminal.
        let target = match console.quiet {
            true => ProgressDrawTarget::hidden(),
            false => ProgressDrawTarget::stderr(),
        };
        let bar = ProgressBar::with_draw_target(None, target);
        set_style(&bar, STEP);
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar, images }
    }

    /// Shows a step that concerns no image.
    pub fn step(&self, what: &str) {
        self.bar.set_message(what.to_owned());
    }

    /// Shows a step of image number `index`, from 0.
    pub fn image(&self, index: usize, image: &Path, what: &str) {
        let which = match self.images {
            1 => String::new(),
            images => format!("{} of {images}: ", index + 1),
        };
        self.bar.set_message(format!("{which}{what} {}", image.display()));
    }

    /// Shows how a download goes: how much is here, how fast it comes, and the time left.
    pub fn of_hub(&self) -> HubProgress {
        let bar = self.bar.clone();
        let current = Mutex::new(String::new());
        Arc::new(move |step| {
            let mut current = current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match step {
                HubStep::Asking => bar.set_message("asking the hub"),
                HubStep::Waiting { file } => {
                    bar.set_message(format!("waiting for another process that downloads {file}"));
                }
                HubStep::Downloading { file, received, total } => {
                    if *current != file {
                        file.clone_into(&mut current);
                        set_style(&bar, DOWNLOAD);
                        bar.set_message(format!("downloading {file}"));
                        bar.set_length(total);
                        bar.set_position(received);
                        // What an earlier run brought says nothing about how fast this one is.
                        bar.reset_eta();
                    }
                    bar.set_position(received);
                    if received == total {
                        current.clear();
                        bar.unset_length();
                        set_style(&bar, STEP);
                        bar.set_message("loading the VAE");
                    }
                }
            }
        })
    }

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

fn set_style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
