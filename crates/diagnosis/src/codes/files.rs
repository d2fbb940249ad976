//! Files that are not what their names say, and runs compared with earlier ones.

use super::Code;
use crate::Severity::Error;

pub(super) const CODES: &[Code] = &[
    Code {
        code: "wrong-class",
        severity: Error,
        title: "the config is of another class than AutoencoderKL",
        meaning: "AutoencoderKLFlux2, Wan's, Qwen-Image's and others share names and compute \
                  something else.",
        rule: "_class_name is neither AutoencoderKL nor FlaxAutoencoderKL.",
        remedy: "use a tool for that class: this one runs AutoencoderKL",
        diffusers: "AutoModel.from_pretrained picks the class by itself",
        comfyui: "the loader picks the class by the weights",
        ports: "check _class_name before loading",
        sources: &[],
        decided_by: &["inspect"],
    },
    Code {
        code: "lfs-pointer",
        severity: Error,
        title: "a git-lfs pointer lies in place of the file",
        meaning: "A clone without git-lfs leaves text of three lines: HeaderTooLarge, or invalid \
                  pickles.",
        rule: "The file begins with 'version https://git-lfs'.",
        remedy: "git lfs install, then git lfs pull; or download the file itself",
        diffusers: "huggingface_hub.snapshot_download fetches the files themselves",
        comfyui: "download the file through the browser, and look at its size",
        ports: "look at the first bytes, and say so",
        sources: &["huggingface/transformers#27923"],
        decided_by: &["inspect"],
    },
    Code {
        code: "file-truncated",
        severity: Error,
        title: "the file ends before its tensors do",
        meaning: "A download that broke off: HeaderTooLarge, MetadataIncompleteBuffer, or zeros.",
        rule: "The header, or the data that it announces, is longer than the file.",
        remedy: "download the file again, and compare its size or SHA-256",
        diffusers: "from_pretrained(force_download=True)",
        comfyui: "download the file again",
        ports: "check offsets against the file's length before reading",
        sources: &["huggingface/transformers#27923"],
        decided_by: &["inspect"],
    },
    Code {
        code: "file-damaged",
        severity: Error,
        title: "a checksum inside the file does not fit",
        meaning: "Bits changed after the file was written: a bad disk, memory or transfer. torch.load \
                  compares no checksums and loads it.",
        rule: "The CRC-32 that a .pt, .ckpt or .bin archive keeps of a tensor's values is not theirs \
               (0 counts as none). safetensors keeps no checksums.",
        remedy: "download the file again, and compare its SHA-256",
        diffusers: "from_pretrained(force_download=True)",
        comfyui: "download the file again",
        ports: "compare the archive's checksums on loading, or the file's SHA-256 with its source's",
        sources: &[],
        decided_by: &["inspect"],
    },
];
