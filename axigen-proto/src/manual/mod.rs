//! How to use this crate, and what it protects from. Documents only.
//!
//! | page | what it is for |
//! |---|---|
//! | [`drive_a_session`] | carrying bytes between a peer and a session, by hand |
//! | [`vulnerability_classes`] | what went wrong in other mail servers and cannot here, by module |

pub mod drive_a_session;
pub mod vulnerability_classes;
