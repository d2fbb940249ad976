//! Formats and layouts of weights: what torch, safetensors and diffusers wrote comes back bit for
//! bit. `vae_fidelity_tools.conformance.checkpoints` compares many more layouts with diffusers itself.

use std::borrow::Cow;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use vae_fidelity::checkpoint::{OpenOptions, expected_tensors};
use vae_fidelity::{Checkpoint, Error, Source};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

/// The config of every fixture.
fn config() -> Option<PathBuf> {
    Some(fixtures().join("config.json"))
}

fn open(path: &Path, options: OpenOptions) -> Result<Checkpoint, Error> {
    Checkpoint::open_with(&Source::parse(path.to_str().unwrap(), None)?, &options)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One hash over all tensors, as `vae_fidelity_tools.conformance.checkpoint_fixtures` computes it.
fn hash_of_all(checkpoint: &Checkpoint) -> String {
    let mut names: Vec<String> =
        expected_tensors(checkpoint.config()).into_iter().map(|spec| spec.name).collect();
    names.sort();
    let lines: String = names
        .iter()
        .map(|name| {
            let stored = checkpoint.tensor(name).unwrap();
            format!("{name} {} {:?} {}\n", stored.dtype, stored.shape, hash(&stored.data))
        })
        .collect();
    hash(lines.as_bytes())
}

fn expected(fixture: &str) -> String {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    value["sha256"][fixture].as_str().expect("a hash of this fixture").to_owned()
}

/// Opens a fixture, and holds every tensor against what diffusers loads.
fn same_as_diffusers(fixture: &str, path: &str, options: OpenOptions) -> Checkpoint {
    let checkpoint = open(&fixtures().join(path), options).unwrap();
    assert_eq!(hash_of_all(&checkpoint), expected(fixture), "{path} is not what diffusers loads");
    checkpoint
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

fn with_config() -> OpenOptions {
    OpenOptions { config: config(), ..OpenOptions::default() }
}

fn with_variant(name: &str) -> OpenOptions {
    OpenOptions { variant: Some(name.into()), ..OpenOptions::default() }
}

/// A copy of a fixture's folder, to be spoilt.
fn copy_of(fixture: &str) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let (from, name) = { (entry.as_ref().unwrap().path(), entry.unwrap().file_name()) };
            match from.is_dir() {
                true => copy(&from, &to.join(name)),
                false => drop(fs::copy(&from, to.join(name)).unwrap()),
            }
        }
    }
    let folder = TempDir::new().unwrap();
    copy(&fixtures().join(fixture), folder.path());
    folder
}

#[test]
fn shards_are_read_as_one_checkpoint() {
    let checkpoint = same_as_diffusers("sharded", "sharded", OpenOptions::default());
    assert_eq!(checkpoint.files().len(), 2);
}

#[test]
fn a_bin_is_read_where_no_safetensors_lie_and_its_values_stay_in_the_file() {
    let checkpoint = same_as_diffusers("bin", "variant", OpenOptions::default());
    for name in ["encoder.conv_in.weight", "decoder.mid_block.attentions.0.to_q.weight"] {
        let data = checkpoint.tensor(name).unwrap().data;
        assert!(matches!(data, Cow::Borrowed(_)), "{name} was copied");
    }
    assert!(!checkpoint.notes().iter().any(|note| note.contains("not run")));
}

#[test]
fn a_variant_is_preferred_and_its_absence_is_said() {
    same_as_diffusers("variant", "variant", with_variant("fp16"));
    let checkpoint = same_as_diffusers("bin", "variant", with_variant("ema"));
    contains(&checkpoint.notes().join("\n"), &["no weights of variant ema", "model.bin"]);
    for name in ["", "../x", "a/b", "fp16\\x"] {
        let refused = open(&fixtures().join("variant"), with_variant(name)).unwrap_err();
        contains(&refused.to_string(), &["`variant`", "expected a part of a file name"]);
    }
    let file = fixtures().join("variant/vae/diffusion_pytorch_model.bin");
    contains(&open(&file, with_variant("fp16")).unwrap_err().to_string(), &["`variant` fp16"]);
}

