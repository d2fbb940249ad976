//! The flags for files that other programs read.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;

use super::places::check_ending;

/// How a table's name may end.
const TABLES: &[&str] = match cfg!(feature = "evaluate") {
    true => &["csv", "jsonl", "parquet"],
    false => &["csv", "jsonl"],
};

/// Where verdict and findings go beside the report.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files for CI systems and tables")]
pub struct CiArgs {
    /// Save the verdict as JUnit XML: a testcase for each picture or checkpoint, with the findings
    /// as its failure
    #[arg(long, value_name = "F.xml")]
    pub junit: Option<PathBuf>,
    /// Save the findings as SARIF 2.1.0, for code scanning
    #[arg(long, value_name = "F.json")]
    pub sarif: Option<PathBuf>,
    /// Save a table, a row for each picture or checkpoint: verdict, findings, numbers
    #[arg(long, value_name = "F.csv|F.jsonl|F.parquet")]
    pub table: Option<PathBuf>,
}

impl CiArgs {
    /// Those that are given, with their flags.
    ///
    /// Errors for a name that promises another format.
    pub fn named(&self) -> Result<Vec<(&'static str, &Path)>> {
        let Self { junit, sarif, table } = self;
        let endings: [(_, _, _, &[_]); 3] = [
            ("--junit", junit, "XML", &["xml"]),
            ("--sarif", sarif, "SARIF, which is JSON", &["json", "sarif"]),
            ("--table", table, "a table", TABLES),
        ];
        let mut named = Vec::new();
        for (flag, path, format, endings) in endings {
            let Some(path) = path.as_deref() else { continue };
            check_ending(flag, path, format, endings)?;
            named.push((flag, path));
        }
        Ok(named)
    }
}
