//! Sample mails, put together from what mail programs write.

use crate::words::{DOMAINS, FIRST, LAST, SENTENCES, TOPICS};

/// Numbers that look random and are the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn hex(&mut self, len: usize) -> String {
        (0..len).map(|_| format!("{:x}", self.below(16))).collect()
    }

    fn base64(&mut self, len: usize) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        (0..len)
            .map(|_| char::from(alphabet[self.below(64) as usize]))
            .collect()
    }

    fn ip(&mut self) -> String {
        let net = self.one(&["192.0.2", "198.51.100", "203.0.113", "10.0.0", "192.168.1"]);
        format!("{net}.{}", self.below(255))
    }

    fn date(&mut self) -> String {
        let day = self.one(&["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]);
        let month = self.one(&[
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]);
        let zone = self.one(&["+0000", "+0100", "+0200", "-0700", "-0500", "+0000 (UTC)"]);
        format!(
            "{day}, {} {month} {} {:02}:{:02}:{:02} {zone}",
            1 + self.below(28),
            2020 + self.below(12),
            self.below(24),
            self.below(60),
            self.below(60),
        )
    }

    fn person(&mut self) -> Person {
        let (first, last) = (self.one(FIRST), self.one(LAST));
        let ascii: String = last.to_lowercase().replace('ü', "ue");
        let domain = self.one(DOMAINS);
        let local = match self.below(3) {
            0 => format!("{}.{ascii}", first.to_lowercase()),
            1 => format!("{}{}", first.to_lowercase(), self.below(100)),
            _ => self
                .one(&[
                    "info",
                    "support",
                    "noreply",
                    "no-reply",
                    "newsletter",
                    "sales",
                    "contact",
                    "service",
                    "office",
                    "admin",
                ])
                .to_owned(),
        };
        Person {
            name: format!("{first} {last}"),
            address: format!("{local}@{domain}"),
            domain: domain.to_owned(),
        }
    }
}

struct Person {
    name: String,
    address: String,
    domain: String,
}

impl Person {
    fn mailbox(&self, dice: &mut Dice) -> String {
        if !self.name.is_ascii() {
            return format!(
                "=?{}?Q?{}?= <{}>",
                dice.one(&["UTF-8", "utf-8", "iso-8859-1"]),
                self.name.replace('ü', "=C3=BC").replace(' ', "_"),
                self.address
            );
        }
        match dice.below(4) {
            0 => self.address.clone(),
            1 => format!("\"{}\" <{}>", self.name, self.address),
            _ => format!("{} <{}>", self.name, self.address),
        }
    }
}

/// One mail, the same for the same number.
pub(super) fn sample(number: u64) -> Vec<u8> {
    let dice = &mut Dice(number);
    let (from, to) = (dice.person(), dice.person());
    let mut mail = String::new();
    trace(dice, &from, &to, &mut mail);
    fields(dice, &from, &to, &mut mail);
    let sentences: Vec<&str> = (0..1 + dice.below(7))
        .map(|_| dice.one(SENTENCES))
        .collect();
    body(dice, &from, &sentences, &mut mail);
    mail.replace('\n', "\r\n").into_bytes()
}

/// What servers add.
fn trace(dice: &mut Dice, from: &Person, to: &Person, mail: &mut String) {
    if dice.below(2) == 0 {
        *mail += &format!("Return-Path: <{}>\n", from.address);
    }
    if dice.below(3) == 0 {
        *mail += &format!("Delivered-To: {}\n", to.address);
    }
    for _ in 0..1 + dice.below(3) {
        let (host, ip, id, date) = (
            format!("mail-{}.{}", dice.hex(4), from.domain),
            dice.ip(),
            dice.hex(10).to_uppercase(),
            dice.date(),
        );
        let by = format!("mx{}.{}", dice.below(9), to.domain);
        *mail += &match dice.below(5) {
            0 => format!(
                "Received: from {host} ({host} [{ip}])\n\tby {by} (Postfix) with ESMTPS id {id}\n\tfor <{}>; {date}\n",
                to.address
            ),
            1 => format!(
                "Received: from {host} ({host}. [{ip}])\n        by mx.google.com with ESMTPS id {}.{}.{}.{}\n        for <{}>\n        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\n        {date}\n",
                dice.hex(17),
                dice.below(99),
                dice.below(10_000_000),
                dice.below(60),
                to.address
            ),
            2 => format!(
                "Received: from {}.eurprd04.prod.outlook.com\n ({}) by\n {}.eurprd04.prod.outlook.com ({}) with\n Microsoft SMTP Server (version=TLS1_2,\n cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.{}.{}; {date}\n",
                dice.hex(14).to_uppercase(),
                dice.ip(),
                dice.hex(14).to_uppercase(),
                dice.ip(),
                dice.below(9999),
                dice.below(40)
            ),
            3 => format!(
                "Received: from {host} (unknown [{ip}])\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\n\t(No client certificate requested)\n\tby {by} (Postfix) with ESMTPS id {id}\n\tfor <{}>; {date}\n",
                to.address
            ),
            _ => format!(
                "Received: from {host} ([{ip}])\n\tby {by} with ESMTPS id {id}\n\t(TLS1.3:TLS_AES_256_GCM_SHA384:256); {date}\n"
            ),
        };
    }
    if dice.below(2) == 0 {
        *mail += &format!(
            "Authentication-Results: mx.{};\n       dkim=pass header.i=@{} header.s={} header.b={};\n       spf=pass (domain of {} designates {} as permitted sender) smtp.mailfrom={};\n       dmarc=pass (p=NONE sp=QUARANTINE dis=NONE) header.from={}\n",
            to.domain,
            from.domain,
            dice.one(&["selector1", "20230601", "default", "s1", "mail", "k1"]),
            dice.base64(8),
            from.address,
            dice.ip(),
            from.address,
            from.domain
        );
    }
    if dice.below(2) == 0 {
        let fields = dice.one(&[
            "from:to:subject:date:message-id",
            "From:To:Subject:Date:Message-ID:MIME-Version:Content-Type",
            "h=from:from:reply-to:subject:date:message-id:to:cc:mime-version:content-type:content-transfer-encoding:list-unsubscribe:list-unsubscribe-post",
            "to:subject:message-id:date:from:in-reply-to:references:mime-version",
        ]);
        *mail += &format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={}; s={};\n\tt={}; h={fields};\n\tbh={}=;\n\tb={}\n\t {}\n\t {}==\n",
            from.domain,
            dice.one(&["selector1", "20230601", "default", "s1", "mail", "k1"]),
            1_600_000_000 + dice.below(300_000_000),
            dice.base64(43),
            dice.base64(64),
            dice.base64(64),
            dice.base64(30)
        );
    }
    if dice.below(5) == 0 {
        *mail += &format!(
            "X-Google-DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\n        d=1e100.net; s=20230601; t={};\n        h=x-gm-message-state:mime-version:from:date:message-id:subject:to;\n        bh={}=;\nX-Gm-Message-State: {}\nX-Google-Smtp-Source: {}\nX-Received: by 2002:a05:6402:{}:b0:{} with SMTP id {};\n        {}\n",
            1_600_000_000 + dice.below(300_000_000),
            dice.base64(43),
            dice.base64(70),
            dice.base64(80),
            dice.hex(4),
            dice.hex(3),
            dice.hex(20),
            dice.date()
        );
    }
    if dice.below(6) == 0 {
        *mail += &format!(
            "ARC-Seal: i=1; a=rsa-sha256; t={}; cv=none;\n        d=google.com; s=arc-20240605;\n        b={}\nARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=google.com; s=arc-20240605;\n        h=mime-version:date:message-id:subject:from:to:dkim-signature;\n        bh={}=;\nARC-Authentication-Results: i=1; mx.google.com;\n       dkim=pass header.i=@{};\n       spf=pass smtp.mailfrom={}\n",
            1_600_000_000 + dice.below(300_000_000),
            dice.base64(60),
            dice.base64(43),
            from.domain,
            from.address
        );
    }
    if dice.below(5) == 0 {
        *mail += &format!(
            "X-Spam-Flag: NO\nX-Spam-Score: -{}.{}\nX-Spam-Level: \nX-Spam-Status: No, score=-1.9 required=5.0 tests=BAYES_00,DKIM_SIGNED,DKIM_VALID,\n\tDKIM_VALID_AU,HTML_MESSAGE,RCVD_IN_DNSWL_NONE,SPF_HELO_NONE,SPF_PASS autolearn=ham\n",
            dice.below(3),
            dice.below(10)
        );
    }
    if dice.below(6) == 0 {
        *mail += &format!(
            "X-MS-Exchange-Organization-SCL: -1\nX-MS-Has-Attach: {}\nX-MS-TNEF-Correlator: \nX-MS-PublicTrafficType: Email\nX-MS-Office365-Filtering-Correlation-Id: {}-{}-{}-{}-{}\nX-Forefront-Antispam-Report: CIP:{};CTRY:;LANG:en;SCL:1;SRV:;IPV:NLI;SFV:NSPM;H:{};PTR:;CAT:NONE;SFS:(13230040);DIR:OUT;SFP:1101;\nX-OriginatorOrg: {}\nX-MS-Exchange-CrossTenant-OriginalArrivalTime: {}\nX-MS-Exchange-CrossTenant-FromEntityHeader: Hosted\nX-MS-Exchange-Transport-CrossTenantHeadersStamped: AM0PR04MB{}\n",
            dice.one(&["", "yes"]),
            dice.hex(8),
            dice.hex(4),
            dice.hex(4),
            dice.hex(4),
            dice.hex(12),
            dice.ip(),
            from.domain,
            from.domain,
            dice.date(),
            dice.below(9999)
        );
    }
}

