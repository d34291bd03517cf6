//! No message of a client upsets a mechanism, and nobody gets in without the application.
#![no_main]

use std::sync::LazyLock;

use axigen_proto::TlsInfo;
use axigen_proto::sasl::{Answer, Ask, Channel, Mechanism, Refusal, ScramKeys, Server, Step, TokenRefusal};
use libfuzzer_sys::fuzz_target;

/// Derived once: it costs far more than what is to be tried.
static KEYS: LazyLock<ScramKeys> = LazyLock::new(|| ScramKeys::derive("secret", b"0123456789abcdef", 4096));

/// Messages are separated by 0xff, which none of them may hold.
fn run(mechanism: Mechanism, data: &[u8], answer: &mut dyn FnMut(&Ask) -> Answer) -> bool {
    let tls = TlsInfo { exporter: Some(vec![1; 32].into()), server_end_point: Some(vec![2; 32].into()), ..TlsInfo::default() };
    let channel = Channel::of(Some(&tls)).offering(&Mechanism::ALL);
    let mut server = Server::new(mechanism, &[7; 32]).on(channel);
    let mut messages = data.split(|&byte| byte == 0xff);
    let initial = messages.next().filter(|message| !message.is_empty());
    let mut step = server.step(initial);
    loop {
        step = match step {
            Step::Challenge(_) => match messages.next() {
                Some(message) => server.step(Some(message)),
                None => return false,
            },
            Step::Ask(ask) => {
                let answer = answer(&ask);
                server.answer(answer)
            }
            Step::Accept(identity) => {
                assert!(!identity.authcid.is_empty());
                return true;
            }
            Step::Refuse(_) | Step::Malformed(_) => return false,
        };
    }
}

fuzz_target!(|data: &[u8]| {
    for mechanism in Mechanism::ALL {
        let mut accepted = false;
        let let_in = run(mechanism, data, &mut |ask| match ask {
            Ask::Keys { .. } => Answer::Keys(Some(KEYS.clone())),
            // It is refused whatever is said.
            Ask::WrongProof { .. } => Answer::Accept,
            Ask::Token { .. } | Ask::External { .. } => {
                accepted = true;
                Answer::AcceptAs("ann".into())
            }
            _ => {
                accepted = true;
                Answer::Accept
            }
        });
        // SCRAM proves itself; to guess the proof is not in anybody's power.
        assert!(!let_in || accepted);
        let refused = run(mechanism, data, &mut |ask| match ask {
            Ask::Keys { .. } => Answer::Keys(None),
            Ask::Token { .. } => Answer::RefuseToken(TokenRefusal::default()),
            _ => Answer::Refuse(Refusal::BadCredentials),
        });
        assert!(!refused);
    }
});
