//! Thin typed system calls, and the library's only `unsafe` beside the init stub.
//!
//! A function is one system call with typed arguments (descriptors as [`BorrowedFd`](std::os::fd::BorrowedFd), paths as
//! [`CStr`](std::ffi::CStr)) that returns an [`Errno`](nix::errno::Errno) on failure. Nothing here knows what a container is.
//!
//! `syscall`, `flags` and `raw` are below the other files; `signal_mask`, `memfd`, `namespace` and `fs` are below those
//! with a subject of their own.
//!
//! # Safety
//! The module is private to the crate, so a system call that is not needed cannot be named from outside. The functions take
//! arguments that cannot break memory or I/O safety. Numbers and structures follow the kernel's headers (`linux/mount.h`,
//! `linux/sched.h`, …).
#![allow(unsafe_code)]

pub(crate) mod bpf;
pub(crate) mod channel;
mod flags;
pub(crate) mod fs;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod mount;
pub(crate) mod mountinfo;
pub(crate) mod namespace;
pub(crate) mod netlink;
pub(crate) mod process;
mod raw;
pub(crate) mod seccomp;
mod signal_mask;
pub(crate) mod sigpipe;
pub(crate) mod spawn;
mod syscall;
pub(crate) mod unix;
pub(crate) mod userns;

pub(crate) use syscall::retry;
