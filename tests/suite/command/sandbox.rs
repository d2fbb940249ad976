//! Runs the built binary in a folder of its own; a failing test shows the command, its exit status
//! and all it printed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use vae_fidelity::checkpoint::expected_tensors;
use vae_fidelity::metrics::LEAST_VALUES;
use vae_fidelity::pixels::encode_png;
use vae_fidelity::recipe::Recipe;
use vae_fidelity::tensor_file::read;
use vae_fidelity::{Rgb8, VaeConfig};

use super::schema::violation;

/// The smallest VAE of the usual topology: four levels, one resnet each, a few thousand weights.
pub const CONFIG: &str = r#"{
  "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [8, 8, 8, 8],
  "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
  "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 1,
  "norm_num_groups": 4, "sample_size": 64, "scaling_factor": 0.18215
}"#;
/// Weights by formula for [`CONFIG`]. Those of large layers have tails, as training leaves them: a
/// uniform draw would be found to be fresh.
pub static RECIPE: LazyLock<String> = LazyLock::new(|| {
    let mut recipe =
        Recipe { schema_version: 1, hash: Recipe::HASH.to_owned(), ..Recipe::default() };
    let config = VaeConfig::from_json(CONFIG, "config.json").unwrap();
    for tensor in expected_tensors(&config) {
        let fan_in: usize = tensor.shape.iter().skip(1).product();
        if tensor.shape.len() < 2 || tensor.shape[0] * fan_in < LEAST_VALUES {
            continue;
        }
        let spread = (3.0 / fan_in as f32).sqrt();
        let tailed = |value: f32| value * value.abs() / spread * 1.3;
        let values = recipe.values(&tensor.name, &tensor.shape);
        recipe.replace.insert(tensor.name, values.into_iter().map(tailed).collect());
    }
    serde_json::to_string(&recipe).unwrap()
});

/// What `decoded.png` holds before a run that must not touch it.
pub const EARLIER: &[u8] = b"an earlier result";

/// A folder with `photo.png` (40 x 24) and a model in `model/`.
pub struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self { folder: tempfile::tempdir().unwrap() };
        sandbox.write("model/vae/config.json", CONFIG);
        sandbox.write("model/vae/recipe.json", RECIPE.as_str());
        sandbox.write("photo.png", picture(40, 24, 0));
        sandbox
    }

    /// Its model is the golden one in `folder`, and its picture has odd sides.
    pub fn of_golden(folder: &str) -> Self {
        let sandbox = Self::new();
        for file in ["config.json", "recipe.json"] {
            let golden = Path::new(folder).join("vae").join(file);
            sandbox.write(&format!("model/vae/{file}"), fs::read(golden).unwrap());
        }
        sandbox.write("photo.png", picture(75, 59, 0));
        sandbox
    }

    /// What `check` saves of latents is what `decode` takes: scaled by `factor`, and decoded alike.
    pub fn decodes_what_check_saved(&self, factor: f64) {
        let saved =
            ["photo.png", "--save-latents", "z.safetensors", "--save-decoded", "d.safetensors"];
        self.check(&saved).exits(1);
        let decode = [
            "decode",
            "z.safetensors",
            "--repo",
            "model",
            "--save-decoded",
            "e.safetensors",
            "--json",
        ];
        let report = self.run(&decode).exits(1).object();
        assert_eq!(report["latents"]["divided_by"], factor);
        let of = |name: &str| read(&self.path(name)).unwrap()[0].values.clone();
        assert_eq!(of("d.safetensors"), of("e.safetensors"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    /// Every file below the folder with its bytes, to see that a run left all as it was.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(folder: &Path, into: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => walk(&path, into),
                    _ => into.push((path.clone(), fs::read(&path).unwrap_or_default())),
                }
            }
        }
        let mut files = Vec::new();
        walk(self.folder.path(), &mut files);
        files.sort();
        files
    }

    /// The binary, in this folder, with no say for the caller's environment in how it prints.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        self.prepared(Command::new(env!("CARGO_BIN_EXE_vae-fidelity")), arguments)
    }

    /// `script` in a shell, with the binary as `$0` and the arguments as `$@`.
    pub fn shell<S: AsRef<OsStr>>(&self, script: &str, arguments: &[S]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_vae-fidelity")]);
        self.prepared(command, arguments)
    }

    fn prepared<S: AsRef<OsStr>>(&self, mut command: Command, arguments: &[S]) -> Command {
        command.args(arguments).current_dir(self.folder.path());
        for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(variable);
        }
        // No test asks a hub that is not its own.
        command.env("HF_HUB_OFFLINE", "1");
        command.env("TORCH_HOME", self.path("torch"));
        // Tests share the processor, and threads that wait for others would keep it from them.
        command.env("OMP_WAIT_POLICY", "passive");
        // A backtrace must not appear even for those who ask Rust for one.
        command.env("RUST_BACKTRACE", "1");
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// `check` of the small model, with `arguments` (pictures included).
    pub fn check(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["check", "--repo", "model", "--device", "cpu"], arguments].concat())
    }

    /// Runs `check` as text and as JSON. Both must refuse with a message that has `parts`, and leave
    /// every file as it was, `decoded.png` from an earlier run included.
    #[track_caller]
    pub fn refuses(&self, arguments: &[&str], parts: &[&str]) {
        if !self.exists("decoded.png") {
            self.write("decoded.png", EARLIER);
        }
        let before = self.contents();
        let text = self.check(arguments).exits(2);
        text.check(text.stdout.is_empty(), "expected nothing on stdout");
        let errors = text.stderr.lines().filter(|line| line.starts_with("error: ")).count();
        text.check(errors == 1, "expected one error");
        text.check(text.stderr.contains("\n next: "), "expected what to do next");
        let json = self.check(&[arguments, &["--json"]].concat()).exits(2);
        let object = json.object();
        json.check(
            object["verdict"].is_null() && object["schema_version"] == 1,
            "expected no verdict",
        );
        let message = object["error"]["message"].as_str().unwrap_or_default();
        json.check(object["error"]["next"].as_str().is_some_and(|next| !next.is_empty()), "next");
        json.check(object["error"]["code"].as_str().is_some_and(|code| !code.is_empty()), "code");
        for part in parts {
            text.check(text.stderr.contains(part), &format!("expected in the message: {part}"));
            json.check(message.contains(part), &format!("expected in the JSON message: {part}"));
        }
        text.check(self.contents() == before, "expected all files as they were");
    }

    /// The model's tensors as safetensors in place of its recipe; `change` may alter them.
    pub fn store_weights(&self, change: impl FnOnce(&mut Vec<Tensor>)) {
        let config = VaeConfig::from_json(CONFIG, "a test").unwrap();
        let recipe: Recipe = serde_json::from_str(&RECIPE).unwrap();
        let mut tensors: Vec<Tensor> = expected_tensors(&config)
            .into_iter()
            .map(|spec| Tensor {
                values: recipe.values(&spec.name, &spec.shape),
                name: spec.name,
                shape: spec.shape,
            })
            .collect();
        change(&mut tensors);
        self.write("model/vae/diffusion_pytorch_model.safetensors", safetensors_of(&tensors));
        fs::remove_file(self.path("model/vae/recipe.json")).unwrap();
    }
}

