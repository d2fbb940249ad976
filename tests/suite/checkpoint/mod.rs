//! Checkpoints: folders, files and the hub. Uses nothing else of the suite but the hub's server.

mod families;
mod folders;
mod formats;
mod hostile;
mod hub;
mod hub_faults;

mod hub_cache;
mod peak;
