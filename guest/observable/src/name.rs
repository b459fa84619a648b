//! Names of hosts.
//!
//! A name has the form of RFC 1035 with underscores, as they are registered and resolved in practice: labels of 1 to
//! 63 letters, digits, hyphens and underscores, 253 characters in all, the last label no number (such a "name" is a
//! broken IPv4 address). Names in other scripts are converted to punycode.

/// The longest name in text form, by RFC 1035: 255 octets on the wire.
const MAX_NAME: usize = 253;
/// The longest label.
const MAX_LABEL: usize = 63;

/// Whether a text without a final dot has the form of a name, in any case.
pub fn is_name(text: &str) -> bool {
    if text.is_empty() || text.len() > MAX_NAME {
        return false;
    }
    let mut last_is_number = false;
    for label in text.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL {
            return false;
        }
        let mut digits = true;
        let mut hyphens = true;
        for byte in label.bytes() {
            match byte {
                b'0'..=b'9' => hyphens = false,
                b'-' => digits = false,
                b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                    digits = false;
                    hyphens = false;
                }
                _ => return false,
            }
        }
        if hyphens {
            return false;
        }
        last_is_number = digits;
    }
    !last_is_number
}

/// Whether a name has one label only, so that it means something in one network and nothing in another.
pub fn is_single_label(name: &str) -> bool {
    !name.contains('.')
}

/// A name in the form documents carry: punycode, lower case, no final dot. `None` where it is no name.
pub(super) fn normalise(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = if text.is_ascii() { text.to_ascii_lowercase() } else { to_ascii(text)? };
    is_name(&name).then_some(name)
}

