//! Every cause, from the file of the rule that finds it.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::{
    alpha, changes, cross_check, divergence, expected_loss, input, latents, latents_differ, live,
    non_finite, norm_groups, overflow, padded, passes_nothing, picture, posterior, preprocessed,
    quantisation, reading, recolouring, region, releases, resampling, round_trip, scaling, seams,
    sizes, tiles, weights,
};

impl Code {
    /// What is known of it.
    ///
    /// ```
    /// use vae_fidelity_diagnosis::{Code, Severity};
    /// assert_eq!(Code::ChannelSwap.cause().severity, Severity::Error);
    /// ```
    pub fn cause(self) -> &'static Cause {
        match self {
            Self::Fp16OverflowDecoder => &overflow::FP16_OVERFLOW_DECODER,
            Self::Fp16OverflowEncoder => &overflow::FP16_OVERFLOW_ENCODER,
            Self::DeadEncoder => &passes_nothing::DEAD_ENCODER,
            Self::DeadDecoder => &passes_nothing::DEAD_DECODER,
            Self::PassesNothing => &passes_nothing::PASSES_NOTHING,
            Self::AlphaLost => &alpha::ALPHA_LOST,
            Self::NormNumGroups => &norm_groups::NORM_NUM_GROUPS,
            Self::NonFiniteOutput => &non_finite::NON_FINITE_OUTPUT,
            Self::DeviceKernelBroken => &cross_check::DEVICE_KERNEL_BROKEN,
            Self::TraceDiverges => &divergence::TRACE_DIVERGES,
            Self::InputNotNormalised => &changes::INPUT_NOT_NORMALISED,
            Self::OutputNotDenormalised => &round_trip::OUTPUT_NOT_DENORMALISED,
            Self::U8Wraparound => &quantisation::U8_WRAPAROUND,
            Self::U8Truncated => &quantisation::U8_TRUNCATED,
            Self::Banding => &quantisation::BANDING,
            Self::LevelsChanged => &recolouring::LEVELS_CHANGED,
            Self::GammaMismatch => &recolouring::GAMMA_MISMATCH,
            Self::ColourMatched => &picture::matched::COLOUR_MATCHED,
            Self::ColourMatrix => &recolouring::COLOUR_MATRIX,
            Self::ScalingFactorMismatch => &scaling::SCALING_FACTOR_MISMATCH,
            Self::ShiftFactorDropped => &scaling::SHIFT_FACTOR_DROPPED,
            Self::LatentStatsIgnored => &scaling::LATENT_STATS_IGNORED,
            Self::BatchNormStatistics => &latents::patched::BATCH_NORM_STATISTICS,
            Self::LatentPatchOrder => &latents::patched::LATENT_PATCH_ORDER,
            Self::LatentChannelsRepeated => &latents::repeated::LATENT_CHANNELS_REPEATED,
            Self::LayoutScrambled => &changes::LAYOUT_SCRAMBLED,
            Self::SampleVsMode => &latents::noise::SAMPLE_VS_MODE,
            Self::PosteriorNoise => &latents::noise::POSTERIOR_NOISE,
            Self::PosteriorCollapsed => &posterior::POSTERIOR_COLLAPSED,
            Self::LatentsDiffer => &latents_differ::LATENTS_DIFFER,
            Self::ExpectedLoss => &expected_loss::EXPECTED_LOSS,
            Self::SymmetricDownsamplePadding => &padded::SYMMETRIC_DOWNSAMPLE_PADDING,
            Self::TileSeams => &seams::TILE_SEAMS,
            Self::TileBlendUnits => &tiles::TILE_BLEND_UNITS,
            Self::ExifIgnored => &input::EXIF_IGNORED,
            Self::SizeRounded => &input::SIZE_ROUNDED,
            Self::SizeMismatch => &sizes::SIZE_MISMATCH,
            Self::PaddingMode => &padded::PADDING_MODE,
            Self::EditedRegion => &region::EDITED_REGION,
            Self::ChannelSwap => &changes::CHANNEL_SWAP,
            Self::ResizeMismatch => &resampling::RESIZE_MISMATCH,
            Self::AlphaMismatch => &reading::ALPHA_MISMATCH,
            Self::BitDepthMismatch => &reading::BIT_DEPTH_MISMATCH,
            Self::ColourProfileMismatch => &reading::COLOUR_PROFILE_MISMATCH,
            Self::PreprocessedDiffers => &preprocessed::PREPROCESSED_DIFFERS,
            Self::PreviewDecoder => &picture::preview::PREVIEW_DECODER,
            Self::DecodedDiffers => &picture::DECODED_DIFFERS,
            Self::WeightsMissing => &weights::expected::WEIGHTS_MISSING,
            Self::WeightsUnexpected => &weights::expected::WEIGHTS_UNEXPECTED,
            Self::WeightsShape => &weights::expected::WEIGHTS_SHAPE,
            Self::WeightsUntrained => &weights::values::WEIGHTS_UNTRAINED,
            Self::WeightsNonFinite => &weights::values::WEIGHTS_NON_FINITE,
            Self::WeightsZero => &weights::values::WEIGHTS_ZERO,
            Self::WeightsScaleLost => &weights::magnitudes::WEIGHTS_SCALE_LOST,
            Self::WeightsMisread => &weights::bits::WEIGHTS_MISREAD,
            Self::WeightsScaled => &weights::magnitudes::WEIGHTS_SCALED,
            Self::WeightsQuantised => &weights::groups::WEIGHTS_QUANTISED,
            Self::ConfigDefaults => &weights::config::CONFIG_DEFAULTS,
            Self::WrongFamilyChannels => &sizes::WRONG_FAMILY_CHANNELS,
            Self::WrongFamilyValues => &posterior::WRONG_FAMILY_VALUES,
            Self::DefectiveRelease => &releases::DEFECTIVE_RELEASE,
            Self::WrongClass => &weights::config::WRONG_CLASS,
            Self::LfsPointer => &weights::files::LFS_POINTER,
            Self::FileTruncated => &weights::files::FILE_TRUNCATED,
            Self::FileDamaged => &weights::files::FILE_DAMAGED,
            Self::LiveLayerDiffers => &live::LIVE_LAYER_DIFFERS,
            Self::LiveForwardDiffers => &live::LIVE_FORWARD_DIFFERS,
            Self::LiveWeightsDiffer => &live::LIVE_WEIGHTS_DIFFER,
            Self::LiveConfigDiffers => &live::LIVE_CONFIG_DIFFERS,
            Self::LiveTiling => &live::LIVE_TILING,
            Self::LiveTrainingMode => &live::LIVE_TRAINING_MODE,
            Self::LiveAutocast => &live::LIVE_AUTOCAST,
        }
    }
}