/// What the sender's program writes.
fn fields(dice: &mut Dice, from: &Person, to: &Person, mail: &mut String) {
    let topic = dice.one(TOPICS);
    let reply = dice.below(3) == 0;
    let subject = format!(
        "{}{topic}{}",
        if reply {
            dice.one(&["Re: ", "Fwd: ", "AW: ", "RE: "])
        } else {
            ""
        },
        dice.one(&["", "", " #1042", " - action required", " (update)"])
    );
    let subject = if dice.below(6) == 0 {
        format!(
            "=?{}?B?{}?=",
            dice.one(&["UTF-8", "utf-8"]),
            dice.base64(36)
        )
    } else {
        subject
    };
    let id = match dice.below(5) {
        0 => format!(
            "<CA{}@mail.gmail.com>",
            dice.base64(40).replace(['+', '/'], "=")
        ),
        1 => format!(
            "<{}.{}@{}>",
            dice.hex(8),
            dice.below(1_000_000),
            from.domain
        ),
        2 => format!(
            "<AM0PR04MB{}{}@AM0PR04MB{}.eurprd04.prod.outlook.com>",
            dice.below(9999),
            dice.hex(30).to_uppercase(),
            dice.below(9999)
        ),
        3 => format!(
            "<{}-{}-{}-{}-{}@{}>",
            dice.hex(8),
            dice.hex(4),
            dice.hex(4),
            dice.hex(4),
            dice.hex(12),
            from.domain
        ),
        _ => format!(
            "<010001{}-{}-000000@email.amazonses.com>",
            dice.hex(10),
            dice.hex(8)
        ),
    };
    let mut lines = vec![
        format!("From: {}\n", from.mailbox(dice)),
        format!("To: {}\n", to.mailbox(dice)),
        format!("Subject: {subject}\n"),
        format!("Date: {}\n", dice.date()),
        format!("{}: {id}\n", dice.one(&["Message-ID", "Message-Id"])),
        "MIME-Version: 1.0\n".to_owned(),
    ];
    if dice.below(4) == 0 {
        let other = dice.person();
        lines.push(format!("Cc: {}\n", other.mailbox(dice)));
    }
    if dice.below(4) == 0 {
        lines.push(format!("Reply-To: {}\n", from.mailbox(dice)));
    }
    if reply {
        let parent = format!("<{}.{}@{}>", dice.hex(8), dice.below(1_000_000), to.domain);
        lines.push(format!("In-Reply-To: {parent}\n"));
        lines.push(format!(
            "References: <{}@{}>\n {parent}\n",
            dice.hex(24),
            from.domain
        ));
    }
    let turn = dice.below(lines.len() as u64) as usize;
    lines.rotate_left(turn);
    *mail += &lines.concat();
    *mail += match dice.below(9) {
        0 => "User-Agent: Mozilla Thunderbird\nContent-Language: en-US\n",
        1 => "X-Mailer: Apple Mail (2.3774.600.62)\n",
        2 => "X-Mailer: Microsoft Outlook 16.0\nThread-Index: AdnK\nContent-Language: en-us\n",
        3 => "X-Mailer: iPhone Mail (21F90)\n",
        4 => "X-Priority: 3\nX-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer)\n",
        5 => "Precedence: bulk\nAuto-Submitted: auto-generated\nX-Auto-Response-Suppress: All\n",
        6 => "Accept-Language: en-GB, en-US\nX-MS-Has-Attach:\nmsip_labels:\n",
        _ => "",
    };
    if dice.below(4) == 0 {
        *mail += &format!(
            "List-Unsubscribe: <https://{}/unsubscribe?u={}&id={}>,\n <mailto:unsubscribe-{}@{}>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\nFeedback-ID: {}:{}:campaign\n",
            from.domain,
            dice.hex(24),
            dice.hex(10),
            dice.hex(12),
            from.domain,
            dice.below(99_999),
            dice.below(99_999)
        );
    } else if dice.below(6) == 0 {
        *mail += &format!(
            "List-Id: Discussion <users.{0}>\nList-Post: <mailto:users@{0}>\nList-Help: <mailto:users-request@{0}?subject=help>\nList-Subscribe: <https://{0}/listinfo/users>,\n\t<mailto:users-request@{0}?subject=subscribe>\nList-Archive: <https://{0}/pipermail/users/>\nErrors-To: users-bounces@{0}\nSender: users-bounces@{0}\nPrecedence: list\n",
            to.domain
        );
    }
}

