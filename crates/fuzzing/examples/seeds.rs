//! Writes inputs to begin with for every fuzz target: `cargo run -p fuzzing --example seeds -- fuzz/corpus`

use std::fs;
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let corpus = PathBuf::from(std::env::args().nth(1).unwrap_or("fuzz/corpus".into()));
    for (i, (target, bytes)) in fuzzing::seeds().into_iter().enumerate() {
        fs::create_dir_all(corpus.join(target))?;
        fs::write(corpus.join(target).join(format!("seed-{i}")), bytes)?;
    }
    Ok(())
}
