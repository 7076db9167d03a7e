//! Hooks: programs that `config.json` names, run at six points of a container's life.
//!
//! Layers, each of which uses only those before it: [`runner`], [`launcher`].

pub(super) mod launcher;
pub(super) mod runner;
