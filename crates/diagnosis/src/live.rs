//! A model in memory beside the same weights on this project's engine: what is told of what the Python
//! package finds (`vae_fidelity/live`), which alone can run such a model.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;

pub(super) const LIVE_LAYER_DIFFERS: Cause = Cause {
    code: Code::LiveLayerDiffers,
    severity: Severity::Error,
    title: "a layer of your model computes something else than its class does",
    meaning: "The layer was given what your model gave it, and has your model's weights: only its \
              arithmetic is left. A kernel is wrong, its parameters were changed, its forward() was \
              replaced, or a hook changes what it makes.",
    rule: "Each layer's input and output are recorded while your model runs; the same input through \
           the same weights on the other engine lies further from that output than four times what \
           rounding did in sound runs of the dtype. Named is the first such layer, the innermost \
           where one lies in the other.",
    remedy: "look at the named layer: what replaced its forward(), its parameters, the kernel that runs it",
    diffusers: "compare print(vae) with that of a fresh vae.from_config(vae.config); run it on the CPU",
    comfyui: "turn off the custom nodes that patch the VAE, one at a time",
    ports: "the layer is wrong by itself: its input was your own",
    sources: &["pytorch/pytorch#58123", "comfyanonymous/ComfyUI#16433"],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_FORWARD_DIFFERS: Cause = Cause {
    code: Code::LiveForwardDiffers,
    severity: Severity::Error,
    title: "encode() or decode() does something else than its class's, though every layer is right",
    meaning: "Between the layers something is left out, done twice or added: quant_conv is not run, \
              latents are scaled inside, the posterior is drawn otherwise.",
    rule: "No layer that ran differs, and one that the class has did not run; or the moments, the \
           standard deviation, the draw or the decoded sample lie further from those of the same weights \
           than rounding explains.",
    remedy: "compare your encode(), decode() and their distribution with the class's own",
    diffusers: "type(vae).encode and type(vae).decode should be those of diffusers, and vae.__dict__ without them",
    comfyui: "turn off the custom nodes that wrap the VAE",
    ports: "follow the class's encode() and decode() line by line: scaling is the pipeline's",
    sources: &["huggingface/diffusers#13657", "keras-team/keras#3283"],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_WEIGHTS_DIFFER: Cause = Cause {
    code: Code::LiveWeightsDiffer,
    severity: Severity::Error,
    title: "weights in memory are not those of the checkpoint",
    meaning: "They were edited in place, cast through fewer bits, initialised anew, changed by training or \
              by an adapter such as a LoRA, attached or fused; or the model is another.",
    rule: "A tensor is not bit for bit the checkpoint's, which is first cast to the dtype that it has in \
           memory. What the difference is, is told where it is simple: a factor, fewer bits, a low rank, \
           another tensor's values, an adapter by its kind and name. Where nine tenths or more differ and nobody asked for this checkpoint, \
           it is a warning: training does that.",
    remedy: "load the weights again, or name the checkpoint that they should be with `against`",
    diffusers: "AutoencoderKL.from_pretrained(...) into a new instance; disable_adapters() or unfuse_lora() before \
                comparing",
    comfyui: "load the VAE anew, without merges",
    ports: "compare after each step that touches weights: casting, fusing, quantising",
    sources: &[],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_CONFIG_DIFFERS: Cause = Cause {
    code: Code::LiveConfigDiffers,
    severity: Severity::Error,
    title: "the config in memory is not the checkpoint's",
    meaning: "A field was changed after loading, or the model was built from another config. Pipelines \
              read scaling_factor from it: latents then are too large or too small for the diffusion model.",
    rule: "A field that decides what is computed differs between the model's config and the checkpoint's.",
    remedy: "load the model with the config that belongs to its weights",
    diffusers: "vae.register_to_config(...) changes it; from_pretrained restores it",
    comfyui: "the latent format's scale_factor stands in its model class",
    ports: "read the config.json beside the weights",
    sources: &[],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_TILING: Cause = Cause {
    code: Code::LiveTiling,
    severity: Severity::Warning,
    title: "tiling is on, and changes pictures of this size",
    meaning: "Each tile has statistics of its own in the group norms, so that colours drift between \
              tiles, and what is blended is not what the whole picture would be.",
    rule: "use_tiling is set and the sample is larger than tile_sample_min_size. How far the tiled picture \
           lies from the whole one is in the evidence.",
    remedy: "turn tiling off where memory allows, or make the tiles larger",
    diffusers: "vae.disable_tiling(), or larger vae.tile_sample_min_size and vae.tile_latent_min_size",
    comfyui: "VAE Decode in place of VAE Decode (Tiled), or a larger tile_size",
    ports: "blend over a quarter of the tile at least, as diffusers does",
    sources: &[],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_TRAINING_MODE: Cause = Cause {
    code: Code::LiveTrainingMode,
    severity: Severity::Error,
    title: "the model is in training mode, and that changes what it computes",
    meaning: "Dropout leaves out values at random, and batch norm takes the statistics of the picture: two \
              calls give two results.",
    rule: "A module that behaves otherwise in training (dropout above 0, batch norm) has `training` set. \
           Where none does, training mode changes nothing, and nothing is said.",
    remedy: "call eval() before encoding and decoding",
    diffusers: "vae.eval(); from_pretrained does it, a training loop undoes it",
    comfyui: "first_stage_model.eval()",
    ports: "leave dropout out of inference",
    sources: &[],
    decided_by: &[DecidedBy::LiveModel],
};

pub(super) const LIVE_AUTOCAST: Cause = Cause {
    code: Code::LiveAutocast,
    severity: Severity::Warning,
    title: "autocast runs layers in another dtype than their weights have",
    meaning: "Convolutions and products run in 16 bits though the model is loaded in 32: f16 may overflow \
              in the decoder, bf16 keeps eight bits of each value.",
    rule: "autocast is on while layers run, and they part from the same layers in the dtype of their \
           weights by what the dtype of autocast rounds.",
    remedy: "leave autocast before the VAE runs, or load it in the dtype that it should have",
    diffusers: "with torch.autocast(device_type, enabled=False): around vae.encode and vae.decode",
    comfyui: "start with --fp32-vae",
    ports: "state the dtype of each layer",
    sources: &[],
    decided_by: &[DecidedBy::LiveModel],
};
