//! A web server for one policy.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What the server answers.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) status: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) body: String,
    pub(crate) tls: Arc<ServerConfig>,
}

/// A web server; it runs until the test ends.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    page: Arc<Mutex<Page>>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Web {
    pub(crate) async fn start(page: Page) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = Web {
            address: listener.local_addr().unwrap(),
            page: Arc::new(Mutex::new(page)),
            requests: Arc::default(),
        };
        let this = web.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = this.clone();
                tokio::spawn(async move {
                    let page = this.page.lock().clone();
                    let accepted = TlsAcceptor::from(page.tls.clone()).accept(stream).await;
                    let Ok(mut stream) = accepted else { return };
                    let mut request = Vec::new();
                    while !is_whole(&request) {
                        let mut piece = [0; 4096];
                        match stream.read(&mut piece).await {
                            Ok(0) | Err(_) => return,
                            Ok(read) => request.extend_from_slice(&piece[..read]),
                        }
                    }
                    this.requests.lock().push(request);
                    let head = format!(
                        "HTTP/1.1 {}\r\nContent-Type: {}\r\nLocation: https://elsewhere.test/\r\n\
                         Content-Length: {}\r\nConnection: close\r\n\r\n",
                        page.status,
                        page.media_type,
                        page.body.len()
                    );
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(page.body.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        web
    }

    /// From now on.
    pub(crate) fn shows(&self, change: impl FnOnce(&mut Page)) {
        change(&mut self.page.lock());
    }

    /// What was asked.
    pub(crate) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().clone()
    }
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().unwrap());
    request.len() >= end + 4 + length
}
