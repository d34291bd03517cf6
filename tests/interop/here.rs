//! Our side: a server that takes mail and sends it, with a user `carl`.

use std::net::{SocketAddr, TcpListener};

use axigen_core::settings::TlsMode;
use axigen_tests::engines::{Server, named, noon};
use axigen_tests::wire::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::peer::until;

/// A message and what is said about it.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: String,
    /// Parameters of MAIL and RCPT, with the space before them.
    pub(crate) mail: String,
    pub(crate) rcpt: String,
    pub(crate) text: String,
}

impl Mail {
    pub(crate) fn new(to: &str, text: &str) -> Mail {
        Mail {
            from: "carl@here.test".into(),
            to: to.into(),
            mail: String::new(),
            rcpt: String::new(),
            text: text.into(),
        }
    }

    pub(crate) fn subject(&self) -> String {
        self.text.lines().next().unwrap_or_default().to_owned()
    }

    /// Over a connection that is ready for it.
    pub(crate) fn hand_over(&self, wire: &mut Wire) {
        for command in [
            format!("MAIL FROM:<{}>{}", self.from, self.mail),
            format!("RCPT TO:<{}>{}", self.to, self.rcpt),
        ] {
            let said = wire.smtp(&command);
            assert!(said.starts_with("250"), "{command}: {said}");
        }
        let said = wire.smtp("DATA");
        assert!(said.starts_with("354"), "{said}");
        let stuffed = self.text.replace("\r\n.", "\r\n..");
        wire.send(format!("{stuffed}.\r\n"));
        let said = wire.smtp_reply();
        assert!(said.starts_with("250"), "{said}");
        wire.smtp("QUIT");
    }
}

#[derive(Debug)]
pub(crate) struct Here {
    server: Server,
    seen: std::cell::Cell<usize>,
    submission: SocketAddr,
    /// The port of both servers.
    pub(crate) port: u16,
    /// Certificate and key, for both as well.
    pub(crate) dir: TempDir,
    runtime: Runtime,
}

/// Where we take mail from other servers.
pub(crate) const ADDRESS: &str = "127.0.0.3";

impl Here {
    pub(crate) fn new(domain: &str, address: &str) -> Here {
        let dir = TempDir::new().unwrap();
        let names = vec!["mx.here.test".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let files = [
            ("cert.pem", made.cert.pem()),
            ("key.pem", made.signing_key.serialize_pem()),
        ];
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let socket = free_on_both(address);
        let port = socket.local_addr().unwrap().port();
        let mut settings = named("mx.here.test");
        settings.smtp_out.enable = true;
        settings.smtp_out.mx_port = port;
        settings.smtp_out.chunking = true;
        settings.tls.certificate = dir.path().join("cert.pem");
        settings.tls.key = dir.path().join("key.pem");
        let zone = format!("{domain}. MX 10 mx.{domain}.\nmx.{domain}. A {address}\n");
        let runtime = Runtime::new().unwrap();
        let (server, submission) = runtime.block_on(async {
            let server = Server::new(settings, &zone, &noon(), "carl@here.test").await;
            let engine = &server.engine;
            let mut carl = axigen_core::settings::AccountSettings::default();
            carl.set("send_as", "@here.test").unwrap();
            let directory = engine.directory();
            directory
                .set_account_settings("carl@here.test", &carl)
                .await
                .unwrap();
            directory
                .add_alias("bad@here.test", &["carl@here.test".into()])
                .await
                .unwrap();
            engine.serve("smtp_in", socket, TlsMode::Starttls).unwrap();
            let own = TcpListener::bind("127.0.0.1:0").unwrap();
            let submission = engine.serve("submission", own, TlsMode::None).unwrap();
            engine.start_service("smtp_out").await.unwrap();
            (server, submission)
        });
        Here {
            server,
            seen: 0.into(),
            submission,
            port,
            dir,
            runtime,
        }
    }

    /// Sends a message as our user.
    pub(crate) fn submit(&self, mail: &Mail) {
        let mut wire = Wire::connect(&self.submission.to_string());
        wire.smtp_reply();
        wire.smtp("EHLO client.test");
        let plain = STANDARD.encode("\0carl@here.test\0secret");
        let said = wire.smtp(&format!("AUTH PLAIN {plain}"));
        assert!(said.starts_with("235"), "{said}");
        mail.hand_over(&mut wire);
    }

    /// The next message that our user gets.
    pub(crate) fn next(&self) -> String {
        let seen = self.seen.get();
        let text = until(|| {
            let inbox = self.runtime.block_on(self.server.inbox());
            inbox.get(seen).cloned()
        });
        self.seen.set(seen + 1);
        text
    }
}

/// A socket of ours whose port is free at the other address as well.
fn free_on_both(other: &str) -> TcpListener {
    for _ in 0..100 {
        let socket = TcpListener::bind((ADDRESS, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        if TcpListener::bind((other, port)).is_ok() {
            return socket;
        }
    }
    panic!("no port is free on two addresses");
}
