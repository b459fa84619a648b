//! The whole way over TAXII, against the mock feed in each of its styles: what is stored is what the feed has, changes
//! arrive, a revocation retires, and `check` says what the server is.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tipline::mock::{AnswerStyle, CollectionNames, Logins, MockSettings, Plan, Records, TaxiiSettings};
use tipline::poll::Ended;
use tipline::state::{Counts, RejectFilter};

use crate::support::{Documents, Outcome, Ran, Stand, Store, same, tipline, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("taxii::everything_is_stored_once", everything_once),
        trial("taxii::the_program_reads_to_the_end_and_then_only_the_overlap", by_the_program),
        trial("taxii::an_update_updates_and_a_revocation_retires_at_once", changes),
        trial("taxii::a_revocation_ends_its_own_claim_and_no_other", claims_of_one_value),
        trial("taxii::every_outcome_is_accounted_for", every_outcome),
        trial("taxii::check_tells_what_the_server_has", check),
        trial("taxii::check_tells_what_waits", waiting),
        trial("taxii::a_wrong_collection_fails_with_the_right_ones", wrong_collection),
        trial("taxii::check_tells_why_a_login_is_refused", refused_login),
        trial("taxii::a_key_is_sent_as_the_server_asks", asked_login),
        trial("taxii::check_warns_of_a_feed_that_is_read_in_two_ways", read_in_two_ways),
    ]
}

const STYLES: [AnswerStyle; 3] = [AnswerStyle::Bundle, AnswerStyle::VersionedBundle, AnswerStyle::Envelope];

/// A feed that answers in this style.
fn styled(style: AnswerStyle) -> MockSettings {
    MockSettings { taxii: TaxiiSettings { style, ..TaxiiSettings::default() }, ..MockSettings::default() }
}

async fn everything_once() -> Outcome {
    for style in STYLES {
        for store in Store::each().await {
            let input = "limit: 100\noverlap: 0s";
            let stand = Stand::taxii(styled(style), Records::synthetic(250, 1), input, store).await?;
            let report = stand.poll().await?;
            assert_eq!(report.ended, Ended::Complete);
            let counts = report.counts;
            assert!(counts.adds_up(), "{style:?}: {counts:?}");
            // The pages of a bundle meet in an object that both have.
            let met = if style == AnswerStyle::Envelope { 0 } else { 3 };
            assert!((250..=250 + met).contains(&counts.mapped), "{style:?}: {counts:?}");
            assert_eq!((counts.rejected, counts.quarantined), (0, 0), "{style:?}: {counts:?}");
            let expected = stand.expected_objects(100).await?;
            assert_eq!(expected.len(), 250);
            same(&expected, &stand.stored().await?)?;

            stand.hand.turn(Duration::from_secs(15 * 60));
            let again = stand.poll().await?;
            assert_eq!((again.ended, again.counts.mapped, again.counts.made), (Ended::Complete, 0, 0), "{style:?}");
            same(&expected, &stand.stored().await?)?;
        }
    }
    Ok(())
}

async fn by_the_program() -> Outcome {
    for style in STYLES {
        let stand = Stand::taxii(styled(style), Records::synthetic(250, 2), "limit: 100", Store::Sqlite).await?;
        let all = once(&stand).await?;
        assert!((250..=253).contains(&all.mapped), "{style:?}: {all:?}");
        let expected = stand.expected_objects(100).await?;
        same(&expected, &stand.stored().await?)?;

        // Ten minutes of a feed that had 250 objects in twenty hours.
        let again = once(&stand).await?;
        assert!((1..=5).contains(&again.mapped), "{style:?}: {again:?}");
        same(&expected, &stand.stored().await?)?;
        let total = stand.ledger()?.counts("feed")?;
        assert_eq!(total.read, all.read + again.read, "{style:?}");
        assert!(total.adds_up(), "{style:?}: {total:?}");
    }
    Ok(())
}

/// Runs the program once, which must go well, and gives what it counted.
async fn once(stand: &Stand) -> Result<Counts, Failed> {
    let ran = stand.run_once(&["--json"]).await?;
    if ran.code != Some(0) {
        return Err(format!("{ran:?}").into());
    }
    let line: Value = serde_json::from_str(ran.out.lines().next().unwrap_or_default())?;
    assert_eq!(line["adds_up"], true, "{line}");
    Ok(serde_json::from_value(line["counts"].clone())?)
}

