//! Labels of security modules: of the process, and of the container's mounts.

use super::super::step::{LabelTarget, ProcessStep};
use super::draft::Draft;
use super::input::Input;
use crate::bundle::annotations::{self, MOUNT_CONTEXT_TYPE};
use crate::bundle::spec::Process;
use crate::mount::options::{DataOption, MountOptions};
use crate::process::label::{self, LsmLabel, MOUNT_CONTEXTS, takes_mount_context};
use crate::{Error, Phase, Result};

const SELINUX_LABEL: &str = "/process/selinuxLabel";

/// Refuses labels that no security module would enforce.
pub(super) fn check_labels(input: &Input<'_>) -> Result<()> {
    let Some(process) = &input.spec.process else { return Ok(()) };
    let named = |l: &Option<String>| l.as_ref().is_some_and(|l| !l.is_empty());
    let refuse = |pointer: &str, why: &str| Err(Error::unsupported(Phase::Process, pointer, why));
    match (named(&process.apparmor_profile), named(&process.selinux_label)) {
        (true, true) => refuse(SELINUX_LABEL, "AppArmor and SELinux labels exclude each other"),
        (true, _) if !input.host.apparmor => {
            refuse("/process/apparmorProfile", "AppArmor is not enabled on this host")
        }
        (_, true) if !input.host.selinux => refuse(SELINUX_LABEL, "SELinux is not enabled on this host"),
        _ => Ok(()),
    }
}

/// Opens the files for the labels, while the host's `/proc` is within reach.
pub(super) fn open_labels(input: &Input<'_>, draft: &mut Draft) {
    let Some(process) = &input.spec.process else { return };
    let mut open = |pointer: &str, target, label: LsmLabel| {
        let files = label.files.iter().map(|f| format!("/proc/thread-self/{f}")).collect();
        draft.configured(pointer, ProcessStep::OpenLabel { target, files });
    };
    if let Some((pointer, label)) = of_process(process) {
        open(pointer, LabelTarget::Program, label);
    }
    if let Some(label) = of_keys(input, process) {
        open(SELINUX_LABEL, LabelTarget::Keys, label);
    }
}

/// Writes the program's label to the open file.
pub(super) fn write_label(draft: &mut Draft, process: &Process) {
    if let Some((pointer, label)) = of_process(process) {
        draft.configured(pointer, ProcessStep::WriteLabel { target: LabelTarget::Program, text: label.text });
    }
}

/// Labels the keys that are created from here on, of which there is one: the session keyring. Without the process's label
/// SELinux denies the program its own keyring. execve(2) resets this label.
pub(super) fn label_keys(input: &Input<'_>, draft: &mut Draft, process: &Process) {
    if let Some(label) = of_keys(input, process) {
        let step = ProcessStep::WriteLabel { target: LabelTarget::Keys, text: label.text };
        draft.configured(SELINUX_LABEL, step);
    }
}

/// The label of the session keyring, if the process gets one.
fn of_keys(input: &Input<'_>, process: &Process) -> Option<LsmLabel> {
    let context = process.selinux_label.as_ref().filter(|context| !context.is_empty())?;
    (!input.options.no_new_keyring).then(|| label::selinux_keys(context))
}

/// The label of a process, and its pointer.
fn of_process(process: &Process) -> Option<(&'static str, LsmLabel)> {
    let named = |l: &Option<String>| l.clone().filter(|l| !l.is_empty());
    named(&process.apparmor_profile)
        .map(|profile| ("/process/apparmorProfile", label::apparmor(&profile)))
        .or_else(|| named(&process.selinux_label).map(|context| (SELINUX_LABEL, label::selinux(&context))))
}

/// Refuses a mount label that SELinux would not enforce, or that has an unknown option.
pub(super) fn check_mount_label(input: &Input<'_>) -> Result<()> {
    if mount_label(input).is_none() {
        return Ok(());
    }
    if !input.host.selinux {
        let why = "SELinux is not enabled on this host";
        return Err(Error::unsupported(Phase::Mount, "/linux/mountLabel", why));
    }
    if MOUNT_CONTEXTS.contains(&context_type(input)) {
        return Ok(());
    }
    let pointer = annotations::pointer(MOUNT_CONTEXT_TYPE.name());
    let why = format!("{:?} is not one of {}", context_type(input), MOUNT_CONTEXTS.join(", "));
    Err(Error::unsupported(Phase::Mount, pointer, why))
}

/// `linux.mountLabel`.
pub(super) fn mount_label<'a>(input: &Input<'a>) -> Option<&'a str> {
    let linux = input.linux()?;
    linux.mount_label.as_deref().filter(|label| !label.is_empty())
}

fn context_type<'a>(input: &Input<'a>) -> &'a str {
    input.spec.annotations.value(&MOUNT_CONTEXT_TYPE).unwrap_or("context")
}

/// The option which gives a new file system the label.
pub(super) fn mount_context(input: &Input<'_>) -> Option<DataOption> {
    let value = mount_label(input)?.to_owned();
    Some(DataOption { key: context_type(input).to_owned(), value: Some(value), index: 0 })
}

/// Gives a new file system the label, unless its own options do.
pub(super) fn label_new(input: &Input<'_>, kind: &str, options: &mut MountOptions) {
    let labelled = options.data.iter().any(|option| MOUNT_CONTEXTS.contains(&option.key.as_str()));
    if takes_mount_context(kind) && options.remount.is_none() && !labelled {
        options.data.extend(mount_context(input));
    }
}
