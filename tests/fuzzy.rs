//! Searches that may be inexact, of the real server, with the index and without
//! it. RFC 6203.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use axigen_tests::served::{House, IMAP, PLAIN};
use axigen_tests::wire::Wire;

const USER: &str = "u1@example.test";

#[test]
fn what_is_nearly_so_is_found() {
    for index in [true, false] {
        let house = House::with(&format!("{PLAIN}\n[search]\nenable = {index}\n"));
        house.add(USER, "demo");
        let _served = house.serve();
        let mut imap = Wire::imap_login(&house.addr(IMAP), USER, "demo");
        assert!(imap.ok("CAPABILITY").contains(" SEARCH=FUZZY "));
        for (subject, body) in [
            ("Quarterly invoice", "Please pay."),
            ("Quartely invoce", "Please pay."),
            ("Something else", "The invoice for this quarterly meeting"),
            ("The invoice, sent quarterly", "Nothing"),
            ("Holidays", "Sun and sand"),
        ] {
            let text = format!(
                "From: Zo\u{eb} <zoe@example.test>\r\nSubject: {subject}\r\n\r\n{body}\r\n"
            );
            imap.append("INBOX", "", &text);
        }
        imap.ok("SELECT INBOX");
        let found = |imap: &mut Wire, command: &str| {
            let said = imap.ok(command);
            said.lines().next().unwrap().to_owned()
        };
        assert_eq!(
            found(&mut imap, "SEARCH SUBJECT \"quarterly invoice\""),
            "* SEARCH 1"
        );
        assert_eq!(
            found(&mut imap, "SEARCH FUZZY SUBJECT \"quarterly invoice\""),
            "* SEARCH 1 2 4"
        );
        assert_eq!(
            found(
                &mut imap,
                "SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT \"quarterly invoice\""
            ),
            "* ESEARCH (TAG \"T\") ALL 1:2,4 RELEVANCY (100 60 80)"
        );
        assert_eq!(
            found(
                &mut imap,
                "UID SEARCH RETURN (RELEVANCY PARTIAL 2:3) FUZZY SUBJECT \"quarterly invoice\""
            ),
            "* ESEARCH (TAG \"T\") UID PARTIAL (2:3 2,4) RELEVANCY (60 80)"
        );
        assert_eq!(
            found(
                &mut imap,
                "SORT (RELEVANCY) UTF-8 FUZZY SUBJECT \"quarterly invoice\""
            ),
            "* SORT 1 4 2"
        );
        assert_eq!(
            found(
                &mut imap,
                "SORT RETURN (ALL RELEVANCY) (REVERSE RELEVANCY) UTF-8 FUZZY SUBJECT \"quarterly invoice\""
            ),
            "* ESEARCH (TAG \"T\") ALL 2,4,1 RELEVANCY (60 80 100)"
        );
        assert_eq!(
            found(&mut imap, "SEARCH FUZZY TEXT \"invoyce quarterly\""),
            "* SEARCH 1 2 3 4"
        );
        assert_eq!(
            found(
                &mut imap,
                "SEARCH FUZZY (OR BODY \"sund\" BODY \"meetings\") NOT SEEN"
            ),
            "* SEARCH 3 5"
        );
        // What is not a text is as exact as ever.
        assert_eq!(
            found(&mut imap, "SEARCH FUZZY (UID 4:9 UNSEEN)"),
            "* SEARCH 4 5"
        );
        let said = imap.ask("SEARCH RETURN (RELEVANCY) ALL");
        assert!(said.starts_with("T BAD"), "{said}");
    }
}
