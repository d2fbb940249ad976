//! A second implementation with mistakes planted in it: the goldens fail it and say where.

mod blocks;
mod planted_faults;
mod teeth;

mod fault;
pub mod port;
mod port_vae;
