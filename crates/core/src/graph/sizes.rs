//! How large the images are that modules are given and give.

use super::module::{Body, Function, Module, Residual, Step};

/// The largest input side that is tried; no published model halves its input more than seven times.
const LARGEST: usize = 1 << 10;

impl<W> Module<W> {
    /// The smallest height and width of an image that the module can be given.
    pub fn least_side(&self) -> usize {
        (1..=LARGEST).find(|&side| self.out_side(side).is_some()).unwrap_or(LARGEST)
    }

    /// Height or width of what the module makes of an image of `side`; `None` if a kernel does not fit.
    pub fn out_side(&self, side: usize) -> Option<usize> {
        match &self.body {
            Body::Conv2d(conv) => {
                let kernel = conv.weight.shape[2];
                (side + 2 * conv.padding).checked_sub(kernel).map(|rest| rest / conv.stride + 1)
            }
            Body::Sequence(steps) => out_side(steps, side),
            Body::Residual(residual) => residual.out_side(side),
            Body::GroupNorm(_) | Body::Linear(_) | Body::Attention(_) => (side > 0).then_some(side),
            // Padding keeps the size.
            Body::CausalConv3d(_) => (side > 0).then_some(side),
            Body::RmsNorm(_) | Body::QkvAttention(_) => (side > 0).then_some(side),
            Body::AvgDown3D(shortcut) => (side > 0 && side.is_multiple_of(shortcut.factor_s))
                .then_some(side / shortcut.factor_s),
            Body::GroupedConv2d(_)
            | Body::RmsNormOfPixels(_)
            | Body::BatchNorm2d(_)
            | Body::MultiscaleAttention(_)
            | Body::ConvAttention(_) => (side > 0).then_some(side),
            Body::DupUp3D(shortcut) => (side > 0).then_some(side * shortcut.factor_s),
        }
    }
}

fn out_side<W>(steps: &[Step<W>], side: usize) -> Option<usize> {
    steps.iter().try_fold(side, |side, step| match step {
        Step::Module(module) => module.out_side(side),
        Step::Function(function) => Some(function.out_side(side)),
        Step::Residual(residual) => residual.out_side(side),
        Step::TimeConv(_) => Some(side),
    })
}

impl<W> Residual<W> {
    /// `None` too where the shortcut cannot be given the side.
    fn out_side(&self, side: usize) -> Option<usize> {
        if let Some(shortcut) = &self.shortcut {
            shortcut.out_side(side)?;
        }
        // Squares of pixels that become channels have to be whole.
        let squares = [Function::PixelUnshuffle2x, Function::SquaresToChannels2x];
        let cuts = squares.iter().any(|function| self.shortcut_functions.contains(function));
        if cuts && !side.is_multiple_of(2) {
            return None;
        }
        out_side(&self.hidden, side)
    }
}

impl Function {
    /// Height or width of what the function makes of an image of `side`.
    pub fn out_side(self, side: usize) -> usize {
        match self {
            Self::Activation(_) | Self::Elementwise(_) => side,
            Self::PadRightAndBottom => side + 1,
            Self::UpsampleNearest2x => 2 * side,
            Self::Patchify(patch) => side / patch,
            Self::Unpatchify(patch) => side * patch,
            Self::PixelUnshuffle2x | Self::SquaresToChannels2x => side / 2,
            Self::PixelShuffle2x | Self::ChannelsToSquares2x => 2 * side,
            Self::GroupMeans(_) | Self::RepeatChannels(_) | Self::GateBySilu => side,
            Self::ChannelsLast | Self::ChannelsFirst => side,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::VaeConfig;
    use crate::graph::Graph;

    #[test]
    fn an_encoder_needs_a_side_that_leaves_one_latent() {
        let text = r#"{"block_out_channels": [32, 32, 64], "down_block_types":
            ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"], "up_block_types":
            ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"]}"#;
        let config = VaeConfig::from_json(text, "a test").unwrap();
        let graph = Graph::of(&config);
        assert_eq!(graph.encoder.least_side(), config.downsampling());
        assert_eq!(graph.decoder.least_side(), 1);
        assert_eq!(graph.encoder.out_side(64), Some(16));
        assert_eq!(graph.encoder.out_side(67), Some(16), "the rest of a side is cut off");
        assert_eq!(graph.decoder.out_side(16), Some(64));
        let find = |name| graph.find(name).unwrap();
        let downsampler = "encoder.down_blocks.0.downsamplers.0";
        assert_eq!(find(downsampler).least_side(), 2, "one is padded");
        assert_eq!(find(&format!("{downsampler}.conv")).least_side(), 3, "nothing is padded");
    }
}