fn body(dice: &mut Dice, from: &Person, sentences: &[&str], mail: &mut String) {
    let text = plain(dice, from, sentences);
    let charset = dice.one(&[
        "utf-8",
        "UTF-8",
        "us-ascii",
        "\"utf-8\"",
        "\"UTF-8\"",
        "iso-8859-1",
    ]);
    match dice.below(10) {
        0..3 => {
            let encoding = dice.one(&["7bit", "8bit", "quoted-printable"]);
            *mail += &format!(
                "Content-Type: text/plain; charset={charset}{}\nContent-Transfer-Encoding: {encoding}\n\n",
                dice.one(&["", "; format=flowed", "; format=flowed; delsp=yes"])
            );
            *mail += &if encoding == "quoted-printable" {
                quoted(&text)
            } else {
                text
            };
        }
        3 => {
            *mail += &format!(
                "Content-Type: text/html; charset={charset}\nContent-Transfer-Encoding: quoted-printable\n\n"
            );
            *mail += &quoted(&html(dice, from, sentences));
        }
        kind => {
            let boundary = match dice.below(5) {
                0 => format!("000000000000{}", dice.hex(16)),
                1 => format!(
                    "----=_NextPart_000_{}_01D9{}.{}",
                    dice.hex(4).to_uppercase(),
                    dice.hex(4).to_uppercase(),
                    dice.hex(8).to_uppercase()
                ),
                2 => format!("------------{}", dice.base64(24).replace(['+', '/'], "0")),
                3 => format!("Apple-Mail=_{}", dice.hex(8).to_uppercase()),
                _ => format!("_000_AM0PR04MB{}_", dice.hex(12).to_uppercase()),
            };
            let mixed = kind > 7;
            let outer = if mixed { "mixed" } else { "alternative" };
            *mail += &format!(
                "Content-Type: multipart/{outer};{}boundary=\"{boundary}\"\n\n",
                dice.one(&[" ", "\n\t", "\n "])
            );
            if dice.below(3) == 0 {
                *mail += "This is a multi-part message in MIME format.\n\n";
            }
            *mail += &format!(
                "--{boundary}\nContent-Type: text/plain; charset={charset}\nContent-Transfer-Encoding: {}\n\n",
                dice.one(&["quoted-printable", "7bit", "8bit"])
            );
            *mail += &quoted(&text);
            if mixed {
                let (kind, name) = match dice.below(6) {
                    0 => ("application/pdf", "invoice.pdf"),
                    1 => ("image/jpeg", "IMG_0042.jpg"),
                    2 => ("image/png", "image001.png"),
                    3 => (
                        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                        "report.docx",
                    ),
                    4 => (
                        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                        "list.xlsx",
                    ),
                    _ => ("text/calendar; charset=utf-8; method=REQUEST", "invite.ics"),
                };
                *mail += &format!(
                    "\n--{boundary}\nContent-Type: {kind}; name=\"{name}\"\nContent-Disposition: {}; filename=\"{name}\"\nContent-Transfer-Encoding: base64\n{}\n",
                    dice.one(&["attachment", "inline", "attachment; size=48213"]),
                    dice.one(&[
                        "",
                        "Content-ID: <image001.png@01D9>\n",
                        "X-Attachment-Id: f_lx1\nContent-ID: <f_lx1>\n"
                    ])
                );
                if name.ends_with("ics") {
                    *mail += &calendar(dice, from);
                } else {
                    for _ in 0..3 {
                        *mail += &format!("{}\n", dice.base64(76));
                    }
                }
            } else {
                *mail += &format!(
                    "\n--{boundary}\nContent-Type: text/html; charset={charset}\nContent-Transfer-Encoding: quoted-printable\n\n"
                );
                *mail += &quoted(&html(dice, from, sentences));
            }
            *mail += &format!("\n--{boundary}--\n");
        }
    }
}

