//! Loads a device program and attaches it to a cgroup2 directory.

use super::policy::DevicePolicy;
use super::program::compile;
use crate::cgroup::dir::DirRef;
use crate::sys::bpf::{self, EbpfInsn};
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

const POINTER: &str = "/linux/resources/devices";

/// Attaches the policy to a new cgroup.
pub(in crate::cgroup) fn attach(cgroup: DirRef<'_>, policy: &DevicePolicy) -> Result<()> {
    if policy.allows_everything() {
        return Ok(());
    }
    let path = cgroup.path();
    let program = load(&compile(policy), path)?;
    bpf::attach_device_program(cgroup.fd(), program, None)
        .map_err(|e| failed("attach device filter to", path, e))
}

/// Replaces the policy of a cgroup.
pub(in crate::cgroup) fn replace(cgroup: DirRef<'_>, policy: &DevicePolicy) -> Result<()> {
    let path = cgroup.path();
    let cgroup = cgroup.fd();
    let query_failed = |e| failed("query device filters of", path, e);
    let mut old = Vec::new();
    for id in bpf::device_programs(cgroup).map_err(query_failed)? {
        match bpf::program_by_id(id) {
            Ok(program) => old.push(program),
            Err(Errno::ENOENT) => {}
            Err(e) => return Err(query_failed(e)),
        }
    }
    if !policy.allows_everything() {
        let new = load(&compile(policy), path)?;
        // A single program is replaced atomically. If there are several (from other programs), the new one is attached
        // first, so that nothing is allowed in between that both deny.
        let single = if old.len() == 1 { old.pop() } else { None };
        bpf::attach_device_program(cgroup, new, single.as_ref())
            .map_err(|e| failed("attach device filter to", path, e))?;
    }
    for program in old {
        bpf::detach_device_program(cgroup, program)
            .map_err(|e| failed("detach device filter from", path, e))?;
    }
    Ok(())
}

fn load(program: &[EbpfInsn], path: &Path) -> Result<OwnedFd> {
    match bpf::load_device_program(program, None) {
        Ok(fd) => Ok(fd),
        Err(e @ (Errno::EINVAL | Errno::EACCES)) => {
            let mut log = vec![0_u8; 64 << 10];
            let _ = bpf::load_device_program(program, Some(&mut log));
            let end = log.iter().position(|b| *b == 0).unwrap_or(0);
            let text = String::from_utf8_lossy(&log[..end]);
            let last = text.lines().rev().find(|l| !l.starts_with("processed")).unwrap_or("");
            Err(failed("load device filter for", path, e).with_detail(format!("verifier: {last}")))
        }
        Err(e) => Err(failed("load device filter for", path, e)),
    }
}

fn failed(operation: &'static str, path: &Path, errno: Errno) -> Error {
    let error =
        Error::sys(Phase::Cgroup, operation, errno).on(path.display().to_string()).with_pointer(POINTER);
    match errno {
        Errno::EPERM => {
            error.with_hint("device filters need CAP_BPF or CAP_SYS_ADMIN in the initial user namespace")
        }
        _ => error,
    }
}
