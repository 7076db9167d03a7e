//! `process.capabilities`, and those that `exec` adds.

use kit::{Case, Test, Value, json};

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        template_capabilities,
        five_capability_sets_are_set,
        no_capabilities_at_all,
        unknown_capability_is_a_warning,
        capabilities_that_the_caller_lacks_are_a_warning,
        capabilities_of_another_user_than_root,
        added_capabilities_are_ambient_if_some_are_inheritable,
    ]
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

fn template_capabilities(t: &Test) {
    let seen = t.bundle().report();
    let three = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]);
    for set in ["bounding", "effective", "permitted"] {
        assert_eq!(seen["caps"][set], three, "{set}");
    }
    for set in ["inheritable", "ambient"] {
        assert_eq!(seen["caps"][set], json!([]), "{set}");
    }
}

fn five_capability_sets_are_set(t: &Test) {
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"],
        "permitted": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
        "effective": ["CAP_KILL"],
        "inheritable": ["CAP_CHOWN", "CAP_KILL"],
        "ambient": ["CAP_KILL"],
    });
    // exec gives root its whole bounding set; another user keeps only the ambient set.
    let bundle = t.bundle().set("/process/capabilities", sets);
    let seen = bundle.set("/process/user", json!({"uid": 1000, "gid": 1000})).report();
    assert_eq!(seen["caps"]["bounding"], json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_NET_RAW"]));
    assert_eq!(seen["caps"]["inheritable"], json!(["CAP_CHOWN", "CAP_KILL"]));
    for set in ["ambient", "permitted", "effective"] {
        assert_eq!(seen["caps"][set], json!(["CAP_KILL"]), "{set}");
    }
}

fn no_capabilities_at_all(t: &Test) {
    for value in [json!({}), Value::Null] {
        let mut bundle = t.bundle();
        bundle = if value.is_null() {
            bundle.remove("/process/capabilities")
        } else {
            bundle.set("/process/capabilities", value)
        };
        if bundle.spec()["process"].get("capabilities").is_none() && !t.is_orlop() {
            continue; // A runtime under test in place of this one has a default for an absent object.
        }
        let seen = bundle.report();
        for set in ["bounding", "effective", "permitted", "inheritable", "ambient"] {
            assert_eq!(seen["caps"][set], json!([]), "{set}");
        }
    }
}

fn unknown_capability_is_a_warning(t: &Test) {
    let bundle = t.bundle().push("/process/capabilities/bounding", "CAP_MAKE_COFFEE");
    let output = bundle.command("run", &[]).output().success();
    assert!(output.stderr.contains("CAP_MAKE_COFFEE"), "{output}");
}

/// A container that asks for what its caller does not have starts without it (config.md#linux-process), also a process that
/// joins it. In a user namespace of its own it has everything.
fn capabilities_that_the_caller_lacks_are_a_warning(t: &Test) {
    t.only_orlop("it fails");
    let (lacking, number) = ("CAP_SYS_BOOT", 22);
    let has = |seen: &Value, set: &str| strings(&seen["caps"][set]).contains(&lacking);
    let wrap = format!("lacks={number}");
    let asked = json!(["CAP_KILL", lacking]);
    let names = ["bounding", "permitted", "effective", "inheritable", "ambient"];
    let sets: serde_json::Map<_, _> =
        names.map(|name| (name.to_owned(), asked.clone())).into_iter().collect();
    let bundle = || t.bundle().set("/process/capabilities", Value::Object(sets.clone()));
    let output = bundle().probe("report").command("run", &[]).wrap(&wrap).output().success();
    let warnings = output.stderr.lines().filter(|line| line.contains(lacking));
    assert_eq!(warnings.count(), 1, "{output}");
    for name in names {
        assert!(!has(&output.json(), name), "{name}: {output}");
        assert!(strings(&output.json()["caps"][name]).contains(&"CAP_KILL"), "{name}: {output}");
    }
    let container = bundle().probe("sleep").start();
    let call = t.runtime(["exec", "--cap", lacking, container.id(), "/probe", "report"]).wrap(&wrap);
    let output = call.output().success();
    assert!(!has(&output.json(), "bounding") && output.stderr.contains(lacking), "{output}");
    let own = bundle().user_namespace(100_000).probe("report");
    let output = own.command("run", &[]).wrap(&wrap).output().success();
    assert!(has(&output.json(), "bounding") && !output.stderr.contains(lacking), "{output}");
}

fn capabilities_of_another_user_than_root(t: &Test) {
    // A user other than root with no ambient capabilities: the program has only its bounding set.
    let seen = t.bundle().set("/process/user", json!({"uid": 1000, "gid": 1000})).report();
    assert_eq!(seen["caps"]["effective"], json!([]));
    assert_eq!(seen["caps"]["permitted"], json!([]));
    assert_eq!(seen["caps"]["bounding"].as_array().unwrap().len(), 3);
}

fn added_capabilities_are_ambient_if_some_are_inheritable(t: &Test) {
    let sets = |inheritable: &[&str]| {
        json!({"bounding": ["CAP_KILL", "CAP_CHOWN"], "permitted": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"],
            "inheritable": inheritable})
    };
    for (inheritable, ambient) in
        [(&["CAP_CHOWN", "CAP_KILL"][..], json!(["CAP_KILL"])), (&[][..], json!([]))]
    {
        let container = t.bundle().set("/process/capabilities", sets(inheritable)).probe("sleep").start();
        let call = t.runtime(["exec", "--cap", "CAP_KILL", container.id(), "/probe", "report"]);
        let caps = call.output().success().json()["caps"].clone();
        assert_eq!(caps["ambient"], ambient, "{caps}");
        assert_eq!(
            caps["inheritable"],
            json!(inheritable)
                .as_array()
                .cloned()
                .map(|mut names| {
                    names.sort_by_key(|name| name != "CAP_CHOWN");
                    Value::Array(names)
                })
                .unwrap(),
            "{caps}"
        );
    }
}
