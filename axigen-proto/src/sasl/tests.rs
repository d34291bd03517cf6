//! Both sides of each mechanism against each other, and somebody in between.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;

use super::client::{Client, ClientError, Credentials};
use super::{
    Answer, Ask, Channel, Identity, Mechanism, Refusal, ScramKeys, Server, Step, TokenRefusal,
};
use crate::session::TlsInfo;

const USER: &str = "ann@example.test";

/// How an exchange went, as each side sees it.
#[derive(Debug, PartialEq)]
struct Outcome {
    server: Result<Identity, String>,
    client: Result<(), ClientError>,
}

fn application(ask: Ask) -> Answer {
    match ask {
        Ask::Password { password, .. } if password.as_str() == "pencil" => Answer::Accept,
        Ask::Password { .. } | Ask::WrongProof { .. } => Answer::Refuse(Refusal::BadCredentials),
        Ask::Keys { .. } => Answer::Keys(Some(ScramKeys::derive("pencil", b"salt of ann", 4096))),
        Ask::Authorize { .. } => Answer::Accept,
        Ask::Token { token, .. } if token.as_str() == "pencil" => Answer::AcceptAs(USER.into()),
        Ask::Token { .. } => Answer::RefuseToken(TokenRefusal::default()),
        Ask::External { .. } => Answer::AcceptAs(USER.into()),
    }
}

fn run(mut client: Client, mut server: Server) -> Outcome {
    let outcome = |server, client: &Client| Outcome {
        server,
        client: client.finish(),
    };
    let mut step = match client.initial() {
        Some(initial) => server.step(Some(&initial)),
        None => server.step(None),
    };
    for _ in 0..9 {
        step = match step {
            Step::Challenge(challenge) => match client.respond(&challenge) {
                Ok(response) => server.step(Some(&response)),
                Err(error) => {
                    return Outcome {
                        server: Err("the client gave up".into()),
                        client: Err(error),
                    };
                }
            },
            Step::Ask(ask) => server.answer(application(ask)),
            Step::Accept(identity) => return outcome(Ok(identity), &client),
            Step::Refuse(why) => return outcome(Err(format!("{why:?}")), &client),
            Step::Malformed(why) => return outcome(Err(why.into()), &client),
        };
    }
    panic!("it does not end")
}

fn tls(exporter: Option<&'static [u8]>, end_point: Option<&'static [u8]>) -> TlsInfo {
    TlsInfo {
        exporter: exporter.map(Bytes::from_static),
        server_end_point: end_point.map(Bytes::from_static),
        client_certificate: Some(Bytes::from_static(b"der")),
        ..TlsInfo::default()
    }
}

fn credentials(mechanism: Mechanism, secret: &str) -> Credentials {
    match mechanism {
        Mechanism::External => Credentials::certificate(),
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => Credentials::token(USER, secret).unwrap(),
        _ => Credentials::new(USER, secret).unwrap(),
    }
}

fn pair(mechanism: Mechanism, secret: &str, at_client: &Channel, at_server: &Channel) -> Outcome {
    let login = credentials(mechanism, secret);
    for other in Mechanism::ALL {
        let same = credentials(other, "x").fit(mechanism);
        assert_eq!(login.fit(other), same, "{mechanism} {other}");
    }
    run(
        Client::new(mechanism, login, b"client").on(at_client.clone()),
        Server::new(mechanism, b"server").on(at_server.clone()),
    )
}

#[test]
fn each_mechanism_between_our_two_sides() {
    for info in [
        tls(Some(b"exported"), None),
        tls(None, Some(b"hash")),
        tls(Some(b"exported"), Some(b"hash")),
    ] {
        let channel = Channel::of(Some(&info)).offering(&Mechanism::ALL);
        for mechanism in Mechanism::ALL {
            let good = pair(mechanism, "pencil", &channel, &channel);
            let identity = good.server.unwrap();
            assert_eq!((&*identity.authcid, &*identity.authzid), (USER, USER));
            assert_eq!(good.client, Ok(()), "{mechanism}");
            if mechanism != Mechanism::External {
                let bad = pair(mechanism, "eraser", &channel, &channel);
                assert_eq!(bad.server, Err("BadCredentials".into()), "{mechanism}");
            }
        }
    }
}

/// RFC 5802 §6: whoever ends the client's TLS somewhere else has other keys,
/// and another certificate.
#[test]
fn somebody_in_between_who_passes_everything_on() {
    let at_client = tls(Some(b"keys of one connection"), None);
    let at_server = tls(Some(b"keys of another"), None);
    let channel = |info: &TlsInfo| Channel::of(Some(info)).offering(&Mechanism::ALL);
    let outcome = pair(
        Mechanism::ScramSha256Plus,
        "pencil",
        &channel(&at_client),
        &channel(&at_server),
    );
    let why = outcome.server.unwrap_err();
    assert!(why.contains("not that of this connection"), "{why}");
    assert_eq!(outcome.client, Err(ClientError::ServerNotProved));
    let end_points = [
        tls(None, Some(b"a certificate")),
        tls(None, Some(b"another")),
    ];
    let outcome = pair(
        Mechanism::ScramSha256Plus,
        "pencil",
        &channel(&end_points[0]),
        &channel(&end_points[1]),
    );
    assert!(outcome.server.is_err());
}

/// RFC 5802 §6: and whoever takes -PLUS out of what is offered is found out.
#[test]
fn somebody_in_between_who_hides_what_is_offered() {
    let info = tls(Some(b"exported"), None);
    let seen = Channel::of(Some(&info)).offering(&[Mechanism::ScramSha256, Mechanism::Plain]);
    let said = Channel::of(Some(&info)).offering(&Mechanism::ALL);
    let outcome = pair(Mechanism::ScramSha256, "pencil", &seen, &said);
    let why = outcome.server.unwrap_err();
    assert!(why.contains("somebody changed"), "{why}");
    // A server that really has nothing to bind to is believed.
    let none = Channel::of(None);
    assert!(
        pair(Mechanism::ScramSha256, "pencil", &seen, &none)
            .server
            .is_ok()
    );
}

#[test]
fn nothing_to_bind_to() {
    let login = Credentials::new(USER, "pencil").unwrap();
    let mut client = Client::new(Mechanism::ScramSha256Plus, login, b"n");
    assert_eq!(client.respond(b""), Err(ClientError::NoChannel));
    assert!(client.finish().is_err());
}

#[test]
fn a_client_hears_why_its_token_is_no_good() {
    let login = Credentials::token(USER, "t").unwrap();
    for (mechanism, last) in [
        (Mechanism::OAuthBearer, &[1][..]),
        (Mechanism::XOAuth2, &[]),
    ] {
        let mut client = Client::new(mechanism, login.clone(), b"");
        client.initial().unwrap();
        let why = r#"{"status":"invalid_token"}"#;
        assert_eq!(client.respond(why.as_bytes()).unwrap().as_slice(), last);
        assert_eq!(client.complaint(), Some(why));
        assert!(client.finish().is_err(), "whatever the server says now");
        assert!(client.respond(b"").is_err());
    }
    for bad in ["", "a b", "a\u{1}", "=", "t\u{e9}"] {
        assert_eq!(Credentials::token(USER, bad), Err(ClientError::Token));
    }
    assert!(Credentials::token("", "t").is_err());
    assert!(Credentials::token("a\u{1}b", "t").is_err());
    assert!(!format!("{:?}", Credentials::token(USER, "secretive").unwrap()).contains("secretive"));
}
