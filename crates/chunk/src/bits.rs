//! Bits in and out.
