//! The codes of findings, and what is told of each.

use std::fmt;

use serde::{Serialize, Serializer};

use super::decided_by::DecidedBy;
use super::severity::Severity;

/// Declares [`Code`] with the stable name of each variant.
macro_rules! codes {
    ($($variant:ident = $name:literal,)*) => {
        /// Stable name of a cause, for example `channel-swap`, as which it displays and serializes.
        ///
        /// [`Code::cause`] says what is known of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Code {
            /// Every code, by family of causes.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name.
            ///
            /// ```
            /// use vae_fidelity_diagnosis::Code;
            /// assert_eq!(Code::ChannelSwap.as_str(), "channel-swap");
            /// ```
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

codes! {
    Fp16OverflowDecoder = "fp16-overflow-decoder",
    Fp16OverflowEncoder = "fp16-overflow-encoder",
    DeadEncoder = "dead-encoder",
    DeadDecoder = "dead-decoder",
    PassesNothing = "passes-nothing",
    AlphaLost = "alpha-lost",
    NormNumGroups = "norm-num-groups",
    NonFiniteOutput = "non-finite-output",
    DeviceKernelBroken = "device-kernel-broken",
    TraceDiverges = "trace-diverges",
    InputNotNormalised = "input-not-normalised",
    OutputNotDenormalised = "output-not-denormalised",
    U8Wraparound = "u8-wraparound",
    U8Truncated = "u8-truncated",
    Banding = "banding",
    LevelsChanged = "levels-changed",
    GammaMismatch = "gamma-mismatch",
    ColourMatched = "colour-matched",
    ColourMatrix = "colour-matrix",
    ScalingFactorMismatch = "scaling-factor-mismatch",
    ShiftFactorDropped = "shift-factor-dropped",
    LatentStatsIgnored = "latent-stats-ignored",
    BatchNormStatistics = "batch-norm-statistics",
    LatentPatchOrder = "latent-patch-order",
    LatentChannelsRepeated = "latent-channels-repeated",
    LayoutScrambled = "layout-scrambled",
    SampleVsMode = "sample-vs-mode",
    PosteriorNoise = "posterior-noise",
    PosteriorCollapsed = "posterior-collapsed",
    LatentsDiffer = "latents-differ",
    ExpectedLoss = "expected-loss",
    SymmetricDownsamplePadding = "symmetric-downsample-padding",
    TileSeams = "tile-seams",
    TileBlendUnits = "tile-blend-units",
    ExifIgnored = "exif-ignored",
    SizeRounded = "size-rounded",
    SizeMismatch = "size-mismatch",
    PaddingMode = "padding-mode",
    EditedRegion = "edited-region",
    ChannelSwap = "channel-swap",
    ResizeMismatch = "resize-mismatch",
    AlphaMismatch = "alpha-mismatch",
    BitDepthMismatch = "bit-depth-mismatch",
    ColourProfileMismatch = "colour-profile-mismatch",
    PreprocessedDiffers = "preprocessed-differs",
    PreviewDecoder = "preview-decoder",
    DecodedDiffers = "decoded-differs",
    WeightsMissing = "weights-missing",
    WeightsUnexpected = "weights-unexpected",
    WeightsShape = "weights-shape",
    WeightsUntrained = "weights-untrained",
    WeightsNonFinite = "weights-non-finite",
    WeightsZero = "weights-zero",
    WeightsScaleLost = "weights-scale-lost",
    WeightsMisread = "weights-misread",
    WeightsScaled = "weights-scaled",
    WeightsQuantised = "weights-quantised",
    ConfigDefaults = "config-defaults",
    WrongFamilyChannels = "wrong-family-channels",
    WrongFamilyValues = "wrong-family-values",
    DefectiveRelease = "defective-release",
    WrongClass = "wrong-class",
    LfsPointer = "lfs-pointer",
    FileTruncated = "file-truncated",
    FileDamaged = "file-damaged",
    LiveLayerDiffers = "live-layer-differs",
    LiveForwardDiffers = "live-forward-differs",
    LiveWeightsDiffer = "live-weights-differ",
    LiveConfigDiffers = "live-config-differs",
    LiveTiling = "live-tiling",
    LiveTrainingMode = "live-training-mode",
    LiveAutocast = "live-autocast",
}

impl Code {
    /// The code of this name, or `None` where there is none.
    ///
    /// ```
    /// use vae_fidelity_diagnosis::Code;
    /// assert_eq!(Code::from_name("channel-swap"), Some(Code::ChannelSwap));
    /// assert_eq!(Code::from_name("no-such-cause"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One cause of faults, as `explain` tells it. It stands in the file of the rule that finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Cause {
    /// Stable name, for example `channel-swap`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub code: Code,
    /// How grave its findings are; a finding may be milder, never graver.
    pub severity: Severity,
    /// The cause in a few words.
    pub title: &'static str,
    /// What happens, and what people see.
    pub meaning: &'static str,
    /// What is measured, and the numbers that decide.
    pub rule: &'static str,
    /// What to do, in one line: the remedy of its findings.
    pub remedy: &'static str,
    /// How to mend it in diffusers.
    pub diffusers: &'static str,
    /// How to mend it in ComfyUI.
    pub comfyui: &'static str,
    /// How to mend it in an implementation of one's own.
    pub ports: &'static str,
    /// Public reports, as `owner/repository#number`.
    pub sources: &'static [&'static str],
    /// What can find it: a command, and what it has to be given.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub decided_by: &'static [DecidedBy],
}
