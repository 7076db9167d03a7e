//! `process` of config.json.

use kit::{Case, Test, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![identity]
}

fn identity(t: &Test) {
    let seen = t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1001})).report();
    assert_eq!(seen["uid"], json!([1000, 1000, 1000, 1000]));
}