#[test]
fn a_folder_that_has_only_a_variant_says_how_to_ask_for_it() {
    let folder = copy_of("variant");
    fs::remove_file(folder.path().join("vae/diffusion_pytorch_model.bin")).unwrap();
    let refused = open(folder.path(), OpenOptions::default()).unwrap_err();
    contains(refused.next(), &["`variant` fp16"]);
    assert!(open(folder.path(), with_variant("fp16")).is_ok());
}

#[test]
fn old_attention_names_and_f64_in_the_format_before_torch_1_6() {
    let checkpoint = same_as_diffusers("old-names-f64", "old-names-f64", OpenOptions::default());
    let notes = checkpoint.notes().join("\n");
    contains(&notes, &["16 tensors have older names", "124 tensors stored as f64, rounded to f32"]);
}

#[test]
fn a_full_checkpoint_gives_its_vae_and_leaves_the_rest_alone() {
    let checkpoint = same_as_diffusers("full", "full/model.ckpt", with_config());
    let notes = checkpoint.notes().join("\n");
    contains(&notes, &["first_stage_model.", "2 tensors averaged copies (model_ema."]);
    contains(&notes, &["3 tensors not of the VAE (betas, ", "not run: argparse.Namespace"]);
}

#[test]
fn eight_bit_floats_become_f16_exactly_as_torch_casts_them() {
    let file = same_as_diffusers("ldm-e4m3", "ldm-e4m3/vae.safetensors", with_config());
    contains(&file.notes().join("\n"), &["124 tensors stored as float8_e4m3fn", "begin with vae."]);
    let file = same_as_diffusers("e5m2-before-1.6", "e5m2-before-1.6/vae.pt", with_config());
    contains(&file.notes().join("\n"), &["124 tensors stored as float8_e5m2"]);
    // Not only a hash: the largest value, the smallest, and NaN.
    let name = "decoder.mid_block.resnets.0.conv1.weight";
    let e4m3 = open(&fixtures().join("ldm-e4m3/vae.safetensors"), with_config()).unwrap();
    let values = e4m3.tensor(name).unwrap().to_f32();
    assert_eq!((values[0x7e], values[0x01], values[0x38]), (448.0, 1.0 / 512.0, 1.0));
    assert!(values[0x7f].is_nan());
    let values = file.tensor(name).unwrap().to_f32();
    assert_eq!(
        (values[0x7b], values[0x01], values[0x7c]),
        (57344.0, 2.0_f32.powi(-16), f32::INFINITY)
    );
}

#[test]
fn scaled_eight_bit_floats_are_multiplied_in_f32_as_torch_does() {
    let file = same_as_diffusers("scaled-e4m3", "scaled-e4m3/vae.safetensors", with_config());
    let notes = file.notes().join("\n");
    contains(&notes, &["stored as 8-bit floats with a scale, read as f32"]);
    assert!(!notes.contains("unexpected") && !notes.contains("left alone"), "{notes}");
    // Without its scales the same file would be a thousand times too large, and say nothing.
    let path = fixtures().join("scaled-e4m3/vae.safetensors");
    let spoilt = TempDir::new().unwrap();
    let path_of = |name: &str| spoilt.path().join(name);
    let mut bytes = fs::read(path).unwrap();
    let text = b"first_stage_model.decoder.conv_in.scale_weight";
    let at = bytes.windows(text.len()).position(|window| window == text).unwrap();
    bytes[at + 18..at + 25].copy_from_slice(b"encoder");
    bytes[at + 26..at + 33].copy_from_slice(b"conv_ox");
    fs::write(path_of("vae.safetensors"), bytes).unwrap();
    let refused = open(&path_of("vae.safetensors"), with_config()).unwrap_err();
    contains(&refused.to_string(), &["encoder.conv_ox.weight, which is not there"]);
}

/// Flips a bit of decoder.conv_in.weight and opens the file again.
fn opened_with_a_flipped_bit(fixture: &str, file: &str) -> Result<Checkpoint, Error> {
    let folder = copy_of(fixture);
    let path = folder.path().join(file);
    let mut bytes = fs::read(&path).unwrap();
    let checkpoint = open(&path, with_config()).unwrap();
    let values = checkpoint.tensor("decoder.conv_in.weight").unwrap().data.into_owned();
    let at = bytes.windows(values.len()).position(|window| *window == *values).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    open(&path, with_config())
}

