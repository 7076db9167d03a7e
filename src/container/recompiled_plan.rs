//! The plan of an existing container. It is not stored but compiled again, for the words of an error message or for a
//! checkpoint.

use super::container::Container;
use super::store::{StateRecord, config};
use crate::Result;
use crate::bundle::{Bundle, Spec};
use crate::plan::{self, Host, Plan};

/// Compiles the plan that the container was created from.
pub(super) fn compile(container: &Container, record: &StateRecord) -> Result<Plan> {
    let config = config::read(&container.directory)?;
    let bundle = Bundle {
        path: record.bundle.clone(),
        spec: Spec::from_json(&config)?,
        config,
        rootfs: record.rootfs.clone(),
        warnings: Vec::new(),
    };
    let options = plan::Options { id: container.id.clone(), wait_for_start: true, ..record.options.clone() };
    plan::compile(&bundle, &Host::detect_for(&bundle, &options)?, &options)
}
