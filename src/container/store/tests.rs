use super::directory::encode;
use super::{Stage, StateDirectory, StateRecord, StateRoot, config, journal};
use crate::ErrorKind;
use crate::bundle::spec::Resources;
use crate::container::process::identity::{ProcessIdentity, boot_id};
use crate::sys;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new state root for one test.
struct Scratch(StateRoot);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("orlop-store-{}-{n}/a/b", std::process::id()));
        Self(StateRoot::new(path).unwrap())
    }

    fn file(&self, id: &str, name: &str) -> PathBuf {
        self.0.path.join(id).join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let top = self.0.path.ancestors().nth(2).unwrap();
        let _ = std::fs::remove_dir_all(top);
    }
}

fn ids(root: &StateRoot) -> Vec<String> {
    let Some((fd, ids)) = root.scan().unwrap() else { return Vec::new() };
    ids.into_iter().filter(|id| StateDirectory::open_found(&fd, id).unwrap().is_some()).collect()
}

/// Reads the record. The field `in_memory` is checked here, and then reset.
fn read(directory: &StateDirectory) -> Option<StateRecord> {
    let record = directory.read().unwrap()?;
    assert_eq!(record.in_memory, sys::fs::is_in_memory(directory).unwrap());
    Some(StateRecord { in_memory: false, ..record })
}

#[test]
fn a_written_record_and_configuration_are_read() {
    let root = Scratch::new();
    assert_eq!(ids(&root.0), Vec::<String>::new(), "the root need not exist");
    let (directory, lock) = StateDirectory::create(&root.0, "b").unwrap();
    assert_eq!(read(&directory), None);
    let mut record = StateRecord { bundle: "/bundle".into(), poststop: true, ..StateRecord::new("b") };
    directory.write_first(&record).unwrap();
    assert_eq!(read(&directory).as_ref(), Some(&record));
    record.stage = Stage::Created;
    record.init = ProcessIdentity { pid: 7, start_time: 9 };
    directory.write(&record).unwrap();
    config::write(&directory, b"{ }", b"").unwrap();
    drop(lock);

    let other = StateDirectory::open(&root.0, "b").unwrap();
    assert_eq!(read(&other), Some(record));
    assert_eq!(config::read(&other).unwrap(), b"{ }");
    let (_another, _) = StateDirectory::create(&root.0, "a").unwrap();
    assert_eq!(ids(&root.0), ["a", "b"]);
    let lock = other.lock().unwrap();
    other.remove(&lock).unwrap();
    assert_eq!(ids(&root.0), ["a"]);
    assert_eq!(
        directory.read().unwrap_err().kind(),
        ErrorKind::NotFound,
        "it is noticed through an open directory"
    );
}

#[test]
fn an_id_is_taken_once() {
    let root = Scratch::new();
    let start = Barrier::new(8);
    let won = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    StateDirectory::create(&root.0, "one").map(drop)
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(won.iter().filter(|r| r.is_ok()).count(), 1);
    for e in won.into_iter().filter_map(Result::err) {
        assert_eq!(e.kind(), ErrorKind::AlreadyExists);
        assert!(e.to_string().starts_with("container with given ID already exists"), "{e}");
    }
}

