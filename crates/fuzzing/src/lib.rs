//! What the fuzz targets do with bytes from outside, as functions: the targets of `fuzz/` hand them what a fuzzer
//! makes up, the tests of this crate hand them files with small changes. A function takes any bytes; a panic is a
//! finding.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "a failed unwrap is a finding"
)]

mod blocks;
mod chunks;
mod credentials;
mod data_directory;
mod kubernetes;
mod logs;
mod otlp_requests;
mod pages;
mod pieces;
mod remote;
mod scraped;
mod seeds;
mod services;

pub use pieces::{Kind, Piece, join};
pub use seeds::seeds;

/// What a target does.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("block_directory", blocks::directory),
    ("block_index", blocks::index),
    ("block_meta", blocks::meta),
    ("block_tombstones", blocks::tombstones),
    ("chunk", chunks::chunk),
    ("chunk_rewrite", chunks::rewrite),
    ("credentials", credentials::answer),
    ("data_directory", data_directory::open),
    ("head_chunks", logs::head_chunks),
    ("kubernetes", kubernetes::answer),
    ("log_record", logs::record),
    ("log_segment", logs::segment),
    ("otlp", otlp_requests::request),
    ("page", pages::page),
    ("protobuf_page", pages::protobuf),
    ("proxy", credentials::proxy),
    ("remote_read", remote::read),
    ("remote_read_answer", remote::read_answer),
    ("remote_write_1", remote::write_1),
    ("remote_write_2", remote::write_2),
    ("scraped_compressed", scraped::compressed),
    ("scraped_pages", scraped::pages),
    ("services", services::answer),
    ("snapshot_record", logs::snapshot_record),
];

/// Runs the target of that name.
///
/// # Panics
/// When there is no such target, or something was found.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    target.unwrap().1(data);
}
