//! Conversion from and to the model of the crate `oci-spec`, through JSON, which both models can read and write.

use super::names::capability;
use super::read;
use super::spec::Spec;
use crate::{Error, ErrorKind, Phase, Result};

impl TryFrom<&oci_spec::runtime::Spec> for Spec {
    type Error = Error;

    /// Converts everything that concerns Linux. The result is not validated: see
    /// [`validate`](crate::bundle::validate()).
    fn try_from(other: &oci_spec::runtime::Spec) -> Result<Self> {
        let text = serde_json::to_vec(other).map_err(|e| cannot_hold(&e))?;
        read::document(&text).map(ordered)
    }
}

impl TryFrom<&Spec> for oci_spec::runtime::Spec {
    type Error = Error;

    /// Converts everything except the order of capabilities, which has no meaning.
    ///
    /// # Errors
    /// If the other model cannot hold a value; the error has its JSON pointer.
    fn try_from(spec: &Spec) -> Result<Self> {
        let other: Self = serde_json::from_slice(&spec.to_json()?).map_err(|e| cannot_hold(&e))?;
        let (spec, back) = (ordered(spec.clone()), Spec::try_from(&other)?);
        if back == spec {
            return Ok(other);
        }
        let pointer = difference(&value(&spec)?, &value(&back)?).unwrap_or_default();
        Err(Error::unsupported(Phase::Config, pointer, "the oci-spec crate cannot hold this value"))
    }
}

/// The configuration with sorted capability sets, because the other model does not keep their order.
fn ordered(mut spec: Spec) -> Spec {
    if let Some(sets) = spec.process.as_mut().and_then(|process| process.capabilities.as_mut()) {
        for set in [
            &mut sets.bounding,
            &mut sets.effective,
            &mut sets.inheritable,
            &mut sets.permitted,
            &mut sets.ambient,
        ] {
            set.sort_by_cached_key(|name| capability(name));
            set.dedup();
        }
    }
    spec
}

fn cannot_hold(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Unsupported, Phase::Config, "convert to or from oci-spec")
        .with_detail(e.to_string())
}

fn value(spec: &Spec) -> Result<serde_json::Value> {
    serde_json::to_value(spec).map_err(|e| cannot_hold(&e))
}

/// The JSON pointer of the first difference of two documents.
fn difference(a: &serde_json::Value, b: &serde_json::Value) -> Option<String> {
    use serde_json::Value::{Array, Object};
    match (a, b) {
        (Object(a), Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let null = serde_json::Value::Null;
                let deeper = difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null))?;
                Some(format!("/{}{deeper}", key.replace('~', "~0").replace('/', "~1")))
            })
        }
        (Array(a), Array(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .enumerate()
            .find_map(|(i, (a, b))| difference(a, b).map(|deeper| format!("/{i}{deeper}"))),
        _ => (a != b).then(String::new),
    }
}
