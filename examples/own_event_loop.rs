//! The SMTP session over blocking std sockets: no tokio, no engine, any event loop.
#![allow(clippy::print_stdout)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::server::{Config, Event, Role, Server};
use axigen_proto::{Input, Output, Session};
use bytes::BytesMut;

/// Serves one connection: everything goes in and comes out of the session.
fn serve(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut session = Server::new(Config::new(Role::Mx, "example.test"), [0; 32]);
    let mut message = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        // The one rule: call anything, then poll until Wait or Close.
        match session.poll_output(Instant::now()) {
            Output::Transmit(bytes) => stream.write_all(&bytes)?,
            Output::Event(Event::Body(bytes)) => message.extend_from_slice(&bytes),
            Output::Event(Event::Reset) => message.clear(),
            // Everybody is welcome here: the code is the decision.
            Output::Event(_) => session.reply(Reply::ok()).map_err(std::io::Error::other)?,
            Output::Upgrade(_) => return Err(std::io::Error::other("TLS was not offered")),
            Output::Wait(_) => match stream.read(&mut buffer)? {
                0 => session.handle_input(Instant::now(), Input::Eof),
                n => {
                    session.handle_input(Instant::now(), Input::Bytes(BytesMut::from(&buffer[..n])))
                }
            },
            Output::Close(_) => return Ok(message),
        }
    }
}

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    println!("an SMTP server for one connection on {address}");
    let client = std::thread::spawn(move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"EHLO client.test\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nSubject: hi\r\n\r\n..dot\r\n.\r\nQUIT\r\n")?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        Ok(said)
    });
    let (stream, _) = listener.accept()?;
    let message = serve(stream)?;
    println!("it was told:\n{}", String::from_utf8_lossy(&message));
    assert_eq!(message, b"Subject: hi\r\n\r\n.dot\r\n");
    let said = client
        .join()
        .map_err(|_| std::io::Error::other("the client failed"))??;
    println!("and it said:\n{said}");
    Ok(())
}
