//! SCRAM-SHA-256 ([RFC 5802](https://www.rfc-editor.org/rfc/rfc5802),
//! [RFC 7677](https://www.rfc-editor.org/rfc/rfc7677)), alone and bound to a
//! channel (SCRAM-SHA-256-PLUS).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Answer, Ask, Channel, Identity, Refusal, SCRAM_MESSAGE_LIMIT, ScramKeys, Step, plain};

/// Iterations of keys made here. RFC 7677 §4 asks for at least 4096.
pub const ITERATIONS: u32 = 10_000;

impl ScramKeys {
    /// Derives the keys of a password (RFC 5802 §3). Pure computation, some
    /// milliseconds long: do it away from the event loop.
    ///
    /// The password is prepared already, as RFC 5802 §2.2 asks: see
    /// [`prepare`](super::prepare()).
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> ScramKeys {
        let mut salted = [0u8; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
        let client_key = mac(&salted, &[b"Client Key"]);
        ScramKeys {
            salt: Bytes::copy_from_slice(salt),
            iterations,
            stored_key: Sha256::digest(client_key).into(),
            server_key: mac(&salted, &[b"Server Key"]),
        }
    }

    /// Keys of a user who does not exist: nobody knows a password for them,
    /// and the same `secret` and name always give the same salt, so that the
    /// exchange does not tell who exists.
    pub fn decoy(secret: &[u8], user: &str) -> ScramKeys {
        let salt = mac(secret, &[b"salt", user.as_bytes()]);
        ScramKeys {
            salt: Bytes::copy_from_slice(&salt[..16]),
            iterations: ITERATIONS,
            stored_key: mac(secret, &[b"stored", user.as_bytes()]),
            server_key: mac(secret, &[b"server", user.as_bytes()]),
        }
    }
}

/// HMAC-SHA-256 over the pieces.
pub(super) fn mac(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            for piece in pieces {
                mac.update(piece);
            }
            mac.finalize().into_bytes().into()
        }
        // HMAC takes keys of every length.
        Err(_) => [0; 32],
    }
}

/// Where the exchange stands.
#[derive(Debug)]
pub(super) struct Scram {
    nonce: Vec<u8>,
    /// Whether this is SCRAM-SHA-256-PLUS.
    binds: bool,
    channel: Channel,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// The keys were asked for.
    Keys(First),
    /// The server's first message is out.
    Proof {
        first: First,
        keys: ScramKeys,
        known: bool,
        server_first: String,
        nonce: String,
    },
    /// The proof was good; may this user in?
    Authorize {
        identity: Identity,
        server_final: Bytes,
    },
    /// The proof was wrong; the application is told.
    Wrong,
    /// The server's final message is out; the client says nothing more.
    Final(Identity),
    Done,
}

/// What the client's first message said.
#[derive(Debug, Clone)]
struct First {
    gs2_header: String,
    /// The data of the channel that the client binds to; empty without one.
    bound: Bytes,
    authzid: String,
    authcid: String,
    bare: String,
    nonce: String,
}

impl Scram {
    pub(super) fn new(nonce: &[u8], binds: bool) -> Scram {
        Scram {
            nonce: nonce.to_vec(),
            binds,
            channel: Channel::default(),
            state: State::Start,
        }
    }

    pub(super) fn on(&mut self, channel: Channel) {
        self.channel = channel;
    }

