//! Pictures that explain: where two pictures differ, all of a round trip at a glance, and what a
//! tensor looks like.

mod canvas;
mod channels;
mod heat_map;
mod montage;
mod sheet;

pub use channels::{channel_picture, histogram};
pub use heat_map::{Scale, colours, heat_map, with_scale, written};
pub use montage::montage;
pub use sheet::sheet;
