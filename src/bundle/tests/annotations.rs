//! All code and documentation of annotations uses the table.

use crate::bundle::annotations::{
    ALL, AllowedAnnotations, Annotation, Annotations, CRIU_CONFIG, SYSTEMD_PROPERTY,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !name.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let lines =
                code.lines().map(|line| line.split("// ").next().unwrap().split("///").next().unwrap());
            let below = path.strip_prefix(top()).unwrap().to_string_lossy().into_owned();
            found.push((below, lines.collect::<Vec<_>>().join("\n")));
        }
    }
}

/// String literals that look like an annotation's name, and ways to read an annotation without the table.
fn suspicious(code: &str) -> Vec<String> {
    let literals = code.split('"').skip(1).step_by(2);
    let names = literals.filter(|text| {
        let ours = ["org.", "run.oci.", "io.kubernetes.", "io.podman.", "io.containers."];
        let theirs = ["org.freedesktop.", "org.opencontainers.runc.checkpoint.enabled", "org.orlop.version"];
        ours.iter().any(|start| text.starts_with(start))
            && !theirs.iter().any(|start| text.starts_with(start))
    });
    let mut found: Vec<String> = names.map(|name| format!("the name {name:?}")).collect();
    let known = |line: &str| line.contains(".values(") || line.contains("annotations::ALL");
    let lookups = |line: &&str| line.contains("annotations") && !known(line);
    for line in code.lines().filter(lookups) {
        let ways = [
            ".get(",
            ".contains_key(",
            "annotations[",
            ".iter()",
            ".keys()",
            ".into_iter()",
            ".retain(",
            "for (",
        ];
        found.extend(
            ways.iter().filter(|way| line.contains(**way)).map(|way| format!("{way} in {}", line.trim())),
        );
    }
    found
}

#[test]
fn annotations_are_read_through_the_table_only() {
    let mut files = Vec::new();
    sources(&top().join("src"), &mut files);
    sources(&top().join("runtime-bin/src"), &mut files);
    assert!(files.len() > 150);
    let mut wrong = Vec::new();
    for (path, code) in files {
        // The table, and the features that print it.
        let allowed = ["src/bundle/annotations.rs", "src/container/features.rs"];
        if !allowed.contains(&path.as_str()) {
            wrong.extend(suspicious(&code).into_iter().map(|what| format!("{path}: {what}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn suspicious_code_is_detected() {
    for code in [
        r#"spec.annotations.get("x")"#,
        r#"const X: &str = "org.orlop.new";"#,
        r#"x("run.oci.handler")"#,
        "for (name, value) in annotations {",
        "annotations[name]",
    ] {
        assert!(!suspicious(code).is_empty(), "{code}");
    }
    assert!(suspicious(r#"let bus = "org.freedesktop.DBus"; spec.annotations.value(&INIT)"#).is_empty());
}

#[test]
fn the_table_is_sorted_and_complete() {
    let names: Vec<&str> = ALL.into_iter().map(Annotation::name).collect();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    for annotation in ALL {
        for text in [annotation.does(), annotation.never(), annotation.needs_permission().unwrap_or("x")] {
            assert!(
                !text.is_empty() && !text.ends_with('.') && !text.contains("  ") && !text.contains('|'),
                "{text}"
            );
        }
    }
}

#[test]
fn the_table_in_the_documentation_is_this_one() {
    let mut table = String::from(
        "| annotation | what it does | what it never does | takes effect only with `--allow-annotation` |\n",
    );
    table.push_str("| --- | --- | --- | --- |\n");
    for annotation in ALL {
        let name = if annotation.name().ends_with('.') { "NAME" } else { "" };
        let allow = annotation.needs_permission().unwrap_or("");
        let (does, never) = (annotation.does(), annotation.never());
        writeln!(table, "| `{}{name}` | {does} | {never} | {allow} |", annotation.name()).unwrap();
    }
    let page = std::fs::read_to_string(top().join("docs/MANAGERS.md")).unwrap();
    assert!(page.contains(&table), "docs/MANAGERS.md should have this table:\n{table}");
}

#[test]
fn a_guarded_annotation_needs_permission() {
    let annotations =
        |value: &str| Annotations::from(BTreeMap::from([("org.criu.config".to_owned(), value.to_owned())]));
    let mut allowed = AllowedAnnotations::default();
    for value in ["/etc/passwd", ""] {
        let e = annotations(value).guarded(&CRIU_CONFIG, &allowed).unwrap_err();
        assert_eq!(e.pointer(), Some("/annotations/org.criu.config"));
        assert!(e.to_string().contains("--allow-annotation org.criu.config"), "{e}");
    }
    assert_eq!(Annotations::default().guarded(&CRIU_CONFIG, &allowed).unwrap(), None);
    allowed.allow("org.criu.config").unwrap();
    assert_eq!(annotations("/x").guarded(&CRIU_CONFIG, &allowed).unwrap(), Some("/x"));
    assert!(!allowed.contains(&SYSTEMD_PROPERTY));
    for name in ["", "org.criu", "org.orlop.init", "org.systemd.property.X"] {
        let e = allowed.allow(name).unwrap_err().to_string();
        assert!(e.contains("org.criu.config, org.systemd.property."), "{e}");
    }
}
