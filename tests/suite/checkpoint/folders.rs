//! Folders of weights: what loads, what is refused, and in which words.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use tempfile::TempDir;
use vae_fidelity::checkpoint::{OpenOptions, TensorSpec, expected_tensors};
use vae_fidelity::recipe::Recipe;
use vae_fidelity::{Checkpoint, Dtype, Error, Source, VaeConfig};

const CONFIG: &str = r#"{"_class_name": "AutoencoderKL", "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "norm_num_groups": 4}"#;

fn config() -> VaeConfig {
    VaeConfig::from_json(CONFIG, "config.json").unwrap()
}

fn recipe() -> Recipe {
    Recipe { schema_version: 1, hash: Recipe::HASH.into(), ..Recipe::default() }
}

/// A folder in diffusers' layout, and what is to be spoilt in it.
struct Model {
    folder: TempDir,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Model {
    fn new() -> Self {
        let recipe = recipe();
        let tensors = expected_tensors(&config())
            .into_iter()
            .map(|TensorSpec { name, shape }| {
                let values = recipe.values(&name, &shape);
                (name, (shape, values))
            })
            .collect();
        Self { folder: TempDir::new().unwrap(), tensors }
    }

    fn write(&self, vae: &str, dtype: Dtype) -> PathBuf {
        let folder = self.folder.path().join(vae);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), CONFIG).unwrap();
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, (shape, values))| (name, shape, encoded(values, dtype)))
            .collect();
        let stored = match dtype {
            Dtype::F32 => safetensors::Dtype::F32,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::Bf16 => safetensors::Dtype::BF16,
        };
        let views = bytes.iter().map(|(name, shape, data)| {
            (name.as_str(), TensorView::new(stored, shape.to_vec(), data).unwrap())
        });
        let file = folder.join("diffusion_pytorch_model.safetensors");
        safetensors::serialize_to_file(views, None, &file).unwrap();
        file
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn open(&self) -> Result<Checkpoint, Error> {
        Checkpoint::open(&Source::parse(self.path().to_str().unwrap(), None).unwrap(), None)
    }

    fn problem(&self) -> String {
        self.open().expect_err("this checkpoint should be refused").to_string()
    }
}

fn encoded(values: &[f32], dtype: Dtype) -> Vec<u8> {
    values
        .iter()
        .flat_map(|&value| match dtype {
            Dtype::F32 => value.to_le_bytes().to_vec(),
            Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::Bf16 => bf16::from_f32(value).to_le_bytes().to_vec(),
        })
        .collect()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

#[test]
fn every_stored_dtype_comes_back_as_written() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let model = Model::new();
        model.write("vae", dtype);
        let checkpoint = model.open().unwrap();
        for (name, (shape, values)) in &model.tensors {
            let stored = checkpoint.tensor(name).unwrap();
            assert_eq!((stored.dtype, &stored.shape), (dtype, shape));
            let rounded: Vec<f32> = values.iter().map(|&value| dtype.round(value)).collect();
            assert_eq!(stored.to_f32(), rounded, "{name} as {dtype}");
        }
        let count: usize = model.tensors.values().map(|(_, values)| values.len()).sum();
        assert_eq!(checkpoint.parameters(), count);
    }
}

#[test]
fn the_subfolder_vae_is_found_first_then_the_folder_itself() {
    let model = Model::new();
    model.write(".", Dtype::F32);
    contains(&model.open().unwrap().notes()[0], &["the folder itself"]);
    model.write("vae", Dtype::F32);
    contains(&model.open().unwrap().notes()[0], &["vae/"]);

    let named = |name| Source::parse(model.path().to_str().unwrap(), Some(name)).unwrap();
    assert!(Checkpoint::open(&named("vae"), None).is_ok());
    let refused = Checkpoint::open(&named("vae_1_0"), None).unwrap_err();
    contains(&refused.to_string(), &["vae_1_0", "found neither"]);
}

#[test]
fn of_two_copies_the_one_is_used_that_diffusers_takes() {
    let mut model = Model::new();
    for (name, (shape, values)) in model.tensors.clone() {
        let halves = values.iter().map(|value| value / 2.0).collect();
        model.tensors.insert(format!("first_stage_model.{name}"), (shape, halves));
    }
    let file = model.write(".", Dtype::F32);
    let name = "decoder.conv_in.weight";
    let first = |checkpoint: &Checkpoint| checkpoint.tensor(name).unwrap().to_f32()[0];
    let (plain, halved) =
        (model.tensors[name].1[0], model.tensors[&format!("first_stage_model.{name}")].1[0]);
    // `from_pretrained` takes the names as they are, `from_single_file` looks for a prefix first.
    let folder = model.open().unwrap();
    assert_eq!(first(&folder), plain);
    contains(&folder.notes().join("\n"), &["of a second VAE (first_stage_model.", "not used"]);
    let options =
        OpenOptions { config: Some(model.path().join("config.json")), ..OpenOptions::default() };
    let single = Checkpoint::open_with(&Source::File { path: file }, &options).unwrap();
    assert_eq!(first(&single), halved);
    contains(&single.notes().join("\n"), &["of a second VAE (decoder.", "not used"]);
}

#[test]
fn a_name_cannot_print_lines_of_its_own() {
    let mut model = Model::new();
    let long = "x".repeat(300);
    for name in ["encoder.a\nerror: fake", long.as_str()] {
        model.tensors.insert(name.to_owned(), (vec![1], vec![0.0]));
    }
    model.write(".", Dtype::F32);
    let notes = model.open().unwrap().notes().join(" | ");
    assert!(!notes.contains('\n') && notes.len() < 1000, "{notes}");
    contains(&notes, &["encoder.a\\nerror: fake"]);
}

