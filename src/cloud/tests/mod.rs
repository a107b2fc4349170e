//! The room against what really comes over a network: cut connections, servers that lie, archives that attack.

mod archives;
mod downloads;
mod fetching;
mod server;
