//! The program's entry, without Rust's own where the C library is GNU's.
//!
//! Rust's entry reads `/proc/self/maps`, installs a handler for stack overflows and a stack for it:
//! 40 to 55 µs of each command of a runtime, a sixth of its start. With the GNU C library, which gives
//! Rust the arguments anyway, a program may have C's `main` instead. The crate is `no_main` under the same condition,
//! and has a Rust `main` under the opposite one.

// SAFETY: nothing else of the program is called main, and this is how C's start code calls it.
#[cfg(all(not(test), target_env = "gnu"))]
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    crate::run(std::env::args_os()).into()
}
