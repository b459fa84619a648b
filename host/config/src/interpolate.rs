//! Environment variables in the configuration's texts: `${NAME}`, `${NAME:default}`, and `$${` for a plain `${`.
//!
//! They are put in after parsing, into texts alone, so that no content of a variable becomes structure. A variable that
//! is not set and has no default stops the program with its name. What is put in is not looked through again.

/// Gives an environment variable's value.
pub(super) type Lookup<'l> = dyn Fn(&str) -> Option<String> + 'l;

/// The text with its variables filled in; `None` where it names none.
pub(super) fn fill(text: &str, lookup: &Lookup<'_>) -> Result<Option<String>, String> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        let Some(end) = from.find('}') else {
            return Err("a `${` has no closing `}`; write `$${` for the characters themselves.".to_owned());
        };
        out.push_str(&variable(&from[2..end], lookup)?);
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn variable(inside: &str, lookup: &Lookup<'_>) -> Result<String, String> {
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(format!(
            "`${{{}}}` names no variable; expected letters, digits and `_`, as in ${{SOCDEFENDERS_API_KEY}}.",
            tipline_model::text::escape(inside)
        ));
    }
    lookup(name).or_else(|| default.map(str::to_owned)).ok_or_else(|| {
        format!("the environment variable {name} is not set; set it, or give a default as ${{{name}:default}}.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "KEY" => Some("s3cret".to_owned()),
            "TRICK" => Some("a: b\n- ${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_put_in() {
        for (text, expected) in [
            ("plain $ text", None),
            ("${KEY}", Some("s3cret")),
            ("a ${KEY} b ${KEY}", Some("a s3cret b s3cret")),
            ("${NONE:default}", Some("default")),
            ("${NONE:}", Some("")),
            ("${NONE:a:b}", Some("a:b")),
            ("${EMPTY:default}", Some("")),
            ("$${KEY}", Some("${KEY}")),
            ("${TRICK}", Some("a: b\n- ${KEY}")),
        ] {
            assert_eq!(fill(text, &environment).unwrap().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_is_named() {
        for (text, expected) in [
            ("${NONE}", "the environment variable NONE is not set"),
            ("${}", "`${}` names no variable"),
            ("${A-B}", "`${A-B}` names no variable"),
            ("${KEY", "no closing `}`"),
        ] {
            let message = fill(text, &environment).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }
}
