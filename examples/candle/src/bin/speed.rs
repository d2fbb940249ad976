//! One round trip with candle, for vae_fidelity_tools.measurement.speed to time.
//!
//! Arguments: MODEL SAMPLE.npy LATENTS.npy DECODED.npy; decodes LATENTS, because candle exposes no
//! mean to go on from, and its draw cannot be repeated. Prints both times in seconds as JSON.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::stable_diffusion::vae::{AutoEncoderKL, AutoEncoderKLConfig};

fn main() -> candle_core::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, sample, latents_file, decoded_file] = arguments.as_slice() else {
        candle_core::bail!("expected MODEL SAMPLE.npy LATENTS.npy DECODED.npy");
    };
    let weights = format!("{model}/vae/diffusion_pytorch_model.safetensors");
    // SAFETY: nobody writes to the file while this runs.
    let weights =
        unsafe { VarBuilder::from_mmaped_safetensors(&[weights], DType::F32, &Device::Cpu)? };
    // Stable Diffusion 1.x.
    let config = AutoEncoderKLConfig {
        block_out_channels: vec![128, 256, 512, 512],
        layers_per_block: 2,
        latent_channels: 4,
        norm_num_groups: 32,
        use_quant_conv: true,
        use_post_quant_conv: true,
    };
    let vae = AutoEncoderKL::new(weights, 3, 3, config)?;
    let sample = Tensor::read_npy(sample)?.to_dtype(DType::F32)?;
    let latents = Tensor::read_npy(latents_file)?.to_dtype(DType::F32)?;

    let started = Instant::now();
    vae.encode(&sample)?.sample()?;
    let encode_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let decoded = vae.decode(&latents)?;
    let decode_s = started.elapsed().as_secs_f64();

    decoded.write_npy(decoded_file)?;
    println!("{{\"encode_s\": {encode_s}, \"decode_s\": {decode_s}}}");
    Ok(())
}
