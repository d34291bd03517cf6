//! The program's commands, and what it says of mistakes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

use std::io::Read;
use std::process::{Command, Stdio};

use axigen_tests::demo::{Killed, binary, root};
use axigen_tests::served::{House, IMAP, PLAIN, POP3, SMTP};
use axigen_tests::tool::{Said, finish, run};
use axigen_tests::wire::Wire;

const ALICE: &str = "alice@example.test";

fn axigen(args: &[&str]) -> Said {
    run(binary().to_str().unwrap(), args, b"")
}

fn out(said: Said) -> String {
    String::from_utf8(said.ok().out).unwrap()
}

#[test]
fn the_help_of_each_command_reads_well() {
    let mut commands = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(command) = commands.pop() {
        seen += 1;
        let mut args: Vec<&str> = command.iter().map(String::as_str).collect();
        args.push("--help");
        let said = axigen(&args);
        assert_eq!(said.err, "", "{args:?}");
        let help = out(said);
        let name = ["axigen".to_owned()].into_iter().chain(command.clone());
        let usage = format!("\nUsage: {}", name.collect::<Vec<_>>().join(" "));
        assert!(help.contains(&usage), "no {usage:?} in\n{help}");
        // What it is stands first, in one line.
        assert!(help.lines().next().unwrap().len() > 5, "{help}");
        let mut section = "";
        let lines: Vec<&str> = help.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            assert!(line.chars().count() <= 100, "too long: {line}\n{help}");
            if let Some(header) = line.strip_suffix(':').filter(|l| !l.starts_with(' ')) {
                section = header;
                continue;
            }
            if line.is_empty() || !matches!(section, "Commands" | "Options" | "Arguments") {
                continue;
            }
            // Each entry says what it is, beside its name or below it.
            let is_entry = line.starts_with("  ") && !line.starts_with("          ");
            if is_entry {
                let beside = line.trim().split("  ").count() > 1;
                let below = lines
                    .get(at + 1)
                    .is_some_and(|next| next.starts_with("          "));
                assert!(beside || below, "{line:?} says nothing\n{help}");
            }
            if section == "Commands" && is_entry {
                let name = line.split_whitespace().next().unwrap();
                if name != "help" {
                    commands.push([command.clone(), vec![name.to_owned()]].concat());
                }
            }
        }
    }
    assert!(seen > 25, "only {seen} commands were found");
    let set = out(axigen(&["account", "set", "--help"]));
    for option in ["quota", "message_size", "imap", "class", "enabled"] {
        assert!(set.contains(&format!("\n  {option} ")), "{option}: {set}");
    }
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for (args, said) in [
        (&[][..], "Usage: axigen"),
        (&["srve"], "serve"),
        (&["serve", "--confg", "x"], "--config"),
        (&["demo", "--port-offset", "70000"], "--port-offset"),
        (&["account", "add"], "<ADDRESS>"),
        // Others can read what stands on a command line: no password there.
        (&["account", "add", ALICE, "secret"], "unexpected argument"),
        (
            &["account", "add", ALICE, "--password", "secret"],
            "--password",
        ),
        (&["--log", "verbose", "check"], "\"verbose\" is not a level"),
    ] {
        let got = axigen(args);
        assert_eq!(got.code, Some(2), "{args:?}: {}", got.text);
        assert!(got.err.contains(said), "{args:?}: {}", got.err);
    }
    assert!(out(axigen(&["--version"])).starts_with("axigen "));
    axigen(&["demo", "--port-offset", "60000"]).refused(&["--port-offset may be at most"]);
}