impl DecidedBy {
    /// The codes of the causes that it decides.
    pub fn codes(self) -> impl Iterator<Item = Code> {
        let all = Code::ALL.iter().copied();
        all.filter(move |code| code.cause().decided_by.contains(&self))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn causes_are_whole_and_codes_differ() {
        let mut names = HashSet::new();
        for &code in Code::ALL {
            let cause = code.cause();
            assert_eq!(cause.code, code, "the cause of {code} is another's");
            assert!(names.insert(code.as_str()), "{code} is there twice");
            assert_eq!(Code::from_name(code.as_str()), Some(code));
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(code.as_str().chars().all(kebab), "{code}");
            let texts = [
                cause.title,
                cause.meaning,
                cause.rule,
                cause.remedy,
                cause.diffusers,
                cause.comfyui,
                cause.ports,
            ];
            assert!(texts.iter().all(|text| text.len() > 8), "{code}: a text is missing");
            for source in cause.sources {
                let (repository, number) = source.split_once('#').unwrap_or((source, ""));
                assert!(
                    repository.split('/').count() == 2 && number.parse::<u32>().is_ok(),
                    "{code}: {source}"
                );
            }
        }
    }

    /// A rule makes its findings from a reference to the cause's constant, which is called as the
    /// code is.
    #[test]
    fn every_code_has_a_rule() {
        let sources: Vec<String> = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        let is_found = |code: &str| {
            let reference = format!("&{}", code.to_uppercase().replace('-', "_"));
            let ends =
                |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            sources.iter().any(|source| source.split(&reference).skip(1).any(ends))
        };
        // What only Python finds has its rule and its faults there.
        let here = |code: &&Code| code.cause().decided_by != [DecidedBy::LiveModel];
        let rules = Code::ALL.iter().filter(here);
        let without: Vec<_> = rules.filter(|code| !is_found(code.as_str())).collect();
        assert!(without.is_empty(), "no rule finds {without:?}");
        assert!(!is_found("no-such-cause"));
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
    }
}
