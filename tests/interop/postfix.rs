//! Postfix, with a configuration and a queue of its own.

use std::path::PathBuf;
use std::process::Command;

use axigen_tests::tool::finish;

use crate::here::{self, Here};
use crate::peer::{Peer, listens, maildir};

pub(crate) struct Postfix {
    dir: PathBuf,
    port: u16,
}

const SERVICES: &str = "\
pickup    unix n - n 60 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 300 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
";

impl Postfix {
    pub(crate) fn start(here: &Here) -> Postfix {
        let dir = here.dir.path().join("postfix");
        for part in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir_all(dir.join(part)).unwrap();
        }
        let (work, port) = (dir.display(), here.port);
        let certificates = here.dir.path().display();
        let ours = here::ADDRESS;
        let main = format!(
            "compatibility_level = 3.6
queue_directory = {work}/queue
data_directory = {work}/data
maillog_file = {work}/log
maillog_file_prefixes = {work}
myhostname = mx.{domain}
mydestination =
inet_interfaces = 127.0.0.1
smtp_bind_address = {address}
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_base = {work}/mail
virtual_mailbox_maps = texthash:{work}/etc/users
virtual_uid_maps = static:USER
virtual_gid_maps = static:USER
virtual_minimum_uid = 1
transport_maps = inline:{{ here.test=smtp:[{ours}]:{port} }}
smtp_dns_support_level = disabled
message_size_limit = 52428800
virtual_mailbox_limit = 0
smtputf8_enable = yes
smtpd_tls_security_level = may
smtp_tls_security_level = may
smtpd_tls_cert_file = {certificates}/cert.pem
smtpd_tls_key_file = {certificates}/key.pem
smtpd_discard_ehlo_keywords =
smtpd_sender_restrictions = check_sender_access inline:{{ {{ bad@here.test = 550 5.7.1 not this sender }} }}
header_checks = regexp:{work}/etc/headers
",
            domain = Self::DOMAIN,
            address = Self::ADDRESS,
        );
        let user = finish(id("-u"), b"").ok().text;
        let main = main.replace("USER", user.trim());
        let domain = Self::DOMAIN;
        let users = format!("bob@{domain} bob/\njörg@{domain} joerg/\n");
        let listener = format!("{}:{port} inet n - n - - smtpd\n", Self::ADDRESS);
        for (name, text) in [
            ("main.cf", main),
            ("master.cf", listener + SERVICES),
            ("users", users),
            (
                "headers",
                "/^Subject: forbidden/ REJECT forbidden subject\n".into(),
            ),
        ] {
            std::fs::write(dir.join("etc").join(name), text).unwrap();
        }
        open(here.dir.path());
        let mut chown = Command::new("chown");
        chown
            .arg("-R")
            .arg("postfix")
            .arg(dir.join("data"))
            .arg(dir.join("mail"));
        finish(chown, b"").ok();
        let postfix = Postfix { dir, port };
        let said = finish(postfix.command("start"), b"");
        let log = std::fs::read_to_string(postfix.dir.join("log")).unwrap_or_default();
        assert_eq!(said.code, Some(0), "{}\n{log}", said.text);
        listens(&format!("{}:{port}", Self::ADDRESS));
        postfix
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new("/usr/sbin/postfix");
        command.arg("-c").arg(self.dir.join("etc")).arg(word);
        command
    }
}

fn id(what: &str) -> Command {
    let mut command = Command::new("id");
    command.args([what, "postfix"]);
    command
}

/// Lets other users reach what lies in a directory of ours.
pub(crate) fn open(dir: &std::path::Path) {
    let mut chmod = Command::new("chmod");
    chmod.args(["-R", "a+rX"]).arg(dir);
    finish(chmod, b"").ok();
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = self.command("stop").output();
    }
}

impl Peer for Postfix {
    const DOMAIN: &'static str = "postfix.test";
    const ADDRESS: &'static str = "127.0.0.5";

    fn mailbox(&self, user: &str) -> Vec<String> {
        maildir(&self.dir.join("mail").join(user.replace('ö', "oe")))
    }

    fn has_chunks(&self) -> bool {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap();
        log.contains(" bdat=")
    }

    fn came_by_tls(text: &str) -> bool {
        text.contains("(Postfix) with ESMTPS") || text.contains("(Postfix) with UTF8SMTPS")
    }

    fn port(&self) -> u16 {
        self.port
    }
}
