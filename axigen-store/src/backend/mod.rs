//! The trait a backend implements, and the backends of this crate.
