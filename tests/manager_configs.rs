//! The configurations that real managers wrote: each can be read, is valid, and can be written without loss.

#![allow(clippy::unwrap_used, clippy::panic)] // A test may panic.

use orlop::bundle::{Spec, validate};
use std::path::PathBuf;

/// Name and text of each recording.
fn recordings() -> Vec<(String, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/managers");
    let mut found: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    assert!(found.len() >= 40, "only {} recordings", found.len());
    found
}

#[test]
fn every_recording_is_valid() {
    for (name, text) in recordings() {
        let spec = Spec::from_json(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let (errors, warnings) = validate(&spec);
        assert_eq!(errors, [], "{name}");
        for warning in &warnings {
            println!("{name}: {warning}");
        }
    }
}

#[test]
fn writing_and_reading_again_changes_nothing() {
    for (name, text) in recordings() {
        let spec = Spec::from_json(&text).unwrap();
        assert_eq!(Spec::from_json(&spec.to_json().unwrap()).unwrap(), spec, "{name}");
        assert_eq!(Spec::from_json(&spec.to_json_pretty().unwrap()).unwrap(), spec, "{name}");
    }
}

/// Everything in a recording is in the model: nothing is lost except values without meaning.
#[test]
fn no_field_is_lost() {
    for (name, text) in recordings() {
        let mut before: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let spec = Spec::from_json(&text).unwrap();
        let mut after = serde_json::to_value(&spec).unwrap();
        prune(&mut before);
        prune(&mut after);
        assert_eq!(before, after, "{name}");
    }
}

/// Drops properties without meaning: null, false, empty.
fn prune(value: &mut serde_json::Value) {
    use serde_json::Value::{Array, Bool, Null, Object, String};
    match value {
        Object(map) => {
            map.values_mut().for_each(prune);
            map.retain(|_, v| match v {
                Null | Bool(false) => false,
                String(s) => !s.is_empty(),
                Array(a) => !a.is_empty(),
                Object(o) => !o.is_empty(),
                _ => true,
            });
        }
        Array(list) => list.iter_mut().for_each(prune),
        _ => {}
    }
}

#[cfg(feature = "oci-spec")]
#[test]
fn conversion_to_oci_spec_and_back_loses_nothing() {
    for (name, text) in recordings() {
        let spec = Spec::from_json(&text).unwrap();
        let other = oci_spec::runtime::Spec::try_from(&spec).unwrap_or_else(|e| panic!("{name}: {e}"));
        let direct: oci_spec::runtime::Spec = serde_json::from_slice(&text).unwrap();
        for other in [other, direct] {
            // Its capability sets are unordered.
            assert_eq!(sorted(Spec::try_from(&other).unwrap()), sorted(spec.clone()), "{name}");
        }
    }
}

#[cfg(feature = "oci-spec")]
fn sorted(mut spec: Spec) -> Spec {
    if let Some(sets) = spec.process.as_mut().and_then(|p| p.capabilities.as_mut()) {
        sets.bounding.sort();
        sets.effective.sort();
        sets.inheritable.sort();
        sets.permitted.sort();
        sets.ambient.sort();
    }
    spec
}

/// `cargo test --release --test manager_configs -- --ignored --nocapture --test-threads 1`
#[test]
#[ignore = "a measurement, not a check"]
fn time_to_read() {
    let mut recordings = recordings();
    recordings.retain(|(name, _)| ["docker28-run", "podman58-privileged"].contains(&name.as_str()));
    for (name, text) in recordings {
        let mut times = Vec::new();
        for _ in 0..1000 {
            let start = std::time::Instant::now();
            let spec = Spec::from_json(&text).unwrap();
            let read = start.elapsed();
            let (errors, _) = validate(&spec);
            times.push((read, start.elapsed()));
            assert_eq!(errors, []);
        }
        // The first read in a process includes cold caches and page faults, as in every command.
        let (cold, cold_valid) = times[0];
        times.sort();
        let (warm, warm_valid) = times[times.len() / 2];
        println!("{name}, {} bytes: read {cold:?} cold, {warm:?} warm;", text.len());
        println!("with validation {cold_valid:?} cold, {warm_valid:?} warm");
    }
}
