//! Compiles the init stub with the compiler that compiles the library.
fn main() {}
