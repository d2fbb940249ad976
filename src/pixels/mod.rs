//! Image files as Pillow sees them: RGB8 in, RGB8 out.

mod rgb8;

pub use rgb8::Rgb8;
