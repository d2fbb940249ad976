//! Faults inside a port: a second implementation, on libtorch, makes them.

use ndarray::Array4;
use vae_fidelity::diagnosis::UserFiles;
use vae_fidelity::trace::{Stage, Trace, TraceFile};
use vae_fidelity::{Result, Vae};

use super::faults::{ALL, Fault, Plant, TRAINED};
use super::plot::*;
use crate::planted::port::Fault as PortFault;

macro_rules! strong {
    ($cause:literal, $code:literal, $models:expr, $plant:expr) => {
        Fault { cause: $cause, code: $code, strong: true, models: $models, plant: $plant }
    };
}

/// Seen in latents, pictures and traces.
pub fn faults() -> Vec<Fault> {
    vec![
        strong!(
            "padding on all sides, seen in latents",
            "symmetric-downsample-padding",
            TRAINED,
            |p| {
                let port = p.model.port(PortFault::SymmetricPadding)?;
                let raw = port.encode(p.run.sample.view(), None)?.latents;
                let factor = p.vae.config().scaling_factor().unwrap() as f32;
                latents(raw * factor)
            }
        ),
        strong!(
            "padding on all sides, seen in the picture",
            "symmetric-downsample-padding",
            TRAINED,
            |p| {
                let port = p.model.port(PortFault::SymmetricPadding)?;
                let raw = port.encode(p.run.sample.view(), None)?.latents;
                picture(&p.vae.decode(raw.view())?)
            }
        ),
        strong!("circular padding, seen in the picture", "padding-mode", TRAINED, |plot| {
            trip(&*plot.model.port(PortFault::CircularPadding)?, &plot.run.sample)
        }),
        strong!("circular padding, seen in latents", "padding-mode", TRAINED, |plot| {
            let port = plot.model.port(PortFault::CircularPadding)?;
            let raw = port.encode(plot.run.sample.view(), None)?.latents;
            latents(plot.vae.scale(raw.view())?)
        }),
        strong!("circular padding of the decoder alone", "padding-mode", TRAINED, |plot| {
            let port = plot.model.port(PortFault::CircularPadding)?;
            picture(&port.decode(plot.run.encoded.latents.view())?)
        }),
        strong!("reflecting padding, seen in the picture", "padding-mode", TRAINED, |plot| {
            trip(&*plot.model.port(PortFault::ReflectPadding)?, &plot.run.sample)
        }),
        strong!("repeating padding, seen in the picture", "padding-mode", TRAINED, |plot| {
            trip(&*plot.model.port(PortFault::ReplicatePadding)?, &plot.run.sample)
        }),
        strong!("padding on all sides, in a trace", "symmetric-downsample-padding", ALL, |plot| {
            traced(plot, PortFault::SymmetricPadding)
        }),
        strong!("attention without 1 / sqrt(d), in a trace", "trace-diverges", TRAINED, |plot| {
            traced(plot, PortFault::NoAttentionScale)
        }),
        strong!("interpolated upsampling, in a trace", "trace-diverges", ALL, |plot| {
            traced(plot, PortFault::BilinearUpsampling)
        }),
        strong!(
            "act_fn for the last activation, in a trace",
            "trace-diverges",
            &["act-relu"],
            |p| { traced(p, PortFault::ConvActFollowsConfig) }
        ),
        strong!("NaN in one layer, in a trace", "trace-diverges", ALL, |plot| {
            traced(plot, PortFault::Nan("decoder.mid_block.resnets.0"))
        }),
    ]
}

/// Traces that are as they should be.
pub fn clean() -> Vec<(&'static str, Plant)> {
    vec![
        ("latents of another machine", |plot| {
            let port = plot.model.port(PortFault::None)?;
            let raw = port.encode(plot.run.sample.view(), None)?.latents;
            latents(raw * plot.vae.config().scaling_factor().unwrap() as f32)
        }),
        ("a picture of another machine", |plot| {
            let port = plot.model.port(PortFault::None)?;
            picture(&port.decode(plot.run.encoded.latents.view())?)
        }),
        ("a trace of other arithmetic", |plot| traced(plot, PortFault::None)),
        ("a trace with weights in f16", |plot| traced(plot, PortFault::HalfWeights)),
    ]
}

pub(super) fn traced(plot: &Plot, fault: PortFault) -> Result<Option<UserFiles>> {
    let port = plot.model.port(fault)?;
    let stage =
        |stage, input: &Array4<f32>| -> Result<Trace> { port.trace(stage, input.view()).unwrap() };
    let encode = stage(Stage::Encode, &plot.run.sample)?;
    let decode = stage(Stage::Decode, &plot.run.encoded.latents)?;
    let against = Some(TraceFile::new(encode, decode));
    Ok(Some(UserFiles { against, ..UserFiles::default() }))
}
