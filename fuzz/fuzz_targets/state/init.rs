//! The control page, whose identity a record keeps.

#[path = "../../../src/init/launch/control_page.rs"]
mod control_page;

pub(crate) mod launch {
    pub(crate) use super::control_page::ControlPageId;
}
