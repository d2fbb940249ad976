//! Single files without a config: what shapes settle, and what is asked for.
//!
//! The files have the full published shapes and no values: they are sparse.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use vae_fidelity::checkpoint::{OpenOptions, expected_tensors};
use vae_fidelity::config::{Family, SampleSize};
use vae_fidelity::{Checkpoint, Error, ErrorKind, Source, VaeConfig};

/// A published graph, by what differs from Stable Diffusion's.
fn graph(changes: Value) -> VaeConfig {
    let mut fields = json!({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2});
    fields.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let levels = fields["block_out_channels"].as_array().unwrap().len();
    fields["down_block_types"] = json!(vec!["DownEncoderBlock2D"; levels]);
    fields["up_block_types"] = json!(vec!["UpDecoderBlock2D"; levels]);
    VaeConfig::from_json(&fields.to_string(), "a test").unwrap()
}

pub fn stable_diffusion() -> VaeConfig {
    graph(json!({}))
}

pub(super) fn sixteen_channels() -> VaeConfig {
    graph(json!({"latent_channels": 16, "use_quant_conv": false, "use_post_quant_conv": false}))
}

pub struct Model {
    pub folder: TempDir,
    tensors: Vec<(String, Vec<usize>)>,
}

impl Model {
    pub fn new(config: &VaeConfig, prefix: &str) -> Self {
        let tensors = expected_tensors(config).into_iter();
        let named = tensors.map(|spec| (format!("{prefix}{}", spec.name), spec.shape));
        Self { folder: TempDir::new().unwrap(), tensors: named.collect() }
    }

    pub fn with(mut self, name: &str, shape: &[usize]) -> Self {
        self.tensors.push((name.into(), shape.to_vec()));
        self
    }

    /// Without the tensors that begin with `prefix`.
    pub fn without(mut self, prefix: &str) -> Self {
        self.tensors.retain(|(name, _)| !name.starts_with(prefix));
        self
    }

    /// With other names.
    pub fn renamed(mut self, name_of: fn(&str) -> String) -> Self {
        for (name, _) in &mut self.tensors {
            *name = name_of(name);
        }
        self
    }

    /// With other shapes, of each name and shape.
    pub fn reshaped(mut self, shape_of: fn(&str, &[usize]) -> Vec<usize>) -> Self {
        for (name, shape) in &mut self.tensors {
            *shape = shape_of(name, shape);
        }
        self
    }

    /// Writes a header and leaves the values to the file system.
    pub fn write(&self, name: &str) -> PathBuf {
        let (mut header, mut end) = (Map::new(), 0);
        for (name, shape) in &self.tensors {
            let start = end;
            end += 2 * shape.iter().product::<usize>();
            let entry = json!({"dtype": "F16", "shape": shape, "data_offsets": [start, end]});
            header.insert(name.clone(), entry);
        }
        let header = Value::Object(header).to_string();
        let path = self.folder.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        file.set_len((8 + header.len() + end) as u64).unwrap();
        path
    }

    pub fn open(&self, family: Option<Family>) -> Result<Checkpoint, Error> {
        open(&self.write("model.safetensors"), family)
    }
}

pub(super) fn open(path: &Path, family: Option<Family>) -> Result<Checkpoint, Error> {
    let options = OpenOptions { family, ..OpenOptions::default() };
    Checkpoint::open_with(&Source::File { path: path.into() }, &options)
}

pub(super) fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "expected {part:?} in: {text}");
    }
}

