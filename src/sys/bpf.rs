//! bpf(2): programs that decide about a cgroup's access to devices.

use super::syscall::{call, open};
use nix::errno::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// The cgroup may have several programs.
const F_ALLOW_MULTI: u32 = 2;
/// Replaces an attached program atomically.
const F_REPLACE: u32 = 4;

/// `union bpf_attr`, always complete and zeroed. For `PROG_QUERY`, some kernels write 8 bytes after the end of a shorter
/// one.
#[repr(C, align(8))]
struct Attr([u8; 144]);

impl Attr {
    const fn new() -> Self {
        Self([0; 144])
    }

    fn u32(mut self, offset: usize, value: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    /// The descriptor must be open until the call returns.
    fn fd(self, offset: usize, fd: BorrowedFd<'_>) -> Self {
        self.u32(offset, fd.as_raw_fd() as u32)
    }

    fn pointer<T>(mut self, offset: usize, pointer: *const T) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&(pointer.addr() as u64).to_ne_bytes());
        // The kernel reads and writes through the number, so the provenance is exposed.
        let _ = pointer.expose_provenance();
        self
    }

    fn get(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.0[offset..offset + 4]);
        u32::from_ne_bytes(bytes)
    }

    /// # Safety
    /// Every address was set by [`pointer`](Self::pointer) and is that of memory which the command may read or write;
    /// descriptors are open.
    unsafe fn call(&mut self, command: i32) -> Result<libc::c_long, Errno> {
        // SAFETY: the structure is complete, and the caller vouches for its content.
        unsafe { call!(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of::<Self>()) }
    }

    /// A command that returns a new descriptor.
    ///
    /// # Safety
    /// As for [`call`](Self::call), and the command returns a new descriptor.
    unsafe fn open(&mut self, command: i32) -> Result<OwnedFd, Errno> {
        // SAFETY: the caller vouches for both.
        unsafe { open!(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of::<Self>()) }
    }
}

/// One instruction: `struct bpf_insn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct EbpfInsn {
    pub(crate) code: u8,
    /// Destination in the low half, source in the high half.
    pub(crate) regs: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
///
/// The verifier writes its messages to `log`, if there is one. That is slow, and only meant to explain a failure.
pub(crate) fn load_device_program(program: &[EbpfInsn], log: Option<&mut [u8]>) -> Result<OwnedFd, Errno> {
    let mut attr = Attr::new()
        .u32(0, PROG_TYPE_CGROUP_DEVICE)
        .u32(4, program.len() as u32)
        .pointer(8, program.as_ptr())
        .pointer(16, c"Apache-2.0".as_ptr());
    if let Some(log) = log {
        attr = attr.u32(24, 1).u32(28, log.len() as u32).pointer(32, log.as_mut_ptr());
    }
    // SAFETY: the instructions, the licence and the log outlive the call, which returns a new descriptor.
    unsafe { attr.open(PROG_LOAD) }
}

/// Attaches a device program to the cgroup2 directory `cgroup`, beside others; `replace` is a program that it replaces.
pub(crate) fn attach_device_program(
    cgroup: impl AsFd,
    program: impl AsFd,
    replace: Option<&OwnedFd>,
) -> Result<(), Errno> {
    let flags = F_ALLOW_MULTI | if replace.is_some() { F_REPLACE } else { 0 };
    let (cgroup, program) = (cgroup.as_fd(), program.as_fd());
    let mut attr = Attr::new().fd(0, cgroup).fd(4, program).u32(8, ATTACH_CGROUP_DEVICE).u32(12, flags);
    if let Some(old) = replace {
        attr = attr.fd(16, old.as_fd());
    }
    // SAFETY: there is no address, and the descriptors are borrowed until the call returns.
    unsafe { attr.call(PROG_ATTACH) }.map(drop)
}

/// Detaches a device program from the cgroup2 directory `cgroup`.
pub(crate) fn detach_device_program(cgroup: impl AsFd, program: impl AsFd) -> Result<(), Errno> {
    let (cgroup, program) = (cgroup.as_fd(), program.as_fd());
    let mut attr = Attr::new().fd(0, cgroup).fd(4, program).u32(8, ATTACH_CGROUP_DEVICE);
    // SAFETY: there is no address, and the descriptors are borrowed until the call returns.
    unsafe { attr.call(PROG_DETACH) }.map(drop)
}

/// The ids of the device programs (64 at most) that are attached to the cgroup2 directory `cgroup` itself.
pub(crate) fn device_programs(cgroup: impl AsFd) -> Result<Vec<u32>, Errno> {
    let cgroup = cgroup.as_fd();
    let mut ids = [0_u32; 64];
    let mut attr = Attr::new()
        .fd(0, cgroup)
        .u32(4, ATTACH_CGROUP_DEVICE)
        .pointer(16, ids.as_mut_ptr())
        .u32(24, ids.len() as u32);
    // SAFETY: the array has room for as many ids as the attributes say, and the descriptor is borrowed until the call returns.
    unsafe { attr.call(PROG_QUERY) }?;
    let count = (attr.get(24) as usize).min(ids.len());
    // The kernel wrote through the number, which the compiler does not see.
    let ids = std::hint::black_box(&ids);
    Ok(ids[..count].to_vec())
}

/// The program with this id.
pub(crate) fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: there is no address; the command returns a new descriptor.
    unsafe { Attr::new().u32(0, id).open(PROG_GET_FD_BY_ID) }
}
