//! Lets this crate's own tests find libtorch without `LD_LIBRARY_PATH`, and compiles what reaches CUDA
//! graphs where CUDA's headers are.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Set by torch-sys, which has found libtorch by now; not set without the `tch` feature, or when
    // only documentation is built.
    let Ok(lib) = env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = Path::new(&lib);
    rpath(lib);
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux")
        && lib.join("libtorch_cuda.so").exists()
    {
        cuda_graphs(lib);
    }
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

/// CUDA graphs need CUDA's headers and runtime: those of Python's packages beside torch, or a CUDA
/// toolkit. Without them the fast engine runs without graphs.
#[cfg(feature = "tch")]
fn cuda_graphs(lib: &Path) {
    const SOURCE: &str = "src/autoencoder_kl/cuda/bindings.cpp";
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let home = env::var("CUDA_HOME").unwrap_or_else(|_| "/usr/local/cuda".to_owned());
    let roots = [lib.join("../../nvidia/cu13"), home.into()];
    let Some((include, runtime)) = roots.iter().find_map(|root| {
        let include = root.join("include");
        let headers = ["cuda_runtime_api.h", "crt/host_config.h"];
        let libraries = ["lib/libcudart.so.13", "lib64/libcudart.so.13", "lib64/libcudart.so"];
        let runtime = libraries.iter().map(|name| root.join(name)).find(|path| path.is_file())?;
        headers.iter().all(|name| include.join(name).is_file()).then_some((include, runtime))
    }) else {
        println!(
            "cargo::warning=no CUDA headers beside libtorch: the fast engine has no CUDA graphs"
        );
        return;
    };
    let torch = lib.join("../include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .include(&torch)
        .include(torch.join("torch/csrc/api/include"))
        .include(&include)
        .file(SOURCE)
        .compile("vae_fidelity_cuda");
    println!("cargo::rustc-cfg=cuda_graphs");
    for library in ["c10_cuda", "c10"] {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    let folder = runtime.with_file_name("");
    let name = runtime.file_name().unwrap_or_default().to_string_lossy();
    println!("cargo::rustc-link-search=native={}", folder.display());
    println!("cargo::rustc-link-lib=dylib:+verbatim={name}");
    // For whoever links a binary: DEP_VAE_FIDELITY_CUDA_RUNTIME.
    println!("cargo::metadata=RUNTIME={}", folder.display());
    rpath(&folder);
}

#[cfg(not(feature = "tch"))]
fn cuda_graphs(_: &Path) {}
