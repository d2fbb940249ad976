//! The three networks that LPIPS was calibrated for, as data.

use std::fmt;

/// A network whose features LPIPS compares. A distance means nothing without its name: on the same pictures they
/// differ by a factor of five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Net {
    /// AlexNet, which the authors recommend for judging.
    Alex,
    /// VGG16, which most papers on autoencoders have.
    Vgg,
    /// SqueezeNet 1.1.
    Squeeze,
}

/// One step of a network, by its place in torchvision's `features`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A convolution with a bias, and ReLU.
    Conv { at: usize, inputs: usize, outputs: usize, side: usize, stride: usize, padding: usize },
    /// The largest of `side` x `side` values, every two; with `ceil` windows may reach over the edge.
    MaxPool { side: usize, ceil: bool },
    /// DISTS's: the root of a weighted mean of 3 x 3 squares, every two, zeros around.
    L2Pool,
    /// SqueezeNet's: a convolution of 1 x 1 to `squeezed` channels, and of these two of 1 x 1 and of 3 x 3 to
    /// `expanded` each, all with ReLU.
    Fire { at: usize, inputs: usize, squeezed: usize, expanded: usize },
    /// What the steps before it made is compared.
    Tap,
}

impl Net {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Alex, Self::Vgg, Self::Squeeze];

    /// As the Python package calls it: `alex`, `vgg` or `squeeze`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alex => "alex",
            Self::Vgg => "vgg",
            Self::Squeeze => "squeeze",
        }
    }

    /// As torchvision calls the network, and its files begin.
    pub(crate) fn trunk(self) -> &'static str {
        match self {
            Self::Alex => "alexnet",
            Self::Vgg => "vgg16",
            Self::Squeeze => "squeezenet1_1",
        }
    }

    /// torchvision's file, as torch downloads it.
    pub(crate) fn published(self) -> &'static str {
        match self {
            Self::Alex => "alexnet-owt-7be5be79.pth",
            Self::Vgg => "vgg16-397923af.pth",
            Self::Squeeze => "squeezenet1_1-b8a52dc0.pth",
        }
    }

    /// torchvision's `features`, as far as they are compared.
    pub(crate) fn steps(self) -> Vec<Step> {
        match self {
            Self::Alex => alex(),
            Self::Vgg => vgg(),
            Self::Squeeze => squeeze(),
        }
    }

    /// The channels of what is compared, one number a [`Step::Tap`].
    pub(crate) fn channels(self) -> &'static [usize] {
        match self {
            Self::Alex => &[64, 192, 384, 256, 256],
            Self::Vgg => &[64, 128, 256, 512, 512],
            Self::Squeeze => &[64, 128, 256, 384, 384, 512, 512],
        }
    }
}

/// How much a network holds of one picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Bytes of what is compared, which stay until it is.
    pub kept: u64,
    /// The most bytes that are there beside them while it is computed.
    pub working: u64,
}

