//! Checkpoints made to harm: nothing in them is run, nothing panics, and memory stays bounded.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use tempfile::TempDir;
use vae_fidelity::checkpoint::{OpenOptions, expected_tensors};
use vae_fidelity::{Checkpoint, Error, Source};

use super::peak::peak;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoints")
}

/// Opens a file as the fixtures' VAE and reads all of it.
fn open(path: &Path) -> Result<Checkpoint, Error> {
    let config = Some(fixtures().join("config.json"));
    let options = OpenOptions { config, ..OpenOptions::default() };
    let checkpoint = Checkpoint::open_with(&Source::File { path: path.into() }, &options)?;
    for spec in expected_tensors(checkpoint.config()) {
        checkpoint.tensor(&spec.name)?;
    }
    Ok(checkpoint)
}

/// Instructions of a pickle.
#[derive(Default, Clone)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }
    fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
    fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }
    fn int(self, value: i64) -> Self {
        self.op(&[0x8a, 8]).op(&value.to_le_bytes())
    }
    fn call(self, module: &str, name: &str, arguments: impl FnOnce(Self) -> Self) -> Self {
        let begun = self.op(format!("c{module}\n{name}\n(").as_bytes());
        arguments(begun).op(b"tR")
    }
    /// `_rebuild_tensor_v2` over f32 storage `0` of `len` values.
    fn tensor(self, len: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let sizes = |pickle: Self, sizes: &[i64]| {
            sizes.iter().fold(pickle.op(b"("), |pickle, &size| pickle.int(size)).op(b"t")
        };
        self.call("torch._utils", "_rebuild_tensor_v2", |pickle| {
            let pickle = pickle.op(b"(").text("storage").op(b"ctorch\nFloatStorage\n").text("0");
            let pickle = pickle.text("cpu").int(len).op(b"tQ").int(offset);
            sizes(sizes(pickle, shape), strides).op(b"\x89N")
        })
    }
    /// As the older format has it, with one storage of `values` f32 zeros, if any tensor uses it.
    fn file(self, values: usize) -> Vec<u8> {
        let start = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
        if !self.0.windows(7).any(|window| window == b"storage") {
            return [&start[..], &self.0, b".\x80\x02]."].concat();
        }
        let keys = Pickle::new().op(b"](").text("0").op(b"e.");
        let length = (values as u64).to_le_bytes();
        [&start[..], &self.0, b".", &keys.0, &length, &vec![0; 4 * values]].concat()
    }
}

/// Writes `bytes` and opens them; the answer must not take more memory than `limit`.
fn open_bytes(bytes: &[u8], limit: usize) -> Result<Checkpoint, Error> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.ckpt");
    fs::write(&path, bytes).unwrap();
    let (result, held) = peak(|| open(&path));
    assert!(held <= limit, "{held} bytes held for a file of {} bytes", bytes.len());
    result
}

const SMALL: usize = 4 << 20;

/// The most memory that a byte of a file may cost: one instruction can make an empty list.
const TIMES: usize = 200;

