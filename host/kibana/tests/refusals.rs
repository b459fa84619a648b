//! Every refusal is a sentence that says what was tried, what came back and what to do.

use tipline_kibana::cases::{Case, MAX_TAGS, MAX_TITLE, NewCase};
use tipline_kibana::{Act, Answer, FromAnswer, KibanaError};

use crate::support::kibana;

fn refused(act: Act, answer: Answer<'_>) -> KibanaError {
    Case::from_answer(act, &answer).unwrap_err()
}

#[test]
fn every_refusal_is_a_plain_sentence() {
    let json = |message: &str| format!(r#"{{"statusCode":0,"error":"X","message":"{message}"}}"#);
    for (act, status, body, sentence) in [
        (
            Act::CreateCase,
            401,
            json("unable to authenticate"),
            "Tipline could not create the case: Kibana does not know the key (401), saying “unable to authenticate”. Make a new API key in Kibana under Stack Management, and set it.",
        ),
        (
            Act::Attach,
            403,
            json("Unauthorized to add comment"),
            "Tipline could not attach the indicator to the case: the key may not do this (403), saying “Unauthorized to add comment”. Its role needs `Cases: All` under Security, in this space.",
        ),
        (
            Act::Block,
            403,
            r#"{"message":"EndpointArtifactError: Endpoint authorization failure","status_code":403}"#.to_owned(),
            "Tipline could not put the hashes on the blocklist of Elastic Defend: the key may not do this (403), saying “EndpointArtifactError: Endpoint authorization failure”. Its role needs `Blocklist: All` under Security, until 9.0 in all spaces, and from 9.1 on `Global Artifact Management: All` to block in every policy at once. Where Elastic Defend is not installed, there is nothing that could block: export the hashes instead.",
        ),
        (
            Act::Block,
            403,
            r#"{"message":"EndpointArtifactError: Your license level does not allow create/update of by policy artifacts","status_code":403}"#.to_owned(),
            "Tipline could not put the hashes on the blocklist of Elastic Defend: Kibana's licence does not include it (403), saying “EndpointArtifactError: Your license level does not allow create/update of by policy artifacts”. Ask whoever runs the cluster for a higher subscription, or leave this action out.",
        ),
        (
            Act::ReadCase,
            404,
            json("Saved object [cases/x] not found"),
            "Tipline could not read the case: the case is not there (404), saying “Saved object [cases/x] not found”. It may have been deleted, or lie in another space: look in Kibana, and choose another.",
        ),
        (
            Act::CreateCase,
            404,
            json("Not Found"),
            "Tipline could not create the case: there is no such page (404). The address may not be Kibana's, may lack its base path, or name a space that is not there; or this Kibana has no Security solution, or is older than 8.7.",
        ),
        (
            Act::CreateCase,
            404,
            "<html>nginx</html>".to_owned(),
            "Tipline could not create the case: there is no such page (404). The address may not be Kibana's, may lack its base path, or name a space that is not there; or this Kibana has no Security solution, or is older than 8.7.",
        ),
        (
            Act::TagCase,
            409,
            json("case has been updated"),
            "Tipline could not set the case's tags: it was changed by somebody else meanwhile (409), saying “case has been updated”. Do it again; what is done already is not done twice.",
        ),
        (
            Act::SaveTimeline,
            413,
            String::new(),
            "Tipline could not save the Timeline: the request is too large for Kibana, or for a proxy before it (413). Choose fewer indicators or a shorter text, or raise `server.maxPayload` in Kibana.",
        ),
        (
            Act::FindCases,
            429,
            String::new(),
            "Tipline could not look for cases: Kibana has too many requests (429). Try again in a minute.",
        ),
        (
            Act::Attach,
            500,
            json("An internal server error occurred"),
            "Tipline could not attach the indicator to the case: Kibana failed (500), saying “An internal server error occurred”. Try again, which does nothing twice; if it stays so, Kibana's log has the reason.",
        ),
        (
            Act::Attach,
            503,
            "Kibana server is not ready yet.".to_owned(),
            "Tipline could not attach the indicator to the case: Kibana failed (503). Try again, which does nothing twice; if it stays so, Kibana's log has the reason.",
        ),
        (
            Act::CreateCase,
            400,
            json("No version '2023-10-31' available for [post] [/api/cases]. Available versions are: <none>"),
            "Tipline could not create the case: this Kibana does not speak the interface of 2023-10-31, saying “No version '2023-10-31' available for [post] [/api/cases]. Available versions are: <none>”. Tipline is made for 8.7 to 9.x: update whichever is older.",
        ),
        (
            Act::CreateCase,
            400,
            json("[request body]: invalid keys"),
            "Tipline could not create the case: Kibana refused it (400), saying “[request body]: invalid keys”. If the words do not say what to change, please report them with Kibana's version.",
        ),
        (
            Act::SaveTimeline,
            405,
            json("timeline type is not valid"),
            "Tipline could not save the Timeline: Kibana refused it (405), saying “timeline type is not valid”. If the words do not say what to change, please report them with Kibana's version.",
        ),
        (
            Act::ReadCase,
            302,
            String::new(),
            "Tipline could not read the case: it was sent elsewhere (302). Give the address at which Kibana itself answers, with its base path, and not that of a login page.",
        ),
        (
            Act::ReadCase,
            200,
            "<html>".to_owned(),
            "Tipline could not read the case: the answer cannot be read (expected value at line 1 column 1). A login page or a proxy may stand before Kibana: give the address at which Kibana itself answers.",
        ),
        (
            Act::FindAttached,
            400,
            r#"{"error":{"type":"parsing_exception","reason":"unknown key"},"status":400}"#.to_owned(),
            "Tipline could not look up the cases of the indicator in `.cases-attachments`: Kibana refused it (400), saying “unknown key”. If the words do not say what to change, please report them with Kibana's version.",
        ),
    ] {
        let error = refused(act, Answer::new(status, body.as_bytes()));
        assert_eq!(error.to_string(), sentence);
    }
}

#[test]
fn whoever_has_to_wait_is_told_how_long() {
    for (seconds, end) in [(Some(1), "in a second."), (Some(30), "in 30 seconds."), (None, "in a minute.")] {
        let error = refused(Act::Attach, Answer { retry_after: seconds, ..Answer::new(429, b"") });
        assert!(error.to_string().ends_with(&format!("Try again {end}")), "{error}");
    }
}

#[test]
fn no_answer_is_a_sentence_too() {
    let error = KibanaError::NoAnswer { act: Act::Attach, reason: "none within 30 seconds".to_owned() };
    assert_eq!(
        error.to_string(),
        "Tipline could not attach the indicator to the case: no answer came (none within 30 seconds). Whether it was done is \
         not known: try again, which does nothing twice."
    );
    assert!(error.is_passing());
}

#[test]
fn words_of_others_stay_in_one_line_and_hide_nothing() {
    let body = format!(r#"{{"message":"a\n\u001b[31mb\u202ec{}"}}"#, "x".repeat(1_000));
    let said = refused(Act::Attach, Answer::new(400, body.as_bytes())).to_string();
    assert!(said.contains(r"a\u{a}\u{1b}[31mb\u{202e}cxxx"), "{said}");
    assert!(said.contains('…') && said.len() < 700, "{}", said.len());
}

#[test]
fn every_act_says_what_was_tried_and_what_it_needs() {
    for act in Act::ALL {
        assert!(act.tried().starts_with(|c: char| c.is_ascii_lowercase()), "{act:?}");
        assert!(!act.privilege().is_empty());
    }
}

#[test]
fn a_case_is_as_large_as_kibana_takes_and_no_larger() {
    let case = |title: usize, description: usize, tags: usize, tag: usize| NewCase {
        title: "é".repeat(title),
        description: "x".repeat(description),
        tags: (0..tags).map(|n| format!("{n:0>tag$}")).collect(),
        ..NewCase::default()
    };
    let longest = case(MAX_TITLE, 30_000, MAX_TAGS - 1, 256);
    longest.check().unwrap();
    longest.create(&kibana(), &["tipline:a".to_owned(), "tipline:b".to_owned()]).unwrap();
    for (case, sentence) in [
        (
            case(MAX_TITLE + 1, 0, 0, 1),
            "The case's title has 161 characters, and Kibana takes 160. Make it shorter, or do it in parts.",
        ),
        (
            case(1, 30_001, 0, 1),
            "The case's description has 30001 characters, and Kibana takes 30000. Make it shorter, or do it in parts.",
        ),
        (
            case(1, 0, 1, 257),
            "A tag of the case has 257 characters, and Kibana takes 256. Make it shorter, or do it in parts.",
        ),
        (case(1, 0, MAX_TAGS, 1), "The case has 200 tags, and Kibana takes 199. Make it shorter, or do it in parts."),
        (case(0, 0, 0, 1), "The case has no title. Give it one."),
    ] {
        assert_eq!(case.check().unwrap_err().to_string(), sentence);
    }
}
