//! The command, run as a process: what it prints and writes, and how it exits.

mod bad_input;
mod bad_output;
mod candidate;
mod clips;
mod check;
mod ci_files;
mod compare;
mod decode;
mod decode_flux2;
mod engines;
#[cfg(feature = "evaluate")]
mod evaluate;
#[cfg(feature = "evaluate")]
mod evaluate_lpips;
#[cfg(feature = "evaluate")]
mod evaluate_maps;
mod evaluate_places;
mod evaluate_sets;
mod explain;
#[cfg(feature = "evaluate")]
mod explain_gap;
mod flux2;
mod asymmetric;
mod dc;
mod hunyuan;
mod wan;
mod qwen_image_21;
mod tiny;
mod golden;
#[cfg(target_os = "linux")]
mod hostile;
mod hub;
mod inspect;
mod inspect_pair;
mod latents_files;
mod latents_shapes;
#[cfg(target_os = "linux")]
mod limits;
mod lost_files;
mod original_files;
#[cfg(target_os = "linux")]
mod max_memory;
mod pictures;
mod privacy;
mod probe;
mod rgba;
mod sources;
mod tables;
mod trace;
mod trace_and_check;
mod usage;
mod user_files;

mod check_report;
mod hub_world;
mod junit;
mod sandbox;
mod schema;
mod trace_report;