#[test]
fn a_flipped_bit_of_an_archive_is_refused_by_its_checksum() {
    for (fixture, file) in [("full", "model.ckpt"), ("variant", "vae/diffusion_pytorch_model.bin")]
    {
        let refused = opened_with_a_flipped_bit(fixture, file).unwrap_err();
        contains(&refused.to_string(), &["was damaged after it was written", "checksum"]);
        assert!(refused.next().contains("fetch the file again"), "{}", refused.next());
    }
    // Only the VAE is looked at: what else lies in the file is not read.
    let folder = copy_of("full");
    let path = folder.path().join("model.ckpt");
    let bytes = fs::read(&path).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    let (mut refused, mut opened) = (0, 0);
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).unwrap();
        let start = member.data_start().unwrap() as usize;
        if member.size() == 0 {
            continue;
        }
        let mut spoilt = bytes.clone();
        spoilt[start] ^= 1;
        fs::write(&path, spoilt).unwrap();
        match open(&path, with_config()) {
            Ok(checkpoint) => {
                assert_eq!(hash_of_all(&checkpoint), expected("full"));
                opened += 1;
            }
            Err(_) => refused += 1,
        }
    }
    let tensors = 124;
    assert!(refused >= tensors && opened >= 4, "{refused} refused, {opened} opened");
}

#[test]
fn an_archive_without_checksums_is_read() {
    // torch.serialization.set_crc32_options(False) leaves zeros.
    let folder = copy_of("full");
    let path = folder.path().join("model.ckpt");
    let mut bytes = fs::read(&path).unwrap();
    let mut spoilt = 0;
    for at in 0..bytes.len() - 4 {
        if bytes[at..].starts_with(b"PK\x01\x02") {
            bytes[at + 16..at + 20].fill(0);
            spoilt += 1;
        }
    }
    assert!(spoilt > 100);
    fs::write(&path, bytes).unwrap();
    assert_eq!(hash_of_all(&open(&path, with_config()).unwrap()), expected("full"));
}

#[test]
fn one_changed_bit_of_a_fixture_shows() {
    // The older format has no checksums: the last value comes back as it is.
    let folder = copy_of("e5m2-before-1.6");
    let path = folder.path().join("vae.pt");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let spoilt = open(&path, with_config()).unwrap();
    assert_ne!(hash_of_all(&spoilt), expected("e5m2-before-1.6"));
}

#[test]
fn the_config_beside_a_file_that_diffusers_named_is_used() {
    let file = fixtures().join("variant/vae/diffusion_pytorch_model.bin");
    let checkpoint = open(&file, OpenOptions::default()).unwrap();
    assert_eq!(hash_of_all(&checkpoint), expected("bin"));
}

/// Replaces the names of shards in a copied index.
fn index_naming(name: &str) -> TempDir {
    let folder = copy_of("sharded");
    let index = folder.path().join("vae/diffusion_pytorch_model.safetensors.index.json");
    let text = fs::read_to_string(&index).unwrap();
    let quoted = serde_json::to_string(name).unwrap();
    let shard = "\"diffusion_pytorch_model-00002-of-00002.safetensors\"";
    assert!(text.contains(shard));
    fs::write(&index, text.replace(shard, &quoted)).unwrap();
    folder
}

#[test]
fn an_index_names_only_files_beside_it() {
    let outside = fixtures().join("ldm-e4m3/vae.safetensors");
    let names = ["../../secret.safetensors", outside.to_str().unwrap(), "..", "", "a/b", "C:\\x"];
    for name in names {
        let folder = index_naming(name);
        let refused = open(folder.path(), OpenOptions::default()).unwrap_err();
        contains(&refused.to_string(), &["index.json: names", "not a file beside it"]);
    }
    let folder = index_naming("absent.safetensors");
    let refused = open(folder.path(), OpenOptions::default()).unwrap_err();
    contains(&refused.to_string(), &["names absent.safetensors: no such file"]);
    let folder = index_naming("x");
    let index = folder.path().join("vae/diffusion_pytorch_model.safetensors.index.json");
    for (text, problem) in [("{", "not an index"), ("{\"weight_map\": {}}", "names no files")] {
        fs::write(&index, text).unwrap();
        contains(&open(folder.path(), OpenOptions::default()).unwrap_err().to_string(), &[problem]);
    }
}

