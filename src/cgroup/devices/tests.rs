use super::*;

fn deny_all() -> DeviceRule {
    DeviceRule { allow: false, access: Some("rwm".into()), ..DeviceRule::default() }
}

#[test]
fn placeholder_is_default_deny() {
    let policy = DevicePolicy::container(&[deny_all()]).unwrap();
    assert_eq!(policy.refused(DeviceKind::Block, 8, 0, Access::READ), Access::READ);
}
