//! Namespaces: a set to create or join, id maps, time offsets.
