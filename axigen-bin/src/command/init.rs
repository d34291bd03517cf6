//! `axigen init`: a commented axigen.cfg to begin with.

use std::fs::OpenOptions;
use std::io::Write;

use axigen_core::settings::{Common, ListenerSettings, Settings, TlsMode, render};

use crate::cli::Init;
use crate::failure::Failure;

pub(crate) fn run(options: &Init) -> Result<(), Failure> {
    let settings = settings(&options.hostname);
    if let Some(problem) = settings.problems().first() {
        return Err(Failure::new(problem.to_string()));
    }
    let path = options.dir.join("axigen.cfg");
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(format!(
            "{} exists already and is left as it is",
            path.display()
        )),
        _ => Failure::new(format!("{}: {error}", path.display())),
    };
    std::fs::create_dir_all(&options.dir).map_err(failed)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .map_err(failed)?;
    file.write_all(render(&settings).as_bytes())
        .map_err(failed)?;
    super::say(format!(
        "wrote {}\nnext: put the certificate's paths under [tls] and enable the services you want, then\n  axigen check --config {0}\n  axigen account add you@{} --config {0}\n  axigen serve --config {0}",
        path.display(),
        options
            .hostname
            .split_once('.')
            .map_or(options.hostname.as_str(), |(_, domain)| domain)
    ));
    Ok(())
}

/// What a server usually listens on. SMTP without a certificate works at
/// once; what needs TLS waits for one.
fn settings(hostname: &str) -> Settings {
    let mut settings = Settings {
        hostname: hostname.to_owned(),
        ..Settings::default()
    };
    let listen = |common: &mut Common, enable: bool, ports: &[(u16, TlsMode)]| {
        common.enable = enable;
        common.listeners = ports
            .iter()
            .map(|(port, tls)| ListenerSettings::new(([0, 0, 0, 0], *port).into(), *tls))
            .collect();
    };
    listen(&mut settings.smtp_in.common, true, &[(25, TlsMode::None)]);
    listen(
        &mut settings.submission.common,
        false,
        &[(587, TlsMode::Starttls), (465, TlsMode::Implicit)],
    );
    listen(
        &mut settings.imap.common,
        false,
        &[(143, TlsMode::Starttls), (993, TlsMode::Implicit)],
    );
    listen(
        &mut settings.pop3.common,
        false,
        &[(110, TlsMode::Starttls), (995, TlsMode::Implicit)],
    );
    settings.lmtp.common.listeners = vec![ListenerSettings::new(
        ([127, 0, 0, 1], 24).into(),
        TlsMode::None,
    )];
    settings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    #[test]
    fn what_init_writes_is_in_order() {
        let text = axigen_core::settings::render(&super::settings("mail.example.org"));
        let settings = axigen_core::settings::parse(&text).unwrap();
        assert_eq!(settings.problems(), []);
        assert_eq!(settings, super::settings("mail.example.org"));
    }
}
