//! The program's messages to the service manager: sd_notify(3).
//!
//! The program does not get the manager's own socket. The manager would reject a process of another cgroup, or see that
//! the sender is root and believe it that any process of the host is the service's main process. So the program gets a
//! socket in the container's state directory, and the process that starts the container forwards the permitted parts of
//! the messages.
//!
//! Layers, each of which uses only those before it: [`environment`], [`inbox`], [`manager`], [`message`]; [`relay`].

pub(super) mod environment;
pub(super) mod inbox;
mod manager;
mod message;
pub(super) mod relay;

#[cfg(test)]
mod tests;