fn plain(dice: &mut Dice, from: &Person, sentences: &[&str]) -> String {
    let mut text = String::new();
    for sentence in sentences {
        text += sentence;
        text += dice.one(&[" ", "\n", "\n\n"]);
    }
    text += &format!("\n{}\n", from.name);
    match dice.below(6) {
        0 => {
            text += &format!(
                "-- \n{}\nPhone: +49 30 {}\nhttps://www.{}/\n",
                from.name,
                dice.below(10_000_000),
                from.domain
            )
        }
        1 => {
            text += &format!("\nOn {}, {} wrote:\n", dice.date(), from.mailbox(dice));
            for _ in 0..3 {
                text += &format!("> {}\n>\n", dice.one(SENTENCES));
            }
        }
        2 => {
            text += &format!(
                "\n-----Original Message-----\nFrom: {}\nSent: {}\nTo: {}\nSubject: {}\n",
                from.name,
                dice.date(),
                from.address,
                dice.one(TOPICS)
            )
        }
        3 => text += "\nSent from my iPhone\n",
        4 => {
            text += &format!(
                "\n_______________________________________________\nusers mailing list\nusers@{0}\nhttps://{0}/listinfo/users\n",
                from.domain
            )
        }
        _ => {}
    }
    text
}

fn html(dice: &mut Dice, from: &Person, sentences: &[&str]) -> String {
    let head = dice.one(&[
        "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\" />\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1.0\"/>\n<title></title>\n<style type=\"text/css\">\nbody { margin: 0; padding: 0; }\ntable { border-collapse: collapse; }\na { color: #0066cc; text-decoration: none; }\n@media only screen and (max-width: 600px) { .container { width: 100% !important; } }\n</style>\n</head>\n<body style=\"margin:0;padding:0;background-color:#ffffff;\">\n",
        "<html xmlns:v=\"urn:schemas-microsoft-com:vml\" xmlns:o=\"urn:schemas-microsoft-com:office:office\" xmlns:w=\"urn:schemas-microsoft-com:office:word\" xmlns=\"http://www.w3.org/TR/REC-html40\">\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\">\n<meta name=\"Generator\" content=\"Microsoft Word 15 (filtered medium)\">\n<style><!--\n/* Font Definitions */\n@font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;}\n/* Style Definitions */\np.MsoNormal, li.MsoNormal, div.MsoNormal {margin:0cm; font-size:11.0pt; font-family:\"Calibri\",sans-serif;}\na:link, span.MsoHyperlink {mso-style-priority:99; color:#0563C1; text-decoration:underline;}\n.MsoChpDefault {mso-style-type:export-only;}\n@page WordSection1 {size:612.0pt 792.0pt; margin:72.0pt 72.0pt 72.0pt 72.0pt;}\n--></style>\n</head>\n<body lang=\"EN-US\" link=\"#0563C1\" vlink=\"#954F72\">\n<div class=\"WordSection1\">\n",
        "<html>\n  <head>\n    <meta http-equiv=\"content-type\" content=\"text/html; charset=UTF-8\">\n  </head>\n  <body>\n",
        "<html><head><meta http-equiv=\"Content-Type\" content=\"text/html; charset=utf-8\"></head><body style=\"word-wrap: break-word; -webkit-nbsp-mode: space; line-break: after-white-space;\" class=\"\">",
        "<div dir=\"ltr\">",
    ]);
    let mut html = head.to_owned();
    let style = dice.below(4);
    for sentence in sentences {
        html += &match style {
            0 => format!(
                "<p class=\"MsoNormal\"><span lang=\"EN-US\" style=\"mso-fareast-language:EN-US\">{sentence}<o:p></o:p></span></p>\n<p class=\"MsoNormal\"><o:p>&nbsp;</o:p></p>\n"
            ),
            1 => format!("<div>{sentence}</div><div><br></div>"),
            2 => format!(
                "<table role=\"presentation\" width=\"600\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\" align=\"center\" style=\"width:100%;max-width:600px;\">\n<tr>\n<td align=\"left\" valign=\"top\" style=\"padding:20px 30px;font-family:Arial,Helvetica,sans-serif;font-size:14px;line-height:20px;color:#333333;\">\n{sentence}\n</td>\n</tr>\n</table>\n"
            ),
            _ => format!("    <p>{sentence}</p>\n"),
        };
    }
    if dice.below(2) == 0 {
        html += &format!(
            "<a href=\"https://www.{}/{}?utm_source=newsletter&amp;utm_medium=email&amp;utm_campaign={}\" target=\"_blank\" style=\"color:#ffffff;background-color:#007bff;text-decoration:none;display:inline-block;font-weight:bold;border-radius:4px;\">{}</a>\n<img src=\"https://www.{}/open/{}.gif\" width=\"1\" height=\"1\" alt=\"\" border=\"0\" style=\"display:block;\" />\n",
            from.domain,
            dice.hex(8),
            dice.hex(6),
            dice.one(&[
                "View online",
                "Click here",
                "Confirm",
                "Read more",
                "Shop now",
                "View order"
            ]),
            from.domain,
            dice.hex(24)
        );
    }
    if dice.below(4) == 0 {
        html += &format!(
            "<div class=\"gmail_quote\"><div dir=\"ltr\" class=\"gmail_attr\">On {}, {} &lt;<a href=\"mailto:{}\">{}</a>&gt; wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0px 0px 0px 0.8ex;border-left:1px solid rgb(204,204,204);padding-left:1ex\">{}</blockquote></div>\n",
            dice.date(),
            from.name,
            from.address,
            from.address,
            dice.one(SENTENCES)
        );
    }
    html += dice.one(&[
        "</body>\n</html>\n",
        "</div>\n</body>\n</html>\n",
        "  </body>\n</html>\n",
        "</div>\n",
    ]);
    html
}