    pub(super) fn step(&mut self, response: Option<&[u8]>) -> Step {
        let Some(response) = response else {
            // RFC 5802 §5: the client speaks first, so the first challenge is empty.
            return match self.state {
                State::Start => Step::Challenge(Bytes::new()),
                _ => Step::Malformed("a response was expected"),
            };
        };
        if response.len() > SCRAM_MESSAGE_LIMIT {
            return Step::Malformed("the SCRAM message is too long");
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => match std::str::from_utf8(response)
                .map_err(|_| "the SCRAM message is not UTF-8")
                .and_then(|message| first(message, self.binds, &self.channel))
            {
                Ok(first) => {
                    let ask = Ask::Keys {
                        authcid: first.authcid.clone(),
                    };
                    self.state = State::Keys(first);
                    Step::Ask(ask)
                }
                Err(why) => Step::Malformed(why),
            },
            State::Proof {
                first,
                keys,
                known,
                server_first,
                nonce,
            } => match verify(response, &first, &keys, &server_first, &nonce) {
                Ok(Some(server_final)) if known => {
                    let identity = Identity {
                        authzid: match first.authzid.as_str() {
                            "" => first.authcid.clone(),
                            authzid => authzid.to_owned(),
                        },
                        authcid: first.authcid.clone(),
                    };
                    let ask = Ask::Authorize {
                        authzid: first.authzid,
                        authcid: first.authcid,
                    };
                    self.state = State::Authorize {
                        identity,
                        server_final,
                    };
                    Step::Ask(ask)
                }
                Ok(_) => {
                    self.state = State::Wrong;
                    Step::Ask(Ask::WrongProof {
                        authcid: first.authcid,
                    })
                }
                Err(why) => Step::Malformed(why),
            },
            // The client acknowledges the server's final message with an empty one.
            State::Final(identity) if response.is_empty() => Step::Accept(identity),
            State::Final(_) => {
                Step::Malformed("nothing was expected after the server's final message")
            }
            State::Keys(_) | State::Authorize { .. } | State::Wrong | State::Done => {
                Step::Malformed("no response was expected")
            }
        }
    }

    pub(super) fn answer(&mut self, answer: Answer) -> Step {
        match (std::mem::replace(&mut self.state, State::Done), answer) {
            (State::Keys(first), Answer::Keys(keys)) => {
                let known = keys.is_some();
                let keys = keys.unwrap_or_else(|| ScramKeys::decoy(&self.nonce, &first.authcid));
                let nonce = format!(
                    "{}{}",
                    first.nonce,
                    STANDARD.encode(mac(&self.nonce, &[b"nonce", first.nonce.as_bytes()]))
                );
                let server_first = format!(
                    "r={nonce},s={},i={}",
                    STANDARD.encode(&keys.salt),
                    keys.iterations
                );
                let challenge = Bytes::from(server_first.clone());
                self.state = State::Proof {
                    first,
                    keys,
                    known,
                    server_first,
                    nonce,
                };
                Step::Challenge(challenge)
            }
            (
                State::Authorize {
                    identity,
                    server_final,
                },
                Answer::Accept,
            ) => {
                self.state = State::Final(identity);
                Step::Challenge(server_final)
            }
            (_, Answer::Refuse(why)) => Step::Refuse(why),
            (State::Wrong, _) => Step::Refuse(Refusal::BadCredentials),
            _ => Step::Refuse(Refusal::Unavailable),
        }
    }
}

/// ```abnf
/// client-first-message = gs2-header client-first-message-bare
/// gs2-header = gs2-cbind-flag "," [ "a=" saslname ] ","
/// gs2-cbind-flag = "p=" cb-name / "n" / "y"
/// client-first-message-bare = [ reserved-mext "," ] "n=" saslname "," "r=" c-nonce ["," extensions]
/// ```
fn first(message: &str, binds: bool, channel: &Channel) -> Result<First, &'static str> {
    let mut fields = message.splitn(3, ',');
    let (Some(flag), Some(authzid), Some(bare)) = (fields.next(), fields.next(), fields.next())
    else {
        return Err("the client's first message is incomplete");
    };
    let bound = match (flag.strip_prefix("p="), flag) {
        (Some(kind), _) if binds => channel
            .data(kind)
            .cloned()
            .ok_or("this type of channel binding is not there")?,
        (Some(_), _) => return Err("channel binding is not offered by this mechanism"),
        (None, "n" | "y") if binds => {
            return Err("the client does not bind, though the mechanism says so");
        }
        (None, "n") => Bytes::new(),
        // RFC 5802 §6: `y` means the client could bind but believes that we cannot. If we said that
        // we can, somebody in between has taken it out.
        (None, "y") if channel.is_plus_offered() => {
            return Err("the server does bind channels: somebody changed what it offered");
        }
        (None, "y") => Bytes::new(),
        _ => return Err("the GS2 header is not valid"),
    };
    let gs2_header = format!("{flag},{authzid},");
    let authzid = match authzid {
        "" => String::new(),
        given => saslname(
            given
                .strip_prefix("a=")
                .ok_or("the GS2 header is not valid")?,
        )?,
    };
    if bare.starts_with("m=") {
        // RFC 5802 §5.1: a mandatory extension that is not known.
        return Err("the client asks for an extension that is not known");
    }
    let mut attributes = bare.split(',');
    let user = attributes
        .next()
        .and_then(|a| a.strip_prefix("n="))
        .ok_or("the user name is missing")?;
    let nonce = attributes
        .next()
        .and_then(|a| a.strip_prefix("r="))
        .ok_or("the nonce is missing")?;
    if nonce.is_empty() || !nonce.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return Err("the nonce is not valid");
    }
    let authcid = saslname(user)?;
    if authcid.is_empty() {
        return Err("the user name is empty");
    }
    Ok(First {
        gs2_header,
        bound,
        authzid,
        authcid,
        bare: bare.to_owned(),
        nonce: nonce.to_owned(),
    })
}