fn problem(pickle: Pickle) -> String {
    open_bytes(&pickle.file(4), SMALL).expect_err("this file should be refused").to_string()
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

#[test]
fn code_in_a_pickle_is_named_and_never_run() {
    let folder = TempDir::new().unwrap();
    let proof = folder.path().join("executed");
    let attack = |pickle: Pickle, module: &str, name: &str| {
        let command = format!("touch {}", proof.display());
        pickle.call(module, name, |pickle| pickle.text(&command))
    };
    // `torch.save(vae)`, and not of its state dict.
    let model = "diffusers.models.autoencoders.autoencoder_kl";
    let saved = attack(Pickle::new(), model, "AutoencoderKL");
    contains(&problem(saved), &["AutoencoderKL, which is not run: save its state_dict() instead"]);
    for (module, name) in [("posix", "system"), ("os", "system"), ("builtins", "eval")] {
        let whole = attack(Pickle::new(), module, name);
        contains(&problem(whole), &[&format!("an object of {module}.{name}, which is not run")]);

        let tensor = Pickle::new().op(b"}").text("encoder.conv_in.weight");
        let tensor = attack(tensor, module, name).op(b"s");
        let named = format!("an object of {module}.{name}, which is not run");
        contains(&problem(tensor), &["encoder.conv_in.weight", &named]);

        // Called through what it returned, and through BUILD and NEWOBJ.
        let chained = attack(Pickle::new(), module, name).op(b")R}b)\x81");
        contains(&problem(chained), &[&format!("{module}.{name}")]);
    }
    let whole = Pickle::new().op(b"}").text("state_dict");
    contains(&problem(attack(whole, "nt", "system").op(b"s")), &["nt.system"]);
    assert!(!proof.exists(), "a pickle's code was run");
    // The test can tell: the same command does leave a trace when something runs it.
    #[cfg(unix)]
    {
        std::process::Command::new("touch").arg(&proof).status().unwrap();
        assert!(proof.exists());
    }
}

#[test]
fn a_tensor_made_by_unknown_code_is_refused_by_its_name() {
    // Every tensor of the VAE is there, and one of them is made by something unknown.
    let pickle = expected().iter().fold(Pickle::new().op(b"}"), |pickle, (name, shape)| {
        let pickle = pickle.text(name);
        if name == "decoder.conv_in.bias" {
            return pickle.call("stranger", "Tensor", |pickle| pickle).op(b"s");
        }
        pickle.tensor(1000, 0, shape, &c_order(shape)).op(b"s")
    });
    let refused = open_bytes(&pickle.file(1000), SMALL).unwrap_err().to_string();
    contains(&refused, &["decoder.conv_in.bias", "an object of stranger.Tensor, which is not run"]);
}

fn expected() -> Vec<(String, Vec<i64>)> {
    let text = fs::read_to_string(fixtures().join("config.json")).unwrap();
    let config = vae_fidelity::VaeConfig::from_json(&text, "fixtures").unwrap();
    let shapes = |shape: &[usize]| shape.iter().map(|&size| size as i64).collect();
    expected_tensors(&config).iter().map(|spec| (spec.name.clone(), shapes(&spec.shape))).collect()
}

fn c_order(shape: &[i64]) -> Vec<i64> {
    (0..shape.len()).map(|from| shape[from + 1..].iter().product()).collect()
}

/// A whole VAE whose `decoder.conv_in.bias` is this tensor.
fn with_bias(len: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Result<Checkpoint, Error> {
    let pickle = expected().iter().fold(Pickle::new().op(b"}"), |pickle, (name, own)| {
        let pickle = pickle.text(name);
        match name.as_str() {
            "decoder.conv_in.bias" => pickle.tensor(len, offset, shape, strides).op(b"s"),
            _ => pickle.tensor(1000, 0, own, &c_order(own)).op(b"s"),
        }
    });
    open_bytes(&pickle.file(1000), SMALL)
}

#[test]
fn tensors_stay_inside_their_storage() {
    assert!(with_bias(1000, 996, &[4], &[1]).is_ok());
    assert!(with_bias(1000, 0, &[4], &[333]).is_ok());
    let outside = [
        (1000, 997, vec![4], vec![1]),
        (1000, 0, vec![4], vec![334]),
        (1000, i64::MAX, vec![4], vec![1]),
        (1000, 0, vec![4], vec![i64::MAX]),
        (1000, 0, vec![i64::MAX, i64::MAX], vec![1, 1]),
        (1000, 0, vec![i64::MAX], vec![0]),
        // One value expanded: reading it would take more memory than the file.
        (1, 0, vec![4], vec![0]),
        (0, 0, vec![4], vec![1]),
    ];
    for (len, offset, shape, strides) in outside {
        let refused = with_bias(len, offset, &shape, &strides).unwrap_err().to_string();
        contains(&refused, &["decoder.conv_in.bias", "reach outside a storage"]);
    }
    for (len, problem) in [(1001, "expected values 0 to 0 + 1001"), (i64::MAX, "expected values")] {
        contains(&with_bias(len, 0, &[4], &[1]).unwrap_err().to_string(), &[problem]);
    }
    let bad =
        [(-1, 0, vec![4], vec![1]), (1000, -1, vec![4], vec![1]), (1000, 0, vec![-4], vec![1])];
    for (len, offset, shape, strides) in bad {
        let refused = with_bias(len, offset, &shape, &strides).unwrap_err().to_string();
        contains(&refused, &["torch.save does not write"]);
    }
    // A dimension of one may have any stride; a dimension of zero holds nothing.
    contains(
        &with_bias(1000, 0, &[4, 1], &[1, i64::MAX]).unwrap_err().to_string(),
        &["decoder.conv_in.bias: expected [4], found [4, 1]"],
    );
    contains(&with_bias(1000, 0, &[0, i64::MAX], &[1, 1]).unwrap_err().to_string(), &["found [0,"]);
}

#[test]
fn lengths_beyond_the_file_are_refused_without_room_being_made_for_them() {
    let huge = [
        Pickle::new().op(b"X\xff\xff\xff\xff"),
        Pickle::new().op(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
        Pickle::new().op(b"\x8b\xff\xff\xff\xff"),
        Pickle::new().op(b"\x8e\x00\x00\x00\x00\x01\x00\x00\x00"),
        Pickle::new().op(b"B\xff\xff\xff\x7f"),
    ];
    for pickle in huge {
        contains(&problem(pickle), &["ends early", "claims"]);
    }
    let mut file = Pickle::new().op(b"}").text("a").tensor(4, 0, &[4], &[1]).op(b"s").file(4);
    let at = file.len() - 24;
    file[at..at + 8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    contains(&open_bytes(&file, SMALL).unwrap_err().to_string(), &["impossible length"]);
}

#[test]
fn nesting_sharing_and_loops_cost_no_more_than_their_instructions() {
    const MANY: usize = 300_000;
    let lists = Pickle::new().op(&b"]".repeat(MANY)).op(&b"a".repeat(MANY - 1));
    let tuples = Pickle::new().op(b")").op(&b"\x85".repeat(MANY));
    // Each tuple holds the one before it twice: 2^300000 items, were they written out.
    let doubled = Pickle::new().op(b")").op(&b"2\x86".repeat(MANY));
    // Long names recalled again and again must not be copied or compared each time.
    let name = "x".repeat(100_000);
    let long =
        Pickle::new().op(b"}").text(&name).op(b"q\x000(").op(&b"h\x00N".repeat(MANY / 3)).op(b"u");
    let called = Pickle::new().text(&name).op(b"q\x000").op(b"h\x00h\x00\x93)R0N");
    for (pickle, part) in [
        (lists, "expected a dict of tensors"),
        (tuples, "expected a dict of tensors"),
        (doubled, "expected a dict of tensors"),
        (long, "missing"),
        (called, "has no name"),
    ] {
        let file = pickle.file(4);
        contains(&open_bytes(&file, TIMES * file.len()).unwrap_err().to_string(), &[part]);
    }
    let own = Pickle::new().op(b"}q\x00").text("state_dict").op(b"h\x00s");
    contains(&problem(own), &["state_dict within state_dict"]);
    let steps = Pickle::new().op(&b"N0".repeat(1_100_000));
    contains(&problem(steps), &["more than 2000000 steps"]);
    // Copies count as instructions: an OrderedDict of one long list, made again and again.
    let copies = Pickle::new()
        .op(b"(")
        .op(&b"NN\x86".repeat(50_000))
        .op(b"lq\x010")
        .op(&b"ccollections\nOrderedDict\nh\x01\x85R0".repeat(1000))
        .op(b"N");
    contains(&open_bytes(&copies.file(4), 200 * 50_000 * 3).unwrap_err().to_string(), &["steps"]);
    let shape = Pickle::new().op(b"}").text("a").tensor(4, 0, &[1; 40], &[1; 40]).op(b"s");
    contains(&problem(shape), &["torch.save does not write"]);
}

#[test]
fn what_is_no_program_of_torch_save_is_refused() {
    let cases: [(&[u8], &str); 12] = [
        (b"\x80\x01N", "protocol 2 to 5, found 1"),
        (b"\x80\x02S'text'\nN", "0x53 at byte"),
        (b"\x80\x02Pid\nN", "0x50 at byte"),
        (b"\x80\x02\x82\x01N", "0x82 at byte"),
        (b"\x80\x02", "takes more values than it makes"),
        (b"\x80\x020N", "takes more values"),
        (b"\x80\x02tN", "ends a group that it never began"),
        (b"\x80\x02N(0", "takes more values"),
        (b"\x80\x02h\x07", "recalls what it never stored"),
        (b"\x80\x02NNa", "appends to something"),
        (b"\x80\x02}(NuN", "without a value"),
        (b"\x80\x02NQ", "named in a way"),
    ];
    for (bytes, part) in cases {
        contains(&problem(Pickle(bytes.to_vec())), &[part]);
    }
    let endless = [b"\x80\x02c".to_vec(), vec![b'x'; 5000]].concat();
    contains(&problem(Pickle(endless)), &["does not end"]);
    contains(&open_bytes(b"\x80\x02}.", SMALL).unwrap_err().to_string(), &["did not write"]);
}

/// A zip archive of these files, stored.
fn archive(members: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    use std::io::Write;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_that_torch_did_not_write_are_refused() {
    let stored = zip::CompressionMethod::Stored;
    let refused = |members: &[(&str, &[u8])]| {
        open_bytes(&archive(members, stored), SMALL).unwrap_err().to_string()
    };
    contains(&refused(&[("readme", b"")]), &["no data.pkl"]);
    contains(&refused(&[("a/data.pkl", b""), ("b/data.pkl", b"")]), &["more than one data.pkl"]);
    contains(&refused(&[("a/data.pkl", b"}."), ("a/constants.pkl", b"")]), &["TorchScript"]);
    contains(&refused(&[("a/data.pkl", b"}."), ("a/byteorder", b"big")]), &["big-endian"]);
    contains(&refused(&[("a/data.pkl", b"")]), &["ends early"]);
    let one = Pickle::new().op(b"}").text("a").tensor(4, 0, &[4], &[1]).op(b"s.").0;
    contains(&refused(&[("a/data.pkl", &one)]), &["data/0 is missing"]);
    contains(&refused(&[("a/data.pkl", &one), ("a/data/0", &[0; 15])]), &["a: expected 4 values"]);
    contains(&refused(&[("a/data.pkl", &one), ("a/data/0", &[0; 16])]), &["do not fit the config"]);
    // A compressed member, made by changing the method in both of its headers.
    let mut packed = archive(&[("a/data.pkl", &one), ("a/data/0", &[0; 16])], stored);
    let heads = [(&b"PK\x03\x04"[..], 8), (&b"PK\x01\x02"[..], 10)];
    for (mark, at) in heads {
        let places = packed.windows(4).enumerate().filter(|(_, four)| four == &mark);
        let last = places.map(|(place, _)| place).max().unwrap();
        packed[last + at] = 8;
    }
    contains(&open_bytes(&packed, SMALL).unwrap_err().to_string(), &["data/0 is compressed"]);
    contains(&open_bytes(b"PK\x03\x04 and no more", SMALL).unwrap_err().to_string(), &["zip"]);
}

/// Committed files of each format.
const FILES: [&str; 4] = [
    "e5m2-before-1.6/vae.pt",
    "old-names-f64/diffusion_pytorch_model.bin",
    "full/model.ckpt",
    "ldm-e4m3/vae.safetensors",
];

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/checkpoint_hostile.regressions"))),
        ..ProptestConfig::default()
    })]

    /// Changed bytes may load other values or be refused; they never panic or take the memory of
    /// another file.
    #[test]
    fn changed_bytes_never_panic(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..8),
    ) {
        let mut bytes = fs::read(fixtures().join(FILES[file])).unwrap();
        let half = bytes.len() / 2;
        for (at, value, in_pickle) in changes {
            // Half of the changes go where names and sizes are rather than values.
            let end = if in_pickle { half } else { bytes.len() };
            bytes[at.index(end)] = value;
        }
        if let Ok(checkpoint) = open_bytes(&bytes, TIMES * bytes.len()) {
            prop_assert!(checkpoint.parameters() > 0);
        }
    }

    #[test]
    fn any_pickle_program_ends(program in prop::collection::vec(prop_oneof![
        any::<u8>(),
        prop::sample::select(b"().0123NJKMGUXTCB]ae}dsuqrhjcQRb\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x00\x01\n".to_vec()),
    ], 0..400)) {
        let _ = open_bytes(&Pickle::new().op(&program).file(4), SMALL);
    }

    #[test]
    fn any_index_of_shards_ends(text in "\\PC*|\\{\"weight_map\": \\{\"a\": \"\\PC*\"\\}\\}") {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("diffusion_pytorch_model.safetensors.index.json"), text).unwrap();
        let source = Source::Folder { path: folder.path().into(), subfolder: None };
        prop_assert!(Checkpoint::open(&source, None).is_err());
    }
}
