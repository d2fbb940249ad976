//! How much memory and disk a run of the fast engine takes, before it begins.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::graph::{Body, Function, Graph, Module, Residual, Step};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::memory::available_bytes;

use vae_fidelity_kernels::limit::{Limit, resident_bytes};
use vae_fidelity_kernels::tensor::pitch_of;
use vae_fidelity_kernels::threads::Threads;

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// Values that Winograd's F(6x6, 3x3) makes of one weight.
const POINTS: u64 = 64;

/// What each thread works in, apart from activations.
const THREAD: u64 = 16 << 20;

/// What each thread may map of the activations between two looks at the process's memory: a block
/// and what the system maps around it.
const MARGIN: u64 = 24 << 20;

/// What activations take more since they are handed out in blocks.
const ROUNDING: u64 = 64 << 20;

/// What all that is not counted one by one takes at most.
const SLACK: u64 = 48 << 20;

/// Bytes that one run takes, encoding or decoding, whichever is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Activations, which may lie in a file.
    pub activations: u64,
    /// Everything else but the caller's own arrays.
    pub rest: u64,
}

impl Footprint {
    /// Of `n` pictures of `height` x `width` pixels.
    pub fn of<W>(
        graph: &Graph<W>,
        threads: Threads,
        (n, height, width): (usize, usize, usize),
    ) -> Self {
        let mut walk = Walk::default();
        let patch = graph.before_encoder.iter().map(|function| match function {
            Function::Patchify(patch) => patch * patch,
            _ => 1,
        });
        let channels = graph.encoder.in_channels() / patch.product::<usize>();
        let sample = Image { n, channels, height, width };
        let given = sample.after(&graph.before_encoder);
        let moments = walk.module(&graph.encoder, given);
        let latents = Image { channels: graph.decoder.in_channels(), ..moments };
        let decoded = walk.module(&graph.decoder, latents).after(&graph.after_decoder);
        // A quarter more, since blocks of other sizes leave gaps; and the picture itself.
        let picture = sample.values().max(decoded.values()) * VALUE;
        let activations = walk.largest + walk.largest / 4 + picture + ROUNDING;
        let pixels = (n * height * width) as u64;
        let arrays = pixels * VALUE * (sample.channels + decoded.channels) as u64;
        let rest = walk.weights + 2 * walk.tokens + arrays + threads.count as u64 * THREAD + SLACK;
        Self { activations, rest }
    }

    /// Errors where `size` certainly takes more memory than the system can give: half of what it takes
    /// at most, without what is only allowed for.
    pub fn check_fits(self, threads: Threads, size: &str) -> Result<()> {
        let allowed = ROUNDING + SLACK + threads.count as u64 * THREAD;
        let least = (self.activations + self.rest).saturating_sub(allowed) / 2;
        match available_bytes() {
            Some(available) if available < least => Err(Error::new(
                ErrorKind::Memory,
                size,
                format!(
                    "takes {} of memory or more, and the system can give {}",
                    in_mib(least),
                    in_mib(available)
                ),
                "take a smaller picture, or keep activations in a file with `max_memory`",
            )),
            _ => Ok(()),
        }
    }

    /// A file for the activations, and a limit for the process of `bytes`.
    ///
    /// Fails if the limit is too small, if the system does not say how much memory the process takes,
    /// or if the disk is too full.
    pub fn limited(self, bytes: u64, threads: Threads, size: &str) -> Result<(File, Arc<Limit>)> {
        let option = || format!("`max_memory` {}", as_asked(bytes));
        let Some(taken) = resident_bytes() else {
            return Err(Error::option(
                option(),
                "this system does not say how much memory a process takes",
                "leave it out; it needs Linux",
            ));
        };
        let margin = MARGIN * threads.count as u64;
        let needed = taken + self.rest + margin;
        if bytes < needed {
            // What is asked for holds for decoding too, when the caller keeps what encoding gave.
            let least = needed + margin;
            return Err(Error::option(
                option(),
                format!("expected at least {} for {size}", in_mib(least)),
                "raise it, lower `threads`, or leave it out",
            ));
        }
        Ok((self.file()?, Arc::new(Limit::new(bytes, margin))))
    }

