//! Errors for what the stub reports: a step, a system call and an errno.

use super::names::operation;
use super::step::{ControlStep, Line, Step};
use crate::error::errno_text;
use crate::{Error, ErrorKind, Phase};
use nix::errno::Errno;

/// The error for a step that failed at system call `call` (none: at a check of the stub's own).
#[deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]
pub(super) fn of_step(lines: &[Line], step: u16, call: Option<u32>, errno: Errno) -> Error {
    let Some(line) = lines.get(usize::from(step)) else {
        return Error::sys(Phase::Launch, operation(call), errno);
    };
    match &line.step {
        Step::Control(ControlStep::FindProgram { name, .. }) => not_found(name, errno),
        Step::Control(ControlStep::Execute { args, .. }) if call == Some(libc::SYS_execve as u32) => {
            not_executed(lines, args, errno)
        }
        Step::Control(ControlStep::NoProgram) => {
            Error::new(ErrorKind::InvalidConfig, Phase::Exec, "there is no process to start")
                .with_pointer("/process")
        }
        Step::Host(_) | Step::Namespace(_) | Step::Rootfs(_) | Step::Process(_) | Step::Control(_) => {
            ordinary(line, call, errno)
        }
    }
}

/// The error for a stub that was killed at a step.
pub(super) fn of_killed_stub(lines: &[Line], step: u16) -> Error {
    let at = lines.get(usize::from(step)).map_or_else(|| "its start".into(), |l| l.step.to_string());
    Error::new(ErrorKind::System, Phase::Launch, "the init process was killed")
        .with_detail(format!("at step {step} ({at})"))
        .with_hint("the memory limit may be too low, or something sent SIGKILL")
}

/// The error for a process that its filter has killed at execve(2).
pub(super) fn of_killed_program(lines: &[Line]) -> Error {
    let args = lines.iter().find_map(|line| match &line.step {
        Step::Control(ControlStep::Execute { args, .. }) => Some(args.as_slice()),
        _ => None,
    });
    let name = program_name(lines, args.unwrap_or_default());
    Error::new(ErrorKind::Exec, Phase::Exec, format!("exec {name}: bad system call"))
        .with_pointer("/linux/seccomp")
        .with_hint("the seccomp filter kills every process that calls execve(2), and so the program itself")
}

/// The path of the program, or its name if several paths were tried.
fn program_name(lines: &[Line], args: &[String]) -> String {
    let found = lines.iter().find_map(|line| match &line.step {
        Step::Control(ControlStep::FindProgram { candidates, .. }) if candidates.len() == 1 => {
            candidates.first().cloned()
        }
        _ => None,
    });
    found.or_else(|| args.first().cloned()).unwrap_or_default()
}

fn not_executed(lines: &[Line], args: &[String], errno: Errno) -> Error {
    let name = program_name(lines, args);
    let error = Error::new(ErrorKind::Exec, Phase::Exec, format!("exec {name}: {}", errno_text(errno)))
        .with_plain_errno(errno);
    match errno {
        Errno::ENOENT => {
            error.with_hint("the file exists, but its #! interpreter or dynamic loader does not")
        }
        Errno::ENOEXEC => {
            error.with_hint("it may be a script without a #! line, or built for another architecture")
        }
        Errno::EACCES => error.with_hint("is it on a noexec mount, or is its interpreter not executable?"),
        _ => error,
    }
}

/// The error for a program that was not found. Engines match on these texts to choose exit status 127 or 126.
fn not_found(name: &str, errno: Errno) -> Error {
    let text = match errno {
        _ if !name.contains('/') => format!("exec: {name:?}: executable file not found in $PATH"),
        Errno::ENOENT => format!("exec: {name:?}: stat {name}: no such file or directory"),
        _ => format!("exec: {name:?}: {}", errno_text(errno)),
    };
    let error = Error::new(ErrorKind::Exec, Phase::Exec, text).with_plain_errno(errno);
    if errno == Errno::EACCES && !name.contains('/') {
        return error.with_hint("a file with that name is there, and the user may not execute it");
    }
    error
}

fn ordinary(line: &Line, call: Option<u32>, errno: Errno) -> Error {
    let mut error = Error::sys(line.step.phase(), operation(call), errno).on(line.step.to_string());
    if let Some(pointer) = line.pointer() {
        error = error.with_pointer(pointer);
    }
    match line.step.hint(call, errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}
