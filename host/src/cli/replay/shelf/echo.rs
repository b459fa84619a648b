//! The times of a request, where an answer repeats them.

use url::form_urlencoded;

use super::is_time;
use crate::sandbox::Response;
use crate::time;

/// The answer with the times that `asked` has, where it repeats those of the request `recorded` under their names. Everything
/// else of it stays as it was.
pub(super) fn renamed(mut answer: Response, recorded: &str, asked: &str) -> Response {
    let times = |target: &str| -> Vec<(String, String)> {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        form_urlencoded::parse(query.as_bytes()).into_owned().filter(|(_, value)| is_time(value)).collect()
    };
    let asked = times(asked);
    let changed: Vec<_> = times(recorded)
        .into_iter()
        .filter_map(|(name, then)| {
            let (_, now) = asked.iter().find(|(other, now)| *other == name && *now != then)?;
            Some((name, then, now.clone()))
        })
        .collect();
    if changed.is_empty() {
        return answer;
    }
    // What is no text is no JSON either.
    let Ok(mut body) =
        String::from_utf8(std::mem::take(&mut answer.body)).map_err(|kept| answer.body = kept.into_bytes())
    else {
        return answer;
    };
    for (name, then, now) in changed {
        body = repeated(&body, &name, &then, &now);
    }
    answer.body = body.into_bytes();
    answer
}

/// The text with `now` in the place of each `"name": "then"`, in whatever form of a time that is written.
fn repeated(body: &str, name: &str, then: &str, now: &str) -> String {
    let key = serde_json::Value::from(name).to_string();
    let is_then = |text: &str| text == then || time::parse(text).is_some_and(|at| time::parse(then) == Some(at));
    let (mut done, mut rest) = (String::with_capacity(body.len()), body);
    while let Some(at) = rest.find(&key) {
        let (before, after) = rest.split_at(at + key.len());
        done.push_str(before);
        rest = after;
        let Some(value) = rest.trim_start().strip_prefix(':').and_then(|rest| rest.trim_start().strip_prefix('"'))
        else {
            continue;
        };
        let Some(text) = value.split('"').next().filter(|text| is_then(text)) else { continue };
        done.push_str(&rest[..rest.len() - value.len()]);
        done.push_str(now);
        rest = &value[text.len()..];
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_times_that_are_asked_for() {
        let (then, now) = ("2024-03-01T12:00:00Z", "2026-11-27T09:30:00Z");
        let target = |time: &str| format!("/iocs?since={}&until=2024-03-02&limit=5", time.replace(':', "%3A"));
        for (body, expected) in [
            (
                format!(r#"{{"filters":{{"since":"{then}","until":"2024-03-02"}},"data":[{{"seen":"{then}"}}]}}"#),
                format!(r#"{{"filters":{{"since":"{now}","until":"2024-03-02"}},"data":[{{"seen":"{then}"}}]}}"#),
            ),
            (r#"{"since" : "2024-03-01T12:00:00.000Z"}"#.to_owned(), format!(r#"{{"since" : "{now}"}}"#)),
            // What is no echo.
            (r#"{"since":"2024-03-01T12:00:01Z"}"#.to_owned(), r#"{"since":"2024-03-01T12:00:01Z"}"#.to_owned()),
            (r#"{"since":5,"a":"since"}"#.to_owned(), r#"{"since":5,"a":"since"}"#.to_owned()),
            (r#"{"since":""#.to_owned(), r#"{"since":""#.to_owned()),
        ] {
            let answer = |body: &str| Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() };
            let given = renamed(answer(&body), &target(then), &target(now));
            assert_eq!(String::from_utf8(given.body).unwrap(), expected);
            let same = renamed(answer(&body), &target(then), &target(then));
            assert_eq!(String::from_utf8(same.body).unwrap(), body, "what was recorded stays as it was");
        }
        let bytes = Response { status: 200, headers: Vec::new(), body: b"\"since\":\"\xff".to_vec() };
        assert_eq!(renamed(bytes, &target(then), &target(now)).body, b"\"since\":\"\xff");
    }
}
