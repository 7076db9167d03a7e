//! Where systemd can be reached.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// The addresses of a systemd instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemdBus {
    /// D-Bus addresses, tried in order.
    pub(super) addresses: Vec<String>,
    /// Whether it is the instance of a user.
    pub(super) user: bool,
}

impl Default for SystemdBus {
    fn default() -> Self {
        Self::system()
    }
}

impl SystemdBus {
    /// The system instance: at its private socket, or on the system bus.
    pub fn system() -> Self {
        let addresses = ["unix:path=/run/systemd/private", "unix:path=/run/dbus/system_bus_socket"];
        Self { addresses: addresses.map(str::to_owned).into(), user: false }
    }

    /// A user's instance: on the session bus (`DBUS_SESSION_BUS_ADDRESS`), or at the sockets in the user's runtime
    /// directory (`XDG_RUNTIME_DIR`). The library does not read the environment: pass the values.
    pub fn user(session: Option<&str>, runtime_dir: Option<&Path>) -> Self {
        let mut addresses: Vec<String> =
            session.filter(|a| !a.is_empty()).map(str::to_owned).into_iter().collect();
        if let Some(directory) = runtime_dir.filter(|d| d.is_absolute()) {
            for name in ["systemd/private", "bus"] {
                addresses.push(format!("unix:path={}", escape(&directory.join(name))));
            }
        }
        Self { addresses, user: true }
    }

    /// Whether it is the instance of a user.
    pub fn is_user(&self) -> bool {
        self.user
    }
}

/// Escapes a path for an address: all but letters, digits and a few other characters become `%XX`.
fn escape(path: &Path) -> String {
    use std::fmt::Write as _;
    path.as_os_str().as_encoded_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}
