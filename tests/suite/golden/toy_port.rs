//! The toy as a port in another language: it reads what was exported, and leaves files to be judged.

use std::fs;
use std::path::Path;

use ndarray::{Array4, ArrayView4, Ix4};
use serde_json::Value;
use vae_fidelity::checkpoint::{Checkpoint, Source};
use vae_fidelity::golden::{Suite, SuiteReport, TensorFormat};
use vae_fidelity::image_processor::denormalize;
use vae_fidelity::pixels::encode_png;
use vae_fidelity::tensor_file::{read, to_npy, to_safetensors};
use vae_fidelity::{Dtype, Vae};

use super::toy::{TOY, Toy};

/// The toy's suite, exported, and what the toy made of the exported files alone.
pub struct Port {
    pub folder: tempfile::TempDir,
}

impl Port {
    /// Reads `cases.json` and the tensors that it names, as a port in another language would.
    pub fn run(format: TensorFormat) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inputs = folder.path().join("inputs");
        Suite::open(TOY).unwrap().export(&inputs, format, |_| ()).unwrap();
        let listing: Value =
            serde_json::from_slice(&fs::read(inputs.join("cases.json")).unwrap()).unwrap();
        let port = Self { folder };
        for case in listing["cases"].as_array().unwrap() {
            port.case(&inputs, &listing, case, format);
        }
        port
    }

    fn case(&self, inputs: &Path, listing: &Value, case: &Value, format: TensorFormat) {
        let ending = if format == TensorFormat::Npy { "npy" } else { "safetensors" };
        let input = |name: &str| {
            let file = case["inputs"].get(name)?[ending].as_str()?;
            Some(sole(&inputs.join(file)))
        };
        let models = listing["models"].as_array().unwrap();
        let model = models.iter().find(|model| model["name"] == case["model"]).unwrap();
        let bias = match format {
            TensorFormat::Npy => {
                let folder = inputs.join(model["weights_npy"].as_str().unwrap());
                read(&folder.join("quant_conv.bias.npy")).unwrap().remove(0).values
            }
            _ => {
                let tensors = read(&inputs.join(model["weights"].as_str().unwrap())).unwrap();
                let named = |t: &&vae_fidelity::tensor_file::FileTensor| {
                    t.name.as_deref() == Some("quant_conv.bias")
                };
                tensors.iter().find(named).unwrap().values.clone()
            }
        };
        let checkpoint = toy_checkpoint();
        let gain = bias.iter().take(3).map(|bias| 1.0 + bias).collect();
        let toy = Toy { gain, ..Toy::load(&checkpoint).unwrap() };
        let factor = model["scaling_factor"].as_f64().unwrap() as f32;
        let noise = input("noise");
        let encoded = toy.encode(input("sample").unwrap().view(), noise.as_ref().map(|n| n.view()));
        let encoded = encoded.unwrap();
        let decoded = toy.decode((input("scaled_latents").unwrap() / factor).view()).unwrap();
        let name = case["name"].as_str().unwrap();
        self.write(name, "moments", ending, encoded.moments.unwrap().view());
        self.write(name, "latents", ending, (encoded.latents * factor).view());
        self.write(name, "decoded", ending, decoded.view());
        let pixels = denormalize(decoded.view(), Dtype::F32).unwrap();
        fs::write(self.path(name, "decoded.png"), encode_png(&pixels).unwrap()).unwrap();
    }

    fn write(&self, case: &str, name: &str, ending: &str, tensor: ArrayView4<f32>) {
        let bytes = match ending {
            "npy" => to_npy(tensor.into_dyn()),
            _ => to_safetensors(&[(name, tensor)]).unwrap(),
        };
        fs::create_dir_all(self.path(case, "")).unwrap();
        fs::write(self.path(case, &format!("{name}.{ending}")), bytes).unwrap();
    }

    /// Changes one tensor of a case.
    pub fn change(&self, case: &str, name: &str, change: impl FnOnce(&mut Array4<f32>)) {
        let mut tensor = sole(&self.path(case, &format!("{name}.safetensors")));
        change(&mut tensor);
        self.write(case, name, "safetensors", tensor.view());
    }

    pub fn path(&self, case: &str, file: &str) -> std::path::PathBuf {
        self.folder.path().join("mine").join(case).join(file)
    }

    pub fn judged(&self) -> SuiteReport {
        Suite::open(TOY).unwrap().judge(self.folder.path().join("mine")).unwrap()
    }
}

pub fn toy_checkpoint() -> Checkpoint {
    let path = Path::new(TOY).join("models/toy");
    Checkpoint::open(&Source::Folder { path, subfolder: None }, None).unwrap()
}

pub fn sole(path: &Path) -> Array4<f32> {
    let tensor = read(path).unwrap().remove(0);
    tensor.values.into_dimensionality::<Ix4>().unwrap()
}
