//! Rules on a virtual clock, over a store in memory. Nothing here waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod recorded;
mod tables;
mod timeline;
mod world;
