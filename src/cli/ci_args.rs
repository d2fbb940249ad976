//! The flags for files that CI systems read.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::Result;

use super::places::check_ending;

/// Where verdict and findings go beside the report.
#[derive(Debug, Args)]
#[command(next_help_heading = "Files for CI systems")]
pub struct CiArgs {
    /// Save the verdict as JUnit XML: a testcase for each picture or checkpoint, with the findings
    /// as its failure
    #[arg(long, value_name = "F.xml")]
    pub junit: Option<PathBuf>,
    /// Save the findings as SARIF 2.1.0, for code scanning
    #[arg(long, value_name = "F.json")]
    pub sarif: Option<PathBuf>,
}

impl CiArgs {
    /// Those that are given, with their flags.
    ///
    /// Errors for a name that promises another format.
    pub fn named(&self) -> Result<Vec<(&'static str, &Path)>> {
        let Self { junit, sarif } = self;
        let endings: [(_, _, _, &[_]); 2] = [
            ("--junit", junit, "XML", &["xml"]),
            ("--sarif", sarif, "SARIF, which is JSON", &["json", "sarif"]),
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
