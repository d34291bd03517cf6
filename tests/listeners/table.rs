//! Every combination of rules at a real socket: what the server, the listener and
//! the service say of a peer, by action and priority, with limits.

use axigen_core::settings::{AccessRule, Action};

use crate::world::{Client, plain, rule, world};

const PEER: [u8; 4] = [127, 0, 9, 7];

fn with(action: Action, peers: &str, priority: u16, connections: Option<u32>) -> AccessRule {
    let mut rule = rule(action, peers);
    rule.priority = priority;
    rule.limits.peer_connections = connections;
    rule
}

/// What one level may say: nothing of this peer, or one or two rules.
fn sets() -> Vec<Vec<AccessRule>> {
    use Action::{Allow, Deny};
    let (net, range, other) = ("127.0.9.0/24", "127.0.9.1-127.0.9.9", "127.0.10.1");
    vec![
        vec![],
        vec![with(Deny, other, 1, None)],
        vec![with(Allow, net, 500, None)],
        vec![with(Deny, net, 500, None)],
        vec![with(Allow, range, 500, Some(1))],
        vec![with(Deny, net, 500, None), with(Allow, range, 100, Some(1))],
        vec![with(Deny, range, 100, None), with(Allow, net, 500, None)],
    ]
}

/// What the documentation says of it: levels in their order, within one the
/// smallest priority; the limit is of the rule that lets in, or of the listener.
fn wanted(levels: [&[AccessRule]; 3]) -> (bool, u32) {
    let names = |rule: &&AccessRule| rule.peers.iter().any(|peers| peers.contains(PEER.into()));
    let said = levels
        .iter()
        .find_map(|rules| rules.iter().filter(names).min_by_key(|rule| rule.priority));
    match said {
        Some(rule) if rule.action == Action::Deny => (false, 0),
        Some(rule) => (true, rule.limits.peer_connections.unwrap_or(2)),
        None => (true, 2),
    }
}

#[tokio::test]
async fn every_combination_of_level_action_priority_and_limit() {
    let world = world(|settings| {
        settings.imap.common.listeners = vec![plain()];
        settings.imap.common.listeners[0].limits.peer_connections = Some(2);
        settings.faults.ban_after = 0;
    })
    .await;
    let server = world.engine.addresses("imap")[0];
    let sets = sets();
    let mut tried = 0;
    for of_server in &sets {
        for of_listener in &sets {
            for of_service in &sets {
                world
                    .change(|settings| {
                        settings.rules.clone_from(of_server);
                        let imap = &mut settings.imap.common;
                        imap.listeners[0].rules.clone_from(of_listener);
                        imap.rules.clone_from(of_service);
                    })
                    .await
                    .unwrap();
                let case = format!("{of_server:?} {of_listener:?} {of_service:?}");
                let (lets_in, most) = wanted([of_server, of_listener, of_service]);
                let mut open = Vec::new();
                for _ in 0..most {
                    let mut client = Client::from(PEER, server).await;
                    let said = client.line().await;
                    assert!(said.starts_with("* OK"), "{case}: {said}");
                    open.push(client);
                }
                let said = Client::from(PEER, server).await.line().await;
                let why = match lets_in {
                    true => "too many connections",
                    false => "you may not connect here",
                };
                assert!(said.contains(why), "{case}: {said}");
                drop(open);
                while world.engine.connections("imap") > 0 {
                    tokio::task::yield_now().await;
                }
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 7 * 7 * 7);
}
