//! Texts generated from the table for shells and manuals: completions and man pages.
//!
//! Layers, lowest first: `index` (what they list); `bash`, `fish`, `zsh`, `roff` (one format each); `shell`.

mod bash;
mod fish;
mod index;
mod roff;
mod shell;
#[cfg(test)]
mod tests;
mod zsh;

pub(crate) use roff::page;
pub(crate) use shell::{Shell, completion};
