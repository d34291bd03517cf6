//! Our client and our server, talking to each other.

use super::peer::{App, Peer, Received, bare, mx};
use super::sender::{Sender, config, envelope, job, pair};
use crate::sasl::Mechanism;
use crate::sasl::client::Credentials;
use crate::session::Close;
use crate::smtp::client::{Event, Failure, Refusal, Role, Stage, StartTls};
use crate::smtp::command::BodyType;
use crate::smtp::server::{self, StartTls as ServerStartTls};

/// The bodies that have gone wrong somewhere.
fn bodies() -> Vec<(Vec<u8>, Vec<u8>)> {
    let same = |body: &[u8]| (body.to_vec(), body.to_vec());
    let mut long = b"Subject: long\r\n\r\n".to_vec();
    for n in 0..400 {
        long.extend_from_slice(format!(".line {n}\r\n..\r\n.\r\n").as_bytes());
    }
    vec![
        same(b""),
        same(b".\r\n"),
        same(b"..\r\n.\r\n...\r\n"),
        same(b"Subject: x\r\n\r\nbody\r\n"),
        same("Subject: Grüße\r\n\r\n\u{1f600}\r\n".as_bytes()),
        same(&long),
        (b"no end".to_vec(), b"no end\r\n".to_vec()),
        (
            b"a\n.\nb\r.\rc".to_vec(),
            b"a\r\n.\r\nb\r\n.\r\nc\r\n".to_vec(),
        ),
    ]
}

#[test]
fn what_our_client_sends_our_server_takes() {
    for (body, want) in bodies() {
        for (up, down) in [
            (1, 1),
            (1, 999),
            (2, 3),
            (7, 5),
            (999, 1),
            (100_000, 100_000),
        ] {
            let mut sender =
                Sender::new(config(Role::Smtp), job(&["c@d", "nobody@d", "e@d"], &body));
            sender.job.envelopes.push(envelope(&["nobody@d"]));
            sender.job.envelopes.push(envelope(&["f@d"]));
            let mut peer = Peer::new(mx());
            pair(&mut sender, &mut peer, up, down);
            assert_eq!(sender.close, Some(Close::Finish), "{:?}", sender.events);
            assert_eq!(peer.close, Some(Close::Finish));
            let received = |to: &[&str]| Received {
                from: "<a@b.test>".to_owned(),
                to: to.iter().map(|&to| to.to_owned()).collect(),
                body: want.clone(),
            };
            assert_eq!(
                peer.app.messages,
                [received(&["<c@d>", "<e@d>"]), received(&["<f@d>"])]
            );
        }
    }
}

#[test]
fn the_same_with_bdat() {
    for (body, _) in bodies() {
        for binary in [false, true] {
            for (up, down) in [(1, 1), (7, 5), (100_000, 100_000)] {
                let mut config = config(Role::Smtp);
                config.chunking = true;
                let mut sender = Sender::new(config, job(&["c@d"], &body));
                if binary {
                    sender.job.envelopes[0].body = Some(BodyType::BinaryMime);
                }
                let mut peer = Peer::new(mx());
                pair(&mut sender, &mut peer, up, down);
                let got = &peer.app.messages[0].body;
                if binary {
                    assert_eq!(*got, body);
                } else {
                    let lines = String::from_utf8(body.clone()).unwrap();
                    let lines = lines.replace("\r\n", "\n").replace('\r', "\n");
                    assert_eq!(*got, lines.replace('\n', "\r\n").into_bytes());
                }
                assert!(sender.said.windows(5).any(|w| w == b"BDAT "));
            }
        }
    }
}