/// `saslname`: `=2C` stands for a comma and `=3D` for an equals sign.
pub(super) fn saslname(name: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('=') {
        out.push_str(before);
        rest = if let Some(rest) = after.strip_prefix("2C") {
            out.push(',');
            rest
        } else if let Some(rest) = after.strip_prefix("3D") {
            out.push('=');
            rest
        } else {
            return Err("the user name has an equals sign that is not encoded");
        };
    }
    out.push_str(rest);
    plain::name(out.as_bytes())
}

/// Checks `client-final-message = "c=" base64 "," "r=" nonce ["," extensions] "," "p=" base64`.
/// The server's final message, or `None` if the proof is wrong.
fn verify(
    response: &[u8],
    first: &First,
    keys: &ScramKeys,
    server_first: &str,
    nonce: &str,
) -> Result<Option<Bytes>, &'static str> {
    let message = std::str::from_utf8(response).map_err(|_| "the SCRAM message is not UTF-8")?;
    let (without_proof, proof) = message.rsplit_once(",p=").ok_or("the proof is missing")?;
    let mut attributes = without_proof.split(',');
    let binding = attributes
        .next()
        .and_then(|a| a.strip_prefix("c="))
        .ok_or("the channel binding is missing")?;
    let binding = STANDARD
        .decode(binding)
        .map_err(|_| "the channel binding is not base64")?;
    // RFC 5802 §7: `cbind-input = gs2-header [ cbind-data ]`. Other data means that the client's TLS
    // does not end here.
    let (header, data) = binding
        .split_at_checked(first.gs2_header.len())
        .ok_or("the channel binding is not that of the first message")?;
    if header != first.gs2_header.as_bytes() {
        return Err("the channel binding is not that of the first message");
    }
    if !bool::from(data.ct_eq(&first.bound)) {
        return Err("the channel binding is not that of this connection");
    }
    if attributes.next().and_then(|a| a.strip_prefix("r=")) != Some(nonce) {
        return Err("the nonce is not that of the first messages");
    }
    let proof = STANDARD
        .decode(proof)
        .map_err(|_| "the proof is not base64")?;
    let Ok(proof) = <[u8; 32]>::try_from(proof) else {
        return Err("the proof has the wrong length");
    };
    let auth_message: [&[u8]; 5] = [
        first.bare.as_bytes(),
        b",",
        server_first.as_bytes(),
        b",",
        without_proof.as_bytes(),
    ];
    let signature = mac(&keys.stored_key, &auth_message);
    let mut client_key = [0u8; 32];
    for ((out, proof), signature) in client_key.iter_mut().zip(proof).zip(signature) {
        *out = proof ^ signature;
    }
    let stored: [u8; 32] = Sha256::digest(client_key).into();
    let good = bool::from(stored.ct_eq(&keys.stored_key));
    Ok(good.then(|| {
        Bytes::from(format!(
            "v={}",
            STANDARD.encode(mac(&keys.server_key, &auth_message))
        ))
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn challenge(step: Step) -> String {
        match step {
            Step::Challenge(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn to_proof(nonce: &[u8], keys: Option<ScramKeys>) -> (Scram, String) {
        let mut scram = Scram::new(nonce, false);
        assert_eq!(challenge(scram.step(None)), "");
        assert!(
            matches!(scram.step(Some(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")), Step::Ask(Ask::Keys { authcid }) if authcid == "user")
        );
        let first = challenge(scram.answer(Answer::Keys(keys)));
        (scram, first)
    }

    /// The client's side, for a server's first message.
    fn client_final(password: &str, server_first: &str) -> (Vec<u8>, String) {
        let field = |name: &str| {
            server_first
                .split(',')
                .find_map(|f| f.strip_prefix(name))
                .unwrap()
        };
        let salt = STANDARD.decode(field("s=")).unwrap();
        let mut salted = [0u8; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(
            password.as_bytes(),
            &salt,
            field("i=").parse().unwrap(),
            &mut salted,
        );
        let client_key = mac(&salted, &[b"Client Key"]);
        let without_proof = format!("c=biws,r={}", field("r="));
        let message = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{server_first},{without_proof}");
        let signature = mac(&Sha256::digest(client_key), &[message.as_bytes()]);
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let verifier = STANDARD.encode(mac(&mac(&salted, &[b"Server Key"]), &[message.as_bytes()]));
        (
            format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(),
            format!("v={verifier}"),
        )
    }

    fn is_wrong(step: Step) {
        assert!(
            matches!(&step, Step::Ask(Ask::WrongProof { authcid }) if authcid == "user"),
            "{step:?}"
        );
    }

    #[test]
    fn rfc_7677_example() {
        // RFC 7677 §3, with the server's nonce put in as it stands there.
        let keys = ScramKeys::derive(
            "pencil",
            &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
            4096,
        );
        let first = first(
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            false,
            &Channel::default(),
        )
        .unwrap();
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let server_first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let client_final =
            format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let server_final = verify(client_final.as_bytes(), &first, &keys, &server_first, nonce)
            .unwrap()
            .unwrap();
        assert_eq!(
            server_final,
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
    }

    #[test]
    fn a_whole_exchange() {
        let keys = ScramKeys::derive("pencil", b"0123456789abcdef", 4096);
        let (mut scram, server_first) = to_proof(b"seed", Some(keys));
        let (response, verifier) = client_final("pencil", &server_first);
        assert!(
            matches!(scram.step(Some(&response)), Step::Ask(Ask::Authorize { authcid, authzid }) if authcid == "user" && authzid.is_empty())
        );
        assert_eq!(challenge(scram.answer(Answer::Accept)), verifier);
        let Step::Accept(identity) = scram.step(Some(b"")) else {
            panic!()
        };
        assert_eq!(
            identity,
            Identity {
                authcid: "user".into(),
                authzid: "user".into()
            }
        );
        assert!(matches!(scram.step(Some(b"")), Step::Malformed(_)));
    }

    #[test]
    fn a_recorded_exchange_is_worth_nothing() {
        let keys = || Some(ScramKeys::derive("pencil", b"0123456789abcdef", 4096));
        let (mut scram, server_first) = to_proof(b"one", keys());
        let (recorded, _) = client_final("pencil", &server_first);
        assert!(matches!(scram.step(Some(&recorded)), Step::Ask(_)));
        let (mut scram, again) = to_proof(b"two", keys());
        assert_ne!(again, server_first, "for the same first message");
        assert!(matches!(scram.step(Some(&recorded)), Step::Malformed(_)));
        // With the new nonce written in, the proof is that of another message.
        let nonce = |first: &str| first[2..].split(',').next().unwrap().to_owned();
        let patched = String::from_utf8(recorded)
            .unwrap()
            .replace(&nonce(&server_first), &nonce(&again));
        let (mut scram, _) = to_proof(b"two", keys());
        is_wrong(scram.step(Some(patched.as_bytes())));
    }

    #[test]
    fn wrong_passwords_and_unknown_users_are_refused_alike() {
        let keys = ScramKeys::derive("pencil", b"0123456789abcdef", 4096);
        for (keys, password) in [(Some(keys), "pencils"), (None, "pencil")] {
            let (mut scram, server_first) = to_proof(b"seed", keys);
            let (response, _) = client_final(password, &server_first);
            is_wrong(scram.step(Some(&response)));
            // Whatever the application says.
            assert!(matches!(
                scram.answer(Answer::Accept),
                Step::Refuse(Refusal::BadCredentials)
            ));
            assert!(matches!(scram.step(Some(b"")), Step::Malformed(_)));
            assert!(matches!(scram.answer(Answer::Accept), Step::Refuse(_)));
        }
        assert_eq!(ScramKeys::decoy(b"s", "u"), ScramKeys::decoy(b"s", "u"));
        assert_ne!(
            ScramKeys::decoy(b"s", "u").salt,
            ScramKeys::decoy(b"s", "v").salt
        );
    }

    #[test]
    fn malformed_messages() {
        for bad in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,r=x,n=user",
            "n,,n=,r=x",
            "n,,n=a=b,r=x",
            "n,,n=user,r=",
            "n,,n=user,r=a b",
            "x,,n=user,r=x",
            "p=tls-exporter,,n=user,r=x",
            "n,b=x,n=user,r=x",
            "n,,m=x,n=user,r=x",
            "n,,n=us\u{1}er,r=x",
        ] {
            assert!(
                matches!(
                    Scram::new(b"s", false).step(Some(bad.as_bytes())),
                    Step::Malformed(_)
                ),
                "{bad}"
            );
        }
        assert!(matches!(
            Scram::new(b"s", false).step(Some(&[b'n'; SCRAM_MESSAGE_LIMIT + 1])),
            Step::Malformed(_)
        ));
        let keys = || Some(ScramKeys::derive("pencil", b"0123456789abcdef", 4096));
        let (_, server_first) = to_proof(b"seed", keys());
        let (good, _) = client_final("pencil", &server_first);
        let good = String::from_utf8(good).unwrap();
        for bad in [
            good.replace("c=biws", "c=eSws"),
            good.replace(",r=", ",r=x"),
            good.replace(",p=", ",q="),
            format!("{good}AAAA"),
            good.replace("c=biws,", ""),
            String::new(),
        ] {
            let (mut scram, _) = to_proof(b"seed", keys());
            assert!(
                matches!(scram.step(Some(bad.as_bytes())), Step::Malformed(_)),
                "{bad}"
            );
        }
    }

    fn channel() -> Channel {
        let tls = crate::session::TlsInfo {
            exporter: Some(Bytes::from_static(b"exported keying material")),
            server_end_point: Some(Bytes::from_static(b"hash of a certificate")),
            ..Default::default()
        };
        Channel::of(Some(&tls))
    }

    #[test]
    fn who_binds_and_who_may_not() {
        let offering = || channel().offering(&[super::super::Mechanism::ScramSha256Plus]);
        let starts = |message: &str, binds, channel: Channel| {
            let mut scram = Scram::new(b"s", binds);
            scram.on(channel);
            match scram.step(Some(message.as_bytes())) {
                Step::Ask(_) => Ok(()),
                Step::Malformed(why) => Err(why),
                other => panic!("{other:?}"),
            }
        };
        for kind in ["tls-exporter", "tls-server-end-point"] {
            let message = format!("p={kind},,n=user,r=x");
            assert_eq!(starts(&message, true, channel()), Ok(()));
            assert!(starts(&message, false, channel()).is_err());
            assert!(starts(&message, true, Channel::default()).is_err());
        }
        // RFC 9266 §3: tls-unique is not for TLS 1.3.
        assert!(starts("p=tls-unique,,n=user,r=x", true, channel()).is_err());
        for flag in ["n", "y"] {
            let message = format!("{flag},,n=user,r=x");
            assert!(starts(&message, true, offering()).is_err());
            assert_eq!(starts(&message, false, channel()), Ok(()));
        }
        assert_eq!(starts("n,,n=user,r=x", false, offering()), Ok(()));
        let why = starts("y,,n=user,r=x", false, offering()).unwrap_err();
        assert!(why.contains("somebody changed"), "{why}");
    }

    #[test]
    fn saslname_escapes() {
        assert_eq!(saslname("a=2Cb=3Dc").as_deref(), Ok("a,b=c"));
        assert!(saslname("a=2cb").is_err());
        assert!(saslname("a=").is_err());
    }
}