    /// A file without a name, which is gone when the process is, however that ends.
    fn file(self) -> Result<File> {
        let folder = scratch_folder();
        let error = |problem: String| {
            Error::new(
                ErrorKind::Output,
                folder.display(),
                problem,
                "free some room, or name a folder on another disk in TMPDIR",
            )
        };
        let wanted = self.activations;
        if in_memory(&folder) {
            return Err(error("activations cannot lie there: it is a folder in memory".into()));
        }
        if let Ok(free) = fs4::available_space(&folder)
            && free < wanted
        {
            let (wanted, free) = (in_mib(wanted), in_mib(free));
            return Err(error(format!("expected {wanted} free for activations, found {free}")));
        }
        let file = tempfile::tempfile_in(&folder)
            .map_err(|found| error(format!("activations cannot be kept there: {found}")))?;
        // Some file systems cannot set room aside; there the check above has to do.
        match fs4::FileExt::allocate(&file, wanted) {
            Err(found) if found.kind() == std::io::ErrorKind::StorageFull => {
                Err(error(format!("no room for {} of activations", in_mib(wanted))))
            }
            Err(_) => file
                .set_len(wanted)
                .map(|()| file)
                .map_err(|found| error(format!("activations cannot be kept there: {found}"))),
            Ok(()) => Ok(file),
        }
    }
}

/// The sizes of a batch of images.
#[derive(Debug, Clone, Copy)]
struct Image {
    n: usize,
    channels: usize,
    height: usize,
    width: usize,
}

impl Image {
    /// As the kernels lay them out.
    fn values(self) -> u64 {
        (self.n * self.height * self.width * pitch_of(self.channels)) as u64
    }

    /// What functions outside of modules make of it.
    fn after(self, functions: &[Function]) -> Self {
        functions.iter().fold(self, |image, function| {
            let channels = match function {
                Function::Patchify(patch) => image.channels * patch * patch,
                Function::Unpatchify(patch) => image.channels / (patch * patch),
                Function::PixelUnshuffle2x | Function::SquaresToChannels2x => image.channels * 4,
                Function::PixelShuffle2x | Function::ChannelsToSquares2x => image.channels / 4,
                Function::GroupMeans(count) => image.channels / count,
                Function::RepeatChannels(times) => image.channels * times,
                Function::GateBySilu => image.channels / 2,
                _ => image.channels,
            };
            Self { channels, ..image.resized(|side| function.out_side(side)) }
        })
    }

    fn resized(self, side: impl Fn(usize) -> usize) -> Self {
        Self { height: side(self.height), width: side(self.width), ..self }
    }
}

/// What the modules of a graph hold, each while it runs, in bytes.
#[derive(Debug, Default)]
struct Walk {
    /// Activations, of the module that holds most.
    largest: u64,
    /// Queries, keys or values of an attention.
    tokens: u64,
    /// Weights of a convolution, transformed.
    weights: u64,
}

impl Walk {
    /// What `module` makes of `input`, when nothing else is held.
    fn module<W>(&mut self, module: &Module<W>, input: Image) -> Image {
        self.inside(module, input, 0)
    }

    /// What `module` makes of `input`, while `held` values are needed after it.
    fn inside<W>(&mut self, module: &Module<W>, input: Image, held: u64) -> Image {
        match &module.body {
            // Applied by the layer that reads it.
            Body::GroupNorm(_) | Body::BatchNorm2d(_) => input,
            // Into a tensor of its own.
            Body::RmsNorm(_) => {
                self.holds(held + 2 * input.values());
                input
            }
            Body::CausalConv3d(conv) => {
                let channels = conv.weight.shape[0];
                let output = Image { channels, ..input };
                self.holds(held + input.values() + output.values());
                let products = pitch_of(channels) * pitch_of(conv.weight.shape[1]);
                self.weights = self.weights.max(POINTS * products as u64 * VALUE);
                output
            }
            // Queries, keys and values, once together and once apart, and room to spare.
            Body::QkvAttention(_) => {
                self.holds(held + 11 * input.values());
                self.tokens = self.tokens.max(input.values() * VALUE);
                input
            }
            // Into a tensor of its own.
            Body::GroupedConv2d(_) | Body::RmsNormOfPixels(_) => {
                self.holds(held + 2 * input.values());
                input
            }
            // Queries, keys and values of each kernel, the one before it, what is attended to, and room.
            Body::MultiscaleAttention(attention) => {
                let scales = 1 + attention.to_qkv_multiscale.len() as u64;
                self.holds(held + (4 + 6 * scales) * input.values());
                self.tokens = self.tokens.max(input.values() * VALUE);
                input
            }
            Body::AvgDown3D(shape) => {
                let sized = input.resized(|side| side / shape.factor_s);
                let output = Image { channels: shape.out_channels, ..sized };
                self.holds(held + input.values() + output.values());
                output
            }
            Body::DupUp3D(shape) => {
                let sized = input.resized(|side| side * shape.factor_s);
                let output = Image { channels: shape.out_channels, ..sized };
                self.holds(held + input.values() + output.values());
                output
            }
            Body::Conv2d(conv) => {
                let channels = conv.weight.shape[0];
                let sized = input.resized(|side| module.out_side(side).unwrap_or(1));
                let output = Image { channels, ..sized };
                self.holds(held + input.values() + output.values());
                let products = pitch_of(channels) * pitch_of(conv.weight.shape[1]);
                self.weights = self.weights.max(POINTS * products as u64 * VALUE);
                output
            }
            Body::Linear(linear) => {
                let output = Image { channels: linear.weight.shape[0], ..input };
                self.holds(held + input.values() + output.values());
                output
            }
            Body::Sequence(steps) => self.steps(steps, input, held, false),
            Body::Residual(residual) => self.residual(residual, input, held),
            // Input and output, queries, keys and values, and room to spare.
            Body::Attention(_) | Body::ConvAttention(_) => {
                self.holds(held + 8 * input.values());
                self.tokens = self.tokens.max(input.values() * VALUE);
                input
            }
        }
    }