#[test]
fn what_shapes_cannot_settle_is_asked_for() {
    let question = |config: &VaeConfig| {
        let error = Model::new(config, "").open(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        format!("{error} | {}", error.next())
    };
    let all = "sd1, sd2, sdxl, playground-v2.5";
    contains(&question(&stable_diffusion()), &["model.safetensors", all, "`family`", "`config`"]);
    contains(&question(&sixteen_channels()), &["sd3, flux1", "`family`", "`config`"]);
    let upscaler = graph(json!({"block_out_channels": [128, 256, 512]}));
    contains(&question(&upscaler), &["only x4-upscaler", "`family` x4-upscaler"]);
    let cogview =
        graph(json!({"block_out_channels": [128, 512, 1024, 1024], "layers_per_block": 3,
        "latent_channels": 16, "use_quant_conv": false, "use_post_quant_conv": false,
        "mid_block_add_attention": false}));
    contains(&question(&cogview), &["only cogview"]);
    let own = graph(json!({"block_out_channels": [64, 128], "latent_channels": 8}));
    contains(&question(&own), &["no published family", "8 latent channels", "`config`"]);
    let odd = graph(json!({"block_out_channels": [6, 10], "norm_num_groups": 2}));
    contains(&question(&odd), &["no published family", "widths [6, 10]", "`config`"]);
}

#[test]
fn goldens_of_full_graphs_have_the_configs_of_their_families() {
    for (name, family) in [
        ("sd-v1-4", Family::Sd1),
        ("sd-v2-1", Family::Sd2),
        ("sdxl", Family::Sdxl),
        ("playground-v2.5", Family::PlaygroundV25),
        ("sd3", Family::Sd3),
        ("flux1", Family::Flux1),
        ("cogview4", Family::Cogview),
        ("x4-upscaler", Family::X4Upscaler),
        ("flux2", Family::Flux2),
    ] {
        let path = format!("golden/models/{name}/vae/config.json");
        let json = std::fs::read_to_string(&path).unwrap();
        let config = VaeConfig::from_json(&json, &path).unwrap();
        assert_eq!(Family::of(&config), family, "{name}");
    }
}

#[test]
fn a_family_supplies_what_it_published_and_is_checked_against_the_shapes() {
    let published = [
        (Family::Sd1, 0.18215, None, 512),
        (Family::Sd2, 0.18215, None, 768),
        (Family::Sdxl, 0.13025, None, 1024),
        (Family::PlaygroundV25, 0.5, None, 1024),
        (Family::Sd3, 1.5305, Some(0.0609), 1024),
        (Family::Flux1, 0.3611, Some(0.1159), 1024),
    ];
    for (family, scaling, shift, side) in published {
        let wide = shift.is_some();
        let model = Model::new(&if wide { sixteen_channels() } else { stable_diffusion() }, "");
        let checkpoint = model.open(Some(family)).unwrap();
        let config = checkpoint.config().autoencoder_kl().unwrap();
        assert_eq!((config.scaling_factor, config.shift_factor), (scaling, shift), "{family}");
        assert_eq!(config.sample_size, SampleSize::Side(side));
        assert_eq!(config.latents_mean.is_some(), family == Family::PlaygroundV25);
        assert_eq!((checkpoint.family(), Family::of(checkpoint.config())), (family, family));
        assert!(config.force_upcast && config.defaulted.is_empty());
        assert_eq!(checkpoint.parameters(), if wide { 83_819_683 } else { 83_653_863 });
        contains(&checkpoint.notes().join("\n"), &["shapes give the graph"]);

        let other = Model::new(&if wide { stable_diffusion() } else { sixteen_channels() }, "");
        let refused = other.open(Some(family)).unwrap_err();
        contains(
            &refused.to_string(),
            &[&format!("`family` {family}"), "latent_channels: expected"],
        );
    }
    for family in [Family::Builtin, Family::Unknown] {
        let refused = Model::new(&stable_diffusion(), "").open(Some(family)).unwrap_err();
        contains(&refused.to_string(), &["no config is published"]);
        contains(refused.next(), &["sd1, sd2, sdxl"]);
    }
}

#[test]
fn the_other_models_in_a_full_checkpoint_name_the_family() {
    let attention = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";
    let sdxl = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias";
    let sd3 = "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias";
    let flux = "model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale";
    let of = |config: &VaeConfig, prefix: &str, name: &str, shape: &[usize]| {
        Model::new(config, prefix).with(name, shape).open(None).map(|found| found.family())
    };
    let narrow = stable_diffusion();
    assert_eq!(of(&narrow, "first_stage_model.", attention, &[320, 768]), Ok(Family::Sd1));
    assert_eq!(of(&narrow, "first_stage_model.", attention, &[320, 1024]), Ok(Family::Sd2));
    assert_eq!(of(&narrow, "first_stage_model.", sdxl, &[1280]), Ok(Family::Sdxl));
    assert_eq!(of(&narrow, "first_stage_model.", "edm_mean", &[4]), Ok(Family::PlaygroundV25));
    assert_eq!(of(&sixteen_channels(), "first_stage_model.", sd3, &[9216]), Ok(Family::Sd3));
    assert_eq!(of(&sixteen_channels(), "vae.", flux, &[128]), Ok(Family::Flux1));
    // Another model beside it settles nothing, nor does one whose VAE has other shapes.
    assert!(of(&narrow, "first_stage_model.", attention, &[320, 512]).is_err());
    assert!(of(&narrow, "first_stage_model.", flux, &[128]).is_err());
}

#[test]
fn a_file_without_a_whole_vae_says_what_it_lacks() {
    let model = Model::new(&stable_diffusion(), "my_");
    contains(&model.open(None).unwrap_err().to_string(), &["found no tensor of a VAE"]);

    let mut model = Model::new(&stable_diffusion(), "");
    model.tensors.retain(|(name, _)| name.starts_with("decoder."));
    contains(
        &model.open(None).unwrap_err().to_string(),
        &["holds the decoder of a VAE and not its encoder"],
    );

    let mut model = Model::new(&stable_diffusion(), "");
    model.tensors.retain(|(name, _)| name != "decoder.up_blocks.2.resnets.0.norm1.bias");
    contains(
        &model.open(Some(Family::Sd1)).unwrap_err().to_string(),
        &["1 tensor missing (decoder.up_blocks.2.resnets.0.norm1.bias)"],
    );

    let attention =
        Model::new(&stable_diffusion(), "").with("encoder.down.3.attn.0.q.weight", &[1]);
    contains(
        &attention.open(Some(Family::Sd1)).unwrap_err().to_string(),
        &["encoder.down.3.attn.0.q.weight is no tensor of an AutoencoderKL"],
    );

    let twice = Model::new(&stable_diffusion(), "").with("encoder.norm_out.weight", &[512]);
    contains(
        &twice.open(None).unwrap_err().to_string(),
        &["two tensors are encoder.conv_norm_out"],
    );
}

#[test]
fn config_and_family_together_are_refused() {
    let path = Model::new(&stable_diffusion(), "").write("vae.safetensors");
    let options = OpenOptions {
        config: Some("config.json".into()),
        family: Some(Family::Sdxl),
        ..OpenOptions::default()
    };
    let refused = Checkpoint::open_with(&Source::File { path }, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Option);
    contains(&refused.to_string(), &["`family` sdxl", "`config` config.json"]);
}

#[test]
fn a_family_replaces_the_scaling_of_a_config_and_says_so() {
    let model = Model::new(&stable_diffusion(), "");
    model.write("diffusion_pytorch_model.safetensors");
    let config = json!({"block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
        "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4]});
    std::fs::write(model.folder.path().join("config.json"), config.to_string()).unwrap();
    let source = Source::parse(model.folder.path().to_str().unwrap(), None).unwrap();
    let open = |family| {
        let options = OpenOptions { family: Some(family), ..OpenOptions::default() };
        Checkpoint::open_with(&source, &options)
    };
    let checkpoint = open(Family::Sdxl).unwrap();
    assert_eq!(checkpoint.config().scaling_factor(), Some(0.13025));
    let notes = checkpoint.notes().join("\n");
    contains(
        &notes,
        &["`family` sdxl replaces", "0.18215 becomes 0.13025", "leaves out in_channels"],
    );
    assert!(!checkpoint.config().defaulted().contains(&"scaling_factor"));
    assert!(open(Family::Flux1).is_err());
}

#[test]
fn a_folder_without_its_config_is_asked_about_as_a_file_is() {
    let model = Model::new(&stable_diffusion(), "");
    model.write("diffusion_pytorch_model.safetensors");
    let source = Source::parse(model.folder.path().to_str().unwrap(), None).unwrap();
    let refused = Checkpoint::open(&source, None).unwrap_err();
    contains(&refused.to_string(), &["has no config.json", "sd1, sd2, sdxl"]);
    let options = OpenOptions { family: Some(Family::Sd2), ..OpenOptions::default() };
    assert!(Checkpoint::open_with(&source, &options).is_ok());
}
