//! The trait `Vae` for candle's model: what candle offers, and what it does not.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::stable_diffusion::vae::{
    AutoEncoderKL, AutoEncoderKLConfig, DiagonalGaussianDistribution,
};
use ndarray::{Array4, ArrayView4};
use vae_fidelity_checkpoint::expected_tensors;
use vae_fidelity_harness::config::Activation;
use vae_fidelity_harness::{
    VaeConfig, Checkpoint, Dtype, Encoded, Error, ErrorKind, Result, Rgb8, Vae,
};

/// candle's `AutoEncoderKL` on the CPU in f32.
pub struct CandleVae {
    config: VaeConfig,
    model: AutoEncoderKL,
}

impl CandleVae {
    /// Builds candle's model from a checkpoint's tensors, which have diffusers' names in both.
    ///
    /// Configs that candle's `AutoEncoderKLConfig` has no field for are unsupported, which the
    /// harness reports as not run.
    pub fn load(checkpoint: &Checkpoint) -> Result<Self> {
        let config = checkpoint.config().clone();
        if config.act_fn != Activation::Silu {
            return Err(unsupported(
                "act_fn",
                "candle's AutoEncoderKLConfig has none: always silu",
            ));
        }
        if !config.mid_block_add_attention {
            return Err(unsupported(
                "mid_block_add_attention",
                "candle's AutoEncoderKLConfig has no such field: the mid blocks always have attention",
            ));
        }
        let mut tensors = HashMap::new();
        for spec in expected_tensors(&config) {
            let values = checkpoint.tensor(&spec.name)?.to_f32();
            let tensor = Tensor::from_vec(values, spec.shape, &Device::Cpu);
            tensors.insert(spec.name, tensor.map_err(refused)?);
        }
        let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let fields = AutoEncoderKLConfig {
            block_out_channels: config.block_out_channels.clone(),
            layers_per_block: config.layers_per_block,
            latent_channels: config.latent_channels,
            norm_num_groups: config.norm_num_groups,
            use_quant_conv: config.use_quant_conv,
            use_post_quant_conv: config.use_post_quant_conv,
        };
        let model = AutoEncoderKL::new(weights, config.in_channels, config.out_channels, fields)
            .map_err(refused)?;
        Ok(Self { config, model })
    }

    fn posterior(&self, sample: ArrayView4<f32>) -> Result<DiagonalGaussianDistribution> {
        self.model.encode(&tensor(sample)?).map_err(refused)
    }
}

impl Vae for CandleVae {
    fn config(&self) -> &VaeConfig {
        &self.config
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, _: ArrayView4<f32>, _: Option<ArrayView4<f32>>) -> Result<Encoded> {
        Err(unsupported(
            "DiagonalGaussianDistribution",
            "candle exposes neither mean nor standard deviation, and its sample() takes no noise and \
             no seed on the CPU",
        ))
    }

    fn posterior_samples(&self, sample: ArrayView4<f32>, count: usize) -> Option<Result<Vec<Array4<f32>>>> {
        let drawn = self.posterior(sample).and_then(|posterior| {
            (0..count).map(|_| array(&posterior.sample().map_err(refused)?)).collect()
        });
        Some(drawn)
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        array(&self.model.decode(&tensor(latents)?).map_err(refused)?)
    }

    /// As candle's stable-diffusion example saves pictures: its cast to u8 is the one judged.
    fn to_rgb8(&self, decoded: ArrayView4<f32>) -> Option<Result<Rgb8>> {
        Some(pixels(decoded))
    }
}

fn pixels(decoded: ArrayView4<f32>) -> Result<Rgb8> {
    let (_, _, height, width) = decoded.dim();
    let decoded = tensor(decoded)?;
    let levels = || {
        let unit = ((&decoded / 2.)? + 0.5)?.clamp(0f32, 1f32)?;
        let levels = (unit * 255.)?.to_dtype(DType::U8)?;
        levels.get(0)?.permute((1, 2, 0))?.flatten_all()?.to_vec1::<u8>()
    };
    let levels = levels().map_err(refused)?;
    Rgb8::new(width, height, levels)
}

fn tensor(array: ArrayView4<f32>) -> Result<Tensor> {
    let values: Vec<f32> = array.iter().copied().collect();
    Tensor::from_vec(values, array.dim(), &Device::Cpu).map_err(refused)
}

fn array(tensor: &Tensor) -> Result<Array4<f32>> {
    let shape = tensor.dims4().map_err(refused)?;
    let values = tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(refused)?;
    Array4::from_shape_vec(shape, values)
        .map_err(|error| Error::tensor("candle", error, "report this"))
}

fn refused(error: candle_core::Error) -> Error {
    Error::tensor("candle", error, "see candle's message")
}

fn unsupported(subject: &str, problem: &str) -> Error {
    Error::new(ErrorKind::Unsupported, subject, problem, "judged by what candle offers instead")
}