#[test]
fn init_writes_a_file_that_is_in_order_and_overwrites_none() {
    let house = House::empty();
    let said = out(house.run(&["init", "new/deep", "--hostname", "mx.example.test"]));
    assert!(said.contains("wrote new/deep/axigen.cfg"), "{said}");
    let path = house.path("new/deep/axigen.cfg");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("hostname = \"mx.example.test\""), "{text}");
    // What it advises to do next works as it stands there.
    let next: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  axigen "))
        .collect();
    assert_eq!(next.len(), 3, "{said}");
    for line in &next[..2] {
        let args: Vec<&str> = line.split(' ').collect();
        house.run_with(&args, "secret\n").ok();
    }
    let listed = out(house.run(&["account", "list", "--config", "new/deep/axigen.cfg"]));
    assert!(listed.contains("you@example.test"), "{listed}");
    assert!(house.path("new/deep/mail/FORMAT").exists());

    std::fs::write(&path, "# mine\n").unwrap();
    house
        .run(&["init", "new/deep"])
        .refused(&["new/deep/axigen.cfg exists already and is left as it is"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "# mine\n");

    house
        .run(&["init", "other", "--hostname", "not a name"])
        .refused(&["hostname: \"not a name\" is not a host name"]);
    assert!(!house.path("other").exists());
    std::fs::write(house.path("file"), "").unwrap();
    house.run(&["init", "file"]).refused(&["file"]);
}

#[test]
fn manual_pages_tell_of_every_command_and_option() {
    let dir = tempfile::tempdir().unwrap();
    let said = out(axigen(&["man", dir.path().to_str().unwrap()]));
    let pages: Vec<_> = std::fs::read_dir(dir.path().join("man1"))
        .unwrap()
        .map(|page| page.unwrap().path())
        .collect();
    assert!(
        said.contains(&format!("wrote {} pages", pages.len() + 1)),
        "{said}"
    );
    let mut named = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page.file_stem().unwrap().to_str().unwrap().to_owned();
        // A program of the system can find it, and the list of pages its subject.
        assert!(text.contains(&format!(".TH {name} 1")), "{name}: {text}");
        assert!(
            text.contains(&format!(
                ".SH NAME\n{} \\- ",
                name.replace('-', "\\-").replace('.', "\\.")
            )),
            "{name}: {text}"
        );
        named.push(name);
    }
    for name in [
        "axigen",
        "axigen-serve",
        "axigen-queue-list",
        "axigen-store-salvage",
    ] {
        assert!(named.iter().any(|there| there == name), "no page {name}");
    }
    // The page of the settings has every line that `axigen init` writes for them.
    let text = std::fs::read_to_string(dir.path().join("man5/axigen.cfg.5")).unwrap();
    for option in ["[smtp_out]", "retry", "[[smtp_in.rules]]", "directory"] {
        let shown = option.replace('-', "\\-");
        assert!(text.contains(&shown), "no {option} in {text}");
    }
}

#[test]
fn check_names_the_file_the_line_and_the_option() {
    let house = House::with(PLAIN);
    let said = out(house.run(&["check"]));
    let ports = (house.port(SMTP), house.port(IMAP), house.port(POP3));
    assert_eq!(
        said,
        format!(
            "axigen.cfg is in order: smtp_in on 127.0.0.1:{}; imap on 127.0.0.1:{}; pop3 on 127.0.0.1:{}\n",
            ports.0, ports.1, ports.2
        )
    );
    house.certificate("good");
    house.certificate("other");
    std::fs::write(house.path("no.pem"), "nothing\n").unwrap();
    let tls = |certificate: &str, key: &str| {
        format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
    };
    for (text, said) in [
        (
            "hostnam = \"x\"\n".to_owned(),
            &["line 1: there is no option hostnam; did you mean hostname?"][..],
        ),
        (
            "[imap]\nenable = \"yes\"\n".into(),
            &["line 2: imap.enable: ", "\"yes\"", "boolean"],
        ),
        (
            "in_flight = \"5 apples\"\n[pop3.limits]\npeer_connections = -1\n".into(),
            &[
                "axigen.cfg: line 1: in_flight: \"5 apples\" is not a size",
                "axigen.cfg: line 3: pop3.limits.peer_connections: ",
            ],
        ),
        ("[imap\n".into(), &["line 1: "]),
        (
            tls("none.pem", "good.key"),
            &["line 2: tls.certificate: none.pem: No such file"],
        ),
        (
            tls("good.pem", "none.key"),
            &["line 3: tls.key: none.key: No such file"],
        ),
        (
            tls("no.pem", "good.key"),
            &["line 2: tls.certificate: no.pem: there is no certificate in it"],
        ),
        (
            tls("good.pem", "other.key"),
            &["line 2: tls.certificate: the certificate and its key cannot be used"],
        ),
        (
            "[[imap.listeners]]\naddress = \"127.0.0.1:143\"\n[imap]\nenable = true\n".into(),
            &["imap.listeners.tls: 127.0.0.1:143 wants TLS, but tls.certificate is not set"],
        ),
    ] {
        house.configure(&text);
        // Whoever reads the file says the same.
        for command in [&["check"][..], &["serve"], &["account", "list"]] {
            let got = house.run(command).refused(said);
            assert!(got.err.starts_with("axigen: axigen.cfg: "), "{}", got.err);
            assert!(got.out.is_empty());
        }
    }
    house.configure(&tls("good.pem", "good.key"));
    out(house.run(&["check"]));
    let absolute = house.config();
    out(axigen(&["check", "--config", absolute.to_str().unwrap()]));

    std::fs::write(house.config(), b"hostname = \"\xff\"\n").unwrap();
    house.run(&["check"]).refused(&["axigen.cfg: ", "UTF-8"]);
    house
        .run(&["check", "--config", "nowhere.cfg"])
        .refused(&["nowhere.cfg: the file cannot be read", "axigen init"]);
    assert!(!house.store().exists(), "a mistake made a store");
}

