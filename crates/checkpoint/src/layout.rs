//! The tensors that diffusers' `AutoencoderKL` has for a config: names and shapes, in its order.

use serde::Serialize;

use vae_fidelity_core::config::AutoencoderKLConfig;

/// Name and shape of one tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TensorSpec {
    /// The checkpoint key, for example `encoder.conv_in.weight`.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
}

/// Every tensor that `config` asks for (diffusers `AutoencoderKL.__init__`, `Encoder`, `Decoder`,
/// `UNetMidBlock2D`, `ResnetBlock2D`, `Attention`).
pub fn expected_tensors(config: &AutoencoderKLConfig) -> Vec<TensorSpec> {
    let mut layout = Layout::default();
    layout.encoder(config);
    layout.decoder(config);
    let latent = config.latent_channels;
    if config.use_quant_conv {
        layout.conv("quant_conv", 2 * latent, 2 * latent, 1);
    }
    if config.use_post_quant_conv {
        layout.conv("post_quant_conv", latent, latent, 1);
    }
    layout.tensors
}

#[derive(Default)]
struct Layout {
    tensors: Vec<TensorSpec>,
}

impl Layout {
    fn encoder(&mut self, config: &AutoencoderKLConfig) {
        let widths = &config.block_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        self.conv("encoder.conv_in", config.in_channels, first, 3);
        let mut before = first;
        for (i, &width) in widths.iter().enumerate() {
            let block = format!("encoder.down_blocks.{i}");
            for j in 0..config.layers_per_block {
                self.resnet(&format!("{block}.resnets.{j}"), before, width);
                before = width;
            }
            if i + 1 < widths.len() {
                self.conv(&format!("{block}.downsamplers.0.conv"), width, width, 3);
            }
        }
        self.mid_block("encoder.mid_block", last, config.mid_block_add_attention);
        self.norm("encoder.conv_norm_out", last);
        self.conv("encoder.conv_out", last, 2 * config.latent_channels, 3);
    }

    fn decoder(&mut self, config: &AutoencoderKLConfig) {
        let widths = &config.block_out_channels;
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        self.conv("decoder.conv_in", config.latent_channels, last, 3);
        self.mid_block("decoder.mid_block", last, config.mid_block_add_attention);
        let mut before = last;
        for (i, &width) in widths.iter().rev().enumerate() {
            let block = format!("decoder.up_blocks.{i}");
            for j in 0..=config.layers_per_block {
                self.resnet(&format!("{block}.resnets.{j}"), before, width);
                before = width;
            }
            if i + 1 < widths.len() {
                self.conv(&format!("{block}.upsamplers.0.conv"), width, width, 3);
            }
        }
        self.norm("decoder.conv_norm_out", first);
        self.conv("decoder.conv_out", first, config.out_channels, 3);
    }

    fn mid_block(&mut self, name: &str, width: usize, attention: bool) {
        self.resnet(&format!("{name}.resnets.0"), width, width);
        if attention {
            let attention = format!("{name}.attentions.0");
            self.norm(&format!("{attention}.group_norm"), width);
            for projection in ["to_q", "to_k", "to_v", "to_out.0"] {
                self.pair(&format!("{attention}.{projection}"), vec![width, width]);
            }
        }
        self.resnet(&format!("{name}.resnets.1"), width, width);
    }

    fn resnet(&mut self, name: &str, input: usize, output: usize) {
        self.norm(&format!("{name}.norm1"), input);
        self.conv(&format!("{name}.conv1"), input, output, 3);
        self.norm(&format!("{name}.norm2"), output);
        self.conv(&format!("{name}.conv2"), output, output, 3);
        if input != output {
            self.conv(&format!("{name}.conv_shortcut"), input, output, 1);
        }
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.pair(name, vec![width]);
    }

    fn conv(&mut self, name: &str, input: usize, output: usize, kernel: usize) {
        self.pair(name, vec![output, input, kernel, kernel]);
    }

    /// A weight, and a bias as long as the weight's first dimension.
    fn pair(&mut self, name: &str, shape: Vec<usize>) {
        let bias = vec![shape[0]];
        self.tensors.push(TensorSpec { name: format!("{name}.weight"), shape });
        self.tensors.push(TensorSpec { name: format!("{name}.bias"), shape: bias });
    }
}
