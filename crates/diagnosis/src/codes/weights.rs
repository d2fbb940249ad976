//! Weights and the config that describes them.

use super::Code;
use crate::Severity::{Error, Warning};

pub(super) const CODES: &[Code] = &[
    Code {
        code: "weights-missing",
        severity: Error,
        title: "tensors that the config asks for are not in the file",
        meaning: "A loader that goes on leaves those layers at random: noise or garbage.",
        rule: "The config's names less the file's, after renaming old and LDM names, are not empty; \
               or a tensor is stored in a dtype that is not read.",
        remedy: "fetch the complete file, or the config that belongs to it",
        diffusers: "from_pretrained warns 'newly initialized': take it for an error",
        comfyui: "'missing keys' in the log: load the VAE as a file of its own",
        ports: "refuse to run with a missing tensor",
        sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
        decided_by: &["inspect"],
    },
    Code {
        code: "weights-unexpected",
        severity: Warning,
        title: "the file has tensors that the config does not ask for",
        meaning: "Either something beside the VAE lies in the file, or the config has fewer layers \
                  than the weights.",
        rule: "The file's names less the config's, other models' left aside, are not empty.",
        remedy: "check layers_per_block, use_quant_conv and the number of levels in the config",
        diffusers: "'Some weights were not used': compare the config with the authors'",
        comfyui: "'unexpected keys' in the log: the wrong VAE class was detected",
        ports: "list the names that are left over after loading",
        sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
        decided_by: &["inspect"],
    },
    Code {
        code: "weights-shape",
        severity: Error,
        title: "tensors have another shape than the config gives them",
        meaning: "The config belongs to another model, or the file was converted wrongly.",
        rule: "A tensor's shape is not the one expected. Attention weights as (C, C, 1, 1) are \
               squeezed, not refused.",
        remedy: "take config and weights of one release",
        diffusers: "load with the config that lies beside the weights; never ignore_mismatched_sizes",
        comfyui: "load the VAE of the model's own family",
        ports: "convolutions are (out, in, kh, kw) in files; MLX and TensorFlow want them otherwise",
        sources: &["AUTOMATIC1111/stable-diffusion-webui#10006", "huggingface/diffusers#6226"],
        decided_by: &["inspect"],
    },
    Code {
        code: "weights-untrained",
        severity: Error,
        title: "weights look freshly initialised",
        meaning: "Layers that were never loaded, or a model that was never trained: noise.",
        rule: "Initialisation draws uniformly within 1 / sqrt(fan_in), and training leaves tails. \
               Weights are fresh when mean, largest value and kurtosis (1.8) all lie within five \
               standard errors of a uniform draw's: most of them, or single layers at PyTorch's own \
               bound. A warning where only the norms are as initialised (1 and 0).",
        remedy: "load the trained file, and check that the loader matched its names",
        diffusers: "AutoencoderKL.from_config makes random weights; use from_pretrained",
        comfyui: "'missing keys' in the log: the file was not understood",
        ports: "compare a few values of a loaded layer with those in the file",
        sources: &["Vchitect/Latte#66"],
        decided_by: &["inspect"],
    },
    Code {
        code: "weights-non-finite",
        severity: Error,
        title: "NaN or infinity in the weights",
        meaning: "One is enough for a black picture. Training that diverged, or a conversion to \
                  f16 that overflowed, leaves them.",
        rule: "At least one value of a tensor is NaN or infinite.",
        remedy: "fetch the file again; if it stays, take an earlier checkpoint",
        diffusers: "torch.isfinite over the state dict",
        comfyui: "load another copy of the VAE",
        ports: "check on loading: it costs one pass",
        sources: &["Vchitect/Latte#66"],
        decided_by: &["inspect"],
    },
    Code {
        code: "weights-zero",
        severity: Error,
        title: "tensors that should carry weights are all zero",
        meaning: "A layer of zeros passes nothing on: grey, or missing detail.",
        rule: "A layer's weight, or the factor of a norm, is zero throughout.",
        remedy: "fetch the file again, and check what converted it",
        diffusers: "compare with the original file's tensors",
        comfyui: "load another copy of the VAE",
        ports: "check that buffers were filled before they were written",
        sources: &["Vchitect/Latte#66"],
        decided_by: &["inspect"],
    },
    Code {
        code: "config-defaults",
        severity: Error,
        title: "the config was not found, and class defaults stand in for it",
        meaning: "AutoencoderKL's defaults describe a VAE of one level of 64 channels that nobody \
                  published.",
        rule: "block_out_channels is absent, and the first convolution has another width than the \
               default. Information where it has that width.",
        remedy: "pass the config.json that the model's authors published",
        diffusers: "check subfolder='vae', and that config.json lies beside the weights",
        comfyui: "configs are detected from the weights there",
        ports: "make fields without a sensible default mandatory",
        sources: &["Vchitect/Latte#66"],
        decided_by: &["inspect"],
    },
    Code {
        code: "wrong-family-channels",
        severity: Error,
        title: "a VAE with another number of latent channels",
        meaning: "Stable Diffusion has 4 latent channels, SD3 and FLUX.1 have 16: they cannot be \
                  exchanged.",
        rule: "The shape of decoder.conv_in.weight (or your latents' channels) against the \
               config's latent_channels.",
        remedy: "use the VAE of the model's own family",
        diffusers: "load the vae subfolder of the same repository",
        comfyui: "Load VAE: ae.safetensors for FLUX.1, the checkpoint's own for Stable Diffusion",
        ports: "read latent_channels from the config, and check it against the tensor",
        sources: &["comfyanonymous/ComfyUI#4802"],
        decided_by: &["inspect", "check --latents"],
    },
    Code {
        code: "wrong-family-values",
        severity: Warning,
        title: "the latents' spread is another family's",
        meaning: "The VAEs of Stable Diffusion 1 and SDXL have the same names and shapes: either \
                  loads in the other's place, and colours go wrong.",
        rule: "The spread of the raw latents of a natural picture, times the config's factor, lies \
               outside 0.5 to 2, and another family of the same graph brings it nearer to 1.",
        remedy: "check that weights and config come from one repository",
        diffusers: "load the vae subfolder of the same repository",
        comfyui: "use the checkpoint's own VAE output",
        ports: "keep weights and config together",
        sources: &["AUTOMATIC1111/stable-diffusion-webui#12182"],
        decided_by: &["check"],
    },
    Code {
        code: "defective-release",
        severity: Warning,
        title: "a published file that is known to be defective",
        meaning: "The VAE first released with SDXL 1.0 leaves coloured fringes; its authors \
                  replaced it.",
        rule: "The file's SHA-256 is in a table of known defective files: so far, \
               sd_xl_base_1.0.safetensors (31e35c80fc48...).",
        remedy: "fetch the corrected release",
        diffusers: "load stabilityai/sdxl-vae, or the 0.9 VAE",
        comfyui: "Load VAE with the corrected file",
        ports: "nothing to mend in code",
        sources: &[
            "huggingface/diffusers#4310",
            "comfyanonymous/ComfyUI_examples#10",
            "AUTOMATIC1111/stable-diffusion-webui#12548",
        ],
        decided_by: &["inspect"],
    },
];
