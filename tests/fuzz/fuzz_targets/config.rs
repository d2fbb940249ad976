#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vae_fidelity_fuzz::config(bytes));
