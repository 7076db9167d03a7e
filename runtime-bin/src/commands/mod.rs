//! The commands: each turns its arguments into calls of the library, and the result into an exit code.
//!
//! Layers, lowest first; a file uses only layers below its own:
//!
//! 1. `open` (the runtime or the container of the arguments), `bundle`, `console`, `criu`, `descriptors`, `input`
//! 2. `matching` (several containers), `new_container`, `supervise` (a container in the foreground)
//! 3. a file for each command
//! 4. `dispatch`

mod bundle;
mod checkpoint;
mod completion;
mod console;
mod create;
mod criu;
mod delete;
mod descriptors;
mod dispatch;
mod events;
mod exec;
mod features;
mod input;
mod kill;
mod list;
mod man;
mod matching;
mod mounts;
mod new_container;
mod open;
mod plan;
mod ps;
mod restore;
mod run;
mod spec;
mod start;
mod state;
mod supervise;
mod suspend;
mod update;

pub(crate) use dispatch::dispatch;
