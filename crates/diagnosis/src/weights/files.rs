//! Files that are not what their names say.

use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use vae_fidelity_checkpoint::{Damage, DamageKind};

pub(crate) const LFS_POINTER: Cause = Cause {
    code: Code::LfsPointer,
    severity: Severity::Error,
    title: "a git-lfs pointer lies in place of the file",
    meaning: "A clone without git-lfs leaves text of three lines: HeaderTooLarge, or invalid \
              pickles.",
    rule: "The file begins with 'version https://git-lfs'.",
    remedy: "git lfs install, then git lfs pull; or download the file itself",
    diffusers: "huggingface_hub.snapshot_download fetches the files themselves",
    comfyui: "download the file through the browser, and look at its size",
    ports: "look at the first bytes, and say so",
    sources: &["huggingface/transformers#27923"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const FILE_TRUNCATED: Cause = Cause {
    code: Code::FileTruncated,
    severity: Severity::Error,
    title: "the file ends before its tensors do",
    meaning: "A download that broke off: HeaderTooLarge, MetadataIncompleteBuffer, or zeros.",
    rule: "The header, or the data that it announces, is longer than the file.",
    remedy: "download the file again, and compare its size or SHA-256",
    diffusers: "from_pretrained(force_download=True)",
    comfyui: "download the file again",
    ports: "check offsets against the file's length before reading",
    sources: &["huggingface/transformers#27923"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(crate) const FILE_DAMAGED: Cause = Cause {
    code: Code::FileDamaged,
    severity: Severity::Error,
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
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

pub(super) fn damage(damage: &Damage) -> Finding {
    let cause = match damage.kind {
        DamageKind::LfsPointer => &LFS_POINTER,
        DamageKind::Truncated => &FILE_TRUNCATED,
        DamageKind::Checksum => &FILE_DAMAGED,
    };
    let path = damage.path.display();
    Finding::new(cause, format!("{path} {}", damage.problem)).evidence("path", path.to_string())
}