async fn changes() -> Outcome {
    for style in STYLES {
        let records = Records::listed([
            json!({ "id": "one", "type": "domain", "value": "one.example", "confidence": "low", "age": { "updated": 7_200 } }),
            json!({ "id": "two", "type": "domain", "value": "two.example", "confidence": "high", "age": { "updated": 3_600 } }),
            json!({ "id": "three", "type": "ipv4", "value": "203.0.113.3", "confidence": "high" }),
        ]);
        let stand = Stand::taxii(styled(style), records, "", Store::Sqlite).await?;
        once(&stand).await?;
        let before = stand.stored().await?;
        assert_eq!(before.len(), 3);
        assert_eq!(found(&stand, "two.example", false).await?, 1);

        assert!(stand.feed.update("one", |record| _ = record.insert("confidence".to_owned(), json!("high"))));
        assert!(stand.feed.revoke("two"));
        let counts = once(&stand).await?;
        assert_eq!(counts.stale, 0, "{style:?}: {counts:?}");
        let after = stand.stored().await?;
        assert!(before.keys().eq(after.keys()), "{style:?}: the same documents");

        let (was, is) = (named(&before, "one.example")?, named(&after, "one.example")?);
        let confidence = |document: &Value| document["threat"]["indicator"]["confidence"].clone();
        assert_eq!((confidence(was), confidence(is)), (json!("Low"), json!("High")), "{style:?}");
        assert!(is["event"]["sequence"].as_u64() > was["event"]["sequence"].as_u64(), "{style:?}");

        let revoked = named(&after, "two.example")?;
        assert_eq!(revoked["event"]["type"], json!(["info"]), "{style:?}: {revoked}");
        assert_eq!(revoked["tipline"]["expiry_reason"], "revoked", "{style:?}: {revoked}");
        assert_eq!(revoked["tipline"]["retired_at"], revoked["tipline"]["expires_at"], "{style:?}");
        assert_eq!(found(&stand, "two.example", false).await?, 0, "{style:?}: it is not to match any longer");
        assert_eq!(found(&stand, "two.example", true).await?, 1, "{style:?}: it is to be found when asked for");
        assert_eq!(found(&stand, "one.example", false).await?, 1, "{style:?}");
    }
    Ok(())
}

/// How many documents `tipline search` counts.
async fn found(stand: &Stand, text: &'static str, expired: bool) -> Result<u64, Failed> {
    let arguments: &[&str] =
        if expired { &["search", text, "--count", "--expired"] } else { &["search", text, "--count"] };
    let ran = program(stand, arguments).await?;
    ran.out.trim().parse().map_err(|_| format!("{ran:?}").into())
}

fn named<'d>(documents: &'d Documents, name: &str) -> Result<&'d Value, Failed> {
    let found = documents.values().find(|document| document["threat"]["indicator"]["name"] == name);
    found.ok_or_else(|| format!("no document for {name}").into())
}

