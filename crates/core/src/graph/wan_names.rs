//! What diffusers calls the modules of the classes of Wan's family, each in its own file.

/// diffusers' classes of the modules, and whether the convolutions between them see time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub conv: &'static str,
    pub norm: &'static str,
    pub residual: &'static str,
    pub attention: &'static str,
    pub resample: &'static str,
    pub mid: &'static str,
    pub up: &'static str,
    pub residual_down: &'static str,
    pub residual_up: &'static str,
    pub avg_down: &'static str,
    pub dup_up: &'static str,
    pub encoder: &'static str,
    pub decoder: &'static str,
    /// Whether kernels are over time too, and not over one frame alone.
    pub over_time: bool,
}

pub(super) const WAN: Names = Names {
    conv: "WanCausalConv3d",
    norm: "WanRMS_norm",
    residual: "WanResidualBlock",
    attention: "WanAttentionBlock",
    resample: "WanResample",
    mid: "WanMidBlock",
    up: "WanUpBlock",
    residual_down: "WanResidualDownBlock",
    residual_up: "WanResidualUpBlock",
    avg_down: "AvgDown3D",
    dup_up: "DupUp3D",
    encoder: "WanEncoder3d",
    decoder: "WanDecoder3d",
    over_time: true,
};

/// Its levels have no ways around them, so that four of the names are never asked for.
pub(super) const QWEN_IMAGE: Names = Names {
    conv: "QwenImageCausalConv3d",
    norm: "QwenImageRMS_norm",
    residual: "QwenImageResidualBlock",
    attention: "QwenImageAttentionBlock",
    resample: "QwenImageResample",
    mid: "QwenImageMidBlock",
    up: "QwenImageUpBlock",
    encoder: "QwenImageEncoder3d",
    decoder: "QwenImageDecoder3d",
    ..WAN
};

pub(super) const QWEN_IMAGE_21: Names = Names {
    conv: "QwenImage21CausalConv3d",
    norm: "QwenImage21RMS_norm",
    residual: "QwenImage21ResidualBlock",
    attention: "QwenImage21AttentionBlock",
    resample: "QwenImage21Resample",
    mid: "QwenImage21MidBlock",
    up: "QwenImage21UpBlock",
    residual_down: "QwenImage21ResidualDownBlock",
    residual_up: "QwenImage21ResidualUpBlock",
    avg_down: "QwenImage21AvgDown3D",
    dup_up: "QwenImage21DupUp3D",
    encoder: "QwenImage21Encoder3d",
    decoder: "QwenImage21Decoder3d",
    over_time: false,
};
