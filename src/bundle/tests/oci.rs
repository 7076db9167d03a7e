//! Conversion to and from the `oci-spec` crate.
#![cfg(feature = "oci-spec")]

use crate::ErrorKind;
use crate::bundle::Spec;
use oci_spec::runtime;

#[test]
fn the_default_of_oci_spec_is_converted() {
    let other = runtime::Spec::default();
    let spec = Spec::try_from(&other).unwrap();
    assert_eq!(spec.version, *other.version());
    assert_eq!(spec.mounts.len(), other.mounts().as_ref().unwrap().len());
    assert!(runtime::Spec::try_from(&spec).is_ok());
}

#[test]
fn a_value_that_oci_spec_cannot_hold_is_refused() {
    let mut spec = Spec::template(false);
    let linux = spec.linux.as_mut().unwrap();
    linux.resources.as_mut().unwrap().hugepage_limits =
        vec![crate::bundle::spec::HugepageLimit { page_size: "2MB".into(), limit: u64::MAX }];
    let error = runtime::Spec::try_from(&spec).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}
