//! Pictures of a data set: listed at once, read one at a time, never unpacked.

mod entry;
mod tar_archive;
mod parquet_file;
mod listing;
mod data_set;
mod cells;
mod reader;

pub use data_set::DataSet;
pub use entry::Entry;
pub use reader::Reader;
