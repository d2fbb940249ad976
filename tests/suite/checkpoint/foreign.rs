//! Files that are something else than weights: each is called what it is, and nobody is told to fetch it
//! again.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vae_fidelity::checkpoint::{Contents, OpenOptions};
use vae_fidelity::{Checkpoint, Error, Source};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/latents").join(name)
}

/// What opening and looking into a file say; the same problem.
fn refused(path: &Path) -> Error {
    let source = Source::File { path: path.to_owned() };
    let opened = Checkpoint::open(&source, None).unwrap_err();
    let looked = Contents::open(&source, &OpenOptions::default()).unwrap_err();
    assert_eq!(opened.problem(), looked.problem(), "{}", path.display());
    opened
}

fn refused_bytes(name: &str, bytes: &[u8]) -> Error {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    refused(&path)
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let text = error.with_next();
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
    assert!(!text.contains("again") && !text.contains("truncated"), "{text}");
}

#[test]
fn other_formats_are_named_by_their_first_bytes() {
    let gguf = [b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0", &[0; 64][..]].concat();
    let onnx = [b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x80\x01", &[7; 64][..]].concat();
    let h5 = [b"\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0", &[0; 64][..]].concat();
    let flax =
        [b"\x84\xa7decoder\x85\xa7conv_in\x82\xa4bias\xc7\x40\x01\x93", &[0; 64][..]].concat();
    let mlmodel = [b"\x08\x05\x12\x2a\x0a\x10\x0a\x05image", &[0; 64][..]].concat();
    let engine = [b"ftrt\x01\0\0\0", &[0; 64][..]].concat();
    let npy =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }".to_vec();
    let page = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>".to_vec();
    let png = fs::read("golden/images/astronaut.png").unwrap();
    for (name, bytes, parts) in [
        ("vae.gguf", gguf, ["GGUF", ".safetensors file that it was converted from"]),
        ("model.onnx", onnx, ["an ONNX file", "exported from"]),
        ("vae.h5", h5, ["an HDF5 file, as Keras", "PyTorch weights of the same model"]),
        ("model.msgpack", flax, ["a msgpack file, as Flax", "PyTorch weights of the same model"]),
        ("vae.mlmodel", mlmodel, ["a Core ML file", "exported from"]),
        ("vae.safetensors", engine, ["a TensorRT engine", "exported from"]),
        ("vae.npy", npy, ["a NumPy array", "has no names"]),
        ("vae.safetensors", page, ["a web page (HTML)", "/resolve/"]),
        ("vae.pt", png, ["a picture (PNG)", "pictures are arguments of check"]),
        ("vae.bin", b"{\"error\": \"gated\"}".to_vec(), ["a text in JSON", "lie beside it"]),
        ("vae.ckpt", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), ["packed by gzip", "unpack it"]),
    ] {
        says(&refused_bytes(name, &bytes), &parts);
    }
}

#[test]
fn what_nothing_is_known_of_is_not_called_truncated() {
    let error = refused_bytes("vae.safetensors", &[0xab; 4096]);
    let text = error.with_next();
    assert!(text.contains("first bytes ab ab ab ab ab ab ab ab"), "{text}");
    assert!(!text.contains("truncated") && !text.contains("claims"), "{text}");
}

#[test]
fn programs_and_arrays_in_archives_are_named() {
    says(&refused(&fixture("program.torchscript.pt")), &["TorchScript", "state_dict()"]);
    says(&refused(&fixture("program.pt2")), &["torch.export", "exported from"]);
    says(
        &refused(&fixture("weights.npz")),
        &["NumPy arrays (.npz)", "safetensors.numpy.save_file"],
    );
}

#[test]
fn folders_of_other_frameworks_are_named() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("vae.mlpackage/Data/com.apple.CoreML")).unwrap();
    fs::write(at("vae.mlpackage/Manifest.json"), "{}").unwrap();
    let config =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints/config.json");
    for name in ["flax", "onnx"] {
        fs::create_dir_all(at(name)).unwrap();
        fs::copy(&config, at(name).join("config.json")).unwrap();
    }
    fs::write(at("flax/diffusion_flax_model.msgpack"), b"\x81").unwrap();
    fs::write(at("onnx/model.onnx"), b"\x08").unwrap();
    for (name, parts) in [
        ("vae.mlpackage", ["Core ML package", "exported from"]),
        ("flax", ["diffusion_flax_model.msgpack", "PyTorch weights of the same model"]),
        ("onnx", ["model.onnx", "exported from"]),
    ] {
        let source = Source::Folder { path: at(name), subfolder: None };
        says(&Checkpoint::open(&source, None).unwrap_err(), &parts);
    }
}
