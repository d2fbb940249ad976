//! InceptionV3 as data: torchvision's `models/inception.py`, with what TensorFlow's of 2015 has otherwise.

/// A convolution, its batch norm and ReLU, by their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width.
    pub kernel: (usize, usize),
    pub stride: usize,
    pub padding: (usize, usize),
}

/// One step of a branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step<C> {
    Conv(C),
    /// Of 3 x 3 pixels, one for each; what lies beyond the edge does not count.
    AveragePool,
    /// Of 3 x 3 pixels; of stride 1 one for each, of stride 2 without padding.
    MaxPool {
        stride: usize,
    },
    /// Two convolutions of the same, one behind the other in the result: the end of a branch.
    Fork(C, C),
}

/// Branches that each see what came before, and whose results lie one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Block<C> {
    pub branches: Vec<Vec<Step<C>>>,
}

impl<C> Block<C> {
    /// The same with every convolution made another.
    ///
    /// # Errors
    ///
    /// As `make`.
    pub fn try_map<D, E>(self, make: &mut impl FnMut(C) -> Result<D, E>) -> Result<Block<D>, E> {
        let mut step = |step| {
            Ok(match step {
                Step::Conv(conv) => Step::Conv(make(conv)?),
                Step::AveragePool => Step::AveragePool,
                Step::MaxPool { stride } => Step::MaxPool { stride },
                Step::Fork(one, two) => Step::Fork(make(one)?, make(two)?),
            })
        };
        let mut branches = Vec::with_capacity(self.branches.len());
        for branch in self.branches {
            branches.push(branch.into_iter().map(&mut step).collect::<Result<_, E>>()?);
        }
        Ok(Block { branches })
    }
}

/// From a picture of 299 x 299 to 2048 channels of 8 x 8.
pub(crate) fn network() -> Vec<Block<Layer>> {
    let one = |step| Block { branches: vec![vec![step]] };
    let first = |name: &str, channels, kernel, stride, padding| {
        one(conv(name.to_owned(), channels, (kernel, kernel), stride, (padding, padding)))
    };
    let pool = || one(Step::MaxPool { stride: 2 });
    vec![
        first("Conv2d_1a_3x3", (3, 32), 3, 2, 0),
        first("Conv2d_2a_3x3", (32, 32), 3, 1, 0),
        first("Conv2d_2b_3x3", (32, 64), 3, 1, 1),
        pool(),
        first("Conv2d_3b_1x1", (64, 80), 1, 1, 0),
        first("Conv2d_4a_3x3", (80, 192), 3, 1, 0),
        pool(),
        a("Mixed_5b", 192, 32),
        a("Mixed_5c", 256, 64),
        a("Mixed_5d", 288, 64),
        b("Mixed_6a", 288),
        c("Mixed_6b", 128),
        c("Mixed_6c", 160),
        c("Mixed_6d", 160),
        c("Mixed_6e", 192),
        d("Mixed_7a", 768),
        e("Mixed_7b", 1280, Step::AveragePool),
        e("Mixed_7c", 2048, Step::MaxPool { stride: 1 }),
    ]
}

fn conv(
    name: String,
    (inputs, outputs): (usize, usize),
    kernel: (usize, usize),
    stride: usize,
    padding: (usize, usize),
) -> Step<Layer> {
    Step::Conv(Layer { name, inputs, outputs, kernel, stride, padding })
}

/// Convolutions that keep the size, one behind the other: `name` of `block`, kernel and outputs of each.
fn chain(block: &str, inputs: usize, layers: &[(&str, (usize, usize), usize)]) -> Vec<Step<Layer>> {
    let mut inputs = inputs;
    let mut steps = Vec::new();
    for &(name, kernel, outputs) in layers {
        let padding = (kernel.0 / 2, kernel.1 / 2);
        steps.push(conv(format!("{block}.{name}"), (inputs, outputs), kernel, 1, padding));
        inputs = outputs;
    }
    steps
}

/// The last convolution of a chain, of 3 x 3 and stride 2 without padding.
fn halving(block: &str, name: &str, channels: (usize, usize)) -> Step<Layer> {
    conv(format!("{block}.{name}"), channels, (3, 3), 2, (0, 0))
}

fn pooled(block: &str, pool: Step<Layer>, inputs: usize, outputs: usize) -> Vec<Step<Layer>> {
    [vec![pool], chain(block, inputs, &[("branch_pool", (1, 1), outputs)])].concat()
}

