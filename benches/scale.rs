//! Follows.

fn main() {}
