//! Addresses that cover one another, changed in one step.

use std::net::{SocketAddr, TcpListener};

use axigen_core::error::Error;
use axigen_core::settings::{Action, ListenerSettings};

use crate::world::{Client, World, plain, rule, world};

/// A port that nobody has on any address.
fn port() -> u16 {
    let socket = TcpListener::bind("0.0.0.0:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Without TLS, and without logins where others could reach it.
fn at(address: impl Into<SocketAddr>) -> ListenerSettings {
    ListenerSettings {
        address: address.into().into(),
        plaintext_login: false,
        ..plain()
    }
}

async fn greets(address: impl Into<SocketAddr>) -> bool {
    match tokio::net::TcpStream::connect(address.into()).await {
        Ok(tcp) => Client::new(tcp).line().await.starts_with("220 "),
        Err(_) => false,
    }
}

async fn listens_at(world: &World, addresses: &[SocketAddr]) {
    let mut at = world.engine.addresses("smtp_in");
    at.sort_unstable();
    assert_eq!(at, addresses);
}

#[tokio::test]
async fn from_all_addresses_to_one_and_back() {
    let port = port();
    let every = SocketAddr::from(([0, 0, 0, 0], port));
    let (one, two, three) = (
        SocketAddr::from(([127, 0, 0, 1], port)),
        SocketAddr::from(([127, 0, 0, 2], port)),
        SocketAddr::from(([127, 0, 0, 3], port)),
    );
    let world = world(|settings| settings.smtp_in.common.listeners = vec![at(every)]).await;
    let mut open = Client::connect(one).await;
    assert!(open.line().await.starts_with("220 "));

    world
        .change(|settings| settings.smtp_in.common.listeners = vec![at(one)])
        .await
        .unwrap();
    assert!(greets(one).await && !greets(two).await);
    listens_at(&world, &[one]).await;
    // Who was connected stays.
    assert!(open.ask("NOOP").await.starts_with("250"));

    world
        .change(|settings| settings.smtp_in.common.listeners = vec![at(every)])
        .await
        .unwrap();
    assert!(greets(one).await && greets(two).await);
    listens_at(&world, &[every]).await;

    // To several, of several services, and back.
    let mut mail = at(three);
    mail.address = three.into();
    world
        .change(|settings| {
            settings.smtp_in.common.listeners = vec![at(one), at(two)];
            settings.lmtp.common.enable = true;
            settings.lmtp.common.listeners = vec![mail];
        })
        .await
        .unwrap();
    assert!(greets(one).await && greets(two).await && greets(three).await);
    listens_at(&world, &[one, two]).await;
    world
        .change(|settings| {
            settings.smtp_in.common.listeners = vec![at(every)];
            settings.lmtp.common.enable = false;
        })
        .await
        .unwrap();
    listens_at(&world, &[every]).await;
    assert!(greets(three).await);
    assert!(!world.engine.running().contains(&"lmtp"));
    assert!(open.ask("NOOP").await.starts_with("250"));
}

#[tokio::test]
async fn the_old_one_comes_back() {
    let port = port();
    let every = SocketAddr::from(([0, 0, 0, 0], port));
    let one = SocketAddr::from(([127, 0, 0, 1], port));
    // Of the addresses that are for documentation: no machine has it.
    let nobodys = SocketAddr::from(([192, 0, 2, 1], port));
    let world = world(|settings| {
        settings.smtp_in.common.listeners = vec![at(every)];
        settings.smtp_in.common.listeners[0].limits.peer_connections = Some(2);
    })
    .await;
    let mut open = Client::connect(one).await;
    assert!(open.line().await.starts_with("220 "));
    let before = world.engine.settings();
    for wanted in [vec![at(nobodys)], vec![at(one), at(nobodys)]] {
        let error = world
            .change(|settings| {
                settings.smtp_in.common.listeners = wanted;
                settings.rules = vec![rule(Action::Deny, "127.0.0.0/8")];
            })
            .await
            .unwrap_err();
        match &error {
            Error::Bind {
                service: "smtp_in",
                address,
                ..
            } => assert_eq!(*address, nobodys.into()),
            other => panic!("{other}"),
        }
        assert!(error.to_string().contains(&nobodys.to_string()), "{error}");
        assert_eq!(*world.engine.settings(), *before);
        listens_at(&world, &[every]).await;
        assert!(greets(one).await, "with rules and limits as before");
        assert!(open.ask("NOOP").await.starts_with("250"));
    }
    // What it counts goes on, too.
    let mut second = Client::connect(one).await;
    assert!(second.line().await.starts_with("220 "));
    let mut third = Client::connect(one).await;
    assert!(third.line().await.starts_with("421 "));
    // And it can be changed still.
    drop((second, third));
    world
        .change(|settings| settings.smtp_in.common.listeners = vec![at(one)])
        .await
        .unwrap();
    listens_at(&world, &[one]).await;
}
