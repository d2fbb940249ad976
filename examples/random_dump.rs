//! Draws what each line on standard input asks for (`float32 1000 42`: dtype, values, seed), and writes
//! the values as little-endian f32 to standard output: the Rust side of `vae_fidelity_tools.conformance.random_numbers`.

use std::error::Error;
use std::io::{self, BufWriter, Write};

use vae_fidelity::{Dtype, random::Generator};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [dtype, len, seed] = words[..] else {
            return Err(format!("not asked well: {line}").into());
        };
        let dtype = match dtype {
            "float32" => Dtype::F32,
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            other => return Err(format!("no dtype: {other}").into()),
        };
        let mut generator = Generator::manual_seed(seed.parse::<i128>()? as u64);
        for value in generator.randn(len.parse()?, dtype) {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    Ok(out.flush()?)
}
