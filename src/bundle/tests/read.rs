//! Reading valid and invalid texts.

use crate::ErrorKind;
use crate::bundle::spec::{Pids, Process, Resources, Rlimit, Spec};
use std::collections::BTreeMap;

fn pointers(text: &str) -> Vec<String> {
    let error = Spec::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.problems().iter().map(|p| p.pointer.clone()).collect()
}

#[test]
fn every_problem_is_found_with_its_pointer() {
    let text = r#"{"ociVersion": 1, "hostname": ["x"], "process": {"cwd": "/", "user": {"uid": -1, "gid": "0"},
        "args": ["a", 2], "rlimits": [{"type": "RLIMIT_CORE", "soft": 1.5, "hard": 18446744073709551616}]},
        "mounts": {"a": 1}, "annotations": {"a/b~c": 1}, "linux": {"uidMappings": [{"size": 1}]}}"#;
    let expected = [
        "/ociVersion",
        "/process/user/uid",
        "/process/user/gid",
        "/process/args/1",
        "/process/rlimits/0/hard",
        "/process/rlimits/0/soft",
        "/hostname",
        "/mounts",
        "/annotations/a~1b~0c",
        "/linux/uidMappings/0/containerID",
        "/linux/uidMappings/0/hostID",
    ];
    assert_eq!(pointers(text), expected);
}

#[test]
fn messages_name_the_valid_range() {
    let error = Spec::from_json(br#"{"ociVersion":"1.0.0","process":{"cwd":"/","user":{"uid":4294967296}}}"#)
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("/process/user/uid: must be an integer from 0 to 4294967295, not 4294967296"),
        "{text}"
    );
    assert_eq!(error.problems()[0].section, "config.md#posix-platform-user");
}

#[test]
fn only_exact_integers_are_accepted() {
    let read = |number: &str| {
        let text = format!(r#"{{"memory":{{"limit":{number}}}}}"#);
        Resources::from_json(text.as_bytes()).map(|r| r.memory.unwrap().limit.unwrap())
    };
    assert_eq!(read("9223372036854775807").unwrap(), i64::MAX);
    assert_eq!(read("-9223372036854775808").unwrap(), i64::MIN);
    for bad in
        ["9223372036854775808", "-9223372036854775809", "1.0", "1e3", "1E3", "\"1\"", "true", "1e999999"]
    {
        assert!(read(bad).is_err(), "{bad}");
    }
    let text =
        r#"{"cwd":"/","rlimits":[{"type":"x","soft":18446744073709551614,"hard":18446744073709551615}]}"#;
    let limits = Process::from_json(text.as_bytes()).unwrap().rlimits;
    assert_eq!(limits, [Rlimit { kind: "x".into(), soft: u64::MAX - 1, hard: u64::MAX }]);
}

#[test]
fn syntax_errors_have_line_and_column() {
    for (text, place) in [
        ("{\n  \"ociVersion\": \"1.0.0\",\n}", "line 3 column 1"),
        ("", "line 1 column 0"),
        ("{\"a\" 1}", "line 1 column 6"),
        ("{} x", "line 1 column 4"),
        ("{\"a\":\"\\ud800\"}", "line 1"),
    ] {
        let text = Spec::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(text.contains(place), "{text}");
    }
    assert!(Spec::from_json(b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn nesting_is_limited() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = Spec::from_json(format!(r#"{{"x":{deep}}}"#).as_bytes()).unwrap_err();
    assert!(error.to_string().contains("recursion limit"), "{error}");
}

#[test]
fn the_last_of_repeated_properties_is_read() {
    let spec =
        Spec::from_json(br#"{"ociVersion":5,"hostname":"a","ociVersion":"1.0.0","hostname":"b"}"#).unwrap();
    assert_eq!((spec.version.as_str(), spec.hostname.as_deref()), ("1.0.0", Some("b")));
    let text = br#"{"ociVersion":"1.0.0","annotations":{"a":1,"b":"x","a":"y"}}"#;
    let annotations = BTreeMap::from(Spec::from_json(text).unwrap().annotations);
    assert_eq!(annotations["a"], "y");
}

#[test]
fn null_and_empty_mean_absent_and_unknown_is_ignored() {
    let text = r#"{"ociVersion":"1.0.0","process":null,"hostname":"","mounts":null,"unknown":{"a":[1]},
        "linux":{"resources":{"pids":{"limit":null},"cpu":{}}}}"#;
    let spec = Spec::from_json(text.as_bytes()).unwrap();
    assert_eq!((&spec.process, &spec.hostname, spec.mounts.len()), (&None, &None, 0));
    let resources = spec.linux.unwrap().resources.unwrap();
    assert_eq!(resources.pids, Some(Pids { limit: None }));
    assert!(resources.cpu.is_some());
}

#[test]
fn strings_may_have_escapes_but_no_nul() {
    let spec = Spec::from_json(br#"{"oci\u0056ersion":"1.0.0\n\u00e9"}"#).unwrap();
    assert_eq!(spec.version, "1.0.0\n\u{e9}");
    assert_eq!(pointers(r#"{"ociVersion":"1.0.0","hostname":"a\u0000b"}"#), ["/hostname"]);
}
