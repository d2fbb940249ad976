//! Pictures, as Pillow has them. Uses nothing else of the suite.

mod bad_pictures;
mod pillow;
