//! A trained VAE's tensors, changed as tools change them, and written to a folder.

use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as Stored, serialize};
use vae_fidelity::checkpoint::{Contents, OpenOptions, expected_tensors};
use vae_fidelity::{Checkpoint, Source};

/// By name: shape and values.
pub type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Trained VAEs that are at hand.
pub const TRAINED: [&str; 2] = ["golden/models/builtin", "tests/fixtures/models/eight-channel"];

/// The tensors of a model of [`TRAINED`].
pub fn tensors(model: &str) -> Tensors {
    let checkpoint = checkpoint(model);
    let values = |name: &str| checkpoint.tensor(name).unwrap().to_f32();
    expected_tensors(checkpoint.config())
        .into_iter()
        .map(|spec| (spec.name.clone(), spec.shape, values(&spec.name)))
        .collect()
}

pub fn checkpoint(model: &str) -> Checkpoint {
    Checkpoint::open(&Source::parse(model, None).unwrap(), None).unwrap()
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum As {
    F32,
    F16,
    Bf16,
    /// Weights of layers in 8 bits with their scale beside them, as ComfyUI writes them.
    Scaled8,
}

/// A folder with a model.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// `tensors` with the config of `model`.
    pub fn of(model: &str, tensors: &Tensors, stored: As) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut written: Vec<(String, Stored, Vec<usize>, Vec<u8>)> = Vec::new();
        for (name, shape, values) in tensors {
            let (dtype, bytes) = match stored {
                As::F32 | As::Scaled8 => (Stored::F32, bytes(values, f32::to_le_bytes)),
                As::F16 => (Stored::F16, bytes(values, |v| f16::from_f32(v).to_le_bytes())),
                As::Bf16 => (Stored::BF16, bytes(values, |v| bf16::from_f32(v).to_le_bytes())),
            };
            if stored == As::Scaled8 && shape.len() >= 2 {
                let scale = largest(values) / 448.0;
                let eight = values.iter().map(|value| e4m3_bits(value / scale)).collect();
                written.push((name.clone(), Stored::F8_E4M3, shape.clone(), eight));
                let beside = name.replace(".weight", ".scale_weight");
                written.push((beside, Stored::F32, vec![], scale.to_le_bytes().to_vec()));
            } else {
                written.push((name.clone(), dtype, shape.clone(), bytes));
            }
        }
        let views = written.iter().map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).unwrap())
        });
        let weights = serialize(views, None).unwrap();
        let file = folder.path().join("diffusion_pytorch_model.safetensors");
        std::fs::write(file, weights).unwrap();
        let config = Path::new(model).join("vae/config.json");
        std::fs::copy(config, folder.path().join("config.json")).unwrap();
        Self(folder)
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub fn contents(&self) -> Contents {
        let source = Source::parse(self.path(), None).unwrap();
        Contents::open(&source, &OpenOptions::default()).unwrap()
    }
}

fn bytes<const N: usize>(values: &[f32], of: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| of(value)).collect()
}

pub fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |largest, value| value.abs().max(largest))
}

/// `value` as `float8_e4m3fn` rounds it.
pub fn e4m3(value: f32) -> f32 {
    let magnitude = value.abs().min(448.0);
    let exponent = magnitude.max(2f32.powi(-6)).log2().floor();
    let step = 2f32.powf(exponent - 3.0);
    ((magnitude / step).round_ties_even() * step).copysign(value)
}

fn e4m3_bits(value: f32) -> u8 {
    let value = e4m3(value);
    let (sign, magnitude) = (u8::from(value.is_sign_negative()) << 7, value.abs());
    if magnitude < 2f32.powi(-6) {
        return sign | (magnitude * 512.0) as u8;
    }
    let exponent = magnitude.log2().floor();
    let mantissa = (magnitude / 2f32.powf(exponent) * 8.0) as u8 - 8;
    sign | ((exponent as i32 + 7) as u8) << 3 | mantissa
}

/// Numbers without a pattern, nearly normal.
pub struct Draws(pub u64);

impl Draws {
    fn unit(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    /// In [-1, 1).
    pub fn uniform(&mut self) -> f32 {
        self.unit() * 2.0 - 1.0
    }

    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }
}

pub fn is_layer(name: &str, shape: &[usize]) -> bool {
    shape.len() >= 2 && name.ends_with(".weight")
}

/// Every value.
pub fn each(tensors: &mut Tensors, change: impl Fn(f32) -> f32) {
    for (_, _, values) in tensors {
        values.iter_mut().for_each(|value| *value = change(*value));
    }
}

/// The weights of layers whose names have `part`.
pub fn layers(tensors: &mut Tensors, part: &str, mut change: impl FnMut(&[usize], &mut Vec<f32>)) {
    let of_layer = |(name, shape, _): &&mut (String, Vec<usize>, Vec<f32>)| {
        is_layer(name, shape) && name.contains(part)
    };
    tensors.iter_mut().filter(of_layer).for_each(|(_, shape, values)| change(shape, values));
}

/// Exchanges the tensors of two names wherever both are.
pub fn exchanged(tensors: &mut Tensors, one: &str, other: &str) {
    let names: Vec<String> = tensors.iter().map(|(name, ..)| name.clone()).collect();
    for (at, name) in names.iter().enumerate().filter(|(_, name)| name.contains(one)) {
        let twin = name.replace(one, other);
        if let Some(with) = names.iter().position(|name| *name == twin)
            && tensors[at].1 == tensors[with].1
        {
            let values = std::mem::take(&mut tensors[at].2);
            tensors[at].2 = std::mem::replace(&mut tensors[with].2, values);
        }
    }
}

/// Quantised to `levels` in groups of `group`.
pub fn grouped(values: &mut [f32], group: usize, levels: usize) {
    for group in values.chunks_exact_mut(group) {
        let (least, most) = group
            .iter()
            .fold((f32::MAX, f32::MIN), |(least, most), &v| (least.min(v), most.max(v)));
        let step = ((most - least) / (levels - 1) as f32).max(f32::MIN_POSITIVE);
        group.iter_mut().for_each(|v| *v = ((*v - least) / step).round() * step + least);
    }
}

/// Each kernel, its rows and columns placed by `place`.
pub fn kernels(
    tensors: &mut Tensors,
    place: impl Fn(usize, usize, usize, usize) -> (usize, usize),
) {
    layers(tensors, "", |shape, values| {
        let [_, _, rows, columns] = *shape else { return };
        let before = values.clone();
        for (at, value) in values.iter_mut().enumerate() {
            let (kernel, row, column) = (at / (rows * columns), at / columns % rows, at % columns);
            let (row, column) = place(row, column, rows, columns);
            *value = before[(kernel * rows + row) * columns + column];
        }
    });
}