/// Another script in ASCII: full-width digits and letters become plain ones, the rest punycode.
pub(super) fn to_ascii(text: &str) -> Option<String> {
    let mut ascii = idna::domain_to_ascii(text).ok()?;
    if ascii.ends_with('.') {
        ascii.pop();
    }
    Some(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let label = "a".repeat(63);
        let name = [label.as_str(); 4].join(".");
        assert!(is_name(&name[..253]));
        assert!(!is_name(&name[..254]));
        assert!(is_name(&format!("{label}.example")));
        assert!(!is_name(&format!("{label}a.example")));
    }

    #[test]
    fn names_have_a_form() {
        for good in ["example.com", "_dmarc.example.com", "a-.example", "localhost", "1.example", "x.1a", "EXAMPLE.com"]
        {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", ".a", "a.", "a b.example", "123.456.0.1", "a.--", "b\u{fc}cher.example", "a.*"] {
            assert!(!is_name(bad), "{bad}");
        }
        assert_eq!(normalise("B\u{fc}cher.example.").as_deref(), Some("xn--bcher-kva.example"));
    }

    /// As ICU4X's own tables gave them: scripts, width, marks in and out of order, joiners, direction, what is ignored and
    /// what no name may hold.
    const IN_ASCII: [(&str, Option<&str>); 116] = [
        ("bücher.example", Some("xn--bcher-kva.example")),
        ("BÜCHER.Example", Some("xn--bcher-kva.example")),
        ("straße.example", Some("xn--strae-oqa.example")),
        ("STRASSE.example", Some("strasse.example")),
        ("Fußball.DE", Some("xn--fuball-cta.de")),
        ("bu\u{308}cher.example", Some("xn--bcher-kva.example")),
        ("A\u{30a}ngstro\u{308}m.example", Some("xn--ngstrm-hua5l.example")),
        ("Ångström.example", Some("xn--ngstrm-hua5l.example")),
        ("中国.example", Some("xn--fiqs8s.example")),
        ("例え。テスト", Some("xn--r8jz45g.xn--zckzah")),
        ("例え．テスト", Some("xn--r8jz45g.xn--zckzah")),
        ("ｶ\u{ff9e}ｷ.example", Some("xn--mckc.example")),
        ("か\u{3099}.example", Some("xn--v8j.example")),
        ("한국.example", Some("xn--3e0b707e.example")),
        ("한국.example", Some("xn--3e0b707e.example")),
        ("각.example", Some("xn--p39a.example")),
        ("ㄱㅏ.example", Some("xn--o39a.example")),
        ("москва.рф", Some("xn--80adxhks.xn--p1ai")),
        ("МОСКВА.РФ", Some("xn--80adxhks.xn--p1ai")),
        ("ελλάδα.example", Some("xn--hxakic4aa.example")),
        ("ΕΛΛΆΔΑ.example", Some("xn--hxakic4aa.example")),
        ("βόλος.com", Some("xn--nxasmm1c.com")),
        ("مثال.إختبار", Some("xn--mgbh0fb.xn--kgbechtv")),
        ("موقع.وزارة-الاتصالات.مصر", Some("xn--4gbrim.xn----ymcbaaajlc6dj7bxne2c.xn--wgbh1c")),
        ("نامه\u{200c}ای.com", Some("xn--mgba3gch31f060k.com")),
        ("\u{200c}نامه.com", None),
        ("a\u{200c}b.example", None),
        ("उदाहरण.परीक\u{94d}षा", Some("xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g")),
        ("क\u{94d}\u{200d}ष.example", Some("xn--11b2ezcw70k.example")),
        ("क\u{94d}\u{200c}ष.example", Some("xn--11b2ezcs70k.example")),
        ("क\u{200d}ष.example", None),
        ("ශ\u{dca}\u{200d}ර\u{dd3}.com", Some("xn--10cl1a0b660p.com")),
        ("\u{94d}क.example", None),
        ("\u{301}a.example", None),
        ("ไทย.example", Some("xn--o3cw4h.example")),
        ("ำ.example", None),
        ("தமிழ\u{bcd}.example", Some("xn--rlcus7b3d.example")),
        ("ব\u{9be}ংল\u{9be}.example", Some("xn--54b7fta0cc.example")),
        ("কে\u{9be}.example", Some("xn--p5b2i.example")),
        ("क\u{93c}.example", Some("xn--11b2f.example")),
        ("क़.example", Some("xn--11b2f.example")),
        ("❤.example", Some("xn--qei.example")),
        ("👩\u{200d}💻.example", None),
        ("💩.la", Some("xn--ls8h.la")),
        ("♥\u{fe0f}.example", Some("xn--g6h.example")),
        ("①②③.example", Some("123.example")),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", Some("example.com")),
        ("１９２．１６８．０．１", Some("192.168.0.1")),
        ("example.c\u{ad}om", Some("example.com")),
        ("ex\u{200b}ample.com", Some("example.com")),
        ("\u{ad}", Some("")),
        ("𝐞𝐱𝐚𝐦𝐩𝐥𝐞.com", Some("example.com")),
        ("ℌ.example", Some("h.example")),
        ("½.example", Some("xn--12-c6t.example")),
        ("⒈com", None),
        ("℀.example", Some("a/c.example")),
        ("a≠b.example", Some("xn--ab-miv.example")),
        ("=\u{338}.example", Some("xn--1ch.example")),
        ("ﷺ.example", None),
        ("ﷲ.example", Some("xn--mgb2dam.example")),
        ("豈丽.example", Some("xn--viq852m.example")),
        ("𝅗𝅥.example", Some("xn--8e1h2a.example")),
        ("\u{110ba}𑂙.example", None),
        ("𑂙\u{110ba}.example", Some("xn--i40d.example")),
        ("אבג.example", Some("xn--4dbcd.example")),
        ("אבגabc.example", None),
        ("abcאבג.example", None),
        ("אבג1.example", Some("xn--1-zhcde.example")),
        ("1אבג.example", None),
        ("אבג-.example", None),
        ("אב1٢ג.example", None),
        ("אב٢.example", Some("xn--4dbc94b.example")),
        ("\u{202e}abc.example", None),
        ("אבג.abc", Some("xn--4dbcd.abc")),
        ("אבג.1abc", None),
        ("א\u{5b0}.example", Some("xn--7cb7d.example")),
        ("e\u{323}\u{302}\u{301}.example", Some("xn--lsa333l.example")),
        ("e\u{301}\u{302}\u{323}.example", Some("xn--lsac793s.example")),
        ("ệ\u{301}.example", Some("xn--lsa333l.example")),
        ("q\u{307}\u{323}.example", Some("xn--q-9bb7f.example")),
        ("q\u{323}\u{307}.example", Some("xn--q-9bb7f.example")),
        ("xn--bcher-kva.example", Some("xn--bcher-kva.example")),
        ("xn--BCHER-kva.example", Some("xn--bcher-kva.example")),
        ("xn--a.example", None),
        ("xn--bcher-KVA8445foa.example", Some("xn--bcher-kva8445foa.example")),
        ("xn--0ca24w.example", None),
        ("xn--u-ccb.example", None),
        ("xn--zca.example", Some("xn--zca.example")),
        ("xn--11b5bs3a9aj6g.example", Some("xn--11b5bs3a9aj6g.example")),
        ("xn--mgba3gch31f060k.example", Some("xn--mgba3gch31f060k.example")),
        ("xn--1ug.example", None),
        ("xn--a-ecp.ru", None),
        ("�.example", None),
        ("\u{e000}.example", None),
        ("\u{378}.example", None),
        ("a。b．c｡d", Some("a.b.c.d")),
        ("İstanbul.example", Some("xn--istanbul-o0e.example")),
        ("ẞ.example", Some("xn--zca.example")),
        ("ŀl.example", Some("xn--ll-0ea.example")),
        ("ŉ.example", Some("xn--n-y6a.example")),
        ("ǅ.example", Some("xn--d-toa.example")),
        ("ﬁﬃ.example", Some("fiffi.example")),
        ("Ⅷ.example", Some("viii.example")),
        ("㍿.example", Some("xn--6oqv20b1zgzxr.example")),
        ("㏂.example", None),
        ("㎏.example", Some("kg.example")),
        ("ᲀ.example", Some("xn--b1a.example")),
        ("ꭰ.example", Some("xn--58d.example")),
        ("Ꭰ.example", Some("xn--58d.example")),
        ("𐲀.example", Some("xn--cc0d.example")),
        ("𞤀.example", Some("xn--9d6h.example")),
        ("ẛ\u{323}.example", Some("xn--1ig.example")),
        ("Ω\u{345}.example", Some("xn--uxa5a.example")),
        ("ᾳ.example", Some("xn--mxaq.example")),
        ("\u{f71}\u{f72}\u{f74}.example", None),
        ("\u{f73}.example", None),
    ];

    #[test]
    fn other_scripts_become_ascii() {
        for (name, ascii) in IN_ASCII {
            assert_eq!(to_ascii(name).as_deref(), ascii, "{name:?}");
        }
    }
}
