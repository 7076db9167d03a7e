//! SELinux contexts of the container's mounts.

use super::Compiler;
use crate::bundle::annotations::{self, MOUNT_CONTEXT_TYPE};
use crate::mount::options::{DataOption, MountOptions};
use crate::process::label::{MOUNT_CONTEXTS, takes_mount_context};
use crate::{Error, Phase, Result};

impl Compiler<'_> {
    /// Refuses a label which no module would enforce, or whose option there is not.
    pub(super) fn check_mount_label(&self) -> Result<()> {
        if self.mount_label().is_none() {
            return Ok(());
        }
        if !self.host.selinux {
            let why = "SELinux is not enabled on this host";
            return Err(Error::unsupported(Phase::Mount, "/linux/mountLabel", why));
        }
        if MOUNT_CONTEXTS.contains(&self.context_type()) {
            return Ok(());
        }
        let pointer = annotations::pointer(MOUNT_CONTEXT_TYPE.name());
        let why = format!("{:?} is not one of {}", self.context_type(), MOUNT_CONTEXTS.join(", "));
        Err(Error::unsupported(Phase::Mount, pointer, why))
    }

    /// `linux.mountLabel`.
    pub(super) fn mount_label(&self) -> Option<&str> {
        let linux = self.bundle.spec.linux.as_ref()?;
        linux.mount_label.as_deref().filter(|label| !label.is_empty())
    }

    fn context_type(&self) -> &str {
        self.bundle.spec.annotations.value(&MOUNT_CONTEXT_TYPE).unwrap_or("context")
    }

    /// The option which gives a new file system the label.
    pub(super) fn mount_context(&self) -> Option<DataOption> {
        let value = self.mount_label()?.to_owned();
        Some(DataOption { key: self.context_type().to_owned(), value: Some(value), index: 0 })
    }

    /// Gives a new file system the label, unless its own options do.
    pub(super) fn label_new(&self, kind: &str, options: &mut MountOptions) {
        let labelled = options.data.iter().any(|option| MOUNT_CONTEXTS.contains(&option.key.as_str()));
        if takes_mount_context(kind) && options.remount.is_none() && !labelled {
            options.data.extend(self.mount_context());
        }
    }
}
