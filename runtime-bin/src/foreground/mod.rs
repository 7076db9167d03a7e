//! Serving a process in the foreground: signals are forwarded, orphans are reaped, and the terminal and the messages
//! for the service manager are relayed.
//!
//! Layers, lowest first: `poll`; `relay` (one direction of a terminal) and `stdout`; `terminal`; `signals`; `notify`;
//! `serve` (all of them, in one loop).

mod notify;
mod poll;
mod relay;
mod serve;
mod signals;
mod stdout;
mod terminal;

pub(crate) use notify::NotifyForwarder;
pub(crate) use serve::serve;
pub(crate) use signals::{BlockedSignals, become_subreaper};
pub(crate) use terminal::{TerminalRelay, set_console_size};
