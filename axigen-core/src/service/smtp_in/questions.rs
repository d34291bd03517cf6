//! VRFY, EXPN and ETRN, for those who may ask.

use axigen_proto::smtp::address::Mailbox;
use axigen_proto::smtp::etrn::{Node, NodeKind};
use axigen_proto::smtp::reply::Reply;
use axigen_proto::smtp::standard;

use crate::directory::Resolution;
use crate::service::Context;

/// Most members of a list that EXPN tells.
const MEMBERS: usize = 100;

/// Whether an address exists
/// ([RFC 5321 §3.5](https://www.rfc-editor.org/rfc/rfc5321#section-3.5)).
pub(super) async fn vrfy(context: &Context, who: &str) -> Reply {
    let mailbox = match address(who) {
        Ok(mailbox) => mailbox,
        Err(reply) => return reply,
    };
    match found(context, &mailbox).await {
        Ok(_) => Reply::new(250, (2, 1, 5), format!("<{mailbox}>")),
        Err(reply) => reply,
    }
}

/// Where an alias leads.
pub(super) async fn expn(context: &Context, list: &str) -> Reply {
    let mailbox = match address(list) {
        Ok(mailbox) => mailbox,
        Err(reply) => return reply,
    };
    let members = match found(context, &mailbox).await {
        Ok(members) => members,
        Err(reply) => return reply,
    };
    let written = mailbox.to_string();
    if let [only] = members.as_slice()
        && only.eq_ignore_ascii_case(&written)
    {
        return Reply::new(550, (5, 2, 4), "this is a person, not a list");
    }
    if members.len() > MEMBERS {
        return Reply::new(252, (2, 5, 0), "the list is too long to be told");
    }
    let lines: Vec<String> = members.iter().map(|of| format!("<{of}>")).collect();
    Reply::new(250, (2, 1, 5), lines.join("\n"))
}

/// What waits for a domain is sent now
/// ([RFC 1985 §5](https://www.rfc-editor.org/rfc/rfc1985#section-5)).
pub(super) async fn etrn(context: &Context, node: &Node) -> Reply {
    if node.kind() == NodeKind::Queue {
        return standard::NODE_NOT_ALLOWED.into();
    }
    match context.delivery.send_waiting(node.name()).await {
        Some(Ok(false)) => standard::NOTHING_WAITS.into(),
        Some(Ok(true)) => {
            tracing::info!(domain = node.name(), "what waits is sent, by ETRN");
            standard::QUEUE_STARTED.into()
        }
        Some(Err(error)) => {
            tracing::error!(%error, "the queue could not be looked at");
            standard::CANNOT_START_QUEUE.into()
        }
        None => standard::NODE_NOT_ALLOWED.into(),
    }
}

fn address(text: &str) -> Result<Mailbox, Reply> {
    let text = text.trim();
    let inner = text
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix('>'));
    let parsed = inner.unwrap_or(text).parse();
    parsed.map_err(|_| Reply::new(553, (5, 1, 3), "give a whole address, as user@example.org"))
}

/// The addresses an address leads to.
async fn found(context: &Context, mailbox: &Mailbox) -> Result<Vec<String>, Reply> {
    let domain = mailbox.domain().to_string();
    match context.directory.resolve(mailbox.local(), &domain).await {
        Ok(Resolution::Found { local, remote }) => {
            let local = local.into_iter().map(|to| to.address);
            Ok(local.chain(remote).collect())
        }
        Ok(Resolution::NoSuchUser) => Err(standard::NO_SUCH_USER.into()),
        Ok(Resolution::Disabled) => Err(Reply::new(550, (5, 2, 1), "this account takes no mail")),
        Ok(Resolution::NotLocal) => Err(standard::CANNOT_VRFY.into()),
        Err(error) => {
            tracing::error!(%error, "an address could not be looked up");
            Err(standard::LOCAL_ERROR.into())
        }
    }
}
