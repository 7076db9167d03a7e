//! The environment of a process, and where its program is searched for.

use crate::Problem;

/// The search path of a process without `PATH`, as in execvp(3).
pub const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The environment without duplicates: the last entry of a variable is kept, at its position.
///
/// # Errors
/// If an entry has no `=`, no name, or a NUL byte.
pub fn compose(env: &[String], at: &str) -> Result<Vec<String>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut result = Vec::with_capacity(env.len());
    for (i, entry) in env.iter().enumerate().rev() {
        let wrong = match entry.split_once('=') {
            None => "has no '='",
            Some(("", _)) => "has no name before '='",
            Some(_) if entry.contains('\0') => "has a NUL byte",
            Some((name, _)) => {
                if seen.insert(name) {
                    result.push(entry.clone());
                }
                continue;
            }
        };
        let message = format!("environment variable {entry:?} {wrong}");
        problems.push(Problem::new(format!("{at}/env/{i}"), message, "config.md#process"));
    }
    result.reverse();
    problems.reverse();
    if problems.is_empty() { Ok(result) } else { Err(problems) }
}

/// The value of a variable in a composed environment.
pub fn get<'e>(env: &'e [String], name: &str) -> Option<&'e str> {
    env.iter().rev().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

/// Whether `HOME` is absent or empty, and must be looked up.
pub fn needs_home(env: &[String]) -> bool {
    get(env, "HOME").unwrap_or_default().is_empty()
}

/// Sets `HOME` if it is absent or empty: to the directory found in the container's passwd file, or
/// to `/`.
pub fn set_home(env: &mut Vec<String>, found: Option<&str>) {
    if needs_home(env) {
        env.retain(|entry| !entry.starts_with("HOME="));
        env.push(format!("HOME={}", found.unwrap_or("/")));
    }
}

/// The paths inside the container at which the program `name` may be, in the order to try.
///
/// A name with a slash is a path, relative to `cwd` unless it is absolute. Other names are searched for in the
/// directories of `PATH`, except empty and relative ones, so that the working directory is never searched. Without
/// a candidate, the error is "executable file not found in $PATH".
pub fn candidates(name: &str, env: &[String], cwd: &str) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    if name.contains('/') {
        let path = if name.starts_with('/') { name.to_owned() } else { join(cwd, name) };
        return vec![path];
    }
    let path = get(env, "PATH").unwrap_or(DEFAULT_PATH);
    let mut result: Vec<String> = Vec::new();
    for directory in path.split(':').filter(|d| d.starts_with('/')) {
        let candidate = join(directory, name);
        if !result.contains(&candidate) {
            result.push(candidate);
        }
    }
    result
}

fn join(directory: &str, name: &str) -> String {
    format!("{}/{name}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|&e| e.to_owned()).collect()
    }

    #[test]
    fn the_last_entry_of_a_variable_is_kept() {
        let env = compose(&list(&["A=1", "B=2", "A=3", "C=", "AB=x=y"]), "/process").unwrap();
        assert_eq!(env, ["B=2", "A=3", "C=", "AB=x=y"]);
        assert_eq!((get(&env, "A"), get(&env, "AB"), get(&env, "D")), (Some("3"), Some("x=y"), None));
        let bad = compose(&list(&["A", "=x", "B=\0", "C=1"]), "/process").unwrap_err();
        let pointers: Vec<_> = bad.iter().map(|p| p.pointer.as_str()).collect();
        assert_eq!(pointers, ["/process/env/0", "/process/env/1", "/process/env/2"]);
    }

    #[test]
    fn home_is_set_if_it_is_absent_or_empty() {
        let mut env = list(&["HOME=", "A=1"]);
        set_home(&mut env, Some("/home/a"));
        assert_eq!(env, ["A=1", "HOME=/home/a"]);
        set_home(&mut env, Some("/other"));
        assert_eq!(get(&env, "HOME"), Some("/home/a"));
        let mut env = Vec::new();
        set_home(&mut env, None);
        assert_eq!(env, ["HOME=/"]);
    }

    #[test]
    fn candidates_come_from_absolute_directories_of_path() {
        let env = list(&["PATH=/usr/bin/:/bin:.::rel:/bin"]);
        assert_eq!(candidates("sh", &env, "/"), ["/usr/bin/sh", "/bin/sh"]);
        assert_eq!(candidates("/a/b", &env, "/x"), ["/a/b"]);
        assert_eq!(candidates("./b", &env, "/x"), ["/x/./b"]);
        assert_eq!(candidates("b/c", &env, "/"), ["/b/c"]);
        assert_eq!(candidates("sh", &[], "/"), ["/bin/sh", "/usr/bin/sh"]);
        assert!(candidates("sh", &list(&["PATH="]), "/").is_empty());
        assert!(candidates("", &env, "/").is_empty());
    }
}
