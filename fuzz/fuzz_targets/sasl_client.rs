//! No challenge upsets our client, and no server is believed that has not proved itself.
//! Messages are separated by 0xff, which none of them may hold.
#![no_main]

use axigen_proto::TlsInfo;
use axigen_proto::sasl::{Channel, Mechanism};
use axigen_proto::sasl::client::{Client, Credentials};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A count of iterations that is allowed costs seconds.
    if data.windows(8).any(|window| window.starts_with(b"i=") && window[2..].iter().all(u8::is_ascii_digit)) {
        return;
    }
    for mechanism in Mechanism::ALL {
        let credentials = match mechanism {
            Mechanism::External => Credentials::certificate(),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => Credentials::token("ann", "token").expect("credentials"),
            _ => Credentials::new("ann", "secret").expect("credentials"),
        };
        let tls = TlsInfo { exporter: Some(vec![1; 32].into()), ..TlsInfo::default() };
        let mut client = Client::new(mechanism, credentials, &[7; 32]).on(Channel::of(Some(&tls)));
        let _ = client.initial();
        let failed = data.split(|&byte| byte == 0xff).any(|challenge| client.respond(challenge).is_err());
        if failed {
            assert!(client.finish().is_err(), "what failed is not believed");
        }
        // To guess the server's proof is not in anybody's power.
        let scram = matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
        assert!(!scram || client.finish().is_err());
    }
});
