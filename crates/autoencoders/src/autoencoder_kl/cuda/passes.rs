//! Forward passes of the fast engine on a GPU: queued one operation after another, or, from the third
//! pass of a shape on, as one recorded graph. The numbers are the same.

#[cfg(cuda_graphs)]
use std::collections::HashMap;
#[cfg(cuda_graphs)]
use std::sync::{Mutex, PoisonError};

use tch::Tensor;

use vae_fidelity_core::trace::Stage;
use vae_fidelity_files::error::Result;

/// Pixels of a batch beyond which a graph saves nothing, and would keep gigabytes.
#[cfg(cuda_graphs)]
const LARGEST: i64 = 2 * 1024 * 1024;
/// A pass has to have run before it is recorded; one of each picture of a folder with many sizes is not
/// worth a recording.
#[cfg(cuda_graphs)]
const RUNS_BEFORE: usize = 2;

/// What has been run, and recorded, of each stage.
#[derive(Debug, Default)]
pub(in crate::autoencoder_kl) struct Passes {
    #[cfg(cuda_graphs)]
    stages: Mutex<HashMap<Stage, State>>,
}

#[cfg(cuda_graphs)]
#[derive(Debug)]
enum State {
    Run {
        shape: Vec<i64>,
        times: usize,
    },
    Recorded(Recorded),
    /// It cannot be recorded here, and is not tried again.
    Plain,
}

#[cfg(cuda_graphs)]
#[derive(Debug)]
struct Recorded {
    input: Tensor,
    output: Tensor,
    /// First to go: it reads and writes the tensors.
    graph: super::bindings::Graph,
}

impl Passes {
    /// What `pass` makes of `input`.
    #[cfg(not(cuda_graphs))]
    pub fn run(
        &self,
        _: Stage,
        input: &Tensor,
        pass: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        pass(input)
    }

    /// What `pass` makes of `input`.
    #[cfg(cuda_graphs)]
    pub fn run(
        &self,
        stage: Stage,
        input: &Tensor,
        pass: impl Fn(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        use crate::autoencoder_kl::libtorch::{Attempt, copied};

        let tch::Device::Cuda(device) = input.device() else { return pass(input) };
        let shape = input.size();
        if shape.iter().skip(2).product::<i64>() * shape[0] > LARGEST {
            return pass(input);
        }
        let mut stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        let state =
            stages.entry(stage).or_insert_with(|| State::Run { shape: shape.clone(), times: 0 });
        match state {
            State::Plain => return pass(input),
            State::Run { shape: known, times } if *known == shape && *times < RUNS_BEFORE => {
                *times += 1;
                return pass(input);
            }
            State::Run { shape: known, .. } if *known == shape => {
                let at = || "recording a CUDA graph";
                let input = copied(input).attempt(at)?;
                match super::bindings::Graph::record(device, || pass(&input)) {
                    Ok((graph, output)) => {
                        *state = State::Recorded(Recorded { input, output, graph });
                    }
                    Err(_) => {
                        *state = State::Plain;
                        return pass(&input);
                    }
                }
            }
            State::Recorded(recorded) if recorded.input.size() == shape => (),
            _ => {
                *state = State::Run { shape, times: 1 };
                return pass(input);
            }
        }
        let State::Recorded(recorded) = state else { return pass(input) };
        let at = || "replaying a CUDA graph";
        recorded.input.f_copy_(input).attempt(at)?;
        recorded.graph.replay()?;
        // The next replay writes over it.
        copied(&recorded.output).attempt(at)
    }
}
