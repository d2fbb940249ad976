//! What the makers of a VAE measured of it: context for a reader, never a threshold.

use serde::Serialize;

use super::family::Family;

/// The published quality of one VAE, over many pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishedQuality {
    /// Which release.
    pub vae: &'static str,
    /// Mean PSNR in dB.
    pub psnr_db: f64,
    /// How far PSNR spreads from picture to picture, in dB.
    pub psnr_db_spread: f64,
    /// Mean SSIM, at most 1.
    pub ssim: f64,
    /// How far SSIM spreads from picture to picture.
    pub ssim_spread: f64,
    /// On which pictures.
    pub pictures: &'static str,
    /// Who says so.
    pub source: &'static str,
}

const COCO: &str = "5,000 pictures of COCO 2017 val at 256 x 256";
const FT_MSE_CARD: &str = "model card of stabilityai/sd-vae-ft-mse";

const SD1: [PublishedQuality; 3] = [
    PublishedQuality {
        vae: "Stable Diffusion 1.x original",
        psnr_db: 23.4,
        psnr_db_spread: 3.8,
        ssim: 0.69,
        ssim_spread: 0.14,
        pictures: COCO,
        source: FT_MSE_CARD,
    },
    PublishedQuality {
        vae: "ft-EMA",
        psnr_db: 23.8,
        psnr_db_spread: 3.9,
        ssim: 0.69,
        ssim_spread: 0.13,
        pictures: COCO,
        source: FT_MSE_CARD,
    },
    PublishedQuality {
        vae: "ft-MSE",
        psnr_db: 24.5,
        psnr_db_spread: 3.7,
        ssim: 0.71,
        ssim_spread: 0.13,
        pictures: COCO,
        source: FT_MSE_CARD,
    },
];

const SDXL: [PublishedQuality; 1] = [PublishedQuality {
    vae: "SDXL",
    psnr_db: 24.7,
    psnr_db_spread: 3.9,
    ssim: 0.73,
    ssim_spread: 0.13,
    pictures: COCO,
    source: "model card of stabilityai/sdxl-vae",
}];

impl Family {
    /// What was published of this family's VAEs, whose configs do not tell one release from the
    /// next; empty where nothing was. Other pictures and sizes give other numbers.
    pub fn published_quality(self) -> &'static [PublishedQuality] {
        match self {
            Self::Sd1 => &SD1,
            Self::Sdxl => &SDXL,
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_families_that_were_measured_have_numbers() {
        let releases: Vec<_> = Family::Sd1.published_quality().iter().map(|of| of.vae).collect();
        assert_eq!(releases, ["Stable Diffusion 1.x original", "ft-EMA", "ft-MSE"]);
        assert_eq!(Family::Sdxl.published_quality()[0].psnr_db, 24.7);
        for family in [Family::Builtin, Family::Flux1, Family::Unknown] {
            assert!(family.published_quality().is_empty());
        }
    }
}
