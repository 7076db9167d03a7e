//! The life of a container: create, start, kill, delete, exec.
