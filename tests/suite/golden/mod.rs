//! What judges an implementation, on one that needs no engine of this crate.

mod candidate;
mod damaged;
mod images;
mod dc;
mod dc_port;
mod dc_port_vae;
mod hunyuan;
mod hunyuan_port;
mod hunyuan_port_vae;
mod plugin;
mod tiny;
mod tiny_port;
mod tolerances;
mod wan;
mod wan_port;
mod wan_port_vae;

pub mod toy;
pub mod toy_port;