#[test]
#[cfg(unix)]
fn links_of_an_index_are_followed_inside_the_checkpoint_and_into_its_hub_cache_only() {
    use std::os::unix::fs::symlink;
    let shard = "diffusion_pytorch_model-00002-of-00002.safetensors";
    let moved = |to: &Path| {
        let folder = copy_of("sharded");
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(folder.path().join("vae").join(shard), to).unwrap();
        fs::remove_file(folder.path().join("vae").join(shard)).unwrap();
        symlink(to, folder.path().join("vae").join(shard)).unwrap();
        folder
    };
    let elsewhere = TempDir::new().unwrap();
    let folder = moved(&elsewhere.path().join("secret"));
    let refused = open(folder.path(), OpenOptions::default()).unwrap_err();
    contains(&refused.to_string(), &[shard, "a link to outside the checkpoint"]);

    let folder = copy_of("sharded");
    fs::rename(folder.path().join("vae").join(shard), folder.path().join("blob")).unwrap();
    symlink("../blob", folder.path().join("vae").join(shard)).unwrap();
    assert!(open(folder.path(), OpenOptions::default()).is_ok());

    // models--org--name/snapshots/REVISION/vae/FILE -> models--org--name/blobs/HASH
    let cache = TempDir::new().unwrap();
    let repository = cache.path().join("models--org--name");
    let folder = moved(&repository.join("blobs/0123"));
    let snapshot = repository.join("snapshots/main");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::rename(folder.path(), &snapshot).unwrap();
    assert!(open(&snapshot, OpenOptions::default()).is_ok());
    // Or further, to the blobs that all repositories of the cache share.
    let blob = repository.join("blobs/0123");
    fs::create_dir_all(cache.path().join("blobs/ab")).unwrap();
    fs::rename(&blob, cache.path().join("blobs/ab/abcd")).unwrap();
    symlink("../../blobs/ab/abcd", &blob).unwrap();
    assert!(open(&snapshot, OpenOptions::default()).is_ok());
}

#[test]
fn a_tensor_in_two_shards_is_refused() {
    let folder = copy_of("sharded");
    let vae = folder.path().join("vae");
    let name =
        |number| vae.join(format!("diffusion_pytorch_model-0000{number}-of-00002.safetensors"));
    fs::copy(name(1), name(2)).unwrap();
    let refused = open(folder.path(), OpenOptions::default()).unwrap_err();
    contains(&refused.to_string(), &["00002-of-00002", "is also in another shard"]);
}

#[test]
fn a_file_has_no_subfolder() {
    let file = fixtures().join("full/model.ckpt");
    let refused = Source::parse(file.to_str().unwrap(), Some("vae")).unwrap_err();
    contains(&refused.to_string(), &["`subfolder` vae", "a file has no subfolders"]);
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    // One file of each format, side by side.
    std::thread::scope(|scope| {
        for name in ["ldm-e4m3/vae.safetensors", "full/model.ckpt", "e5m2-before-1.6/vae.pt"] {
            scope.spawn(move || cut_anywhere(name));
        }
    });
}

fn cut_anywhere(name: &str) {
    // At every byte where a format has its structure; between them, where values lie, at every offset
    // of a byte from a border of 8.
    const STRUCTURE: u64 = 2048;
    const BETWEEN: u64 = 13;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("vae.bin");
    fs::copy(fixtures().join(name), &path).unwrap();
    assert!(open(&path, with_config()).is_ok());
    let file = File::options().write(true).open(&path).unwrap();
    let size = file.metadata().unwrap().len();
    let cuts = |&length: &u64| {
        length < STRUCTURE || size - length < STRUCTURE || length.is_multiple_of(BETWEEN)
    };
    for length in (0..size).rev().filter(cuts) {
        file.set_len(length).unwrap();
        assert!(open(&path, with_config()).is_err(), "{name} cut to {length} bytes was opened");
    }
}
