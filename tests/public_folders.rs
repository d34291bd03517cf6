//! Public folders: made by the administrator, read by a domain's users, each
//! with what they have seen for themselves; counted, verified, salvaged.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const MAIL: &str = "Subject: news\r\n\r\nhello\r\n";

fn house() -> House {
    let house = House::with(PLAIN);
    for user in ["ann", "bob"] {
        house.add(&format!("{user}@example.test"), "demo");
    }
    house.add("dan@other.test", "demo");
    house
}

fn login(house: &House, user: &str) -> Wire {
    Wire::imap_login(&house.addr(IMAP), user, "demo")
}

#[test]
fn a_domains_users_read_them() {
    let house = house();
    let said = house.run(&["public", "add", "example.test", "News"]);
    assert!(
        said.ok()
            .text
            .contains("added News of example.test: authenticated lrs")
    );
    house
        .run(&[
            "public",
            "add",
            "example.test",
            "Staff/Rota",
            "--readers",
            "bob",
        ])
        .ok();
    house
        .run(&["public", "grant", "example.test", "News", "ann", "+itewk"])
        .ok();
    house
        .run(&["public", "grant", "example.test", "News", "-bob", "s"])
        .ok();
    let said = house.run(&["public", "list"]);
    let said = said.ok().text;
    assert!(
        said.contains(
            "example.test \"News\": 0 messages; authenticated lrs, ann@example.test witke"
        ) || said.contains(
            "example.test \"News\": 0 messages; authenticated lrs, ann@example.test wikte"
        ),
        "{said}"
    );
    assert!(said.contains("-bob@example.test s"), "{said}");
    house
        .run(&["public", "add", "example.test", "INBOX/x"])
        .refused(&["INBOX"]);
    house
        .run(&["public", "add", "nowhere.test", "News"])
        .refused(&["nowhere.test"]);
    house
        .run(&["public", "grant", "example.test", "Nothing", "ann", "l"])
        .refused(&["Nothing"]);
    house
        .run(&["public", "grant", "example.test", "News", "ann", "Q"])
        .refused(&["rights"]);

    let mut served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    let mut bob = login(&house, "bob@example.test");
    let mut dan = login(&house, "dan@other.test");
    let said = ann.ok("LIST \"\" *");
    assert!(said.contains("\"/\" Public/News\r\n"), "{said}");
    assert!(!said.contains("Rota"), "{said}");
    assert!(bob.ok("LIST \"\" Public/*").contains("Public/Staff/Rota"));
    assert!(!dan.ok("LIST \"\" *").contains("Public"));
    for command in ["SELECT Public/News", "GETACL Public/News"] {
        assert!(dan.ask(command).contains("T NO [NONEXISTENT]"), "{command}");
    }
    for _ in 0..3 {
        assert!(ann.append("Public/News", "\\Seen", MAIL).contains("T OK"));
    }
    ann.ok("SELECT Public/News");
    assert!(ann.ok("FETCH 1 FLAGS").contains("\\Seen"));
    let said = bob.ok("SELECT Public/News");
    assert!(
        said.contains("T OK [READ-ONLY]") && said.contains("* 3 EXISTS"),
        "{said}"
    );
    bob.ok("FETCH 1 BODY[]");
    assert!(bob.ok("SEARCH SEEN").contains("* SEARCH\r\n"));
    assert!(bob.ok("SEARCH TEXT hello").contains("* SEARCH 1 2 3\r\n"));
    ann.ok("CREATE Public/News/2026");
    let said = bob.ok("LIST \"\" Public/News/%");
    assert!(said.contains("Public/News/2026"), "{said}");
    ann.ok("COPY 1:2 Public/News/2026");
    ann.ok("STORE 1 +FLAGS (\\Deleted)");
    ann.ok("EXPUNGE");
    let said = ann.ok("STATUS Public/News (MESSAGES UNSEEN)");
    assert!(said.contains("(MESSAGES 2 UNSEEN 0)"), "{said}");
    let said = ann.ok("STATUS Public/News/2026 (MESSAGES UNSEEN)");
    assert!(said.contains("(MESSAGES 2 UNSEEN 0)"), "{said}");
    // Nobody is the owner.
    assert!(ann.ask("DELETE Public/News").contains("T NO [NOPERM]"));
    assert!(ann.ask("CREATE Public/Mine").contains("T NO [NOPERM]"));
    drop((ann, bob, dan));
    served.signal("TERM");
    served.ended();
    house.verify();

    // A domain with public folders is no empty one.
    house
        .run(&["account", "remove", "ann@example.test", "--yes"])
        .ok();
    house
        .run(&["account", "remove", "bob@example.test", "--yes"])
        .ok();
    house
        .run(&["domain", "remove", "example.test"])
        .refused(&["in use"]);
    house
        .run(&["public", "rename", "example.test", "News", "Old"])
        .ok();
    let said = house.run(&["public", "list", "example.test"]);
    assert!(said.ok().text.contains("\"Old/2026\": 2 messages"));
    house
        .run(&["public", "remove", "example.test", "Old/2026"])
        .ok();
    house.run(&["public", "remove", "example.test"]).ok();
    house
        .run(&["public", "remove", "example.test"])
        .refused(&["no public folder"]);
    house.run(&["domain", "remove", "example.test"]).ok();
    house.verify();
}

#[test]
fn they_are_salvaged() {
    let house = house();
    house.run(&["public", "add", "example.test", "News"]).ok();
    house
        .run(&["public", "grant", "example.test", "News", "ann", "+i"])
        .ok();
    let mut served = house.serve();
    let mut ann = login(&house, "ann@example.test");
    assert!(ann.append("Public/News", "", MAIL).contains("T OK"));
    // One that comes by a copy from another account.
    ann.append("INBOX", "", "Subject: copied\r\n\r\nhi\r\n");
    ann.ok("SELECT INBOX");
    ann.ok("COPY 1 Public/News");
    drop(ann);
    served.signal("TERM");
    served.ended();
    std::fs::remove_dir_all(house.store().join("meta")).unwrap();
    let dir = house.store();
    house
        .run(&["store", "salvage", "--dir", dir.to_str().unwrap()])
        .ok();
    house.verify();
    let said = house.run(&["public", "list"]);
    // The mail is there; who may see it is to be said again.
    assert!(
        said.ok()
            .text
            .contains("example.test \"News\": 2 messages; nobody may see it")
    );
    let said = house.run(&["account", "list"]);
    assert!(!said.ok().text.contains("account-"));
}