    /// What `steps` make of `input`; `counted` says whether `held` has the input in it.
    fn steps<W>(&mut self, steps: &[Step<W>], input: Image, held: u64, mut counted: bool) -> Image {
        let mut image = input;
        for step in steps {
            let others = held - if counted { image.values() } else { 0 };
            match step {
                Step::Module(module) => {
                    image = self.inside(module, image, others);
                    counted &= matches!(module.body, Body::GroupNorm(_));
                }
                Step::Function(Function::Activation(_) | Function::Elementwise(_))
                | Step::TimeConv(_) => (),
                Step::Residual(residual) => {
                    image = self.residual(residual, image, others);
                    counted = false;
                }
                Step::Function(function) => {
                    let output = image.after(&[*function]);
                    self.holds(others + image.values() + output.values());
                    (image, counted) = (output, false);
                }
            }
        }
        image
    }

    fn residual<W>(&mut self, residual: &Residual<W>, input: Image, held: u64) -> Image {
        let output = self.steps(&residual.hidden, input, held + input.values(), true);
        let mut around = input;
        for function in &residual.shortcut_functions {
            let next = around.after(&[*function]);
            self.holds(held + output.values() + around.values() + next.values());
            around = next;
        }
        if residual.shortcut.is_some() {
            self.holds(held + input.values() + 2 * output.values());
        }
        output
    }

    fn holds(&mut self, values: u64) {
        self.largest = self.largest.max(values * VALUE);
    }
}

/// Errors where one picture certainly takes more memory on the CPU than the system can give; both
/// engines take at least what the fast one does.
pub(crate) fn check_picture_fits(
    config: &VaeConfig,
    threads: Option<usize>,
    (width, height): (usize, usize),
) -> Result<()> {
    let threads = threads.map_or_else(Threads::available, Threads::new);
    let footprint = Footprint::of(&Graph::of(config), threads, (1, height, width));
    footprint.check_fits(threads, &format!("{width} x {height} pixels"))
}

/// `TMPDIR`, else `/var/tmp`, which unlike `/tmp` is meant for large files.
fn scratch_folder() -> PathBuf {
    let set = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty());
    set.map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// Whether what is written there stays in memory.
#[cfg(target_os = "linux")]
fn in_memory(folder: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    let mut found = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path ends in a zero, and there is room for the answer, which is read only if the
    // call says that it was written.
    unsafe {
        libc::statfs(path.as_ptr(), found.as_mut_ptr()) == 0
            && found.assume_init().f_type == libc::TMPFS_MAGIC
    }
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_: &Path) -> bool {
    false
}

/// A limit as it was most likely typed: in the largest unit of which it is a whole number.
pub(super) fn as_asked(bytes: u64) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let unit = units.into_iter().find(|(_, power)| bytes.trailing_zeros() >= *power && bytes > 0);
    unit.map_or_else(|| bytes.to_string(), |(unit, power)| format!("{}{unit}", bytes >> power))
}

/// As people write it.
pub(super) fn in_mib(bytes: u64) -> String {
    format!("{}M", bytes.div_ceil(1 << 20))
}
