//! `SCMP_ACT_NOTIFY`: the filter's listener is sent to the agent that decides about the system calls
//! (`config-linux.md#seccomp`, `#containerprocessstate`; seccomp_unotify(2)).

use super::state::{OCI_VERSION, State};
use super::unix_socket;
use crate::bundle::Spec;
use crate::sys;
use crate::{Error, Phase, Result};
use nix::errno::Errno;
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// Whether a configuration's filter notifies an agent.
pub(super) fn notifies(spec: &Spec) -> bool {
    let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    seccomp.is_some_and(|profile| profile.syscalls.iter().any(|rule| rule.action == NOTIFY))
}

/// A connection to the seccomp agent, for one message.
#[derive(Debug)]
pub(super) struct SeccompAgent {
    path: PathBuf,
    metadata: String,
    sock: OwnedFd,
}

/// `containerProcessState`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'static str,
    /// The names of the descriptors that are sent, in the same order.
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

impl SeccompAgent {
    /// Connects to the agent if the configuration's filter notifies one.
    ///
    /// # Errors
    /// If nothing listens on the agent's socket.
    pub(super) fn connect(spec: &Spec) -> Result<Option<Self>> {
        let Some(profile) = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref()) else {
            return Ok(None);
        };
        if !notifies(spec) {
            return Ok(None);
        }
        let path = PathBuf::from(profile.listener_path.clone().unwrap_or_default());
        let sock = unix_socket::connect(&path, "seccomp agent").map_err(|e| match e.errno() {
            Some(errno) => failed("failed to connect with seccomp agent", errno, &path),
            None => e.with_pointer("/linux/seccomp/listenerPath"),
        })?;
        Ok(Some(Self { path, metadata: profile.listener_metadata.clone().unwrap_or_default(), sock }))
    }

    /// Sends the listener of a process's filter, and closes the connection.
    pub(super) fn send(self, listener: &OwnedFd, pid: i32, state: &State) -> Result<()> {
        const WHAT: &str = "failed to send the listener to the seccomp agent";
        let message = ContainerProcessState {
            oci_version: OCI_VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.metadata,
            state,
        };
        let text = serde_json::to_vec(&message).map_err(|_| failed(WHAT, Errno::EINVAL, &self.path))?;
        // A long state may not fit into the socket buffer at once.
        let deadline = Instant::now() + unix_socket::PEER_TIMEOUT;
        sys::unix::send_until(&self.sock, &text, Some(listener.as_fd()), deadline)
            .map_err(|e| failed(WHAT, e, &self.path))
    }
}

fn failed(what: &'static str, errno: Errno, path: &Path) -> Error {
    Error::sys(Phase::Seccomp, what, errno)
        .on(path.display().to_string())
        .with_pointer("/linux/seccomp/listenerPath")
}
