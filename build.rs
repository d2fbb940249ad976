//! Lets binaries, tests and benches find libtorch without `LD_LIBRARY_PATH`, and tells the command
//! which version of it was linked.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let mut version = None;
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
        version = std::fs::read_to_string(Path::new(&lib).with_file_name("build-version")).ok();
    }
    let version = version.as_deref().map_or("of unknown version", str::trim);
    println!("cargo:rustc-env=VAE_FIDELITY_LIBTORCH={version}");
}
