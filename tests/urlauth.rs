//! URLAUTH: who may read by a URL what somebody else may read, and who may not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const MAIL: &str = "Subject: plan\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nfirst\r\n--b\r\n\r\nsecond\r\n--b--\r\n";

fn house() -> House {
    let house = House::with(&PLAIN.replace(
        "[imap]\n",
        "[imap]\nurls = 5\nurl_submitters = [\"submit@example.test\"]\n",
    ));
    for user in ["ann", "bob", "eve", "submit"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), &format!("{user}@example.test"), "demo")
}

fn three(house: &House) -> (Wire, Wire, Wire) {
    (
        login(house, "ann"),
        login(house, "bob"),
        login(house, "eve"),
    )
}

fn rump(rest: &str) -> String {
    format!("imap://ann%40example.test@mail.example.test/{rest}")
}

/// A URL of Ann's, with its token.
fn made(ann: &mut Wire, rest: &str) -> String {
    let said = ann.ok(&format!("GENURLAUTH \"{}\" INTERNAL", rump(rest)));
    let url = said.split('"').nth(1).unwrap();
    assert!(url.starts_with(&rump(rest)), "{said}");
    url.to_owned()
}

/// What a URL gives somebody.
fn fetched(who: &mut Wire, url: &str) -> Option<String> {
    let said = who.ok(&format!("URLFETCH \"{url}\""));
    let shown = said
        .strip_prefix(&format!("* URLFETCH \"{url}\" "))
        .unwrap();
    if shown.starts_with("NIL\r\n") {
        return None;
    }
    let (length, rest) = shown
        .strip_prefix('{')
        .unwrap()
        .split_once("}\r\n")
        .unwrap();
    let length: usize = length.parse().unwrap();
    assert_eq!(&rest[length..length + 2], "\r\n", "{said}");
    Some(rest[..length].to_owned())
}

#[test]
fn a_url_gives_what_it_names_to_whom_it_names() {
    let house = house();
    let mut served = house.serve();
    let (mut ann, mut bob, mut eve) = three(&house);
    let mut submit = login(&house, "submit");
    ann.append("INBOX", "", MAIL);
    let said = ann.ok("SELECT INBOX");
    assert!(said.contains("* OK [URLMECH INTERNAL]"), "{said}");
    let for_bob = made(&mut ann, "INBOX/;UID=1;URLAUTH=user+bob%40example.test");
    assert_eq!(fetched(&mut bob, &for_bob).as_deref(), Some(MAIL));
    assert_eq!(fetched(&mut eve, &for_bob), None);
    assert_eq!(fetched(&mut ann, &for_bob), None, "it is not for its maker");
    let part = made(
        &mut ann,
        "INBOX/;UID=1/;SECTION=2/;PARTIAL=1.3;URLAUTH=authuser",
    );
    assert_eq!(fetched(&mut eve, &part).as_deref(), Some("eco"));
    let header = "INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(subject);URLAUTH=anonymous";
    let header = made(&mut ann, header);
    assert_eq!(
        fetched(&mut eve, &header).as_deref(),
        Some("Subject: plan\r\n\r\n")
    );
    let submitted = made(&mut ann, "INBOX/;UID=1/;SECTION=1;URLAUTH=submit+ann");
    assert_eq!(fetched(&mut submit, &submitted).as_deref(), Some("first"));
    for other in [&mut ann, &mut bob] {
        assert_eq!(fetched(other, &submitted), None);
    }
    // Nothing is marked as seen by it.
    assert!(!ann.ok("FETCH 1 FLAGS").contains("\\Seen"));
    // Several at once, each with an answer of its own.
    let said = eve.ok(&format!("URLFETCH \"{part}\" \"{for_bob}\""));
    assert_eq!(said.matches("* URLFETCH ").count(), 2, "{said}");

    // A token is worth what it was made for, to the last bit and letter.
    for forged in [
        part.replace(";PARTIAL=1.3", ";PARTIAL=0.9"),
        part.replace(";UID=1/", ";UID=2/"),
        part.replace("authuser", "anonymous"),
        part.replace("INBOX", "inbox"),
        part.replace("ann%40", "bob%40"),
        match part.strip_suffix('0') {
            Some(rest) => format!("{rest}1"),
            None => format!("{}0", &part[..part.len() - 1]),
        },
        part[..part.len() - 2].to_owned(),
        rump("INBOX/;UID=1;URLAUTH=authuser"),
        rump("INBOX/;UID=1"),
        part.replace("mail.example.test", "other.test"),
        part.replace("INTERNAL", "XSAMPLE"),
        "nonsense".to_owned(),
    ] {
        assert_eq!(fetched(&mut eve, &forged), None, "{forged}");
    }
    // What there never was looks the same.
    let gone = rump("Nowhere/;UID=1;URLAUTH=authuser");
    assert_eq!(
        fetched(&mut eve, &format!("{gone}:INTERNAL:{}", "0".repeat(66))),
        None
    );
    let many = format!("\"{part}\" ").repeat(6);
    assert!(
        eve.ask(&format!("URLFETCH {}", many.trim()))
            .contains("T NO [LIMIT]")
    );

    // It holds over a restart.
    drop((ann, bob, eve, submit));
    served.signal("TERM");
    served.ended();
    let mut served = house.serve();
    let mut eve = login(&house, "eve");
    assert_eq!(fetched(&mut eve, &part).as_deref(), Some("eco"));
    drop(eve);
    served.signal("TERM");
    served.ended();
    house.verify();
}

