//! Reading and validating a bundle's `config.json`; the only room that knows JSON.
//!
//! [`spec`] is an own, total model of runtime-spec 1.3.0 for Linux. [`Bundle`] is a directory with a
//! validated configuration and a root file system. [`validate()`] finds every breach of the spec's
//! rules that can be found without looking at the host.

pub mod annotations;
mod hook_kind;
mod id_list;
mod load;
mod model;
pub(crate) mod names;
mod node;
#[cfg(feature = "oci-spec")]
mod oci;
mod read;
mod semver;
pub mod spec;
pub(crate) mod sysctl;
mod template;
#[cfg(test)]
mod tests;
mod validate;

pub use hook_kind::HookKind;
pub use id_list::parse_id_list;
pub use load::{Bundle, CONFIG, mounts_from_json};
pub use spec::Spec;
pub use sysctl::sysctl_path;
pub use validate::{validate, validate_process, validate_resources};
