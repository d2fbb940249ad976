//! The names of DC-AE's own files, and what diffusers calls the same
//! (`convert_autoencoder_dc_checkpoint_to_diffusers` of `loaders/single_file_utils.py`).

use std::collections::BTreeMap;

use super::entry::Entry;

/// What every such file has.
const STAGES: [&str; 2] = ["encoder.stages.", "decoder.stages."];
/// What one has whose first level has blocks.
const STEM: &str = "encoder.project_in.conv.bias";

/// What becomes of parts of names, one after the other.
const PARTS: [(&str, &str); 20] = [
    ("main.", ""),
    ("op_list.", ""),
    ("context_module", "attn"),
    ("local_module", "conv_out"),
    ("aggreg.0.0", "to_qkv_multiscale.0.proj_in"),
    ("aggreg.0.1", "to_qkv_multiscale.0.proj_out"),
    ("depth_conv.conv", "conv_depth"),
    ("inverted_conv.conv", "conv_inverted"),
    ("point_conv.conv", "conv_point"),
    ("point_conv.norm", "norm"),
    ("conv.conv.", "conv."),
    ("conv1.conv", "conv1"),
    ("conv2.conv", "conv2"),
    ("conv2.norm", "norm"),
    ("proj.norm", "norm_out"),
    ("encoder.project_out.0.conv", "encoder.conv_out"),
    ("encoder.stages", "encoder.down_blocks"),
    ("decoder.project_in.conv", "decoder.conv_in"),
    ("decoder.project_out.0", "decoder.norm_out"),
    ("decoder.stages", "decoder.up_blocks"),
];

/// The names of a file, by whether its first level has blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    has_stem: bool,
}

impl Names {
    /// Those of the VAE behind `prefix`, where it has these names.
    pub fn of(tensors: &BTreeMap<String, Entry>, prefix: &str) -> Option<Self> {
        let begins = |own: &str| {
            let name = format!("{prefix}{own}");
            tensors.range(name.clone()..).next().is_some_and(|(found, _)| found.starts_with(&name))
        };
        let has_stem = tensors.contains_key(&format!("{prefix}{STEM}"));
        STAGES.iter().any(|stages| begins(stages)).then_some(Self { has_stem })
    }

    /// `entry` under the name that diffusers has for `name`; queries, keys and values that lie in one tensor
    /// as three. Names that nothing is known about stay.
    pub fn present(self, name: &str, mut entry: Entry) -> Vec<(String, Entry)> {
        let mut present = name.to_owned();
        for (from, to) in PARTS {
            present = present.replace(from, to);
        }
        let (conv_in, conv_out) = match self.has_stem {
            true => ("encoder.conv_in", "decoder.conv_out"),
            false => ("encoder.conv_in.conv", "decoder.conv_out.conv"),
        };
        present = present.replace("encoder.project_in.conv", conv_in);
        present = present.replace("decoder.project_out.2.conv", conv_out);
        if let Some(attention) = present.strip_suffix(".qkv.conv.weight") {
            entry.squeeze_kernel();
            let thirds = ["to_q", "to_k", "to_v"]
                .into_iter()
                .enumerate()
                .map(|(part, to)| Some((format!("{attention}.{to}.weight"), entry.third(part)?)));
            // What cannot be shared out among three is no such tensor.
            return thirds.collect::<Option<_>>().unwrap_or_else(|| vec![(name.to_owned(), entry)]);
        }
        if let Some(attention) = present.strip_suffix(".proj.conv.weight") {
            entry.squeeze_kernel();
            return vec![(format!("{attention}.to_out.weight"), entry)];
        }
        vec![(present, entry)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::bytes::Bytes;
    use super::super::entry::Encoding;
    use super::*;
    use vae_fidelity_core::element_type::ElementType;

    fn renamed(has_stem: bool, name: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0; 48]).unwrap();
        let bytes = Arc::new(Bytes::open(file.path()).unwrap());
        let float = Encoding::Float(ElementType::F32);
        let entry = Entry::contiguous(&bytes, float, vec![6, 2, 1, 1], 0..48);
        let made = Names { has_stem }.present(name, entry);
        made.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn names_are_those_that_diffusers_gives() {
        for (has_stem, name, expected) in [
            (true, "encoder.project_in.conv.weight", "encoder.conv_in.weight"),
            (false, "encoder.project_in.conv.weight", "encoder.conv_in.conv.weight"),
            (false, "encoder.project_in.main.conv.conv.weight", "encoder.conv_in.conv.weight"),
            (
                true,
                "encoder.stages.0.op_list.1.main.conv1.conv.bias",
                "encoder.down_blocks.0.1.conv1.bias",
            ),
            (
                true,
                "decoder.stages.2.op_list.3.main.conv2.norm.running_mean",
                "decoder.up_blocks.2.3.norm.running_mean",
            ),
            (
                true,
                "encoder.stages.3.op_list.0.context_module.main.aggreg.0.1.weight",
                "encoder.down_blocks.3.0.attn.to_qkv_multiscale.0.proj_out.weight",
            ),
            (
                true,
                "encoder.stages.3.op_list.0.context_module.main.proj.conv.weight",
                "encoder.down_blocks.3.0.attn.to_out.weight",
            ),
            (
                true,
                "encoder.stages.3.op_list.0.local_module.main.depth_conv.conv.bias",
                "encoder.down_blocks.3.0.conv_out.conv_depth.bias",
            ),
            (true, "encoder.project_out.main.op_list.0.conv.weight", "encoder.conv_out.weight"),
            (true, "decoder.project_in.main.conv.weight", "decoder.conv_in.weight"),
            (true, "decoder.project_out.op_list.0.weight", "decoder.norm_out.weight"),
            (true, "decoder.project_out.op_list.2.conv.weight", "decoder.conv_out.weight"),
            (false, "decoder.project_out.op_list.2.conv.weight", "decoder.conv_out.conv.weight"),
        ] {
            assert_eq!(renamed(has_stem, name), [expected], "{name}");
        }
        let qkv = "encoder.stages.3.op_list.0.context_module.main.qkv.conv.weight";
        let expected =
            ["to_q", "to_k", "to_v"].map(|to| format!("encoder.down_blocks.3.0.attn.{to}.weight"));
        assert_eq!(renamed(true, qkv), expected);
    }
}
