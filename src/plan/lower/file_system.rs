//! New file systems.

use super::super::assemble::{Arg, Reg};
use super::super::machine::compare;
use super::super::step::SEALED;
use super::lowering::Lowering;
use crate::mount::filesystem_type;
use crate::mount::options::{FSCONFIG_STRING_MAX, MountOptions};
use crate::mount::overlay::split_lowerdir;
use crate::sys::mount::{FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, FsconfigCommand, MountAttrFlags};
use std::ffi::CStr;

/// fsopen, fsconfig, fsmount.
pub(super) fn new_file_system(
    code: &mut Lowering,
    kind: &str,
    source: &str,
    options: &MountOptions,
    attributes: MountAttrFlags,
) -> Reg {
    let context = file_system_context(code, kind, source, options);
    create_file_system(code, context, attributes)
}

/// The same with the mode of an open file as the option `mode`, unless `absent` is 1.
pub(super) fn new_with_mode_of(
    code: &mut Lowering,
    (kind, source): (&str, &str),
    options: &MountOptions,
    attributes: MountAttrFlags,
    (file, absent): (Reg, Reg),
) -> Reg {
    let context = file_system_context(code, kind, source, options);
    let default = code.asm.label();
    code.asm.jump_if(compare::EQUAL, absent, 1, default);
    let text = octal_mode(code, file);
    let key = code.text(c"mode");
    fsconfig(code, context, FsconfigCommand::SetString, [key, text, 0.into()]);
    code.asm.place(default);
    create_file_system(code, context, attributes)
}

/// The permissions of an open file as four octal digits. The machine has no shift: a digit is doubled until it begins a byte
/// of a number in memory.
fn octal_mode(code: &mut Lowering, file: Reg) -> Arg {
    const DIGITS: [(u64, u32, u64); 4] = [(9, 7, 2), (6, 2, 1), (3, 5, 1), (0, 0, 0)];
    let (stat, text, number) = (code.stat(file), code.asm.bytes(b"0000\0"), code.asm.scratch(8));
    let mode = stat.plus(std::mem::offset_of!(libc::stat, st_mode) as u64);
    for (place, (bit, doublings, byte)) in (0..).zip(DIGITS) {
        let bits = code.asm.load(4, mode, 0o7 << bit);
        for _ in 0..doublings {
            code.asm.add(bits, bits);
        }
        code.asm.store(8, number, bits);
        code.asm.release(bits);
        let digit = code.asm.load(1, number.plus(byte), 0o7);
        code.asm.add(digit, i32::from(b'0'));
        code.asm.store(1, text.plus(place), digit);
        code.asm.release(digit);
    }
    text
}

/// The configured context of a new file system (fsopen(2)).
pub(super) fn file_system_context(
    code: &mut Lowering,
    kind: &str,
    source: &str,
    options: &MountOptions,
) -> Reg {
    if !filesystem_type::needs_no_path(kind) {
        // Its source and its options may be paths of the host.
        code.at_host();
    }
    let sealed = code.sealed.as_deref() == Some(kind);
    let name = if sealed { SEALED.into() } else { code.string(kind) };
    let context = open(code, name);
    if !source.is_empty() {
        configure(code, context, "source", Some(source));
    }
    for flag in &options.superblock {
        configure(code, context, flag.key, None);
    }
    for option in &options.data {
        match option.value.as_deref() {
            Some(layers)
                if layers.len() > FSCONFIG_STRING_MAX
                    && (kind, option.key.as_str()) == ("overlay", "lowerdir")
                    && code.kernel.lowerdir_append =>
            {
                append_layers(code, context, layers);
            }
            value => configure(code, context, &option.key, value),
        }
    }
    context
}

/// fsopen(2): the context of a new file system of the type whose name is at `name`.
pub(super) fn open(code: &mut Lowering, name: Arg) -> Reg {
    code.asm.call_to(libc::SYS_fsopen, &[name, FSOPEN_CLOEXEC.into()])
}

/// Creates the file system of a context, and a mount of it.
pub(super) fn create_file_system(code: &mut Lowering, context: Reg, attributes: MountAttrFlags) -> Reg {
    command(code, context, FsconfigCommand::Create);
    let args = [context.into(), FSMOUNT_CLOEXEC.into(), attributes.bits().into()];
    let made = code.asm.call_to(libc::SYS_fsmount, &args);
    code.asm.close(context);
    made
}

/// The same into a register.
pub(super) fn create_into(code: &mut Lowering, into: Reg, context: Reg, attributes: MountAttrFlags) {
    command(code, context, FsconfigCommand::Create);
    let args = [context.into(), FSMOUNT_CLOEXEC.into(), attributes.bits().into()];
    code.asm.call_into(into, libc::SYS_fsmount, &args);
    code.asm.close(context);
}

/// Adds the layers of an overlay one by one: together they are too long for fsconfig(2).
fn append_layers(code: &mut Lowering, context: Reg, layers: &str) {
    let (lower, data) = split_lowerdir(layers);
    for layer in &lower {
        configure(code, context, "lowerdir+", Some(layer));
    }
    for layer in &data {
        configure(code, context, "datadir+", Some(layer));
    }
}

/// fsconfig(2) with an option that is a string, or that has no value.
pub(super) fn configure(code: &mut Lowering, context: Reg, key: &str, value: Option<&str>) {
    let key = code.string(key);
    let (command, value) = match value {
        Some(value) => (FsconfigCommand::SetString, code.string(value)),
        None => (FsconfigCommand::SetFlag, 0.into()),
    };
    fsconfig(code, context, command, [key, value, 0.into()]);
}

/// fsconfig(2) with an option whose value is a descriptor.
pub(super) fn configure_fd(code: &mut Lowering, context: Reg, key: &CStr, value: Reg) {
    let key = code.text(key);
    fsconfig(code, context, FsconfigCommand::SetFd, [key, 0.into(), value.into()]);
}

/// fsconfig(2) with a command that has neither a key nor a value.
pub(super) fn command(code: &mut Lowering, context: Reg, command: FsconfigCommand) {
    fsconfig(code, context, command, [0.into(); 3]);
}

fn fsconfig(code: &mut Lowering, context: Reg, command: FsconfigCommand, [key, value, aux]: [Arg; 3]) {
    code.asm.call(libc::SYS_fsconfig, &[context.into(), command.number().into(), key, value, aux]);
}
