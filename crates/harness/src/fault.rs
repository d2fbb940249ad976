//! Where a wrong tensor comes from, and whether the block there is wrong itself.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// Where in the model a wrong tensor comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Location {
    /// This module's output differs, and no module that finished before it does: the fault is in
    /// it, or in what happens between `after` and it.
    Module {
        /// diffusers' name of the first module that differs.
        module: String,
        /// Its class.
        kind: String,
        /// What differs.
        difference: String,
        /// The last module before it that agrees; `None` where it is the first, so that its input
        /// may be at fault as well.
        after: Option<String>,
        /// The first module of the golden between `after` and `module` that the implementation's
        /// trace does not name: if it has no such module, that is the fault.
        lacks: Option<String>,
        /// Modules of the golden that the implementation's trace does not name.
        absent: usize,
        /// Modules of this stage whose every bit is the golden's.
        identical: usize,
        /// The first module that is not known to be identical.
        first_not_identical: Option<String>,
        /// Whether the module's block is wrong by itself, or was given something wrong.
        fault: Fault,
    },
    /// Every module agrees: the fault lies behind the last one.
    AfterTheLastModule {
        /// The module that finished last.
        module: String,
        /// Modules compared.
        compared: usize,
        /// Modules of the golden that the implementation's trace does not name.
        absent: usize,
    },
    /// There is nothing to look it up in.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// Whether a block whose output is wrong is wrong itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Fault {
    /// Run alone on what the reference gave it, the block puts out something else.
    BrokenHere {
        /// diffusers' name of the block that was run: the smallest that holds the module.
        block: String,
        /// What differs.
        difference: String,
        /// Every block of the same half that is wrong when run alone, without those that are only
        /// because a block inside them is.
        broken: Vec<String>,
    },
    /// Run alone on what the reference gave it, the block puts out what the reference does: what the
    /// implementation gave it was wrong.
    Inherited {
        /// diffusers' name of the block that was run.
        block: String,
        /// As above. Where it is empty, the fault lies between blocks: in what the first is fed, or
        /// in an activation.
        broken: Vec<String>,
    },
    /// No block was run alone.
    CannotTell {
        /// Why not.
        reason: String,
    },
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let others = |block: &str, broken: &[String]| -> Vec<String> {
            broken.iter().filter(|name| *name != block).cloned().collect()
        };
        match self {
            Self::BrokenHere { block, difference, broken } => {
                write!(
                    f,
                    "broken here: {block}, run alone on the reference's input, is wrong in "
                )?;
                f.write_str(difference)?;
                match others(block, broken).as_slice() {
                    [] => write!(f, "; every other block of this half is right alone"),
                    others => write!(f, "; so is {}", others.join(", ")),
                }
            }
            Self::Inherited { block, broken } => {
                write!(f, "inherited: {block}, run alone on the reference's input, is right; ")?;
                match broken.as_slice() {
                    [] => f.write_str(
                        "so is every block of this half, so look at what is done before and between them",
                    ),
                    broken => write!(f, "broken alone: {}", broken.join(", ")),
                }
            }
            Self::CannotTell { reason } => {
                write!(f, "cannot tell whether it is broken here or inherited: {reason}")
            }
        }
    }
}