#[test]
fn large_messages_go_in_several_chunks() {
    for lmtp in [false, true] {
        let (role, server) = if lmtp {
            (Role::Lmtp, server::Role::Lmtp)
        } else {
            (Role::Smtp, server::Role::Mx)
        };
        let mut chunked = config(role);
        chunked.chunking = true;
        let body = b"0123456789012345678901234567890123456789\r\n".repeat(30_000);
        let mut big = job(&["c@d", "full@d"], &body);
        big.piece = 10_000;
        let mut sender = Sender::new(chunked.clone(), big.clone());
        let mut peer = Peer::new(bare(server));
        pair(&mut sender, &mut peer, 4096, 4096);
        let Some(Event::Sent { replies, .. }) = sender.events.last() else {
            panic!("{:?}", sender.events);
        };
        let codes: Vec<u16> = replies.iter().map(|d| d.reply.code).collect();
        assert_eq!(codes, if lmtp { [250, 452] } else { [250, 250] });
        assert!(peer.app.messages[0].body == body);
        // Too large for the server, which says so at the chunk that is too much.
        let mut config = bare(server);
        config.limits.message_size = 600_000;
        config.extensions.size = false;
        let mut sender = Sender::new(chunked, big);
        let mut peer = Peer::new(config);
        pair(&mut sender, &mut peer, 4096, 4096);
        match sender.events.last() {
            Some(Event::Refused {
                stage: Stage::Data,
                refusal: Refusal::Reply(reply),
            }) if !lmtp => assert_eq!(reply.code, 552),
            // In LMTP all that was given waits for the first chunk's answer and goes as the last.
            Some(Event::Sent { replies, .. }) if lmtp => {
                let codes: Vec<u16> = replies.iter().map(|d| d.reply.code).collect();
                assert_eq!(codes, [552, 552]);
            }
            other => panic!("{other:?}"),
        }
        assert!(peer.app.messages.is_empty());
        assert_eq!(sender.close, Some(Close::Finish));
    }
}

#[test]
fn lmtp_between_our_two_sides() {
    for pipelining in [true, false] {
        for (up, down) in [(1, 1), (3, 2), (999, 999)] {
            let mut config = config(Role::Lmtp);
            config.pipelining = pipelining;
            let to = ["c@d", "nobody@d", "full@d", "e@d"];
            let mut sender = Sender::new(config, job(&to, b"x\r\n"));
            sender.job.envelopes.push(envelope(&["nobody@d"]));
            let mut peer = Peer::new(bare(server::Role::Lmtp));
            pair(&mut sender, &mut peer, up, down);
            let sent = sender
                .events
                .iter()
                .find_map(|event| match event {
                    Event::Sent { replies, .. } => Some(replies),
                    _ => None,
                })
                .unwrap();
            let codes: Vec<(usize, u16)> = sent
                .iter()
                .map(|delivery| (delivery.recipient, delivery.reply.code))
                .collect();
            assert_eq!(codes, [(0, 250), (2, 452), (3, 250)]);
            assert!(matches!(
                sender.events.last(),
                Some(Event::Refused {
                    stage: Stage::Rcpt,
                    ..
                })
            ));
            assert_eq!(sender.close, Some(Close::Finish));
        }
    }
}

#[test]
fn starttls_and_login_between_our_two_sides() {
    for mechanism in &Mechanism::PASSWORD[1..] {
        let mechanism = *mechanism;
        for password in ["demo", "wrong"] {
            let mut serving = bare(server::Role::Submission);
            serving.starttls = ServerStartTls::Required;
            let mut config = config(Role::Smtp);
            config.starttls = StartTls::Required;
            config.mechanisms = vec![mechanism];
            config.credentials = Some(Credentials::new("alice", password).unwrap());
            let mut sender = Sender::new(config, job(&["c@d"], b"x\r\n"));
            let mut peer = Peer::with_app(serving, App::default());
            pair(&mut sender, &mut peer, 4096, 4096);
            if password == "demo" {
                assert_eq!(
                    peer.app.messages.len(),
                    1,
                    "{mechanism} {:?}",
                    sender.events
                );
                assert_eq!(peer.server.identity().unwrap().authcid, "alice");
            } else {
                assert!(matches!(sender.failure(), Some(Failure::AuthRefused(_))));
                assert!(peer.app.messages.is_empty());
            }
        }
    }
}
