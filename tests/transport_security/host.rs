//! A mail host that takes everything and remembers how it came.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a host offers.
#[derive(Clone, Default)]
pub(crate) struct Offers {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// TLS from the first byte.
    pub(crate) implicit: bool,
    /// What stands in the answer to EHLO beside STARTTLS.
    pub(crate) words: &'static [&'static str],
}

/// A message that came.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) tls: bool,
    /// The MAIL command.
    pub(crate) mail: String,
    /// AUTH, if somebody logged in.
    pub(crate) auth: Option<String>,
    pub(crate) text: String,
}

/// A mail host; it runs until the test ends.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    offers: Arc<Mutex<Offers>>,
}

impl Host {
    pub(crate) async fn start(offers: Offers) -> Host {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Host::on(listener, offers)
    }

    /// On a socket that is bound.
    pub(crate) fn on(listener: TcpListener, offers: Offers) -> Host {
        let host = Host {
            address: listener.local_addr().unwrap(),
            arrived: Arc::default(),
            offers: Arc::new(Mutex::new(offers)),
        };
        let this = host.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                let offers = this.offers.lock().clone();
                tokio::spawn(async move {
                    if let (true, Some(tls)) = (offers.implicit, &offers.tls) {
                        let accepted = TlsAcceptor::from(tls.clone()).accept(stream).await;
                        if let Ok(stream) = accepted {
                            this.talk(stream, &offers, true).await;
                        }
                        return;
                    }
                    if let Some(stream) = this.talk(stream, &offers, false).await {
                        let tls = offers.tls.clone().unwrap();
                        if let Ok(stream) = TlsAcceptor::from(tls).accept(stream).await {
                            this.talk(stream, &offers, true).await;
                        }
                    }
                });
            }
        });
        host
    }

    /// From now on.
    pub(crate) fn offers(&self, offers: Offers) {
        *self.offers.lock() = offers;
    }

    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().clone()
    }

    /// One conversation; gives the stream back for STARTTLS.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        offers: &Offers,
        tls: bool,
    ) -> Option<S> {
        let mut io = BufReader::new(stream);
        if !tls || offers.implicit {
            io.write_all(b"220 host\r\n").await.ok()?;
        }
        let (mut mail, mut auth) = (String::new(), None);
        loop {
            let mut line = String::new();
            if io.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let verb = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_uppercase();
            let answer = match verb.as_str() {
                "EHLO" => {
                    let mut words = vec!["host"];
                    words.extend(offers.words);
                    if offers.tls.is_some() && !tls {
                        words.push("STARTTLS");
                    }
                    let last = words.len() - 1;
                    let lines = words.iter().enumerate();
                    let line = |(at, word): (usize, &&str)| match at == last {
                        true => format!("250 {word}\r\n"),
                        false => format!("250-{word}\r\n"),
                    };
                    lines.map(line).collect()
                }
                "STARTTLS" => {
                    io.write_all(b"220 go ahead\r\n").await.ok()?;
                    return Some(io.into_inner());
                }
                "AUTH" => {
                    auth = Some(line.trim_end().to_owned());
                    "235 2.7.0 welcome\r\n".to_owned()
                }
                "MAIL" => {
                    mail = line.trim_end().to_owned();
                    "250 2.1.0 ok\r\n".to_owned()
                }
                "DATA" => {
                    io.write_all(b"354 go on\r\n").await.ok()?;
                    let mut text = Vec::new();
                    while !text.ends_with(b"\r\n.\r\n") {
                        if io.read_until(b'\n', &mut text).await.ok()? == 0 {
                            return None;
                        }
                    }
                    self.arrived.lock().push(Arrived {
                        tls,
                        mail: mail.clone(),
                        auth: auth.clone(),
                        text: String::from_utf8_lossy(&text).into_owned(),
                    });
                    "250 2.0.0 taken\r\n".to_owned()
                }
                "QUIT" => {
                    let _ = io.write_all(b"221 bye\r\n").await;
                    return None;
                }
                _ => "250 2.0.0 ok\r\n".to_owned(),
            };
            io.write_all(answer.as_bytes()).await.ok()?;
        }
    }
}
