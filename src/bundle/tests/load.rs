//! Bundles on disk and in memory.

use crate::ErrorKind;
use crate::bundle::{Bundle, Spec};
use nix::errno::Errno;
use std::fs;
use std::path::{Path, PathBuf};

/// A test's directory, removed when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("orlop-bundle-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn with_bundle(name: &str, config: &[u8]) -> Self {
        let scratch = Self::new(name);
        fs::create_dir(scratch.0.join("rootfs")).unwrap();
        fs::write(scratch.0.join("config.json"), config).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_bundle_is_loaded_from_its_directory() {
    let text = Spec::template(false).to_json_pretty().unwrap();
    let scratch = Scratch::with_bundle("good", &text);
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink(&scratch.0, &link).unwrap();
    let bundle = Bundle::load(&link).unwrap();
    assert_eq!(bundle.path, scratch.0);
    assert_eq!(bundle.rootfs, scratch.0.join("rootfs"));
    assert_eq!(bundle.config, text);
    assert_eq!(bundle.spec, Spec::template(false));
    assert!(bundle.warnings.is_empty());

    fs::write(scratch.0.join("other.json"), &text).unwrap();
    assert_eq!(Bundle::load_config(&scratch.0, "other.json").unwrap().spec, bundle.spec);
}

#[test]
fn a_missing_path_is_named() {
    let scratch = Scratch::new("missing");
    let error = Bundle::load(scratch.0.join("nope")).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::System, Some(Errno::ENOENT)));
    assert!(error.to_string().starts_with("open bundle /"), "{error}");

    let error = Bundle::load(&scratch.0).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::ENOENT));
    assert!(error.object().unwrap().ends_with("/config.json"), "{error}");

    fs::write(scratch.0.join("config.json"), Spec::template(false).to_json().unwrap()).unwrap();
    let error = Bundle::load(&scratch.0).unwrap_err();
    assert_eq!((error.errno(), error.pointer()), (Some(Errno::ENOENT), Some("/root/path")));
    assert!(error.object().unwrap().ends_with("/rootfs"), "{error}");

    fs::write(scratch.0.join("rootfs"), "").unwrap();
    assert_eq!(Bundle::load(&scratch.0).unwrap_err().errno(), Some(Errno::ENOTDIR));
    assert_eq!(Bundle::load(scratch.0.join("rootfs")).unwrap_err().errno(), Some(Errno::ENOTDIR));
    assert_eq!(Bundle::load("relative").unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn problems_of_reading_and_of_validation_are_reported_together() {
    let text =
        br#"{"ociVersion":"2.0.0","process":{"args":5,"user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},
        "linux":{"maskedPaths":["x"],"namespaces":[{"type":"mount"}]}}"#;
    let scratch = Scratch::with_bundle("problems", text);
    let error = Bundle::load(&scratch.0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    let pointers: Vec<_> = error.problems().iter().map(|p| p.pointer.as_str()).collect();
    assert_eq!(pointers, ["/process/args", "/process/cwd", "/ociVersion", "/linux/maskedPaths/0"]);
}

#[test]
fn a_syntax_error_names_file_line_and_column() {
    let scratch = Scratch::with_bundle("syntax", b"{\n  \"ociVersion\": \"1.0.0\",\n}");
    let error = Bundle::load(&scratch.0).unwrap_err();
    let expected =
        format!("invalid JSON {}/config.json: trailing comma at line 3 column 1", scratch.0.display());
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_warning_does_not_prevent_loading() {
    let mut spec = Spec::template(false);
    spec.mounts[0].destination = "proc".into();
    let scratch = Scratch::with_bundle("warning", &spec.to_json().unwrap());
    assert_eq!(Bundle::load(&scratch.0).unwrap().warnings[0].pointer, "/mounts/0/destination");
}

#[test]
fn a_bundle_is_created_from_memory() {
    let scratch = Scratch::with_bundle("memory", b"");
    let spec = Spec::template(false);
    let bundle = Bundle::from_spec(Some(&scratch.0), spec.clone()).unwrap();
    assert_eq!(bundle.rootfs, scratch.0.join("rootfs"));
    assert_eq!(Spec::from_json(&bundle.config).unwrap(), spec);

    let error = Bundle::from_spec(None, spec.clone()).unwrap_err();
    assert_eq!((error.kind(), error.pointer()), (ErrorKind::InvalidArgument, Some("/root/path")));
    assert_eq!(
        Bundle::from_spec(Some(Path::new("x")), spec.clone()).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );

    let mut absolute = spec;
    absolute.root.as_mut().unwrap().path = scratch.0.join("rootfs").to_str().unwrap().into();
    assert_eq!(Bundle::from_spec(None, absolute.clone()).unwrap().path, scratch.0);
    absolute.mounts[0].options = vec!["bind".into()];
    let error = Bundle::from_spec(None, absolute.clone()).unwrap_err();
    assert_eq!(error.pointer(), Some("/mounts/0/source"));
    assert!(Bundle::from_spec(Some(&scratch.0), absolute.clone()).is_ok());
    absolute.hostname = Some("a\0b".into());
    assert_eq!(Bundle::from_spec(Some(&scratch.0), absolute).unwrap_err().pointer(), Some("/hostname"));
}