/// Of a picture of this height and width, through `steps`.
pub(crate) fn held(steps: &[Step], (height, width): (usize, usize)) -> Held {
    // Channels are padded to the width of vectors.
    let bytes = |height: usize, width: usize, channels: usize| {
        4 * (height as u64) * (width as u64) * (channels.next_multiple_of(32) as u64)
    };
    let (mut height, mut width, mut channels) = (height, width, 3);
    let mut held = Held::default();
    for step in steps {
        let before = bytes(height, width, channels);
        // A result, and what ReLU makes of it.
        let mut copies = 2;
        match *step {
            Step::Conv { outputs, stride, .. } => {
                (height, width) = (height.div_ceil(stride), width.div_ceil(stride));
                channels = outputs;
            }
            Step::MaxPool { .. } | Step::L2Pool => {
                (height, width, copies) = (height.div_ceil(2), width.div_ceil(2), 1);
            }
            Step::Fire { expanded, .. } => channels = 2 * expanded,
            Step::Tap => {
                held.kept += before;
                continue;
            }
        }
        held.working = held.working.max(before + copies * bytes(height, width, channels));
    }
    held
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn alex() -> Vec<Step> {
    let conv = |at, inputs, outputs, side, padding| {
        [Step::Conv { at, inputs, outputs, side, stride: 1, padding }, Step::Tap]
    };
    let pool = Step::MaxPool { side: 3, ceil: false };
    let first = Step::Conv { at: 0, inputs: 3, outputs: 64, side: 11, stride: 4, padding: 2 };
    let mut steps = vec![first, Step::Tap, pool];
    steps.extend(conv(3, 64, 192, 5, 2));
    steps.push(pool);
    steps.extend(conv(6, 192, 384, 3, 1));
    steps.extend(conv(8, 384, 256, 3, 1));
    steps.extend(conv(10, 256, 256, 3, 1));
    steps
}

fn vgg() -> Vec<Step> {
    let (mut steps, mut at, mut inputs) = (Vec::new(), 0, 3);
    for (level, (outputs, count)) in
        [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)].into_iter().enumerate()
    {
        if level > 0 {
            steps.push(Step::MaxPool { side: 2, ceil: false });
            at += 1;
        }
        for _ in 0..count {
            steps.push(Step::Conv { at, inputs, outputs, side: 3, stride: 1, padding: 1 });
            // A ReLU has a place of its own.
            (inputs, at) = (outputs, at + 2);
        }
        steps.push(Step::Tap);
    }
    steps
}

/// VGG16 as DISTS has it.
pub(crate) fn dists_steps() -> Vec<Step> {
    let pooled = |step| match step {
        Step::MaxPool { .. } => Step::L2Pool,
        step => step,
    };
    vgg().into_iter().map(pooled).collect()
}

fn squeeze() -> Vec<Step> {
    let pool = Step::MaxPool { side: 3, ceil: true };
    let fire = |at, inputs, squeezed, expanded| Step::Fire { at, inputs, squeezed, expanded };
    vec![
        Step::Conv { at: 0, inputs: 3, outputs: 64, side: 3, stride: 2, padding: 0 },
        Step::Tap,
        pool,
        fire(3, 64, 16, 64),
        fire(4, 128, 16, 64),
        Step::Tap,
        pool,
        fire(6, 128, 32, 128),
        fire(7, 256, 32, 128),
        Step::Tap,
        pool,
        fire(9, 256, 48, 192),
        Step::Tap,
        fire(10, 384, 48, 192),
        Step::Tap,
        fire(11, 384, 64, 256),
        Step::Tap,
        fire(12, 512, 64, 256),
        Step::Tap,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_grows_with_the_picture() {
        let of = |side| held(&vgg(), (side, side));
        // 64 channels of all pixels, 128 of a quarter, 256 of a sixteenth, and so on.
        assert_eq!(of(256).kept, 4 * 256 * 256 * (64 + 32 + 16 + 8 + 2));
        assert_eq!(of(256).working, 4 * 256 * 256 * 64 * 3);
        assert_eq!(of(512).kept, 4 * of(256).kept);
    }

    #[test]
    fn channels_fit_from_step_to_step_and_are_those_that_are_compared() {
        for net in Net::ALL {
            let (mut channels, mut taps) = (3, Vec::new());
            for step in net.steps() {
                match step {
                    Step::Conv { inputs, outputs, .. } => {
                        assert_eq!(inputs, channels, "{net} {step:?}");
                        channels = outputs;
                    }
                    Step::Fire { inputs, expanded, .. } => {
                        assert_eq!(inputs, channels, "{net} {step:?}");
                        channels = 2 * expanded;
                    }
                    Step::MaxPool { .. } | Step::L2Pool => {}
                    Step::Tap => taps.push(channels),
                }
            }
            assert_eq!(taps, net.channels(), "{net}");
        }
        let places: Vec<usize> = vgg()
            .into_iter()
            .filter_map(|step| match step {
                Step::Conv { at, .. } => Some(at),
                _ => None,
            })
            .collect();
        assert_eq!(places, [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]);
    }
}
