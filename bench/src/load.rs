//! The load generator: what is watched ([`world`]), its pages ([`page`]) and their server ([`server`]).

mod page;
mod server;
mod world;

use std::time::Duration;

use anyhow::Result;

pub(crate) use server::{Announcement, Served};
pub(crate) use world::World;

/// What `bench serve` takes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServeArgs {
    /// Series to serve, about.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) series: usize,
    /// How often values change; the scrape interval.
    #[arg(long, default_value = "5s", value_parser = crate::parse_duration)]
    pub(crate) interval: Duration,
    /// Share of the pods that are replaced by new ones each hour, 0.5 for half of them.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) churn: f64,
    /// Compresses pages for clients that accept it.
    #[arg(long)]
    pub(crate) gzip: bool,
    /// Port on the loopback address; 0 for a free one, which is announced as JSON on standard output.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

/// Serves until killed.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    let world = World::new(args.series, args.interval, args.churn);
    server::serve(world, args)
}
