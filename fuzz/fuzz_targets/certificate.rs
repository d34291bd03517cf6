//! No certificate upsets the reader of its names, and what it gives are addresses.
#![no_main]

use axigen_core::directory::normalise;
use axigen_core::net::ClientCertificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for address in ClientCertificate::new(data.to_vec().into()).addresses() {
        assert!(normalise(&address).is_ok());
    }
});