/// `InceptionA`.
fn a(block: &str, inputs: usize, pool_features: usize) -> Block<Layer> {
    let five = [("branch5x5_1", (1, 1), 48), ("branch5x5_2", (5, 5), 64)];
    let three = [
        ("branch3x3dbl_1", (1, 1), 64),
        ("branch3x3dbl_2", (3, 3), 96),
        ("branch3x3dbl_3", (3, 3), 96),
    ];
    Block {
        branches: vec![
            chain(block, inputs, &[("branch1x1", (1, 1), 64)]),
            chain(block, inputs, &five),
            chain(block, inputs, &three),
            pooled(block, Step::AveragePool, inputs, pool_features),
        ],
    }
}

/// `InceptionB`.
fn b(block: &str, inputs: usize) -> Block<Layer> {
    let mut three =
        chain(block, inputs, &[("branch3x3dbl_1", (1, 1), 64), ("branch3x3dbl_2", (3, 3), 96)]);
    three.push(halving(block, "branch3x3dbl_3", (96, 96)));
    Block {
        branches: vec![
            vec![halving(block, "branch3x3", (inputs, 384))],
            three,
            vec![Step::MaxPool { stride: 2 }],
        ],
    }
}

/// `InceptionC`.
fn c(block: &str, width: usize) -> Block<Layer> {
    let seven = [
        ("branch7x7_1", (1, 1), width),
        ("branch7x7_2", (1, 7), width),
        ("branch7x7_3", (7, 1), 192),
    ];
    let twice = [
        ("branch7x7dbl_1", (1, 1), width),
        ("branch7x7dbl_2", (7, 1), width),
        ("branch7x7dbl_3", (1, 7), width),
        ("branch7x7dbl_4", (7, 1), width),
        ("branch7x7dbl_5", (1, 7), 192),
    ];
    Block {
        branches: vec![
            chain(block, 768, &[("branch1x1", (1, 1), 192)]),
            chain(block, 768, &seven),
            chain(block, 768, &twice),
            pooled(block, Step::AveragePool, 768, 192),
        ],
    }
}

/// `InceptionD`.
fn d(block: &str, inputs: usize) -> Block<Layer> {
    let mut three = chain(block, inputs, &[("branch3x3_1", (1, 1), 192)]);
    three.push(halving(block, "branch3x3_2", (192, 320)));
    let mut seven = chain(
        block,
        inputs,
        &[
            ("branch7x7x3_1", (1, 1), 192),
            ("branch7x7x3_2", (1, 7), 192),
            ("branch7x7x3_3", (7, 1), 192),
        ],
    );
    seven.push(halving(block, "branch7x7x3_4", (192, 192)));
    Block { branches: vec![three, seven, vec![Step::MaxPool { stride: 2 }]] }
}

/// `InceptionE`, whose branches end in forks.
fn e(block: &str, inputs: usize, pool: Step<Layer>) -> Block<Layer> {
    let fork = |one: &str, two: &str| {
        let layer = |name: &str, kernel: (usize, usize)| Layer {
            name: format!("{block}.{name}"),
            inputs: 384,
            outputs: 384,
            kernel,
            stride: 1,
            padding: (kernel.0 / 2, kernel.1 / 2),
        };
        Step::Fork(layer(one, (1, 3)), layer(two, (3, 1)))
    };
    let mut three = chain(block, inputs, &[("branch3x3_1", (1, 1), 384)]);
    three.push(fork("branch3x3_2a", "branch3x3_2b"));
    let mut twice =
        chain(block, inputs, &[("branch3x3dbl_1", (1, 1), 448), ("branch3x3dbl_2", (3, 3), 384)]);
    twice.push(fork("branch3x3dbl_3a", "branch3x3dbl_3b"));
    Block {
        branches: vec![
            chain(block, inputs, &[("branch1x1", (1, 1), 320)]),
            three,
            twice,
            pooled(block, pool, inputs, 192),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_fit_from_block_to_block() {
        let mut channels = 3;
        let mut count = 0;
        for block in network() {
            let mut made = 0;
            for branch in &block.branches {
                let mut at = channels;
                for step in branch {
                    let layers: Vec<&Layer> = match step {
                        Step::Conv(layer) => vec![layer],
                        Step::Fork(one, two) => vec![one, two],
                        Step::AveragePool | Step::MaxPool { .. } => continue,
                    };
                    assert!(layers.iter().all(|layer| layer.inputs == at), "{layers:?}");
                    count += layers.len();
                    at = layers.iter().map(|layer| layer.outputs).sum();
                }
                made += at;
            }
            channels = made;
        }
        assert_eq!((channels, count), (2048, 94));
    }
}
