//! REQUIRETLS (RFC 8689) on both sides.

use super::peer::{Peer, dialogue, quiet};
use super::sender::{EHLO, Sender, config, job, pair, script};
use crate::session::Close;
use crate::smtp::client::{self, Event, Refusal, Stage};
use crate::smtp::server::{Config, Role, StartTls};

fn requiring() -> Config {
    let mut config = quiet(Role::Mx);
    config.extensions.requiretls = true;
    config.starttls = StartTls::Offered;
    config
}

#[test]
fn it_is_offered_and_taken_inside_tls_only() {
    let peer = dialogue(
        &requiring(),
        &[
            b"EHLO a\r\nMAIL FROM:<a@b> REQUIRETLS\r\nSTARTTLS\r\n",
            b"EHLO a\r\nMAIL FROM:<a@b> REQUIRETLS=1\r\nMAIL FROM:<a@b> REQUIRETLS REQUIRETLS\r\n\
              MAIL FROM:<a@b> requiretls\r\n",
        ],
        &[
            "220 mx.test ESMTP ready",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 STARTTLS",
            "530 5.7.10 REQUIRETLS can be used inside TLS only",
            "220 2.0.0 ready to start TLS",
            "<TLS>",
            "250-mx.test",
            "250-ENHANCEDSTATUSCODES",
            "250 REQUIRETLS",
            "501 5.5.4 the parameter takes no value",
            "501 5.5.4 a parameter is given twice",
            "250 2.1.0…",
        ],
    );
    assert!(peer.app.mails[0].require_tls);
    let mut off = requiring();
    off.extensions.requiretls = false;
    let mut peer = Peer::new(off);
    peer.give(b"EHLO a\r\nMAIL FROM:<a@b> REQUIRETLS\r\n", 9);
    assert!(peer.text().ends_with("555 5.5.4 unknown parameter\r\n"));
}

#[test]
fn the_client_sends_such_a_message_nowhere_else() {
    let mut secret = job(&["c@d"], b"x\r\n");
    secret.envelopes[0].require_tls = true;
    let stage = Stage::Mail;
    // In the clear it does not help that a server says it.
    let sender = script(
        &config(client::Role::Smtp),
        &secret,
        &[EHLO, ("250-x\r\n250 REQUIRETLS\r\n", "QUIT\r\n")],
    );
    let refusal = Refusal::NeedsRequireTls { tls: false };
    assert_eq!(sender.events[1], Event::Refused { stage, refusal });
    for offered in [true, false] {
        let mut server = requiring();
        server.extensions.requiretls = offered;
        let mut sender = Sender::new(config(client::Role::Smtp), secret.clone());
        let mut peer = Peer::new(server);
        pair(&mut sender, &mut peer, 5, 5);
        assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
        if offered {
            assert!(peer.app.mails[0].require_tls);
            assert_eq!(peer.app.messages.len(), 1);
        } else {
            let refusal = Refusal::NeedsRequireTls { tls: true };
            assert_eq!(sender.events[1], Event::Refused { stage, refusal });
            assert!(peer.app.mails.is_empty());
        }
    }
}
