//! The `orlop` command: an OCI runtime for managers and people.
fn main() {}
