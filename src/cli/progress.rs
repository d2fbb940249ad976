//! What is being done, on stderr, while somebody watches.

use std::fmt::Write as FormatWrite;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Cancellation;
use crate::checkpoint::{HubProgress, HubStep};
use crate::printable::shown;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::console::{Console, FAINT};

const STEP: &str = "{spinner} {msg}{layers} [{elapsed}]";
#[cfg(feature = "evaluate")]
const PICTURES: &str = "{spinner} {pos} of {len} pictures, {msg}{eta} left [{elapsed}]";
const DOWNLOAD: &str =
    "{spinner} {msg} {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";

/// A line on stderr that names the current step and goes away; nothing where stderr is no
/// terminal, nor for --quiet.
pub struct Progress {
    bar: ProgressBar,
    images: usize,
    quiet: bool,
    /// Counts the layers that begin.
    layers: Cancellation,
    /// How many had begun when the step did.
    before: Arc<AtomicUsize>,
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
        let progress = Self {
            bar,
            images,
            quiet: console.quiet,
            layers: Cancellation::default(),
            before: Arc::new(AtomicUsize::new(0)),
        };
        progress.show_steps();
        let bar = &progress.bar;
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        progress
    }

    /// To be given to the model that runs: the line then says which layer it is at.
    pub fn layers(&self) -> Cancellation {
        self.layers.clone()
    }

    fn show_steps(&self) {
        let (layers, before) = (self.layers.clone(), Arc::clone(&self.before));
        let Ok(style) = ProgressStyle::with_template(STEP) else { return };
        self.bar.set_style(style.with_key(
            "layers",
            move |_: &ProgressState, to: &mut dyn FormatWrite| {
                let begun = layers.checks().saturating_sub(before.load(Ordering::Relaxed));
                if begun > 0 {
                    // Nobody is left to tell.
                    let _ = write!(to, ", layer {begun}");
                }
            },
        ));
    }

    fn begin(&self) {
        self.before.store(self.layers.checks(), Ordering::Relaxed);
    }

    /// Shows a step that concerns no image.
    pub fn step(&self, what: &str) {
        self.begin();
        self.bar.set_message(what.to_owned());
    }

    /// Shows a step of image number `index`, from 0.
    pub fn image(&self, index: usize, image: &Path, what: &str) {
        self.begin();
        let which = match self.images {
            1 => String::new(),
            images => format!("{} of {images}: ", index + 1),
        };
        self.bar.set_message(format!("{which}{what} {}", shown(image.display())));
    }

    /// Shows how a download goes: how much is here, how fast it comes, and the time left.
    ///
    /// That a request is made again is said where nobody sees a line, too: it may take a minute.
    pub fn of_hub(&self) -> HubProgress {
        let (bar, quiet) = (self.bar.clone(), self.quiet);
        let steps = bar.style();
        let current = Mutex::new(String::new());
        Arc::new(move |step| {
            let mut current = current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match step {
                HubStep::Asking => bar.set_message("asking the hub"),
                HubStep::Waiting { file } => {
                    bar.set_message(format!(
                        "waiting for another process that downloads {}",
                        shown(file)
                    ));
                }
                HubStep::Retrying { reason, wait } => {
                    let again =
                        format!("{}; trying again in {} s", shown(reason), wait.as_secs_f32());
                    match bar.is_hidden() {
                        true if quiet => {}
                        // Nobody is left to tell when stderr is gone.
                        true => drop(writeln!(anstream::stderr(), "{FAINT}note:{FAINT:#} {again}")),
                        false => bar.set_message(again),
                    }
                }
                HubStep::Downloading { file, received, total } => {
                    if *current != file {
                        file.clone_into(&mut current);
                        set_style(&bar, DOWNLOAD);
                        bar.set_message(format!("downloading {}", shown(file)));
                        bar.set_length(total);
                        bar.set_position(received);
                        // What an earlier run brought says nothing about how fast this one is.
                        bar.reset_eta();
                    }
                    bar.set_position(received);
                    if received == total {
                        current.clear();
                        bar.unset_length();
                        bar.set_style(steps.clone());
                        bar.set_message("loading the VAE");
                    }
                }
            }
        })
    }

    /// Shows how far a run over `total` pictures is, of which `before` were done before it: how many,
    /// how fast, and the time left.
    #[cfg(feature = "evaluate")]
    pub fn of_pictures(&self, done: usize, before: usize, total: usize) {
        if self.bar.length().is_none() {
            set_style(&self.bar, PICTURES);
            self.bar.set_length(total as u64);
            self.bar.set_position(done as u64);
            // What an earlier run did says nothing about how fast this one is.
            self.bar.reset_elapsed();
            self.bar.reset_eta();
        }
        self.bar.set_position(done as u64);
        let seconds = self.bar.elapsed().as_secs_f64();
        if done > before && seconds > 0.0 {
            let rate = (done - before) as f64 / seconds;
            self.bar.set_message(format!("{rate:.1} a second, "));
        }
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
