//! Lets binaries, tests and benches find libtorch without `LD_LIBRARY_PATH`, says so where the
//! libtorch at hand is not the one that `tch` is made for, and tells the command what it is built from.

#[path = "build/commit.rs"]
mod commit;

use std::env;
use std::fs;
use std::path::Path;
use std::process::exit;

/// torch-sys 0.N is made for libtorch 2.(N - 13), since its 0.23: 0.24 for 2.11, 0.26 for 2.13.
const LIBTORCH_BEHIND_TORCH_SYS: u32 = 13;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/commit.rs");
    println!("cargo::rerun-if-changed=Cargo.toml");
    commit::tell();
    features_and_target();
    // Set by torch-sys, which has found libtorch by now; not set without the `tch` feature, or when
    // only documentation is built.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::rustc-env=VAE_FIDELITY_LIBTORCH=none");
        return;
    };
    let lib = Path::new(&lib);
    let version = found_version(lib);
    println!("cargo::rustc-env=VAE_FIDELITY_LIBTORCH={}", version.as_deref().unwrap_or("unknown"));
    if let Some(version) = &version {
        check_version(lib, version);
    }
    rpath(lib);
    if let Ok(cuda_runtime) = env::var("DEP_VAE_FIDELITY_CUDA_RUNTIME") {
        rpath(Path::new(&cuda_runtime));
    }
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    // No symbol of libtorch_cuda is used by name, so the linker would leave it out, and without it
    // in the process there is no CUDA device.
    let cuda = lib.join("libtorch_cuda.so");
    if os == "linux" && cuda.exists() {
        println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
        println!("cargo::rustc-link-arg={}", cuda.display());
        println!("cargo::rustc-link-arg=-Wl,--as-needed");
    }
}

/// As `--version` says them.
fn features_and_target() {
    let features = env::var("CARGO_CFG_FEATURE").unwrap_or_default();
    let mut features: Vec<&str> = features.split(',').filter(|name| *name != "default").collect();
    features.sort_unstable();
    println!("cargo::rustc-env=VAE_FIDELITY_FEATURES={}", features.join(", "));
    println!("cargo::rustc-env=VAE_FIDELITY_TARGET={}", env::var("TARGET").unwrap_or_default());
}

fn rpath(folder: &Path) {
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if os == "linux" || os == "macos" {
        // One argument each, and not `-Wl,-rpath,...`: a path may hold a comma.
        for argument in ["-Xlinker", "-rpath", "-Xlinker"] {
            println!("cargo::rustc-link-arg={argument}");
        }
        println!("cargo::rustc-link-arg={}", folder.display());
    }
}

/// What libtorch's headers say of themselves. torch-sys looks at a `build-version` file instead,
/// which Python's torch and most system packages lack.
fn found_version(lib: &Path) -> Option<String> {
    let include = lib.parent()?.join("include");
    let headers = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
    let header = headers.map(|name| include.join(name)).into_iter().find(|h| h.is_file())?;
    println!("cargo::rerun-if-changed={}", header.display());
    let text = fs::read_to_string(&header).ok()?;
    let part = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix("#define TORCH_VERSION_")?.strip_prefix(name))
            .map(str::trim)
    };
    Some(format!("{}.{}.{}", part("MAJOR ")?, part("MINOR ")?, part("PATCH ")?))
}

fn check_version(lib: &Path, found: &str) {
    println!("cargo::rerun-if-env-changed=LIBTORCH_BYPASS_VERSION_CHECK");
    let wanted = wanted_version();
    if found != wanted && env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_none() {
        println!(
            "cargo::error={}: libtorch {wanted} is needed, found {found}. Point LIBTORCH at a \
             libtorch {wanted}, or unset it and run `python3 scripts/libtorch.py`",
            lib.display()
        );
        exit(1);
    }
}

/// The libtorch that the torch-sys of the manifest is made for; scripts/libtorch.py fetches the same,
/// and scripts/cuda_bundle.sh derives a manifest for another.
fn wanted_version() -> String {
    let manifest =
        Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("Cargo.toml");
    let minor = fs::read_to_string(&manifest).ok().and_then(|text| torch_sys_minor(&text));
    let Some(minor) = minor else {
        println!("cargo::error={}: no `torch-sys = \"=0.N.0\"`", manifest.display());
        exit(1);
    };
    format!("2.{}.0", minor - LIBTORCH_BEHIND_TORCH_SYS)
}

/// The N of torch-sys 0.N, in a manifest as written here and as `cargo package` writes it.
fn torch_sys_minor(manifest: &str) -> Option<u32> {
    let mut after = manifest.lines().skip_while(|line| {
        !line.starts_with("torch-sys =") && line.trim() != "[dependencies.torch-sys]"
    });
    let version = after.find_map(|line| line.split_once("\"=0."))?.1;
    version.split('.').next()?.parse().ok()
}
