//! Checkpoints: folders, files and the hub. Uses nothing else of the suite but the hub's server.

mod classes;
pub mod families;
pub mod flux2;
pub mod asymmetric;
pub mod dc;
pub mod hunyuan;
pub mod tiny;
pub mod wan;
pub mod qwen_image_21;
mod folders;
mod foreign;
mod formats;
mod hostile;
mod hub;
mod hub_faults;
mod hub_trust;
mod latents;
mod wrapped;

mod hub_cache;
mod peak;
