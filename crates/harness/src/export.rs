//! Writes what a port in any language needs to compute the goldens' tensors, and none of the
//! expected results but the latents that decoding starts from, and the tensors between the blocks
//! of small models.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ndarray::{Array4, ArrayViewD};
use safetensors::tensor::View;
use safetensors::{Dtype as StoredDtype, SafeTensorError};
use serde::Serialize;
use serde_json::{Value, json};

use super::case_files::CaseFiles;
use super::manifest::{Case, Origin, broken};
use super::suite::Suite;
use vae_fidelity_checkpoint::{Checkpoint, TensorSpec, expected_tensors};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::tensor_file::{to_npy, to_safetensors};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input::{MAX_TENSOR_BYTES, read_bytes};
use vae_fidelity_files::new_folder::NewFolder;
use vae_fidelity_files::output::write_error;

/// Version of `cases.json`. Fields may be added, none renamed.
const SCHEMA_VERSION: u32 = 1;
const README: &str = include_str!("export_readme.md");
const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

/// How tensors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorFormat {
    /// Safetensors, one file for a model's weights.
    Safetensors,
    /// NumPy's `.npy`, one file a tensor.
    Npy,
    /// Each of them twice.
    Both,
}

impl FromStr for TensorFormat {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "safetensors" => Ok(Self::Safetensors),
            "npy" => Ok(Self::Npy),
            "both" => Ok(Self::Both),
            _ => Err("expected safetensors, npy or both".to_owned()),
        }
    }
}

impl TensorFormat {
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Safetensors => &["safetensors"],
            Self::Npy => &["npy"],
            Self::Both => &["safetensors", "npy"],
        }
    }
}

/// What an export will write, before it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExportSize {
    /// Cases.
    pub cases: usize,
    /// Models that those cases run.
    pub models: usize,
    /// Bytes of all tensors: what the folder will take but for some kilobytes.
    pub bytes: u64,
}

impl Suite {
    /// What [`Suite::export`] will write for the chosen cases.
    pub fn export_size(&self, format: TensorFormat) -> Result<ExportSize> {
        let cases = self.chosen()?;
        let models: BTreeSet<&str> = cases.iter().map(|case| case.model.as_str()).collect();
        let inputs: usize = cases
            .iter()
            .flat_map(|case| inputs_of(case))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum();
        let of_blocks = |case: &&Case| -> u64 {
            let file = case.blocks.as_ref().map(|row| case.folder().join(&row.file));
            file.and_then(|file| fs::metadata(file).ok()).map_or(0, |file| file.len())
        };
        let blocks: u64 = cases.iter().map(of_blocks).sum();
        let mut values = inputs;
        for model in &models {
            values += self.checkpoint(model)?.parameters();
        }
        let bytes = (4 * values as u64 + blocks) * format.endings().len() as u64;
        Ok(ExportSize { cases: cases.len(), models: models.len(), bytes })
    }

    /// Writes the inputs of the chosen cases, their models with all weights, `cases.json` and a
    /// README that says what to compute, into the new folder `folder`; [`Suite::judge`] takes what
    /// a port makes of them. The folder appears when it is whole. `progress` is told each step.
    ///
    /// # Errors
    ///
    /// Returns an error if `folder` exists and is not empty, if the disk is too full, or if the suite is
    /// broken.
    pub fn export(
        &self,
        folder: impl AsRef<Path>,
        format: TensorFormat,
        progress: impl Fn(&str),
    ) -> Result<ExportSize> {
        let folder = NewFolder::create(folder.as_ref())?;
        let size = self.export_size(format)?;
        folder.check_room(size.bytes)?;
        let writer = Writer { suite: self, root: folder.path(), folder: &folder, format };
        let cases = self.chosen()?;
        let mut models: Vec<Value> = Vec::new();
        let mut rows = Vec::new();
        for case in cases {
            if !models.iter().any(|model| model["name"] == *case.model) {
                progress(&format!("model {}", case.model));
                models.push(writer.model(&case.model)?);
            }
            progress(&format!("case {}", case.name));
            rows.push(writer.case(case)?);
        }
        let Origin { gist_sha256, versions, .. } = self.origin();
        let listing = json!({
            "schema_version": SCHEMA_VERSION,
            "made_by": {"gist_sha256": gist_sha256, "versions": versions},
            "models": models,
            "cases": rows,
        });
        let text = format!("{listing:#}\n");
        writer.write(&folder.path().join("cases.json"), text.as_bytes())?;
        writer.write(&folder.path().join("README.md"), README.as_bytes())?;
        folder.finish()?;
        Ok(size)
    }
}

