//! The program's entry point, which replaces Rust's if the C library is glibc.
//!
//! Rust's entry point reads `/proc/self/maps` and installs a handler, with a stack, for stack overflows. That takes 40 to
//! 55 µs of each command, a sixth of its start. With glibc, which passes the arguments to Rust anyway, a program may have
//! C's `main` instead. The crate is `no_main` under the same condition, and has a Rust `main` under the opposite one.
//!
//! This is the only code in `sys` that calls upward: it is the top of the program, and is here because of its attribute.

// SAFETY: no other symbol of the program is called main, and C's start code calls it with this ABI.
#[cfg(all(not(test), target_env = "gnu"))]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    crate::run(std::env::args_os()).into()
}
