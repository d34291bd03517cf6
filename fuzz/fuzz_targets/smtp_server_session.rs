//! No bytes break a server session, and it answers the same however they are cut.
//! The first byte chooses role and switches, the second the size of the pieces.
#![no_main]

use std::time::Instant;

use axigen_proto::sasl::{Answer, Ask, Mechanism, Refusal, ScramKeys};
use axigen_proto::smtp::future_release::{FutureRelease, Interval};
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::{BodyPolicy, Config, Event, Lookups, Role, Server, StartTls};
use axigen_proto::smtp::standard;
use axigen_proto::{Close, Input, Output, Session, TlsInfo};
use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;

fn config(switches: u8) -> Config {
    let role = [Role::Mx, Role::Submission, Role::Lmtp][usize::from(switches % 3)];
    let mut config = Config::new(role, "mx.test");
    config.auth_plaintext = Mechanism::ALL.to_vec();
    config.auth_required = switches & 4 != 0;
    if switches & 8 != 0 {
        config.bare_line_ends = BodyPolicy::Keep;
        config.nul = BodyPolicy::Keep;
    }
    if switches & 16 != 0 {
        config.starttls = StartTls::Offered;
    }
    config.limits.command_line = 256;
    config.limits.auth_line = 256;
    config.limits.message_size = 1000;
    config.limits.recipients = 4;
    if switches & 32 != 0 {
        config.limits.transactions = 8;
        config.limits.recipient_domains = 2;
        config.vrfy = Lookups::Ask;
        config.expn = Lookups::Ask;
        let on = &mut config.extensions;
        on.dsn = true;
        on.deliver_by = Some(60);
        on.future_release = Some(FutureRelease {
            interval: Interval::MAX,
            until: "2030-01-01T00:00:00Z".parse().expect("a moment"),
        });
        on.mt_priority = Some(None);
        on.requiretls = true;
        on.limits = true;
        on.no_soliciting = Some(Some("net.example:ADV".parse().expect("a keyword")));
        on.etrn = true;
    }
    config
}

fn decide(server: &mut Server, event: &Event, role: Role) {
    let done = match event {
        Event::Auth(Ask::Password { password, .. }) if password.starts_with('d') => server.answer(Answer::Accept),
        Event::Auth(Ask::Password { .. }) => server.answer(Answer::Refuse(Refusal::BadCredentials)),
        Event::Auth(Ask::Keys { authcid }) => {
            let keys = ScramKeys { salt: Bytes::from_static(b"salt"), iterations: 4096, stored_key: [1; 32], server_key: [2; 32] };
            server.answer(Answer::Keys(authcid.starts_with('a').then_some(keys)))
        }
        Event::Auth(_) => server.answer(Answer::Accept),
        Event::Body(bytes) => {
            assert!(!bytes.is_empty());
            return;
        }
        Event::Reset => return,
        Event::Rcpt(rcpt) if rcpt.to.to_string().starts_with("<n") => server.reply(standard::NO_SUCH_USER.into()),
        Event::Mail(mail) if mail.from.to_string().starts_with("<q") => server.reply(standard::SHUTTING_DOWN.into()),
        Event::Data if server.recipients() == 2 => server.reply(standard::LOCAL_ERROR.into()),
        // RFC 2033 §4.2: in LMTP one reply for each recipient.
        Event::EndOfMessage if role == Role::Lmtp => {
            for _ in 1..server.recipients() {
                server.reply(Reply::ok()).expect("the event awaits this");
            }
            server.reply(Reply::ok())
        }
        _ => server.reply(Reply::ok()),
    };
    done.expect("the event awaits this");
}

fn run(config: Config, input: &[u8], chunk: usize) -> (Vec<u8>, Vec<u8>, Option<Close>) {
    let role = config.role;
    let mut server = Server::new(config, [0; 32]);
    let now = Instant::now();
    let mut pieces = input.chunks(chunk);
    let (mut said, mut bodies) = (Vec::new(), Vec::new());
    loop {
        match server.poll_output(now) {
            Output::Transmit(bytes) => said.extend_from_slice(&bytes),
            Output::Event(event) => {
                if let Event::Body(bytes) = &event {
                    bodies.extend_from_slice(bytes);
                }
                decide(&mut server, &event, role);
            }
            Output::Upgrade(_) => server.handle_input(now, Input::Upgraded(TlsInfo::default())),
            Output::Wait(wait) => {
                assert!(wait.read);
                match pieces.next() {
                    Some(piece) => server.handle_input(now, Input::Bytes(BytesMut::from(piece))),
                    None => server.handle_input(now, Input::Eof),
                }
            }
            Output::Close(close) => return (said, bodies, Some(close)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [switches, chunk, input @ ..] = data else {
        return;
    };
    let cut = run(config(*switches), input, usize::from(*chunk).max(1));
    let whole = run(config(*switches), input, input.len().max(1));
    // With STARTTLS it matters what came in one piece; a message that is refused halfway may have
    // been handed out further or less far.
    if switches & 16 == 0 {
        assert_eq!(String::from_utf8_lossy(&cut.0), String::from_utf8_lossy(&whole.0));
        assert_eq!(cut.2, whole.2);
        if switches & 8 != 0 && input.len() < 1000 {
            assert_eq!(cut.1, whole.1);
        }
    }
});