/// Name and shape of each input of `case` that its golden can give.
fn inputs_of(case: &Case) -> Vec<(&'static str, &[usize])> {
    let kept = |name: &str| case.tensors.get(name).filter(|row| row.is_full());
    let mut inputs = vec![("sample", case.tensors["sample"].shape.as_slice())];
    inputs.extend(kept("noise").map(|row| ("noise", row.shape.as_slice())));
    inputs.extend(kept("latents").map(|row| ("scaled_latents", row.shape.as_slice())));
    inputs
}

struct Writer<'a> {
    suite: &'a Suite,
    root: &'a Path,
    folder: &'a NewFolder,
    format: TensorFormat,
}

impl Writer<'_> {
    /// Writes a case's inputs; returns its row.
    fn case(&self, case: &Case) -> Result<Value> {
        let files = CaseFiles::read(case)?;
        let sample = match files.sample.array() {
            Some(sample) => sample,
            None => self.reproduced_sample(case, &files)?,
        };
        let mut inputs = serde_json::Map::new();
        let mut write = |name: &str, tensor: &Array4<f32>| {
            let row = self.tensor(&format!("cases/{}/{name}", case.name), name, tensor)?;
            inputs.insert(name.to_owned(), row);
            Ok::<(), Error>(())
        };
        write("sample", &sample)?;
        if let Some(noise) = files.noise.as_ref().and_then(|noise| noise.array()) {
            write("noise", &noise)?;
        }
        if let Some(latents) = files.latents.array() {
            write("scaled_latents", &latents)?;
        }
        let blocks = self.blocks(case, &files)?;
        let outputs: serde_json::Map<String, Value> = ["moments", "latents", "decoded"]
            .into_iter()
            .filter_map(|name| {
                Some((name.to_owned(), json!({"shape": case.tensors.get(name)?.shape})))
            })
            .collect();
        let mut row = json!({
            "name": case.name, "shows": case.shows, "model": case.model,
            "posterior": {"kind": case.posterior.kind.name(), "seed": case.posterior.seed},
            "dtype": case.dtype,
            "inputs": inputs,
            "outputs": outputs,
            "trace_judged": case.trace.is_some(),
            "blocks": blocks,
        });
        if let Some(asked) = case.optional() {
            let config = self.suite.checkpoint(&case.model)?.config().clone();
            let splitting = case.splitting(&config)?;
            row["device"] = json!(case.device);
            row["tiling"] = json!(splitting.tiling);
            row["slicing"] = json!(splitting.slicing);
            row["clip"] = json!(splitting.clip);
            row["optional"] = json!(asked);
        }
        Ok(row)
    }

    /// Writes the whole tensors between blocks, where the case has them; returns which block was
    /// given which.
    fn blocks(&self, case: &Case, files: &CaseFiles) -> Result<Option<Value>> {
        let (Some(row), Some(blocks)) = (&case.blocks, &files.blocks) else { return Ok(None) };
        let stem = format!("cases/{}/blocks", case.name);
        let mut listing = json!({"encode": row.encode, "decode": row.decode});
        for ending in self.format.endings() {
            match *ending {
                "npy" => {
                    self.folder(&stem)?;
                    for (name, tensor) in blocks.tensors() {
                        let path = self.root.join(&stem).join(format!("{name}.npy"));
                        self.write(&path, &to_npy(tensor.view()))?;
                    }
                    listing[*ending] = json!(format!("{stem}/"));
                }
                _ => {
                    let file = format!("{stem}.{ending}");
                    let golden = case.folder().join(&row.file);
                    let bytes = read_bytes(&golden, MAX_TENSOR_BYTES)
                        .map_err(|problem| broken(&golden, problem))?;
                    self.write(&self.root.join(&file), &bytes)?;
                    listing[*ending] = json!(file);
                }
            }
        }
        Ok(Some(listing))
    }

    /// A sample of which the golden keeps the hash alone, made anew and held against it.
    fn reproduced_sample(&self, case: &Case, files: &CaseFiles) -> Result<Array4<f32>> {
        let sample = self.suite.sample_of(case)?;
        let values: Vec<f32> = sample.iter().copied().collect();
        if files.sample.shape() != sample.shape() || !files.sample.has_hash_of(&values) {
            return Err(Error::new(
                ErrorKind::Golden,
                &case.name,
                "this crate's preprocessing does not give the golden sample, whose values are not kept",
                format!("see what differs: vae-fidelity golden verify --only {}", case.name),
            ));
        }
        Ok(sample)
    }

    /// Writes a model's config and weights; returns its row.
    fn model(&self, name: &str) -> Result<Value> {
        let checkpoint = self.suite.checkpoint(name)?;
        let at = format!("models/{name}");
        self.folder(&at)?;
        let config = checkpoint.config();
        let mut fields = json!(config);
        fields["_class_name"] = json!(config.class().name());
        let text = format!("{fields:#}\n");
        self.write(&self.root.join(&at).join("config.json"), text.as_bytes())?;
        let specs = expected_tensors(config);
        let mut row = json!({
            "name": name,
            "config": format!("{at}/config.json"),
            "scaling_factor": config.scaling_factor(),
            "scaling": checkpoint.scaling(Dtype::F32)?,
            "parameters": checkpoint.parameters(),
        });
        for ending in self.format.endings() {
            match *ending {
                "npy" => {
                    let folder = format!("{at}/weights");
                    self.folder(&folder)?;
                    for spec in &specs {
                        let values = checkpoint.tensor(&spec.name)?.to_f32();
                        let path = self.root.join(&folder).join(format!("{}.npy", spec.name));
                        self.write(&path, &to_npy(view(spec, &values)?))?;
                    }
                    row["weights_npy"] = json!(format!("{folder}/"));
                }
                _ => {
                    let file = format!("{at}/{WEIGHTS}");
                    self.weights(&self.root.join(&file), &specs, &checkpoint)?;
                    row["weights"] = json!(file);
                }
            }
        }
        Ok(row)
    }

    /// Writes a tensor in each format; returns its shape and files.
    fn tensor(&self, stem: &str, name: &str, tensor: &Array4<f32>) -> Result<Value> {
        let mut row = json!({"shape": tensor.shape()});
        for ending in self.format.endings() {
            let file = format!("{stem}.{ending}");
            let path = self.root.join(&file);
            if let Some(parent) = Path::new(&file).parent() {
                self.folder(&parent.to_string_lossy())?;
            }
            let bytes = match *ending {
                "npy" => to_npy(tensor.view().into_dyn()),
                _ => to_safetensors(&[(name, tensor.view())])?,
            };
            self.write(&path, &bytes)?;
            row[*ending] = json!(file);
        }
        Ok(row)
    }

    fn weights(&self, path: &Path, specs: &[TensorSpec], checkpoint: &Checkpoint) -> Result<()> {
        let weights = specs.iter().map(|spec| (&spec.name, Weight { checkpoint, spec }));
        // Without it diffusers refuses the file.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let written = safetensors::serialize_to_file(weights, Some(metadata), path);
        written.map_err(|error| match error {
            SafeTensorError::IoError(error) => self.failed(path, &error),
            error => Error::output(path, error, "report this: the weights were checked before"),
        })?;
        // The library makes it its owner's alone; as readable as the config beside it is right.
        let readable = fs::metadata(path.with_file_name("config.json"));
        readable
            .and_then(|config| fs::set_permissions(path, config.permissions()))
            .map_err(|error| self.failed(path, &error))
    }

    fn folder(&self, name: &str) -> Result<()> {
        let path: PathBuf = self.root.join(name);
        fs::create_dir_all(&path).map_err(|error| self.failed(&path, &error))
    }

    /// A plain write: the whole folder is put in place at once.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        fs::write(path, bytes).map_err(|error| self.failed(path, &error))
    }

    /// Under the name that the user gave.
    fn failed(&self, path: &Path, error: &io::Error) -> Error {
        write_error(&self.folder.final_place(path), error)
    }
}

/// Reads, or computes, one tensor at a time as it is written, so that a model of any size takes
/// little memory.
struct Weight<'a> {
    checkpoint: &'a Checkpoint,
    spec: &'a TensorSpec,
}

impl View for Weight<'_> {
    fn dtype(&self) -> StoredDtype {
        StoredDtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.spec.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let tensor = self.checkpoint.tensor(&self.spec.name);
        let values = tensor.expect("a checkpoint has what its config asks for").to_f32();
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        4 * self.spec.shape.iter().product::<usize>()
    }
}

fn view<'a>(spec: &TensorSpec, values: &'a [f32]) -> Result<ArrayViewD<'a, f32>> {
    ArrayViewD::from_shape(spec.shape.clone(), values).map_err(|error| {
        Error::tensor(&spec.name, error, "report this: the shape was checked when it was opened")
    })
}
