//! Which of libtorch's kernels run on this machine, for whoever reads a test's output. Nothing
//! depends on it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

/// Prints them past the test harness, which shows what a test prints only if it fails.
pub fn print() {
    let mut lines = vec![format!("kernels: ATen's are {}", aten())];
    for dtype in ["f32", "f16", "bf16"] {
        lines.push(format!("kernels: oneDNN's in {dtype}: {}", onednn(dtype)));
    }
    // Not `eprint!`, which the harness holds back; and who closed stderr does not want to know.
    let _ = std::io::stderr().write_all(format!("\n{}\n", lines.join("\n")).as_bytes());
}

/// As ATen chooses (aten/src/ATen/native/DispatchStub.cpp): the variable, else the processor.
fn aten() -> String {
    match std::env::var("ATEN_CPU_CAPABILITY") {
        Ok(asked) => format!("{asked}, by ATEN_CPU_CAPABILITY"),
        Err(_) => of_processor().to_owned(),
    }
}

#[cfg(target_arch = "x86_64")]
fn of_processor() -> &'static str {
    let fma = is_x86_feature_detected!("fma");
    let wide = is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    match (wide && fma, is_x86_feature_detected!("avx2") && fma) {
        (true, _) => "AVX512, by this processor",
        (_, true) => "AVX2, by this processor",
        _ => "the default ones, by this processor",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn of_processor() -> &'static str {
    "those of this architecture"
}

/// Large enough that ATen asks oneDNN, and done in a second.
const TRACE: &str =
    "trace golden/images/astronaut.png --width 40 --height 32 --engine reference --device cpu";

/// What oneDNN itself says that it ran for a golden picture, and how often.
fn onednn(dtype: &str) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_vae-fidelity"))
        .args(TRACE.split(' '))
        .args(["--dtype", dtype])
        .env("ONEDNN_VERBOSE", "profile_exec")
        .output();
    let Ok(ran) = ran else { return "not known, the command did not start".to_owned() };
    if !ran.status.success() {
        return "not known, the command failed".to_owned();
    }
    let text = String::from_utf8_lossy(&ran.stdout);
    let mut isa = "";
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        if let Some((_, found)) = line.split_once(",cpu,isa:") {
            isa = found;
        }
        // onednn_verbose,v1,primitive,exec,cpu,<what>,<which kernel>,...
        let fields: Vec<&str> = line.split(',').collect();
        if let ["onednn_verbose", _, "primitive", "exec", "cpu", what, which, ..] = fields[..]
            && what != "reorder"
        {
            *counts.entry(format!("{what} {which}")).or_default() += 1;
        }
    }
    if counts.is_empty() {
        return "none, ATen's own run".to_owned();
    }
    let counts: Vec<String> =
        counts.iter().map(|(which, count)| format!("{which} ({count}x)")).collect();
    format!("{} [{isa}]", counts.join(", "))
}
