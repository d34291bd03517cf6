//! No record and no policy that a domain publishes breaks its parser; a policy is written so that it reads the same again.
#![no_main]

use axigen_proto::mta_sts::{MAX_AGE, PATTERNS, Policy, record_id};
use axigen_proto::tls_rpt::{PLACES, places};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(policy) = Policy::parse(data) {
        assert!(policy.max_age <= MAX_AGE && policy.mx.len() <= PATTERNS);
        assert_eq!(Policy::parse(policy.to_string().as_bytes()).as_ref(), Ok(&policy));
        for pattern in &policy.mx {
            let host = pattern.to_string().replace('*', "any");
            assert!(policy.names(&host));
        }
    }
    let texts: Vec<&[u8]> = data.split(|&byte| byte == 0xff).collect();
    if let Ok(id) = record_id(&texts) {
        assert!((1..=32).contains(&id.len()));
    }
    assert!(places(&texts).len() <= PLACES);
});
