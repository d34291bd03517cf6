//! Exim, with a configuration and a spool of its own. Debian lets one mail server
//! be installed at a time, so its files are unpacked beside the build
//! (`tests/run install`).

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use axigen_tests::demo::root;
use axigen_tests::tool::finish;

use crate::here::{self, Here};
use crate::peer::{Peer, listens, maildir};
use crate::postfix::open;

pub(crate) struct Exim {
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl Exim {
    pub(crate) fn start(here: &Here) -> Exim {
        let dir = here.dir.path().join("exim");
        std::fs::create_dir_all(dir.join("mail")).unwrap();
        let program = root().join("target/clients/exim/usr/sbin/exim4");
        assert!(program.exists(), "there is no Exim: run tests/run install");
        let (work, port) = (dir.display(), here.port);
        let certificates = here.dir.path().display();
        let config = format!(
            "primary_hostname = mx.{domain}
spool_directory = {work}/spool
log_file_path = {work}/%slog
log_selector = +smtp_confirmation +tls_cipher
exim_path = {program}
pid_file_path = {work}/pid
domainlist local_domains = {domain}
acl_smtp_mail = on_mail
acl_smtp_rcpt = on_rcpt
acl_smtp_data = on_data
dsn_advertise_hosts = *
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = {certificates}/cert.pem
tls_privatekey = {certificates}/key.pem
never_users =
accept_8bitmime = true
begin acl
on_mail:
  deny senders = bad@here.test
       message = not this sender
  accept
on_rcpt:
  deny domains = +local_domains
       !local_parts = bob : jörg
       message = no such user
  accept
on_data:
  deny condition = ${{if match{{$h_subject:}}{{forbidden}}}}
       message = forbidden subject
  accept
begin routers
out:
  driver = manualroute
  domains = ! +local_domains
  transport = smtp
  route_list = here.test {ours} byname
  self = send
  no_more
users:
  driver = accept
  transport = box
begin transports
smtp:
  driver = smtp
  port = {port}
  interface = {address}
box:
  driver = appendfile
  maildir_format
  directory = {work}/mail/${{if eq{{$local_part}}{{bob}}{{bob}}{{joerg}}}}
  create_directory
  user = Debian-exim
  delivery_date_add
  return_path_add
begin retry
* * F,1h,1m
",
            domain = Self::DOMAIN,
            address = Self::ADDRESS,
            ours = here::ADDRESS,
            program = program.display(),
        );
        let file = dir.join("exim.conf");
        std::fs::write(&file, config).unwrap();
        open(here.dir.path());
        let mut chown = Command::new("chown");
        chown.arg("Debian-exim").arg(&dir).arg(dir.join("mail"));
        finish(chown, b"").ok();
        let address = format!("[{}]:{port}", Self::ADDRESS);
        let child = Command::new(&program)
            .arg("-C")
            .arg(&file)
            .args(["-bdf", "-q1m", "-oX", &format!("<; {address}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        listens(&format!("{}:{port}", Self::ADDRESS));
        Exim { dir, port, child }
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer for Exim {
    const DOMAIN: &'static str = "exim.test";
    const ADDRESS: &'static str = "127.0.0.6";

    fn mailbox(&self, user: &str) -> Vec<String> {
        maildir(&self.dir.join("mail").join(user.replace('ö', "oe")))
    }

    fn has_chunks(&self) -> bool {
        let log = std::fs::read_to_string(self.dir.join("mainlog")).unwrap();
        log.lines()
            .any(|line| line.contains(" <= ") && line.contains(" K "))
    }

    fn came_by_tls(text: &str) -> bool {
        text.contains("with esmtps") || text.contains("with utf8esmtps")
    }

    fn port(&self) -> u16 {
        self.port
    }
}
