//! Latents as each program writes them: the fixtures are written by the calls that those programs make
//! (`vae_fidelity_tools.conformance.latents_fixtures`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vae_fidelity::Error;
use vae_fidelity::checkpoint::{Container, LatentsFile, read_tensor};
use vae_fidelity::config::Family;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/latents")
}

#[derive(Deserialize)]
struct Expected {
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    tensor: String,
    shape: Vec<usize>,
    sha256: String,
}

#[test]
fn every_writers_latents_are_read_to_the_bit() {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.files.len(), 11);
    for (name, file) in expected.files {
        let read = LatentsFile::read(&fixtures().join(&name), None).unwrap();
        assert_eq!(read.name.as_deref().unwrap_or(""), file.tensor, "{name}");
        assert_eq!(read.values.shape(), file.shape, "{name}");
        let bytes: Vec<u8> = read.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, file.sha256, "{name}");
    }
}

#[test]
fn each_writers_convention_is_known() {
    for (name, container, of_sd1, of_flux) in [
        ("comfyui.latent", Container::ComfyUi, false, false),
        ("comfyui-old.latent", Container::ComfyUiOld, false, false),
        ("photo_0024x0016_flux.npz", Container::SdScriptsFlux, true, true),
        ("photo_0024x0016_sd3.npz", Container::SdScriptsSd, false, false),
        ("photo.npz", Container::SdScriptsSd, false, false),
        ("photo_0024x0016_zi.safetensors", Container::MusubiRaw, false, false),
        ("0.pt", Container::OneTrainer, false, false),
        ("alone.pt", Container::Plain, true, true),
        ("parameter.pt", Container::Plain, true, true),
    ] {
        let read = LatentsFile::read(&fixtures().join(name), None).unwrap();
        assert_eq!(read.container, container, "{name}");
        assert_eq!(container.is_scaled(Family::Sd1), of_sd1, "{name}");
        assert_eq!(container.is_scaled(Family::Flux1), of_flux, "{name}");
    }
    // Of a cache whose name does not say so, the VAE decides.
    assert!(Container::SdScripts.is_scaled(Family::Flux1));
    assert!(!Container::SdScripts.is_scaled(Family::Sd3));
}

#[test]
fn a_tensor_can_be_named() {
    let path = fixtures().join("photo_0024x0016_flux.npz");
    let flipped = LatentsFile::read(&path, Some("latents_flipped_2x3")).unwrap();
    let plain = LatentsFile::read(&path, None).unwrap();
    assert_eq!(flipped.values[[0, 0, 0]], plain.values[[0, 0, 2]]);
    let refused = LatentsFile::read(&path, Some("nothing")).unwrap_err();
    assert_eq!(refused.subject(), "`latents_key` nothing");
    assert!(refused.problem().contains("latents_2x3 (4, 2, 3)"), "{refused}");
    let pickled = read_tensor(&fixtures().join("alone.pt"), "preprocessed").unwrap();
    assert_eq!(pickled.shape(), [1, 4, 2, 3]);
}

fn refused(name: &str, bytes: &[u8]) -> Error {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    LatentsFile::read(&path, None).unwrap_err()
}

#[test]
fn what_is_no_file_of_tensors_is_called_what_it_is() {
    let png = fs::read("golden/images/astronaut.png").unwrap();
    for (name, bytes, part, next) in [
        ("z.npy", &png[..], "a picture (PNG)", "`decoded_image`"),
        ("z.latent", b"GGUF\x03\0\0\0\0\0\0\0", "a GGUF file", "save the tensor alone"),
        ("z.safetensors", b"no tensor at all", "none of the files", "save the tensor alone"),
        ("z.pt", b"", "is empty", "write it again"),
    ] {
        let error = refused(name, bytes);
        assert!(
            error.problem().contains(part) && error.next().contains(next),
            "{}",
            error.with_next()
        );
    }
    // A whole archive whose bytes were changed, and one that is cut.
    let mut npz = fs::read(fixtures().join("photo.npz")).unwrap();
    let at = npz.windows(6).position(|six| six == b"\x93NUMPY").unwrap() + 130;
    npz[at] ^= 1;
    assert!(refused("z.npz", &npz).problem().contains("checksum"), "{}", refused("z.npz", &npz));
    npz.truncate(600);
    refused("z.npz", &npz);
    let mut pt = fs::read(fixtures().join("alone.pt")).unwrap();
    pt.truncate(700);
    refused("z.pt", &pt);
}

#[test]
fn no_pickle_of_latents_runs() {
    // os.system("touch ...") where a tensor should be.
    let folder = TempDir::new().unwrap();
    let proof = folder.path().join("executed");
    let command = format!("touch {}", proof.display());
    let pickle = [
        b"\x80\x02cposix\nsystem\n(X".as_slice(),
        &(command.len() as u32).to_le_bytes(),
        command.as_bytes(),
        b"tR.",
    ]
    .concat();
    let start =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    let file = [&start[..], &pickle, b"\x80\x02]."].concat();
    let error = refused("z.pt", &file);
    assert!(error.problem().contains("posix.system, which is not run"), "{error}");
    assert!(!proof.exists());
}