#[test]
fn only_directories_are_containers() {
    let root = Scratch::new();
    for id in ["none", "file"] {
        let e = StateDirectory::open(&root.0, id).unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string()),
            (ErrorKind::NotFound, format!("container does not exist: {id}"))
        );
        drop(StateDirectory::create(&root.0, "other"));
        let _ = std::fs::write(root.0.path.join("file"), "");
    }
    std::os::unix::fs::symlink("/", root.0.path.join("link")).unwrap();
    assert_eq!(StateDirectory::open(&root.0, "link").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_incomplete_first_record_counts_as_none_and_can_be_removed() {
    let root = Scratch::new();
    let record = StateRecord { bundle: "/b".into(), ..StateRecord::new("cut") };
    let whole = encode(&record).unwrap();
    for length in 0..whole.len() {
        let (directory, lock) = StateDirectory::create(&root.0, "cut").unwrap();
        std::fs::write(root.file("cut", "journal"), &whole[..length]).unwrap();
        assert_eq!(read(&directory), None, "{length}");
        directory.remove(&lock).unwrap();
    }
}

#[test]
fn an_incomplete_entry_does_not_spoil_the_next_one() {
    let root = Scratch::new();
    let (first, second) =
        (StateRecord::new("cut"), StateRecord { bundle: "/b".into(), ..StateRecord::new("cut") });
    let mut limits = Resources::default();
    limits.pids.get_or_insert_default().limit = Some(7);
    let mut whole = journal::record_entry(encode(&first).unwrap());
    let config = br#"{"ociVersion":"1.0.0"}"#;
    whole.extend(journal::config_entry(config, b"policy"));
    let with_config = whole.len();
    whole.extend(journal::limits_entry(&serde_json::to_vec(&limits).unwrap()));
    let updated = whole.len();
    whole.extend(journal::record_entry(encode(&second).unwrap()));
    let again = StateRecord { bundle: "/c".into(), ..StateRecord::new("cut") };
    // A newline in the configuration looks like the end of an entry. Nothing is appended to such a journal, because no
    // hook has run before the journal has its configuration.
    let is_recognised = |text: &[u8]| !text.ends_with(b"\n") || journal::complete_length(text) == text.len();
    for length in (1..=whole.len()).filter(|n| is_recognised(&whole[..*n])) {
        let (directory, lock) = StateDirectory::create(&root.0, "cut").unwrap();
        std::fs::write(root.file("cut", "journal"), &whole[..length]).unwrap();
        directory.write(&again).unwrap();
        assert_eq!(read(&directory), Some(again.clone()), "{length}");
        if length >= with_config {
            assert_eq!(config::read(&directory).unwrap(), config, "{length}");
            config::write_resources(&directory, &limits).unwrap();
            let limits_read = config::read_spec(&directory).unwrap().linux.and_then(|linux| linux.resources);
            assert_eq!(limits_read, Some(limits.clone()), "{length}, the entry ends at {updated}");
        }
        directory.remove(&lock).unwrap();
    }
}

#[test]
fn another_format_and_garbage_are_distinguished_and_can_be_removed() {
    let root = Scratch::new();
    for (content, words) in [
        (&br#"{"format":9,"new":true}"#[..], "it has format 9, this version reads format 2"),
        (b"{}", "unrecognised format"),
        (b"\0\xff", "unrecognised format"),
    ] {
        let (directory, lock) = StateDirectory::create(&root.0, "odd").unwrap();
        std::fs::write(root.file("odd", "journal"), content).unwrap();
        let e = directory.read().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Corrupt);
        assert!(e.to_string().contains(words), "{e}");
        directory.remove(&lock).unwrap();
    }
}

#[test]
fn everything_in_the_directory_is_removed() {
    let root = Scratch::new();
    let (directory, lock) = StateDirectory::create(&root.0, "full").unwrap();
    directory.write_first(&StateRecord::new("full")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.file("full", "start.sock")).unwrap();
    std::fs::write(root.file("full", ".journal.1"), "half").unwrap();
    std::fs::create_dir(root.file("full", "notify")).unwrap();
    std::os::unix::fs::symlink("/", root.file("full", "link")).unwrap();
    directory.remove(&lock).unwrap();
    assert!(!root.0.path.join("full").exists());
    directory.remove(&lock).unwrap();
}

#[test]
fn a_lock_excludes_other_operations_and_is_visible() {
    let root = Scratch::new();
    let (directory, lock) = StateDirectory::create(&root.0, "busy").unwrap();
    assert!(directory.is_locked().unwrap());
    let other = StateDirectory::open(&root.0, "busy").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| other.lock().map(drop));
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert!(!waiting.is_finished());
        drop(lock);
        waiting.join().unwrap().unwrap();
    });
    assert!(!directory.is_locked().unwrap());
    // The same container can be locked again.
    let first = directory.lock().unwrap();
    assert!(directory.is_locked().unwrap());
    drop(first);
    assert!(!directory.is_locked().unwrap());
}

#[test]
fn the_process_of_a_record_of_another_boot_is_gone() {
    let me = ProcessIdentity::of(std::process::id() as i32).unwrap();
    let boot = boot_id().unwrap();
    let record = |boot: &str| StateRecord { init: me, boot: boot.into(), ..StateRecord::new("x") };
    assert!(record(boot).open_init().unwrap().alive_pidfd().is_some());
    assert!(record("another").open_init().unwrap().alive_pidfd().is_none());
    assert!(record("").open_init().unwrap().alive_pidfd().is_none());
    // No tmpfs survives a reboot.
    let in_memory = StateRecord { in_memory: true, ..record("another") };
    assert!(in_memory.open_init().unwrap().alive_pidfd().is_some());
}

#[test]
fn updated_limits_replace_those_of_the_configuration() {
    let root = Scratch::new();
    let (directory, _lock) = StateDirectory::create(&root.0, "a").unwrap();
    let record = StateRecord::new("a");
    directory.write_first(&record).unwrap();
    let config = br#"{"ociVersion": "1.0.0", "linux": {"resources": {"pids": {"limit": 1}}}}"#;
    config::write(&directory, config, b"").unwrap();
    let limits = || config::read_spec(&directory).unwrap().linux.unwrap().resources.unwrap();
    assert_eq!(limits().pids.unwrap().limit, Some(1));
    let mut resources = Resources::default();
    resources.unified.insert("memory.high".into(), "1".repeat(9000));
    for n in 2..40 {
        resources.pids.get_or_insert_default().limit = Some(n);
        config::write_resources(&directory, &resources).unwrap();
        assert_eq!(limits(), resources);
    }
    let size = std::fs::metadata(root.0.path.join("a/journal")).unwrap().len();
    assert!(size < 80_000, "entries that no longer count are removed: {size}");
    assert_eq!((read(&directory), config::read(&directory).unwrap()), (Some(record), config.to_vec()));
}
