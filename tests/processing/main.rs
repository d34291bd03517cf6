//! What happens to mail between the door and the mailbox: notices that senders ask
//! for, mail that is handed on, who may send as whom, and who may ask what.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod carried;
mod full;
mod handed_on;
mod hosts;
mod notices;
mod redirects;
mod times;
mod told;
mod who;
