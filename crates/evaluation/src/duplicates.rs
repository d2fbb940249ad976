//! Pictures that are in a data set more than once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::row::Row;

/// How many groups are named.
const NAMED: usize = 20;

/// Pictures whose files are the same, byte for byte. Each counts in every mean.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Duplicates {
    /// How many pictures are the same as one before them.
    pub pictures: usize,
    /// Names of the same pictures, the first 20 groups; `rows.parquet` has every picture's SHA-256.
    pub groups: Vec<Vec<String>>,
}

impl Duplicates {
    /// Among the pictures of `rows`, of one model.
    pub fn of(rows: &[&Row]) -> Self {
        let mut first: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let Some(sha256) = row.sha256.as_deref() else { continue };
            let group = *first.entry(sha256).or_insert(groups.len());
            match groups.get_mut(group) {
                Some(group) => group.push(place),
                None => groups.push(vec![place]),
            }
        }
        groups.retain(|group| group.len() > 1);
        let name = |place: usize| rows[place].id.clone();
        Self {
            pictures: groups.iter().map(|group| group.len() - 1).sum(),
            groups: groups
                .into_iter()
                .take(NAMED)
                .map(|group| group.into_iter().take(NAMED).map(name).collect())
                .collect(),
        }
    }
}
