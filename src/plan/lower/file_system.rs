//! New file systems.

use super::super::assemble::Reg;
use super::super::step::SEALED;
use super::lowering::Lowering;
use crate::mount::filesystem_type;
use crate::mount::options::{FSCONFIG_STRING_MAX, MountOptions};
use crate::mount::overlay::split_lowerdir;
use crate::sys::mount::{MountAttrFlags, config};

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
    let context = code.asm.call_to(libc::SYS_fsopen, &[name, 1.into()]);
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

/// Creates the file system of a context, and a mount of it.
pub(super) fn create_file_system(code: &mut Lowering, context: Reg, attributes: MountAttrFlags) -> Reg {
    code.asm
        .call(libc::SYS_fsconfig, &[context.into(), config::CMD_CREATE.into(), 0.into(), 0.into(), 0.into()]);
    let made = code.asm.call_to(libc::SYS_fsmount, &[context.into(), 1.into(), attributes.bits().into()]);
    code.asm.close(context);
    made
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

pub(super) fn configure(code: &mut Lowering, context: Reg, key: &str, value: Option<&str>) {
    let key = code.string(key);
    let (command, value) = match value {
        Some(value) => (config::SET_STRING, code.string(value)),
        None => (config::SET_FLAG, 0u64.into()),
    };
    code.asm.call(libc::SYS_fsconfig, &[context.into(), command.into(), key, value, 0.into()]);
}
