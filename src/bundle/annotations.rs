//! The annotations that have an effect: a table of them, and the only functions that read them.
//!
//! In a cluster, annotations come from its users and not from its administrator. The table therefore says what each
//! annotation does and what it never does. Annotations that affect more than the container take effect only if
//! the caller allows them. The map is private to this file, so an annotation that is not in the table cannot be read.

use super::findings::{Findings, Pointer};
use super::json::JsonValue;
use super::read::ReadJson;
use crate::{Error, ErrorKind, Phase, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An entry of the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Annotation {
    name: &'static str,
    does: &'static str,
    never: &'static str,
    permission: Option<&'static str>,
}

impl Annotation {
    /// The annotation's name; if it ends with a dot, the prefix of the names of several annotations.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it does.
    pub const fn does(&self) -> &'static str {
        self.does
    }

    /// What it can never do.
    pub const fn never(&self) -> &'static str {
        self.never
    }

    /// Which of its effects require the caller's permission.
    pub const fn needs_permission(&self) -> Option<&'static str> {
        self.permission
    }
}

/// An annotation that is read only with the caller's permission.
#[derive(Debug)]
pub(crate) struct GuardedAnnotation(Annotation);

/// Runs a minimal init process, as `CreateOptions::init` does.
pub(crate) static INIT: Annotation = Annotation {
    name: "org.orlop.init",
    does: "`true`: as `--init`, a minimal init process runs as PID 1, reaps zombies and forwards signals",
    never: "gives the program or PID 1 more than `process` gives",
    permission: None,
};

/// Keeps the caller's supplementary groups.
pub(crate) static KEEP_GROUPS: Annotation = Annotation {
    name: "run.oci.keep_original_groups",
    does: "`1`: the process keeps the supplementary groups that the caller of the runtime has",
    never: "adds a group that the caller is not in",
    permission: None,
};

/// How `linux.mountLabel` is passed to the kernel.
pub(crate) static MOUNT_CONTEXT_TYPE: Annotation = Annotation {
    name: "run.oci.mount_context_type",
    does: "the SELinux mount option that `linux.mountLabel` is passed in: `context`, `fscontext`, `defcontext` or \
           `rootcontext`",
    never: "changes the label, or passes another option",
    permission: None,
};

/// Names the file of criu's options.
pub(crate) static CRIU_CONFIG: GuardedAnnotation = GuardedAnnotation(Annotation {
    name: "org.criu.config",
    does: "the file of criu's options for `checkpoint` and `restore`, instead of the usual one; empty: none",
    never: "is read by any other command",
    permission: Some("all of it: criu runs as the caller and obeys the options of any file of the host"),
});

/// Sets properties of the systemd unit.
pub(crate) static SYSTEMD_PROPERTY: Annotation = Annotation {
    name: "org.systemd.property.",
    does: "a property of the container's scope if systemd makes the cgroup, its value in GVariant's text format",
    never: "sets what the runtime itself sets: `PIDs`, `Slice`, `Delegate`, `DefaultDependencies`, `Description`, \
            accounting, limits, device and network rules (but `DevicePolicy` may be `'strict'`); or `AddRef`",
    permission: Some(
        "properties other than `After`, `CollectMode`, `FinalKillSignal`, `KillSignal`, `RuntimeMaxUSec`, `SendSIGHUP` \
         and `TimeoutStopUSec`",
    ),
};

/// The table, sorted by name.
pub static ALL: [&Annotation; 5] =
    [&CRIU_CONFIG.0, &INIT, &SYSTEMD_PROPERTY, &KEEP_GROUPS, &MOUNT_CONTEXT_TYPE];

/// The annotations of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Annotations(BTreeMap<String, String>);

impl Annotations {
    /// Whether there are no annotations.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets an annotation; returns its previous value.
    pub fn insert(&mut self, name: String, value: String) -> Option<String> {
        self.0.insert(name, value)
    }

    /// Removes an annotation; returns its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    /// The value of an annotation that needs no permission.
    pub(crate) fn value(&self, annotation: &Annotation) -> Option<&str> {
        self.0.get(annotation.name).map(String::as_str)
    }

    /// The annotations whose name has this prefix: the rest of the name, and the value.
    pub(crate) fn values<'a>(
        &'a self,
        prefix: &'static Annotation,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix.name)?, value.as_str())))
    }

    /// The value of an annotation that needs the caller's permission.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the pointer, if the annotation is present but not allowed.
    pub(crate) fn guarded(
        &self,
        guarded: &GuardedAnnotation,
        allowed: &AllowedAnnotations,
    ) -> Result<Option<&str>> {
        let annotation = &guarded.0;
        match self.value(annotation) {
            Some(_) if !allowed.contains(annotation) => Err(refused(annotation, annotation.name)),
            value => Ok(value),
        }
    }

    /// These annotations only.
    pub(crate) fn only(&self, these: &[&Annotation]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| these.iter().any(|one| one.name == *name));
        Self(kept.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    pub(super) fn has_empty_name(&self) -> bool {
        self.0.contains_key("")
    }
}

/// The JSON pointer of an annotation of this name.
pub(crate) fn pointer(name: &str) -> String {
    Pointer::ROOT.key("annotations").key(name).pointer()
}

/// The error of an annotation that the caller does not allow.
pub(crate) fn refused(annotation: &Annotation, name: &str) -> Error {
    Error::new(ErrorKind::InvalidArgument, Phase::Config, "annotation is not allowed")
        .on(name)
        .with_detail(format!(
            "only the caller of the runtime can allow {}",
            annotation.permission.unwrap_or("it")
        ))
        .with_pointer(pointer(name))
        .with_hint(format!("--allow-annotation {}", annotation.name))
}

impl From<BTreeMap<String, String>> for Annotations {
    fn from(map: BTreeMap<String, String>) -> Self {
        Self(map)
    }
}

impl From<Annotations> for BTreeMap<String, String> {
    fn from(annotations: Annotations) -> Self {
        annotations.0
    }
}

impl ReadJson for Annotations {
    fn read(value: JsonValue<'_>, at: &Pointer<'_>, section: &'static str, found: &mut Findings) -> Self {
        Self(ReadJson::read(value, at, section, found))
    }
    fn is_absent(&self) -> bool {
        self.is_empty()
    }
}

/// The annotations that the caller allows, among those that need permission.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedAnnotations(Vec<&'static Annotation>);

impl AllowedAnnotations {
    /// Allows the annotation of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is not in the table, or needs no permission.
    pub(crate) fn allow(&mut self, name: &str) -> Result<()> {
        let mut guarded = ALL.into_iter().filter(|annotation| annotation.permission.is_some());
        match guarded.clone().find(|annotation| annotation.name == name) {
            Some(annotation) => {
                self.0.push(annotation);
                Ok(())
            }
            None => {
                let first = guarded.next().map_or("", Annotation::name);
                let names =
                    guarded.fold(first.to_owned(), |names, annotation| names + ", " + annotation.name);
                Err(Error::new(
                    ErrorKind::InvalidArgument,
                    Phase::Config,
                    "annotation is unknown or needs no permission",
                )
                .on(format!("{name:?}"))
                .with_detail(format!("these need permission: {names}")))
            }
        }
    }

    /// Whether the annotation is allowed.
    pub(crate) fn contains(&self, annotation: &Annotation) -> bool {
        self.0.iter().any(|allowed| allowed.name == annotation.name)
    }
}
