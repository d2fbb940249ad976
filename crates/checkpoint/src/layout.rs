//! The tensors that a checkpoint has to hold for a config.

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::graph::Graph;

pub use vae_fidelity_core::graph::TensorSpec;

/// What begins the names of the encoder of masked pictures, which `AsymmetricAutoencoderKL` alone has.
pub(super) const CONDITION_ENCODER: &str = "decoder.condition_encoder.";

/// Every tensor that `config` asks for: names and shapes, in the order of diffusers' state dict.
pub fn expected_tensors(config: &VaeConfig) -> Vec<TensorSpec> {
    Graph::of(config).tensors()
}

/// How a note begins that is of models of clips given one picture.
pub const ONE_FRAME: &str = "one picture is a clip of one frame";

/// Which tensors of `config` meet no data, in words; `None` where all do.
pub(super) fn idle_note(config: &VaeConfig) -> Option<String> {
    let graph = Graph::of(config);
    let values = |specs: &[TensorSpec]| -> usize {
        specs.iter().map(|spec| spec.shape.iter().product::<usize>()).sum()
    };
    if config.class().is_of_clips() {
        // Zeros stand before one frame, so that all slices of a kernel but the last are multiplied by 0.
        let slices = |spec: &TensorSpec| match spec.shape[..] {
            [_, _, frames, _, _] => values(std::slice::from_ref(spec)) / frames * (frames - 1),
            _ => 0,
        };
        let all = graph.tensors();
        let running = all.iter().filter(|spec| !graph.idle.contains(spec));
        let unmet = running.map(slices).sum::<usize>();
        let kernels = if unmet > 0 { " and of kernels for the frames before" } else { "" };
        let idle = values(&graph.idle) + unmet;
        let next = match config.check_runs_clips() {
            Ok(()) => "; `frames` sends a clip through",
            Err(_) => "",
        };
        return Some(format!(
            "{ONE_FRAME}: {:.0} % of all values, those of time_conv{kernels}, meet no data{next}",
            100.0 * idle as f64 / values(&all) as f64
        ));
    }
    let first = graph.idle.first()?;
    let share = 100.0 * values(&graph.idle) as f64 / values(&graph.tensors()) as f64;
    let module = first.name.split(".layers.").next().unwrap_or_default();
    Some(format!(
        "{} tensors of {module}, {share:.0} % of all values, meet no data: they are for a picture with a \
         mask, and none is given",
        graph.idle.len()
    ))
}
