//! A state root with a `journal` of any bytes: queries return a result, or report that the file is corrupt.

use orlop::ErrorKind;
use orlop::container::Runtime;
use std::path::PathBuf;

/// One run of the target `state`, through the library's public interface.
pub fn run(data: &[u8]) {
    let root = Root::new(data);
    let runtime = Runtime::new(&root.0).unwrap_or_else(|e| panic!("{e}"));
    let list = runtime.list().unwrap_or_else(|e| panic!("{e}"));
    let container = runtime.load("c").unwrap_or_else(|e| panic!("{e}"));
    assert!(list.len() == 1 && list[0].id == "c", "{list:?}");
    match container.state() {
        Ok(state) => {
            assert_eq!((state.pid, &state.bundle, &state.id), (list[0].pid, &list[0].bundle, &list[0].id));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
    if let Err(error) = container.spec() {
        let known = [ErrorKind::Corrupt, ErrorKind::InvalidConfig, ErrorKind::Unsupported];
        assert!(known.contains(&error.kind()), "{error}: {:?}", error.kind());
    }
}

/// A state root with one container.
struct Root(PathBuf);

impl Root {
    fn new(state: &[u8]) -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = Self(std::env::temp_dir().join(format!("orlop-state-{}-{n}", std::process::id())));
        let made = std::fs::create_dir_all(root.0.join("c"))
            .and_then(|()| std::fs::write(root.0.join("c/journal"), state));
        made.unwrap_or_else(|e| panic!("{}: {e}", root.0.display()));
        root
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