#[test]
fn shards_without_an_index_name_their_variant() {
    let model = Model::new();
    let file = model.write(".", Dtype::F32);
    let shard = "diffusion_pytorch_model.fp16-00001-of-00002.safetensors";
    fs::rename(&file, file.with_file_name(shard)).unwrap();
    let refused = model.open().unwrap_err();
    contains(&refused.to_string(), &[shard]);
    assert_eq!(refused.next(), "pass `variant` fp16");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_named_as_that() {
    let model = Model::new();
    let file = model.write("vae", Dtype::F32);
    fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("gone.safetensors", &file).unwrap();
    contains(&model.problem(), &["is a link to gone.safetensors, which is not there"]);
}

#[test]
fn a_missing_tensor_and_a_shape_mismatch_are_named_and_an_extra_tensor_is_noted() {
    let mut model = Model::new();
    model.tensors.insert("decoder.extra".into(), (vec![1], vec![0.0]));
    model.write("vae", Dtype::F32);
    let notes = model.open().unwrap().notes().join("\n");
    contains(&notes, &["1 tensor unexpected (decoder.extra)"]);

    let bias = model.tensors.remove("decoder.conv_out.bias").unwrap();
    model.write("vae", Dtype::F32);
    contains(&model.problem(), &["1 tensor missing (decoder.conv_out.bias)", "unexpected"]);

    model.tensors.insert("decoder.conv_out.bias".into(), bias);
    model.tensors.insert("encoder.conv_in.weight".into(), (vec![8, 27], vec![0.0; 216]));
    model.write("vae", Dtype::F32);
    contains(&model.problem(), &["encoder.conv_in.weight: expected [8, 3, 3, 3], found [8, 27]"]);
}

#[test]
fn files_that_are_not_weights_are_refused_by_what_they_are() {
    let model = Model::new();
    let file = model.write("vae", Dtype::F32);
    let whole = fs::read(&file).unwrap();

    fs::write(&file, b"").unwrap();
    contains(&model.problem(), &["empty"]);
    fs::write(&file, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        .unwrap();
    contains(&model.problem(), &["git-LFS pointer"]);
    fs::write(&file, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
    contains(&model.problem(), &["header claims 18446744073709551615 bytes"]);
    fs::write(&file, b"abc").unwrap();
    contains(&model.problem(), &["header length"]);
    fs::write(&file, b"{}").unwrap();
    contains(&model.problem(), &["is a text in JSON"]);
    fs::write(&file, &whole[..whole.len() - 5]).unwrap();
    contains(&model.problem(), &["bytes and has"]);

    fs::remove_file(&file).unwrap();
    fs::write(model.path().join("vae/diffusion_pytorch_model.bin"), b"PK").unwrap();
    contains(&model.problem(), &["diffusion_pytorch_model.bin"]);
}

#[test]
fn a_stored_dtype_that_is_not_a_float_is_refused() {
    let model = Model::new();
    let file = model.write("vae", Dtype::F16);
    let text = fs::read(&file).unwrap();
    let at = text.windows(5).position(|part| part == b"\"F16\"").unwrap();
    let mut text = text;
    text[at..at + 5].copy_from_slice(b"\"I16\"");
    fs::write(&file, text).unwrap();
    contains(&model.problem(), &["expected f32, f16, bf16, f64, F8_E4M3 or F8_E5M2, found I16"]);
}

#[test]
fn recipes_of_another_kind_are_refused() {
    let model = Model::new();
    let file = model.write("vae", Dtype::F32);
    fs::remove_file(file).unwrap();
    let recipe = model.path().join("vae/recipe.json");
    fs::write(&recipe, r#"{"schema_version": 1, "hash": "fnv1a64-splitmix64"}"#).unwrap();
    assert_eq!(model.open().unwrap().tensor("quant_conv.bias").unwrap().shape, [8]);
    fs::write(&recipe, r#"{"schema_version": 2, "hash": "md5"}"#).unwrap();
    contains(&model.problem(), &["found 2 and md5"]);
    fs::write(&recipe, "{").unwrap();
    contains(&model.problem(), &["recipe.json"]);
}

#[test]
fn what_repo_names_is_said_when_it_is_not_there() {
    let problem = |repo: &str| Source::parse(repo, None).unwrap_err().to_string();
    contains(&problem("no/such/folder"), &["no such file or folder", "OWNER/NAME"]);
    for no_id in
        ["model", "model.safetensors", "./a/b", "a/b.ckpt", "a--b/c", "a/..", "a/b/", "a/.b"]
    {
        contains(&problem(no_id), &["no such file or folder", no_id]);
    }
    let hub = Source::Hub { id: "A-1/b_.2".into(), revision: None, subfolder: Some("x".into()) };
    assert_eq!(Source::parse("A-1/b_.2", Some("x")).unwrap(), hub);
    let address = Source::parse("https://huggingface.co/a/b/tree/main", None).unwrap_err();
    contains(address.next(), &["`repo` a/b"]);
    assert!(
        Source::Builtin.at_revision("main").unwrap_err().to_string().contains("`revision` main")
    );
    let other = Checkpoint::open(&Source::parse("Cargo.toml", None).unwrap(), None).unwrap_err();
    contains(&other.to_string(), &["Cargo.toml", "begins as no file of weights"]);
    assert!(Source::parse("builtin", Some("vae")).is_err());
}
