//! State dicts with something around them: what training leaves is read where it is plain what is meant,
//! and asked for where it is not.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;
use vae_fidelity::checkpoint::{Contents, OpenOptions, expected_tensors};
use vae_fidelity::{Checkpoint, Error, Source};

/// The one trained VAE that is at hand, for tensors with values.
const BUILTIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/models/builtin/vae");

/// The built-in VAE under each of these prefixes, in one file.
fn file(folder: &TempDir, prefixes: &[&str], rename: impl Fn(&str) -> String) -> PathBuf {
    let weights = format!("{BUILTIN}/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(weights).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let views = prefixes.iter().flat_map(|prefix| {
        let named = |(name, view): (&str, TensorView)| {
            let view =
                TensorView::new(view.dtype(), view.shape().to_vec(), &bytes[offset(&bytes, name)])
                    .unwrap();
            (format!("{prefix}{}", rename(name)), view)
        };
        tensors.iter().map(named).collect::<Vec<_>>()
    });
    let path = folder.path().join("model.safetensors");
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// Where a tensor lies in the file.
fn offset(bytes: &[u8], name: &str) -> std::ops::Range<usize> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let (start, end) = metadata.info(name).unwrap().data_offsets;
    header + 8 + start..header + 8 + end
}

fn open(path: &Path, key: Option<&str>) -> Result<Checkpoint, Error> {
    let config = Some(PathBuf::from(format!("{BUILTIN}/config.json")));
    let key = key.map(str::to_owned);
    let options = OpenOptions { config, key, ..OpenOptions::default() };
    Checkpoint::open_with(&Source::File { path: path.to_owned() }, &options)
}

/// Every tensor is the built-in VAE's.
fn is_builtin(checkpoint: &Checkpoint) {
    let builtin = Checkpoint::open(&Source::Builtin, None).unwrap();
    for spec in expected_tensors(builtin.config()) {
        let [a, b] = [&builtin, checkpoint].map(|of| of.tensor(&spec.name).unwrap());
        assert_eq!(a.data, b.data, "{}", spec.name);
    }
}

fn notes(checkpoint: &Checkpoint) -> String {
    checkpoint.notes().join("\n")
}

#[test]
fn a_prefix_before_all_names_is_read_and_said() {
    let folder = TempDir::new().unwrap();
    let same = str::to_owned;
    for (prefix, said) in [
        ("module.", "module. taken out of the names"),
        ("_orig_mod.", "_orig_mod. taken out of the names"),
        ("module._orig_mod.", "_orig_mod. and module. taken out"),
        ("model.autoencoder.", "those that begin with model.autoencoder."),
        ("state_dict.vae.", "those that begin with state_dict.vae."),
        ("first_stage_model.module.", "those that begin with first_stage_model."),
    ] {
        let checkpoint = open(&file(&folder, &[prefix], same), None).unwrap();
        is_builtin(&checkpoint);
        assert!(notes(&checkpoint).contains(said), "{prefix}: {}", notes(&checkpoint));
        // Nobody takes a wrapped VAE for one that lacks all its tensors.
        let source = Source::File { path: folder.path().join("model.safetensors") };
        let contents = Contents::open(&source, &OpenOptions::default()).unwrap();
        assert_eq!(contents.tensors().len(), contents.expected().len(), "{prefix}");
    }
    // Wrapped part by part, as FSDP and a compiled encoder leave it.
    let inner = |name: &str| name.replacen("coder.", "coder._orig_mod.", 1);
    is_builtin(&open(&file(&folder, &[""], inner), None).unwrap());
}

#[test]
fn of_several_the_one_is_asked_for_by_name() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &["model.", "ema.vae."], str::to_owned);
    let asked = open(&path, None).unwrap_err();
    for part in ["holds 2 VAEs", "ema.vae (", "model (", "`key` ema.vae"] {
        assert!(asked.with_next().contains(part), "{part}: {}", asked.with_next());
    }
    let source = Source::File { path: path.clone() };
    assert_eq!(Contents::open(&source, &OpenOptions::default()).unwrap_err(), asked);
    for key in ["model", "ema.vae", "ema", "ema.vae."] {
        let checkpoint = open(&path, Some(key)).unwrap();
        is_builtin(&checkpoint);
        assert!(
            notes(&checkpoint).contains(&format!("under {key} are read")),
            "{}",
            notes(&checkpoint)
        );
    }
    let wrong = open(&path, Some("optimizer")).unwrap_err();
    assert_eq!(wrong.subject(), "`key` optimizer");
    assert!(wrong.problem().contains("a VAE lies under ema.vae, model"), "{wrong}");
    // Where diffusers looks is no question; the other one can be asked for.
    let path = file(&folder, &["vae.", "ema."], str::to_owned);
    let checkpoint = open(&path, None).unwrap();
    assert!(notes(&checkpoint).contains("`key` ema reads it"), "{}", notes(&checkpoint));
    is_builtin(&open(&path, Some("ema")).unwrap());
}

#[test]
fn a_key_into_what_has_none_is_refused() {
    let options = OpenOptions { key: Some("ema".to_owned()), ..OpenOptions::default() };
    let refused = Checkpoint::open_with(&Source::Builtin, &options).unwrap_err();
    assert_eq!(refused.subject(), "`key` ema");
}

#[test]
fn names_that_would_meet_without_their_wrapper_are_left_as_they_are() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &["", "module."], str::to_owned);
    let checkpoint = open(&path, None).unwrap();
    is_builtin(&checkpoint);
    assert!(notes(&checkpoint).contains("of a second VAE"), "{}", notes(&checkpoint));
}

#[test]
fn a_second_dtype_in_the_file_is_no_second_vae() {
    // A lone tensor whose name ends like a VAE's, without a dot before it, is no candidate.
    let folder = TempDir::new().unwrap();
    let data = [0; 4];
    let view = TensorView::new(Dtype::F32, vec![1], &data).unwrap();
    let path = folder.path().join("one.safetensors");
    let named = [("denoise_encoder.conv_in.weight", view)];
    fs::write(&path, safetensors::serialize(named, None).unwrap()).unwrap();
    assert!(open(&path, None).unwrap_err().problem().contains("weights"), "no VAE");
}
