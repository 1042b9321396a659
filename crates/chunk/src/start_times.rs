//! Start times.
