//! Creating a container.

use super::{Container, CreateOptions, Runtime};
use crate::Result;
use crate::bundle::Bundle;

pub(super) fn create(_: &Runtime, id: &str, _: &Bundle, _: &CreateOptions) -> Result<Container> {
    super::id::validate(id)?;
    Err(super::unfinished("create"))
}
