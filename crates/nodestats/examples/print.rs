//! Prints this machine's page, to lay beside node_exporter's; with a number, measures that many collections instead.

use std::error::Error;
use std::time::Instant;

use exposition::{Format, encode};
use nodestats::{NodeStats, Options};

#[allow(clippy::print_stdout)] // what the example is for
fn main() -> Result<(), Box<dyn Error>> {
    let node = NodeStats::new(&Options::default())?;
    let Some(rounds) = std::env::args().nth(1) else {
        print!("{}", encode(&node.collect(), Format::TEXT));
        return Ok(());
    };
    let rounds: u32 = rounds.parse()?;
    let start = Instant::now();
    let families: usize = (0..rounds).map(|_| node.collect().len()).sum();
    println!("{families} families, {:?} a collection", start.elapsed() / rounds);
    Ok(())
}
