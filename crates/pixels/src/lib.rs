//! Image files as Pillow sees them: RGB8 in, RGB8 out.
//!
//! A latent-diffusion pipeline starts with `PIL.Image.open(path).convert("RGB")` and a bicubic
//! resize. Comparing a VAE with a pipeline to the last bit therefore needs the same bytes, and
//! general-purpose decoders and resizers give others. The reference is Pillow 13.0.0;
//! `vae_fidelity_tools.conformance.pillow` measures every format and mode against it.
//!
//! What gives other bytes, or is not known to give the same, is refused by name.
//!
//! Begin with [`open`] and [`resize_bicubic`]:
//!
//! ```no_run
//! use std::path::Path;
//! use vae_fidelity_pixels::{open, resize_bicubic};
//!
//! // Image.open("photo.jpg").convert("RGB").resize((512, 512), Image.BICUBIC)
//! let opened = open(Path::new("photo.jpg"))?;
//! let small = resize_bicubic(&opened.pixels, 512, 512)?;
//! assert_eq!(small.data().len(), 512 * 512 * 3);
//! for note in &opened.notes {
//!     eprintln!("{note}"); // such as: alpha is dropped
//! }
//! # Ok::<(), vae_fidelity_files::Error>(())
//! ```
//!
//! Each format is a feature, all on by default (`all-formats`); only `jpeg` needs a C compiler. `icc`
//! reads a file's colour profile for [`Reading::ToSrgb`], and `image` converts to and from the pictures of
//! the crate of that name.

#![cfg_attr(
    not(feature = "all-formats"),
    allow(dead_code, unused_imports, reason = "what only formats need that are left out")
)]

mod alpha8;
#[cfg(feature = "bmp")]
mod bmp;
mod canvas;
mod dropped;
#[cfg(feature = "png")]
mod encode;
mod exif;
#[cfg(feature = "image")]
mod interop;
mod format;
mod frames;
#[cfg(feature = "gif")]
mod gif;
#[cfg(feature = "gif")]
mod gif_blocks;
#[cfg(feature = "jpeg")]
mod jpeg_coding;
#[cfg(feature = "jpeg")]
mod jpeg;
mod limit;
mod open;
mod opened;
#[cfg(feature = "png")]
mod png;
#[cfg(feature = "png")]
mod png_frames;
#[cfg(feature = "pnm")]
mod pnm;
mod resize;
mod resize_rgba;
mod rgb8;
mod size;
mod stream;
#[cfg(feature = "tga")]
mod tga;
#[cfg(feature = "tiff")]
mod tiff;
#[cfg(feature = "tiff")]
mod tiff_tags;
mod to_rgb;
mod turned;
mod upright;
#[cfg(feature = "webp")]
mod webp;
#[cfg(feature = "webp")]
mod webp_file;
#[cfg(feature = "webp")]
mod webp_frames;

pub use alpha8::Alpha8;
pub use dropped::{Dropped, Reading};
#[cfg(feature = "png")]
pub use encode::{encode_frames_png, encode_png, encode_rgba_png};
pub use format::ImageFormat;
pub use frames::{open_frames, open_frames_bytes};
pub use limit::{MAX_PIXELS_REFUSED, MAX_PIXELS_UNWARNED};
pub use open::{open, open_bytes};
pub use opened::{JpegCoding, OpenedImage};
pub use resize::{Filter, PassOrder, resize, resize_bicubic};
pub use resize_rgba::resize_rgba;
pub use rgb8::Rgb8;
pub use size::{requested_size, target_size};
pub use upright::Exif;
