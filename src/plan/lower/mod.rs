//! Lowering: translates each step of the stub's column into instructions. A family of steps has a file, and so does each
//! subject of a family that takes more than a few instructions.
//!
//! | layer | files |
//! | --- | --- |
//! | all steps | `steps` |
//! | a family | `namespace` `rootfs` `process` `control` |
//! | a subject | `mount` `device` `terminal` |
//! | shared by these | `place` `file_system` `message` `tree` |
//! | the code while it is written | `lowering` |

#![deny(clippy::match_wildcard_for_single_variants, clippy::wildcard_enum_match_arm)]

mod control;
mod device;
mod file_system;
mod lowering;
mod message;
mod mount;
mod namespace;
mod place;
mod process;
mod rootfs;
mod steps;
mod terminal;
mod tree;

pub(crate) use lowering::Kernel;
pub(crate) use steps::lower;