fn calendar(dice: &mut Dice, from: &Person) -> String {
    let day = 20_240_101 + dice.below(1000);
    format!(
        "BEGIN:VCALENDAR\nPRODID:-//Microsoft Corporation//Outlook 16.0 MIMEDIR//EN\nVERSION:2.0\nCALSCALE:GREGORIAN\nMETHOD:REQUEST\nBEGIN:VEVENT\nUID:{}\nDTSTAMP:{day}T{:06}Z\nDTSTART;TZID=Europe/Berlin:{day}T100000\nDTEND;TZID=Europe/Berlin:{day}T110000\nORGANIZER;CN={}:mailto:{}\nATTENDEE;ROLE=REQ-PARTICIPANT;PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:{}\nSUMMARY:{}\nLOCATION:\nSTATUS:CONFIRMED\nTRANSP:OPAQUE\nSEQUENCE:0\nBEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:REMINDER\nTRIGGER;RELATED=START:-PT15M\nEND:VALARM\nEND:VEVENT\nEND:VCALENDAR\n",
        dice.hex(32),
        dice.below(235_959),
        from.name,
        from.address,
        from.address,
        dice.one(TOPICS)
    )
}

/// Quoted-printable, well enough for a sample: soft breaks at 76.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut width = 0;
        for byte in line.bytes() {
            if width > 72 {
                out += "=\n";
                width = 0;
            }
            match byte {
                b'=' | 0x80.. => {
                    out += &format!("={byte:02X}");
                    width += 3;
                }
                byte => {
                    out.push(char::from(byte));
                    width += 1;
                }
            }
        }
        out.push('\n');
    }
    out
}