#[test]
fn urls_lose_their_worth() {
    let house = house();
    let mut served = house.serve();
    let (mut ann, mut bob) = (login(&house, "ann"), login(&house, "bob"));
    ann.append("INBOX", "", MAIL);
    ann.ok("CREATE Work");
    ann.append("Work", "", MAIL);
    let inbox = "INBOX/;UID=1/;SECTION=1;URLAUTH=authuser";
    let work = "Work/;UID=1/;SECTION=1;URLAUTH=authuser";
    let (of_inbox, of_work) = (made(&mut ann, inbox), made(&mut ann, work));
    // Of one mailbox, then of all.
    let said = ann.ok("RESETKEY INBOX");
    assert!(said.contains("T OK [URLMECH INTERNAL]"), "{said}");
    assert_eq!(fetched(&mut bob, &of_inbox), None);
    assert_eq!(fetched(&mut bob, &of_work).as_deref(), Some("first"));
    let new = made(&mut ann, inbox);
    assert_ne!(new, of_inbox);
    assert_eq!(fetched(&mut bob, &new).as_deref(), Some("first"));
    ann.ok("RESETKEY");
    for url in [&new, &of_work, &of_inbox] {
        assert_eq!(fetched(&mut bob, url), None);
    }
    // With time.
    let late = "Work/;UID=1/;SECTION=1;EXPIRE=2001-01-01T00:00:00Z;URLAUTH=authuser";
    let said = ann.ask(&format!("GENURLAUTH \"{}\" INTERNAL", rump(late)));
    assert!(said.contains("T NO [BADURL "), "{said}");
    let in_time = late.replace("2001", "2999");
    let in_time = made(&mut ann, &in_time);
    assert_eq!(fetched(&mut bob, &in_time).as_deref(), Some("first"));
    assert_eq!(fetched(&mut bob, &in_time.replace("2999", "2998")), None);
    // With the name of the mailbox, and with the mailbox itself.
    let work_again = made(&mut ann, work);
    ann.ok("RENAME Work Old");
    assert_eq!(fetched(&mut bob, &work_again), None);
    ann.ok("RENAME Old Work");
    assert_eq!(fetched(&mut bob, &work_again).as_deref(), Some("first"));
    ann.ok("DELETE Work");
    ann.ok("CREATE Work");
    ann.append("Work", "", "Subject: other\r\n\r\nother\r\n");
    assert_eq!(fetched(&mut bob, &work_again), None);
    // With the message.
    let of_inbox = made(&mut ann, inbox);
    ann.ok("SELECT INBOX");
    ann.ok("STORE 1 +FLAGS (\\Deleted)");
    ann.ok("EXPUNGE");
    assert_eq!(fetched(&mut bob, &of_inbox), None);
    drop((ann, bob));
    served.signal("TERM");
    served.ended();
    house.verify();
}

#[test]
fn nobody_gives_away_what_is_not_theirs() {
    let house = house();
    let mut served = house.serve();
    let (mut ann, mut bob, mut eve) = three(&house);
    ann.ok("CREATE Work");
    ann.append("Work", "", MAIL);
    let of_bob = "imap://bob%40example.test@mail.example.test/Other%20Users/ann@example.test/Work/;UID=1/;SECTION=1;URLAUTH=authuser";
    let of_ann = rump("Work/;UID=1;URLAUTH=authuser");
    for (url, code) in [
        // Another's name, or a mailbox that is not his to read.
        (of_ann.as_str(), "T NO [BADURL "),
        (of_bob, "T NO [BADURL "),
        (
            "imap://mail.example.test/INBOX/;UID=1;URLAUTH=authuser",
            "T NO [BADURL ",
        ),
        (
            "imap://bob%40example.test@other.test/INBOX/;UID=1;URLAUTH=authuser",
            "T NO [BADURL ",
        ),
        (
            "imap://bob%40example.test@mail.example.test/No/;UID=1;URLAUTH=authuser",
            "T NO [BADURL ",
        ),
        (
            "imap://bob%40example.test@mail.example.test/INBOX/;UID=1",
            "T BAD ",
        ),
        ("/INBOX/;UID=1;URLAUTH=nobody", "T BAD "),
    ] {
        let said = bob.ask(&format!("GENURLAUTH \"{url}\" INTERNAL"));
        assert!(
            said.starts_with(code) || said.contains(code),
            "{url}: {said}"
        );
    }
    assert!(
        ann.ask(&format!("GENURLAUTH \"{of_ann}\" XSAMPLE"))
            .contains("T BAD")
    );
    assert!(ann.ask("RESETKEY Work XSAMPLE").contains("T BAD"));
    assert!(ann.ask("RESETKEY Nowhere").contains("T NO [NONEXISTENT]"));
    // Who may read it may pass that on, as long as he may.
    ann.ok("SETACL Work bob@example.test lr");
    let said = bob.ok(&format!("GENURLAUTH \"{of_bob}\" INTERNAL"));
    let url = said.split('"').nth(1).unwrap().to_owned();
    assert_eq!(fetched(&mut eve, &url).as_deref(), Some("first"));
    // Ann's own keys are others.
    ann.ok("RESETKEY Work");
    assert_eq!(fetched(&mut eve, &url).as_deref(), Some("first"));
    ann.ok("SETACL Work bob@example.test l");
    assert_eq!(fetched(&mut eve, &url), None);
    drop((ann, bob, eve));
    served.signal("TERM");
    served.ended();
    house.verify();
}