#[test]
fn accounts_are_added_listed_changed_and_removed() {
    let house = House::with(PLAIN);
    let add = |address: &str, password: &str| {
        let args = ["account", "add", address, "--password-file", "-"];
        house.run_with(&args, password)
    };
    let said = out(add("Alice@Example.test", "first\n"));
    assert_eq!(
        said,
        "added the domain example.test\nadded alice@example.test\n"
    );
    std::fs::write(house.path("secret"), "from a file\nsecond line\n").unwrap();
    let args = [
        "account",
        "add",
        "bob@example.test",
        "--name",
        "Bob B",
        "--password-file",
        "secret",
    ];
    assert_eq!(out(house.run(&args)), "added bob@example.test\n");

    add("alice@EXAMPLE.test", "x\n").refused(&["alice@example.test exists already"]);
    add("nobody", "x\n").refused(&["\"nobody\" is not an address of the form local@domain"]);
    add("a b@example.test", "x\n").refused(&["is not an address"]);
    add("c@example.test", "\n").refused(&["the password is empty"]);
    add("c@example.test", "").refused(&["the password is empty"]);
    // The domain goes again with the account that was not to be.
    add("c@other.test", "bell \u{7}\n").refused(&["no control characters"]);
    let missing = [
        "account",
        "add",
        "c@example.test",
        "--password-file",
        "nothing",
    ];
    house.run(&missing).refused(&["nothing: No such file"]);
    assert_eq!(out(house.run(&["domain", "list"])), "example.test\n");

    let listed = out(house.run(&["account", "list"]));
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[1], ["alice@example.test", "0", "0", "open"]);
    assert_eq!(rows[2], ["bob@example.test", "0", "0", "open"]);
    let json = out(house.run(&["account", "list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[1]["address"], "bob@example.test");
    assert_eq!(json[1]["name"], "Bob B");

    let unknown = "there is no account zoe@example.test";
    for args in [
        &["account", "passwd", "zoe@example.test"][..],
        &["account", "remove", "zoe@example.test", "--yes"],
        &["account", "show", "zoe@example.test"],
        &["account", "set", "zoe@example.test", "quota", "1GB"],
    ] {
        house.run_with(args, "x\n").refused(&[unknown]);
    }
    house
        .run(&["account", "passwd", "alice@nowhere.test"])
        .refused(&["there is no account alice@nowhere.test"]);

    let passwd = ["account", "passwd", ALICE, "--password-file", "-"];
    assert_eq!(
        out(house.run_with(&passwd, "second\n")),
        "changed the password of alice@example.test\n"
    );
    let mut served = house.serve();
    for (user, password, good) in [
        (ALICE, "first", false),
        (ALICE, "second", true),
        ("bob@example.test", "from a file", true),
    ] {
        let mut imap = Wire::connect(&house.addr(IMAP));
        imap.line();
        let said = imap.imap(&format!("LOGIN {user} \"{password}\""));
        assert_eq!(said.starts_with(b"T OK"), good, "{user} {password}");
    }
    assert!(Wire::deliver(&house.addr(SMTP), ALICE, "Subject: x\r\n\r\nx").starts_with("250"));
    served.signal("TERM");
    assert!(served.ended().0.success());

    let listed = out(house.run(&["account", "list"]));
    assert!(listed.contains("1           1  open"), "{listed}");
    house
        .run(&["account", "remove", ALICE])
        .refused(&["say --yes to remove without being asked"]);
    assert_eq!(
        out(house.run(&["account", "remove", "ALICE@example.test", "--yes"])),
        "removed alice@example.test\n"
    );
    assert!(!out(house.run(&["account", "list"])).contains("alice"));
}

/// On a terminal the password is asked for, is not shown, and is asked twice.
#[test]
fn a_typed_password_is_not_shown() {
    let house = House::with(PLAIN);
    let script = root().join("tests/clients/typed_password.py");
    let typed = |lines: &[&str], args: &[&str]| {
        let mut python = Command::new("python3");
        python
            .arg(&script)
            .arg(serde_json::to_string(lines).unwrap())
            .arg(binary())
            .args(args)
            .current_dir(house.dir.path());
        finish(python, b"")
    };
    let add = ["account", "add", ALICE];
    let said = out(typed(&["hunter2", "hunter2"], &add));
    assert!(
        said.contains("Password: ") && said.contains("The same again: "),
        "{said}"
    );
    assert!(said.contains("added alice@example.test"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    let differ = typed(&["hunter2", "hunter3"], &["account", "passwd", ALICE]);
    assert_eq!(differ.code, Some(1));
    assert!(
        differ.text.contains("the two passwords differ"),
        "{}",
        differ.text
    );
    // Nobody is asked for the password of an account that is there already.
    let again = typed(&[], &add);
    assert_eq!(again.code, Some(1));
    assert!(!again.text.contains("Password"), "{}", again.text);
    for (answer, left) in [("n", true), ("", true), ("y", false)] {
        let said = typed(&[answer], &["account", "remove", ALICE]);
        assert!(
            said.text
                .contains("Remove alice@example.test with all its mail? [y/N] ")
        );
        assert_eq!(said.code, Some(i32::from(left)), "{}", said.text);
        assert_eq!(out(house.run(&["account", "list"])).contains("alice"), left);
    }
}

#[test]
fn domains_aliases_classes_and_options() {
    let house = House::with(&format!("{PLAIN}\n[accounts]\nquota = \"1GB\"\n"));
    let ok = |args: &[&str]| out(house.run(args));
    assert_eq!(
        ok(&["domain", "add", "Example.test"]),
        "added the domain example.test\n"
    );
    house
        .run(&["domain", "add", "example.test"])
        .refused(&["the domain example.test exists already"]);
    house
        .run(&["domain", "add", "a b"])
        .refused(&["\"a b\" is not a domain name"]);
    house
        .run(&["domain", "remove", "nowhere.test"])
        .refused(&["nowhere.test is not a domain of this server"]);
    house
        .run(&["domain", "show", "nowhere.test"])
        .refused(&["nowhere.test is not a domain"]);
    house.add(ALICE, "secret");
    house
        .run(&["domain", "remove", "example.test"])
        .refused(&["the domain example.test is still in use"]);

    ok(&["class", "add", "staff"]);
    house
        .run(&["class", "add", "staff"])
        .refused(&["the class staff exists already"]);
    assert_eq!(ok(&["class", "list"]), "staff\n");
    ok(&["class", "set", "staff", "imap_connections", "7"]);
    ok(&["domain", "set", "example.test", "pop3", "false"]);
    ok(&[
        "domain",
        "set",
        "example.test",
        "postmaster",
        "Alice@example.test",
    ]);
    ok(&["account", "set", ALICE, "class", "staff"]);
    ok(&["account", "set", ALICE, "message_size", "5MB"]);
    ok(&["account", "set", ALICE, "name", "Alice Liddell"]);
    let words = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let shown = words(&ok(&["account", "show", ALICE]));
    for line in [
        "name Alice Liddell",
        "state open",
        "class staff",
        "holds 0 messages, 0 KB",
        "quota 1GB axigen.cfg",
        "message_size 5MB the account",
        "imap true default",
        "imap_connections 7 the class staff",
        "pop3 false the domain example.test",
    ] {
        assert!(
            shown.iter().any(|shown| shown == line),
            "{line:?} is not in {shown:#?}"
        );
    }
    let shown = words(&ok(&["domain", "show", "example.test"]));
    assert!(
        shown.contains(&"postmaster alice@example.test".to_owned()),
        "{shown:?}"
    );
    assert!(shown.contains(&"quota -".to_owned()), "{shown:?}");
    ok(&["domain", "unset", "example.test", "pop3"]);
    ok(&["account", "unset", ALICE, "message_size"]);
    let shown = words(&ok(&["account", "show", ALICE]));
    for line in ["pop3 true default", "message_size 0B default"] {
        assert!(
            shown.iter().any(|shown| shown == line),
            "{line:?} is not in {shown:#?}"
        );
    }

    for (args, said) in [
        (
            ["account", "set", ALICE, "quta", "1GB"],
            "there is no option quta; did you mean quota?",
        ),
        (
            ["account", "set", ALICE, "quota", "much"],
            "quota: \"much\" is not a size",
        ),
        (
            ["account", "set", ALICE, "imap_connections", "-1"],
            "imap_connections: invalid value",
        ),
        (
            ["account", "set", ALICE, "class", "gold"],
            "there is no class gold",
        ),
        (
            ["account", "set", ALICE, "enabled", "no"],
            "enabled: \"no\" is neither true nor false",
        ),
        (
            ["class", "set", "gold", "imap", "true"],
            "there is no class gold",
        ),
        (["class", "set", "staff", "imap", "no"], "imap: "),
        (
            ["domain", "set", "example.test", "postmaster", "x"],
            "\"x\" is not an address",
        ),
    ] {
        house.run(&args).refused(&[said]);
    }
    house
        .run(&["class", "remove", "staff"])
        .refused(&["the class staff is still in use"]);
    ok(&["account", "unset", ALICE, "class"]);
    ok(&["class", "remove", "staff"]);
    assert_eq!(ok(&["class", "list"]), "");

    ok(&[
        "alias",
        "add",
        "sales@example.test",
        ALICE,
        "bob@elsewhere.test",
    ]);
    assert_eq!(
        ok(&["alias", "list"]),
        "sales@example.test leads to alice@example.test, bob@elsewhere.test\n"
    );
    house
        .run(&["alias", "add", ALICE, "x@example.test"])
        .refused(&["exists already"]);
    house
        .run(&["alias", "add", "x@nowhere.test", ALICE])
        .refused(&["nowhere.test is not a domain"]);
    ok(&["alias", "remove", "sales@example.test"]);
    house
        .run(&["alias", "remove", "sales@example.test"])
        .refused(&["there is no alias sales@example.test"]);

    ok(&["account", "remove", ALICE, "--yes"]);
    ok(&["domain", "remove", "example.test"]);
    assert_eq!(ok(&["domain", "list"]), "");
}

#[test]
fn a_store_in_use_is_left_alone() {
    let house = House::with(PLAIN);
    house.add(ALICE, "secret");
    let _served = house.serve();
    let said = "is in use: stop the server that runs on it first";
    for args in [
        &["serve"][..],
        &["account", "list"],
        &["account", "add", "bob@example.test"],
        &["account", "passwd", ALICE],
        &["account", "remove", ALICE, "--yes"],
        &["domain", "add", "other.test"],
        &["class", "list"],
        &["alias", "list"],
        &["demo", "--dir", "mail"],
    ] {
        house.run_with(args, "x\n").refused(&[said, "mail"]);
    }
    // The file may be looked at, and the server did not notice.
    out(house.run(&["check"]));
    Wire::imap_login(&house.addr(IMAP), ALICE, "secret");
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let house = House::with(PLAIN);
    house.add(ALICE, "secret");
    let child = house
        .command(&["account", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Killed(child);
    drop(child.0.stdout.take());
    let mut err = String::new();
    child
        .0
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert!(child.0.wait().unwrap().success() && err.is_empty(), "{err}");
}
