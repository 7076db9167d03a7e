//! Checkpoint and restore by criu(8): the library tells criu what the container consists of, and criu freezes, dumps and
//! restores its processes.
//!
//! criu is a child of the caller during one operation. It is started through the init stub, as every other program, and
//! receives its requests over a socket pair in the messages of its `images/rpc.proto` ([`message`], encoded by [`wire`]).
//! What belongs to the host and not to the container is *external* to criu ([`external`]): bind mounts, joined namespaces,
//! standard descriptors.
//!
//! Layers, each of which uses only those before it: [`error`], [`log`], [`options`], [`wire`]; [`message`]; [`external`],
//! [`images`], [`service`]; [`checkpoint`], [`restore`].

pub(super) mod checkpoint;
mod error;
mod external;
mod images;
mod log;
mod message;
pub(super) mod options;
pub(super) mod restore;
mod service;
mod wire;
