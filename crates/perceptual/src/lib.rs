//! Distances between pictures as a trained network sees them, in f32 and without libtorch: LPIPS (Zhang et al. 2018),
//! version 0.1, as the Python package `lpips` 0.1.4 computes it (`lpips/lpips.py`, `lpips/pretrained_networks.py`),
//! and DISTS (Ding et al. 2020) as `DISTS_pytorch` 0.1 does (`DISTS_pt.py`). And between sets of pictures: the Fréchet
//! inception distance (Heusel et al. 2017) as pytorch-fid 0.3.0 or torch-fidelity 0.4.0 have it, the kernel inception
//! distance (Bińkowski et al. 2018), and precision and recall (Kynkäänniemi et al. 2019), as torch-fidelity does.
//!
//! The networks' weights are the user's files: torchvision's of AlexNet, VGG16 or SqueezeNet 1.1, and the authors'
//! own. [`WeightFolders::lpips`] knows them by name, [`Lpips::open`] loads them:
//!
//! ```no_run
//! use vae_fidelity_kernels::threads::Threads;
//! use vae_fidelity_perceptual::{Lpips, Net, UnitLength, WeightFolders};
//! # let (a, b) = (ndarray::Array4::zeros((1, 3, 64, 64)), ndarray::Array4::zeros((1, 3, 64, 64)));
//!
//! let folders = WeightFolders::with_torch_hub(Some("metric-weights".into()));
//! let files = folders.lpips(Net::Alex)?.expect("alexnet-*.pth and alex.pth");
//! let lpips = Lpips::open(Net::Alex, &files, Threads::available())?;
//! // Samples (1, 3, H, W) in [-1, 1].
//! let (a, b) = (lpips.features(a.view())?, lpips.features(b.view())?);
//! println!("{:.4}", lpips.distance(&a, &b, UnitLength::Lpips));
//! # Ok::<(), vae_fidelity_files::Error>(())
//! ```

// A module uses only those above it.
mod net;
mod pooling;
mod conv;
mod trunk;
mod weight_files;
mod sample;
mod lpips;
mod dists;
mod frechet;
mod kernel_distance;
mod precision_recall;
mod inception_input;
mod inception_net;
mod inception;
mod reference;

pub use dists::{Dists, DistsFeatures};
pub use frechet::FeatureStatistics;
pub use inception::{FEATURES, Inception};
pub use inception_input::InceptionInput;
pub use kernel_distance::{KernelDistance, SUBSET_SIZE};
pub use lpips::{Features, Lpips, UnitLength};
pub use net::{Held, Net};
pub use precision_recall::{NEIGHBORHOOD, PrecisionRecall};
pub use reference::Reference;
pub use weight_files::{WeightFiles, WeightFolders};
