//! What a run cannot see, and what would let it.

use serde::{Serialize, Serializer};

use super::codes::Code;
use super::decided_by::DecidedBy;

/// Causes that a run cannot see, and the parameter that would let it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotDecided {
    /// Their codes.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub codes: Vec<Code>,
    /// The parameter that decides them.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    #[serde(serialize_with = "parameter")]
    pub needs: DecidedBy,
}

impl NotDecided {
    /// For each way of deciding that `is_open`, the causes that it decides.
    pub(super) fn list(is_open: impl Fn(DecidedBy) -> bool) -> Vec<Self> {
        DecidedBy::ALL
            .into_iter()
            .filter(|by| is_open(*by))
            .map(|needs| Self { codes: needs.codes().collect(), needs })
            .collect()
    }
}

fn parameter<S: Serializer>(needs: &DecidedBy, serializer: S) -> Result<S::Ok, S::Error> {
    needs.parameter().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_is_left_out() {
        let list = NotDecided::list(|_| true);
        for &code in Code::ALL {
            let by = code.cause().decided_by;
            assert!(!by.is_empty(), "{code} is decided by nothing");
            for needs in by {
                let row = list.iter().find(|row| row.needs == *needs);
                assert!(row.is_some_and(|row| row.codes.contains(&code)), "{needs:?}: {code}");
            }
        }
        let listed: usize = list.iter().map(|row| row.codes.len()).sum();
        let decided: usize = Code::ALL.iter().map(|code| code.cause().decided_by.len()).sum();
        assert_eq!(listed, decided);
    }

    #[test]
    fn what_is_not_open_is_not_listed() {
        let list = NotDecided::list(|by| by == DecidedBy::CrossCheck);
        assert_eq!(
            serde_json::to_value(&list).unwrap(),
            serde_json::json!([{"codes": ["device-kernel-broken"], "needs": "`cross_check`"}])
        );
    }
}
