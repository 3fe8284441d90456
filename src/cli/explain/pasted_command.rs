//! A command as it is pasted: with a prompt before it, with what a shell would do behind it, or as browsers write it for
//! the command line of Windows.

use anyhow::{Context as _, bail};

use super::shell_words::shell_words;

/// How commands of other programs begin.
const OTHER_PROGRAMS: [(&str, &str); 9] = [
    ("http ", "HTTPie"),
    ("https ", "HTTPie"),
    ("xh ", "xh"),
    ("wget ", "wget"),
    ("Invoke-WebRequest", "PowerShell"),
    ("Invoke-RestMethod", "PowerShell"),
    ("iwr ", "PowerShell"),
    ("$session", "PowerShell"),
    ("fetch(", "JavaScript"),
];

/// The words of a pasted curl command; `None` for a request id.
///
/// # Errors
/// It is a command of another program, or a quote does not end.
pub(super) fn pasted_words(text: &str) -> anyhow::Result<Option<Vec<String>>> {
    let text = ["$ ", "% ", "# ", "> "].into_iter().find_map(|prompt| text.strip_prefix(prompt)).unwrap_or(text).trim();
    let begins = |name: &str| text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
    if let Some((_, program)) = OTHER_PROGRAMS.into_iter().find(|(name, _)| begins(name)) {
        bail!("this is no curl command but {program}: give it as curl, or by --method, --url, --header and --data");
    }
    let first = text.split([' ', '\t', '\r', '\n', '\\', '^']).next().unwrap_or_default();
    if !is_curl(first) {
        if text.contains(char::is_whitespace) {
            bail!("this is no curl command, and no request id: see --help");
        }
        return Ok(None);
    }
    let words = if is_of_windows(text) { windows_words(text) } else { shell_words(text) };
    words.context("a quote of the curl command does not end").map(Some)
}

/// Returns whether this word calls curl.
pub(super) fn is_curl(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("curl" | "curl.exe"))
}

/// Returns whether the quotes or line ends are those of cmd.exe.
fn is_of_windows(text: &str) -> bool {
    text.contains("^\"") || text.lines().any(|line| line.trim_end().ends_with(" ^"))
}

/// The words as cmd.exe and the C library of Windows split them; `None` where a quote does not end.
fn windows_words(text: &str) -> Option<Vec<String>> {
    let (text, mut words) = (without_carets(text), Vec::new());
    let (mut word, mut is_quoted, mut backslashes) = (None::<String>, false, 0);
    for letter in text.chars() {
        if letter == '\\' {
            backslashes += 1;
            continue;
        }
        let is_escaped = letter == '"' && backslashes % 2 == 1;
        let written = if letter == '"' { backslashes / 2 } else { backslashes };
        if backslashes > 0 {
            word.get_or_insert_default().extend(std::iter::repeat_n('\\', written));
            backslashes = 0;
        }
        match letter {
            '"' if is_escaped => word.get_or_insert_default().push('"'),
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !is_quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    (!is_quoted).then_some(words)
}

/// The text as cmd.exe hands it on: a caret outside of quotes takes the meaning from the next letter, and with it an end
/// of a line.
fn without_carets(text: &str) -> String {
    let (text, mut out) = (text.replace("\r\n", "\n"), String::new());
    let (mut letters, mut is_quoted) = (text.chars().peekable(), false);
    while let Some(letter) = letters.next() {
        match letter {
            '^' if !is_quoted => match letters.next() {
                // An end of a line that is meant is written as two.
                Some('\n') if letters.next_if_eq(&'\n').is_some() => out.push('\n'),
                Some('\n') | None => out.push(' '),
                Some(next) => out.push(next),
            },
            '|' | '&' | '>' if !is_quoted => break,
            letter => {
                is_quoted ^= letter == '"';
                out.push(letter);
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        pasted_words(text).unwrap().unwrap()
    }

    #[test]
    fn a_prompt_before_and_a_shell_behind_are_no_part_of_it() {
        for text in [
            "$ curl -H 'A: b|c;d' x",
            "curl -H 'A: b|c;d' x ;",
            "curl -H 'A: b|c;d' x;",
            "curl -H 'A: b|c;d' x | jq .",
            "curl -H 'A: b|c;d' x|jq '.[]'",
            "curl -H 'A: b|c;d' x && echo done",
            "curl -H 'A: b|c;d' x > out.json 2>&1",
            "curl -H 'A: b|c;d' x 2>/dev/null | head",
            "/usr/bin/curl -H 'A: b|c;d' x &",
        ] {
            assert_eq!(words(text)[1..], ["-H", "A: b|c;d", "x"], "{text}");
        }
        assert_eq!(words("curl https://a.test/?a=1&b=2 -k"), ["curl", "https://a.test/?a=1&b=2", "-k"]);
    }

    #[test]
    fn what_browsers_copy_for_windows_is_read() {
        let chrome = "curl ^\"https://a.test/x?a=1^&b=%^20^\" ^\r\n  -X ^\"POST^\" ^\r\n  -H ^\"accept: ^\\^\"x^\\^\"^\" ^\r\n  \
                      --data-raw ^\"^{^\\^\"a^\\^\":1^}^\"";
        assert_eq!(
            words(chrome),
            ["curl", "https://a.test/x?a=1&b=%20", "-X", "POST", "-H", "accept: \"x\"", "--data-raw", "{\"a\":1}"]
        );
        assert_eq!(words("curl \"https://a.test/^x\" ^\n  -H \"A: b\""), ["curl", "https://a.test/^x", "-H", "A: b"]);
        assert!(pasted_words("curl ^\"x").is_err());
    }

    #[test]
    fn other_programs_are_named_and_a_request_id_is_none() {
        for (text, part) in [
            ("http GET https://a.test s3cret", "HTTPie"),
            ("Invoke-WebRequest -Uri s3cret", "PowerShell"),
            ("invoke-restmethod s3cret", "PowerShell"),
            ("something else s3cret", "no curl command"),
        ] {
            let error = pasted_words(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("no curl command") && !error.contains("s3cret"), "{error}");
        }
        for id in ["5f1c9e0a77d2b348-1a", "curly", "http", ""] {
            assert_eq!(pasted_words(id).unwrap(), None, "{id}");
        }
    }
}