/// A tensor to be stored as f32.
pub struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Tensor {
    pub fn new(name: &str, shape: &[usize], values: &[f32]) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), values: values.to_vec() }
    }
}

pub fn safetensors_of(tensors: &[Tensor]) -> Vec<u8> {
    let stored: Vec<(&Tensor, Vec<u8>)> = tensors
        .iter()
        .map(|tensor| {
            (tensor, tensor.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = stored.iter().map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).unwrap();
        (tensor.name.as_str(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

/// A PNG of a smooth pattern; `shade` moves its levels.
pub fn picture(width: usize, height: usize, shade: u8) -> Vec<u8> {
    let data = (0..width * height).flat_map(|i| {
        let (x, y) = (i % width, i / width);
        [x * 5, y * 7, (x + y) * 3].map(|level| (level as u8).wrapping_add(shade))
    });
    encode_png(&Rgb8::new(width, height, data.collect()).unwrap()).unwrap()
}

/// A finished run.
pub struct Ran {
    command: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(mut command: Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let ran = Self {
            command: format!("{command:?}"),
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        for word in
            ["panicked", "stack backtrace", "internal error", "c10::", "libc10", "Exception raised"]
        {
            ran.check(!ran.stderr.contains(word) && !ran.stdout.contains(word), word);
        }
        for object in ran.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok())
        {
            let violation = Some(object).filter(Value::is_object).as_ref().and_then(violation);
            ran.check(violation.is_none(), &violation.unwrap_or_default());
        }
        ran
    }

    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        self.check(self.code == Some(code), &format!("expected exit code {code}"));
        self
    }

    /// `text` is on stdout.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        self.check(self.stdout.contains(text), &format!("expected on stdout: {text}"));
        self
    }

    /// `text` is on stderr.
    #[track_caller]
    pub fn notes(self, text: &str) -> Self {
        self.check(self.stderr.contains(text), &format!("expected on stderr: {text}"));
        self
    }

    #[track_caller]
    pub fn check(&self, holds: bool, what: &str) {
        assert!(
            holds,
            "{what}\ncommand: {}\nexit code: {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.stdout, self.stderr
        );
    }

    /// stdout as JSON, a value a line.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line);
        let lines: Result<Vec<_>, _> = self.stdout.lines().map(parse).collect();
        self.check(lines.is_ok(), "expected a JSON value a line on stdout");
        lines.unwrap()
    }

    /// The one JSON value on stdout.
    #[track_caller]
    pub fn object(&self) -> Value {
        let lines = self.lines();
        self.check(lines.len() == 1, "expected one line on stdout");
        lines.into_iter().next().unwrap()
    }
}

/// Fails on any field that is missing, new or renamed.
#[track_caller]
pub fn parsed<T: for<'a> Deserialize<'a>>(ran: &Ran, line: usize) -> T {
    let value = ran.lines().into_iter().nth(line);
    ran.check(value.is_some(), &format!("expected line {line}"));
    serde_json::from_value(value.unwrap()).unwrap_or_else(|error| {
        ran.check(false, &error.to_string());
        unreachable!()
    })
}

/// What a run prints with --json when it could not judge.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    pub schema_version: u32,
    pub verdict: Option<String>,
    pub error: ErrorBody,
    pub input: Option<serde_json::Value>,
}

/// What went wrong, and what to do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    pub code: String,
    pub message: String,
    pub next: String,
}
