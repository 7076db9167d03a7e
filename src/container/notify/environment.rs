//! What the container sees of its notify socket.

use crate::bundle::Bundle;
use crate::container::options::CreateOptions;
use crate::container::store::sockets::{NOTIFY_DIRECTORY, NOTIFY_SOCKET};
use std::path::Path;

/// Where the directory of the socket is mounted in the container.
const MOUNT_POINT: &str = "/run/notify";

/// The host directory that is mounted into the container, and the variable with the socket's path. `None` if no socket is
/// requested, the configuration sets the variable itself, or there is no new mount namespace.
pub(in crate::container) fn directory_and_variable(
    bundle: &Bundle,
    options: &CreateOptions,
    state_directory: &Path,
) -> Option<(String, String)> {
    let process = bundle.spec.process.as_ref().filter(|_| options.notify)?;
    let is_set = process.env.iter().any(|variable| variable.starts_with("NOTIFY_SOCKET="));
    let linux = bundle.spec.linux.as_ref()?;
    let has_mount_namespace =
        linux.namespaces.iter().any(|n| n.kind == "mount" && n.path.as_deref().is_none_or(str::is_empty));
    (has_mount_namespace && !is_set).then(|| {
        let directory = state_directory.join(NOTIFY_DIRECTORY).display().to_string();
        (directory, format!("NOTIFY_SOCKET={MOUNT_POINT}/{NOTIFY_SOCKET}"))
    })
}
