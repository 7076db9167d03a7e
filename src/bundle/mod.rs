//! Reading and validating a bundle's `config.json`. No other module reads its JSON.
//!
//! [`spec`] is a complete model of runtime-spec 1.3.0 for Linux. [`Bundle`] is a directory with a
//! validated configuration and a root file system. [`validate()`] finds all violations of the spec's
//! rules that do not depend on the host.
//!
//! # Layers
//! Each line uses only the lines before it:
//! 1. `names`, `id_list`, `semver`, `sysctl`: names and grammars of values; `json`: JSON as a tree; `findings`: problems
//!    and their pointers
//! 2. `read`: typed readers
//! 3. `model`: structures with readers and writers; `annotations`
//! 4. `spec`: the model
//! 5. `hook_kind`, `validate`, `oci`
//! 6. `load`: bundles

pub mod annotations;
mod findings;
mod hook_kind;
mod id_list;
mod json;
mod load;
mod model;
pub(crate) mod names;
#[cfg(feature = "oci-spec")]
mod oci;
mod read;
mod semver;
pub mod spec;
pub(crate) mod sysctl;
#[cfg(test)]
mod tests;
mod validate;

pub use hook_kind::HookKind;
pub use id_list::parse_id_list;
pub use load::{Bundle, CONFIG, mounts_from_json};
pub use spec::Spec;
pub use sysctl::sysctl_path;
pub use validate::{validate, validate_process, validate_resources};
