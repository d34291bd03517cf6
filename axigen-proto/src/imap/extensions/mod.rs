//! Extensions, one RFC a file where it can be told apart from the rest.
//!
//! Each is always built in. Those that IMAP4rev2 contains (RFC 9051 §6.1.1) are
//! announced by name too, for clients of IMAP4rev1. MOVE, NAMESPACE, UIDPLUS and UNSELECT
//! are plain commands and live with the other commands; SASL-IR is an argument of AUTHENTICATE.
//!
//! An extension that comes later gets a file here with its grammar, which
//! [`parse`](super::parse) calls at its place, and its name in [`AFTER_LOGIN`].

pub mod acl;
pub mod binary;
pub mod catenate;
pub mod compress;
pub mod condstore;
pub mod context;
pub mod enable;
pub mod esearch;
pub mod id;
pub mod idle;
pub mod list_extended;
pub mod literal;
pub mod messagelimit;
pub mod metadata;
pub mod multiappend;
pub mod multisearch;
pub mod notify;
pub mod objectid;
pub mod partial;
pub mod preview;
pub mod quota;
pub mod replace;
pub mod sort;
pub mod special_use;
pub mod uidbatches;
pub mod uidonly;
pub mod urlauth;

/// Capabilities offered once the client has logged in, besides `IMAP4rev1`,
/// `IMAP4rev2`, the form of literals and `ID`, `ENABLE` and `SASL-IR`, which are offered before too.
pub const AFTER_LOGIN: &[&str] = &[
    "ACL",                   // RFC 4314
    "BINARY",                // RFC 3516
    "CATENATE",              // RFC 4469
    "CHILDREN",              // RFC 3348
    "CONDSTORE",             // RFC 7162
    "CONTEXT=SEARCH",        // RFC 5267
    "CONTEXT=SORT",          // RFC 5267
    "CREATE-SPECIAL-USE",    // RFC 6154
    "ESEARCH",               // RFC 4731
    "ESORT",                 // RFC 5267
    "I18NLEVEL=1",           // RFC 5255
    "IDLE",                  // RFC 2177
    "INPROGRESS",            // RFC 9585
    "LIST-EXTENDED",         // RFC 5258
    "LIST-METADATA",         // RFC 9590
    "LIST-MYRIGHTS",         // RFC 8440
    "LIST-STATUS",           // RFC 5819
    "METADATA",              // RFC 5464
    "METADATA-SERVER",       // RFC 5464
    "MOVE",                  // RFC 6851
    "MULTIAPPEND",           // RFC 3502
    "MULTISEARCH",           // RFC 7377
    "NAMESPACE",             // RFC 2342
    "NOTIFY",                // RFC 5465
    "OBJECTID",              // RFC 8474
    "PARTIAL",               // RFC 9394
    "PREVIEW",               // RFC 8970
    "QRESYNC",               // RFC 7162
    "QUOTA",                 // RFC 9208
    "QUOTA=RES-MAILBOX",     // RFC 9208
    "QUOTA=RES-MESSAGE",     // RFC 9208
    "QUOTA=RES-STORAGE",     // RFC 9208
    "REPLACE",               // RFC 8508
    "RIGHTS=texk",           // RFC 4314
    "SAVEDATE",              // RFC 8514
    "SEARCH=FUZZY",          // RFC 6203
    "SEARCHRES",             // RFC 5182
    "SORT",                  // RFC 5256
    "SORT=DISPLAY",          // RFC 5957
    "SPECIAL-USE",           // RFC 6154
    "STATUS=SIZE",           // RFC 8438
    "THREAD=ORDEREDSUBJECT", // RFC 5256
    "THREAD=REFERENCES",     // RFC 5256
    "UIDBATCHES",            // RFC 10022
    "UIDONLY",               // RFC 9586
    "UIDPLUS",               // RFC 4315
    "UNAUTHENTICATE",        // RFC 8437
    "UNSELECT",              // RFC 3691
    "URLAUTH",               // RFC 4467
    "UTF8=ACCEPT",           // RFC 9755
    "WITHIN",                // RFC 5032
];
