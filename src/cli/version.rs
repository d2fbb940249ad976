//! What `--version` says: one line for `-V`, and for `--version` what a report of a bug needs.

/// For `-V`.
pub const SHORT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("VAE_FIDELITY_COMMIT"),
    ", ",
    env!("VAE_FIDELITY_COMMIT_DATE"),
    ")"
);

#[cfg(feature = "tch")]
macro_rules! engines {
    () => {
        "reference, fast"
    };
}

#[cfg(not(feature = "tch"))]
macro_rules! engines {
    () => {
        "fast"
    };
}

/// For `--version`.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit   ",
    env!("VAE_FIDELITY_COMMIT"),
    "\ndate     ",
    env!("VAE_FIDELITY_COMMIT_DATE"),
    "\nengines  ",
    engines!(),
    "\nfeatures ",
    env!("VAE_FIDELITY_FEATURES"),
    "\nlibtorch ",
    env!("VAE_FIDELITY_LIBTORCH"),
    "\ntarget   ",
    env!("VAE_FIDELITY_TARGET"),
);
