//! The metrics that some pictures have and some do not, and what results, files and reports call them.

use vae_fidelity_perceptual::Net;

use crate::pair::PairMetrics;

/// A metric of a picture, beside errors, which each has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// [`PairMetrics::psnr_db`].
    Psnr,
    /// [`PairMetrics::ssim`].
    Ssim,
    /// [`PairMetrics::ms_ssim`].
    MsSsim,
    /// [`PairMetrics::ssimulacra2`].
    Ssimulacra2,
    /// [`PairMetrics::butteraugli`].
    Butteraugli,
    /// [`PairMetrics::lpips`], by a network.
    Lpips(Net),
    /// [`PairMetrics::dists`].
    Dists,
    /// [`PairMetrics::rotation_psnr_db`].
    Rotation,
    /// [`PairMetrics::scaling_psnr_db`].
    Scaling,
}

impl Metric {
    /// All of them, in the order of everything that lists them.
    pub const ALL: [Self; 11] = [
        Self::Psnr,
        Self::Ssim,
        Self::MsSsim,
        Self::Ssimulacra2,
        Self::Butteraugli,
        Self::Lpips(Net::Alex),
        Self::Lpips(Net::Vgg),
        Self::Lpips(Net::Squeeze),
        Self::Dists,
        Self::Rotation,
        Self::Scaling,
    ];

    /// The one whose [`name`](Self::name) that is.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|of| of.name() == name)
    }

    /// Its column in `rows.parquet` and its field in `result.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Psnr => "psnr_db",
            Self::Ssim => "ssim",
            Self::MsSsim => "ms_ssim",
            Self::Ssimulacra2 => "ssimulacra2",
            Self::Butteraugli => "butteraugli",
            Self::Lpips(Net::Alex) => "lpips_alex",
            Self::Lpips(Net::Vgg) => "lpips_vgg",
            Self::Lpips(Net::Squeeze) => "lpips_squeeze",
            Self::Dists => "dists",
            Self::Rotation => "rotation_psnr_db",
            Self::Scaling => "scaling_psnr_db",
        }
    }

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Psnr => "PSNR",
            Self::Ssim => "SSIM",
            Self::MsSsim => "MS-SSIM",
            Self::Ssimulacra2 => "SSIMULACRA 2",
            Self::Butteraugli => "Butteraugli",
            Self::Lpips(_) => "LPIPS",
            Self::Dists => "DISTS",
            Self::Rotation => "PSNR of turned latents",
            Self::Scaling => "PSNR of halved latents",
        }
    }

    /// What follows its numbers: a space and the unit, or nothing.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Psnr | Self::Rotation | Self::Scaling => " dB",
            _ => "",
        }
    }

    /// The same, or the network in brackets.
    pub fn after(self) -> &'static str {
        match self {
            Self::Lpips(Net::Alex) => " (alex)",
            Self::Lpips(Net::Vgg) => " (vgg)",
            Self::Lpips(Net::Squeeze) => " (squeeze)",
            of => of.unit(),
        }
    }

    /// At the head of a column of its numbers.
    pub fn label(self) -> String {
        match self {
            Self::Psnr | Self::Rotation | Self::Scaling => format!("{}, dB", self.title()),
            of => format!("{}{}", of.title(), of.after()),
        }
    }

    /// How many digits after the point say something of a mean.
    pub fn digits(self) -> usize {
        match self {
            Self::Psnr | Self::Ssimulacra2 | Self::Rotation | Self::Scaling => 2,
            Self::Butteraugli => 3,
            Self::Ssim | Self::MsSsim | Self::Lpips(_) | Self::Dists => 4,
        }
    }

    /// The network of LPIPS.
    pub fn net(self) -> Option<Net> {
        match self {
            Self::Lpips(net) => Some(net),
            _ => None,
        }
    }

    /// Whether it takes the weights of a network, which are the user's.
    pub fn takes_weights(self) -> bool {
        matches!(self, Self::Lpips(_) | Self::Dists)
    }

    /// Whether latents have to be decoded once more for it.
    pub fn is_of_changed_latents(self) -> bool {
        matches!(self, Self::Rotation | Self::Scaling)
    }

    /// A picture's.
    pub fn of(self, metrics: &PairMetrics) -> Option<f64> {
        *self.place(&mut metrics.clone())
    }

    /// Where a picture has it.
    pub(crate) fn place(self, metrics: &mut PairMetrics) -> &mut Option<f64> {
        match self {
            Self::Psnr => &mut metrics.psnr_db,
            Self::Ssim => &mut metrics.ssim,
            Self::MsSsim => &mut metrics.ms_ssim,
            Self::Ssimulacra2 => &mut metrics.ssimulacra2,
            Self::Butteraugli => &mut metrics.butteraugli,
            Self::Lpips(Net::Alex) => &mut metrics.lpips.alex,
            Self::Lpips(Net::Vgg) => &mut metrics.lpips.vgg,
            Self::Lpips(Net::Squeeze) => &mut metrics.lpips.squeeze,
            Self::Dists => &mut metrics.dists,
            Self::Rotation => &mut metrics.rotation_psnr_db,
            Self::Scaling => &mut metrics.scaling_psnr_db,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_name_and_a_place_of_its_own() {
        let mut metrics = PairMetrics::default();
        for (value, metric) in Metric::ALL.into_iter().enumerate() {
            *metric.place(&mut metrics) = Some(value as f64);
        }
        for (value, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric.of(&metrics), Some(value as f64), "{metric:?}");
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
        assert_eq!(Metric::named("SSIM"), None);
    }
}