/// An object as STIX has it; `number` makes its id.
fn indicator(number: u32, pattern: &str, more: &Value) -> Value {
    let now = jiff::Timestamp::now();
    let at =
        |hours: i64| (now - jiff::SignedDuration::from_hours(hours)).strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string();
    let mut object = json!({
        "type": "indicator", "spec_version": "2.1", "id": format!("indicator--00000000-0000-4000-8000-{number:012}"),
        "created": at(48), "modified": at(2), "valid_from": at(48), "pattern": pattern, "pattern_type": "stix",
        "created_by_ref": "identity--00000000-0000-4000-8000-000000000000",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        object[key] = value.clone();
    }
    object
}

async fn claims_of_one_value() -> Outcome {
    for style in STYLES {
        let records = Records::listed([
            indicator(1, "[domain-name:value = 'two-claims.example']", &json!({})),
            indicator(2, "[domain-name:value = 'two-claims.example']", &json!({})),
            indicator(3, "[domain-name:value = 'other.example']", &json!({})),
        ]);
        let stand = Stand::taxii(styled(style), records, "overlap: 0s", Store::Sqlite).await?;
        // A bundle's second page has the last object of the first again, under the same version.
        let again = u64::from(style != AnswerStyle::Envelope);
        assert_eq!(once(&stand).await?.indexed, 3 + again, "{style:?}");
        assert_eq!(found(&stand, "two-claims.example", false).await?, 2, "{style:?}");
        let stored = stand.stored().await?;
        let keys: BTreeSet<String> = stored.values().map(|document| document["tipline"]["key"].to_string()).collect();
        assert_eq!(keys.len(), 2, "{style:?}: claims of one value have one key");

        let ids = [1, 2].map(|number| format!("indicator--00000000-0000-4000-8000-{number:012}"));
        for (id, left) in ids.iter().zip([1, 0]) {
            assert!(stand.feed.revoke(id));
            let counts = once(&stand).await?;
            assert!(counts.expired > 0, "{style:?}: {counts:?}");
            assert_eq!(found(&stand, "two-claims.example", false).await?, left, "{style:?}");
        }
        assert_eq!(found(&stand, "other.example", false).await?, 1, "{style:?}");
    }
    Ok(())
}

async fn every_outcome() -> Outcome {
    for style in STYLES {
        let records = Records::listed([
            indicator(1, "[domain-name:value = 'plain.example']", &json!({})),
            indicator(2, "[domain-name:value = 'a.example' OR ipv4-addr:value = '203.0.113.5']", &json!({})),
            indicator(3, "[domain-name:value = 'twice.example']", &json!({ "labels": ["a"] })),
            indicator(4, "[domain-name:value = 'twice.example']", &json!({ "labels": ["b"] })),
            indicator(5, "[ipv4-addr:value = '192.168.1.1']", &json!({})),
            indicator(6, "[domain-name:value = ", &json!({})),
            indicator(7, "[domain-name:value = 'gone.example']", &json!({ "revoked": true })),
            indicator(8, "[domain-name:value = 'late.example']", &json!({ "valid_until": "2020-01-01T00:00:00Z" })),
            indicator(9, "[process:pid > 5]", &json!({})),
            json!({ "type": "malware", "id": "malware--1", "name": "not asked for" }),
        ]);
        let stand = Stand::taxii(styled(style), records, "", Store::Sqlite).await?;
        let counts = once(&stand).await?;
        // A bundle has the feed's identity on each page, and its second page has the last of the first again.
        let (again, identities) = if style == AnswerStyle::Envelope { (0, 0) } else { (1, 2) };
        let expected = Counts {
            read: 9 + again + identities,
            mapped: 7 + again,
            rejected: 1,
            skipped: 1 + identities,
            made: 8 + again,
            indexed: 8 + again,
            expired: 2,
            ..Counts::default()
        };
        assert_eq!(counts, expected, "{style:?}");
        let ledger = stand.ledger()?;
        assert_eq!(ledger.counts("feed")?, counts, "{style:?}: what was printed is what was committed");
        let rejects = ledger.rejects(&RejectFilter::default(), 10)?;
        assert_eq!(rejects.len(), 1, "{style:?}: {rejects:?}");
        let ran = program(&stand, &["search", "--count"]).await?;
        assert_eq!(ran.out, "5\n", "{style:?}: what has ended, and the condition, is not found; {ran:?}");
    }
    Ok(())
}

/// The program in a stand's folder, with its configuration as it is.
async fn program(stand: &Stand, arguments: &[&'static str]) -> Result<Ran, Failed> {
    let (folder, arguments) = (stand.folder.path().to_owned(), arguments.to_vec());
    tokio::task::spawn_blocking(move || tipline(&folder, &arguments)).await?
}

/// `tipline check` of this stand.
async fn checked(stand: &Stand) -> Result<Ran, Failed> {
    stand.config()?;
    program(stand, &["check"]).await
}

fn has_line(ran: &Ran, line: &str) -> Outcome {
    if ran.out.lines().any(|found| found == line) { Ok(()) } else { Err(format!("no line `{line}` in {ran:?}").into()) }
}

async fn check() -> Outcome {
    for style in STYLES {
        let mut mock = styled(style);
        mock.taxii.unreadable = Some("hashes".to_owned());
        let mut stand = Stand::taxii(mock, Records::synthetic(20, 3), "", Store::Sqlite).await?;
        for (path, title) in
            [("/api/taxii2/", "SOC Defenders TAXII Server"), ("/api/taxii2/api/", "SOC Defenders Threat Intelligence")]
        {
            stand.url.set_path(path);
            let ran = checked(&stand).await?;
            assert_eq!(ran.code, Some(0), "{ran:?}");
            has_line(&ran, &format!("ok    feed server: The server is \"{title}\"."))?;
            for line in [
                "ok    feed collection: It offers all (All IOCs).",
                "ok    feed collection: It offers ips (IP Addresses).",
                "ok    feed collection: It offers hashes (File Hashes), not to be read by this account.",
                "ok    feed collection: It offers cves (CVEs).",
            ] {
                has_line(&ran, line)?;
            }
            assert!(ran.out.contains(" on the first page (1 mapped, 0 rejected, "), "{ran:?}");
            assert!(!ran.out.contains("waiting"), "nothing was read yet: {ran:?}");
        }
        assert!(!stand.path("tipline.db").exists(), "checking stores nothing");
    }
    Ok(())
}

async fn waiting() -> Outcome {
    for style in STYLES {
        let stand = Stand::taxii(styled(style), Records::synthetic(20, 4), "", Store::Sqlite).await?;
        once(&stand).await?;
        let before = stand.ledger()?.checkpoint("feed")?;
        // What a poll would look at again for its overlap does not wait: it is stored.
        has_line(&checked(&stand).await?, "ok    feed waiting: nothing new since the last poll")?;
        stand.feed.add(json!({ "type": "domain", "value": "new.example" }));
        has_line(&checked(&stand).await?, "ok    feed waiting: new objects wait for the next poll")?;
        assert_eq!(stand.ledger()?.checkpoint("feed")?, before, "checking moves nothing");
        assert_eq!(once(&stand).await?.rejected, 0);
        has_line(&checked(&stand).await?, "ok    feed waiting: nothing new since the last poll")?;
    }
    Ok(())
}

async fn wrong_collection() -> Outcome {
    let lists = [
        (CollectionNames::Words, "all (All IOCs), ips (IP Addresses), hashes (File Hashes), cves (CVEs)."),
        (
            CollectionNames::Prefixed,
            "soc-defenders-all (All IOCs), soc-defenders-network (IP Addresses), soc-defenders-hashes (File Hashes).",
        ),
    ];
    for (names, list) in lists {
        let mut mock = styled(AnswerStyle::Envelope);
        mock.taxii.names = names;
        let stand = Stand::taxii(mock, Records::synthetic(20, 5), "collection: [all, iocs]", Store::Sqlite).await?;
        let text = format!(
            "`collection` names \"iocs\", which this server does not offer. Set it to one or more of those it offers: {list}"
        );
        let ran = checked(&stand).await?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.lines().any(|line| line.starts_with("fail") && line.ends_with(&text)), "{ran:?}");

        let ran = stand.run_once(&[]).await?;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        has_line(&ran, &format!("feed: failed: {text}"))?;
        assert_eq!(stand.stored().await?.len(), 0);
    }
    Ok(())
}

async fn refused_login() -> Outcome {
    const RIGHT: &str = "sk_live_right";
    let with = |plan: Plan, logins: Logins| {
        let mut mock = styled(AnswerStyle::Bundle);
        (mock.key, mock.plan, mock.taxii.logins) = (Some(RIGHT.to_owned()), plan, logins);
        mock
    };
    let own = |header: Option<&str>, scheme: Option<&str>| MockSettings {
        key_header: header.map(str::to_owned),
        key_scheme: scheme.map(str::to_owned),
        ..with(Plan::Pro, Logins::Both)
    };
    let basic = |password: &str| format!("username: apikey\npassword: {password}");
    let both = Logins::Both;
    for (mock, input, code, part) in [
        (with(Plan::Pro, both), basic(RIGHT), 0, "ok    feed server: The server is "),
        (with(Plan::Pro, both), format!("api_key: {RIGHT}"), 0, "ok    feed server: The server is "),
        (
            with(Plan::Pro, both),
            basic("sk_live_canary"),
            1,
            "fail  feed credential: The API key is not valid: check `username` and `password`, `api_key` or `auth` for a typing error.",
        ),
        (
            with(Plan::Pro, both),
            String::new(),
            1,
            "fail  feed credential: No API key reached the feed: set `username` and `password`, `api_key` or `auth`.",
        ),
        (with(Plan::Pro, Logins::Basic), "api_key: sk_live_right".to_owned(), 1, "fail  feed credential: "),
        (own(Some("X-Api-Key"), None), format!("auth: {{header: X-Api-Key, key: {RIGHT}}}"), 0, "ok    feed server: "),
        (
            own(None, Some("Token")),
            format!("auth: {{scheme: Token, key: {RIGHT}}}"),
            0,
            "ok    feed credential: sent as `authorization: Token …`, from `auth.key`",
        ),
        (
            own(None, Some("Token")),
            "auth: {scheme: Token, key: sk_live_canary}".to_owned(),
            1,
            "fail  feed credential: The API key is not valid: check `username` and `password`, `api_key` or `auth` for a typing error.",
        ),
        (
            own(None, Some("Token")),
            format!("api_key: {RIGHT}"),
            1,
            "set `username` and `password`, `api_key` or `auth`.",
        ),
        (
            with(Plan::Free, both),
            basic(RIGHT),
            1,
            "Check the account's plan and whether it may read this `collection`.",
        ),
    ] {
        let stand = Stand::taxii(mock, Records::synthetic(20, 6), &input, Store::Sqlite).await?;
        let ran = checked(&stand).await?;
        assert_eq!(ran.code, Some(code), "{input}: {ran:?}");
        assert!(ran.out.contains(part), "{input}: {ran:?}");
        assert!(!ran.out.contains("sk_live") && !ran.err.contains("sk_live"), "a key was printed: {ran:?}");
    }
    Ok(())
}

async fn asked_login() -> Outcome {
    for (header, scheme, auth) in [
        (None, Some("Token"), "auth: {scheme: Token, key: sk_live_right}"),
        (Some("X-Api-Key"), None, "auth: {header: X-Api-Key, key_file: key}"),
        (Some("Authorization"), None, "auth: {header: Authorization, key_file: key}"),
        (Some("Auth-Key"), Some("Key"), "auth: {header: Auth-Key, scheme: Key, key_file: key}"),
    ] {
        let mock = MockSettings {
            key: Some("sk_live_right".to_owned()),
            key_header: header.map(str::to_owned),
            key_scheme: scheme.map(str::to_owned),
            ..styled(AnswerStyle::Envelope)
        };
        let stand = Stand::taxii(mock, Records::synthetic(20, 6), auth, Store::Sqlite).await?;
        fs::write(stand.path("key"), "sk_live_right\n")?;
        let ran = stand.run_once(&[]).await?;
        assert_eq!(ran.code, Some(0), "{auth}: {ran:?}");
        assert_eq!(stand.stored().await?.len(), 20, "{auth}");
        assert!(!ran.out.contains("sk_live") && !ran.err.contains("sk_live"), "a key was printed: {ran:?}");
    }
    Ok(())
}

async fn read_in_two_ways() -> Outcome {
    let stand = Stand::new(MockSettings::default(), Records::synthetic(20, 7), "", Store::Sqlite).await?;
    let (rest, taxii) = (stand.feed.url(), stand.feed.taxii_url());
    let yaml = |feed: &str| {
        format!(
            "inputs:\n  - {{id: rest, url: \"{rest}\", feed: {{name: SOC Defenders}}}}\n  - {{id: taxii, transport: taxii, url: \"{taxii}\"{feed}}}\nstate_dir: state\n"
        )
    };
    let warning = "warn  taxii transport: `rest` reads SOC Defenders by `rest` and this input by `taxii`, both into one \
                   output. The two name providers differently, so an indicator becomes two documents. Keep one of the \
                   inputs.";
    fs::write(stand.path("tipline.yml"), yaml(", feed: {name: SOC Defenders}"))?;
    let ran = program(&stand, &["check"]).await?;
    assert_eq!(ran.code, Some(0), "a warning fails nothing: {ran:?}");
    has_line(&ran, warning)?;

    fs::write(stand.path("tipline.yml"), yaml(", feed: {name: Another}"))?;
    let ran = program(&stand, &["check"]).await?;
    assert!(ran.code == Some(0) && !ran.out.contains("two documents"), "{ran:?}");
    Ok(())
}
