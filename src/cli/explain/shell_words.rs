//! Words of a command line as a POSIX shell splits them, with the quotes `$'...'` of bash, which browsers write by "Copy
//! as cURL".

/// The words; `None` where a quote does not end.
pub(super) fn shell_words(line: &str) -> Option<Vec<String>> {
    shlex::split(&without_ansi_quotes(line.trim())?)
}

/// The same line with `'...'` in place of `$'...'`.
fn without_ansi_quotes(line: &str) -> Option<String> {
    let (mut out, mut letters) = (String::new(), line.chars().peekable());
    let mut quote = None;
    while let Some(letter) = letters.next() {
        if quote.is_none() && ends_command(&out, letter, letters.peek().copied()) {
            let is_descriptor = letter == '>' && out.ends_with(" 1") | out.ends_with(" 2");
            out.truncate(out.len() - usize::from(is_descriptor));
            break;
        }
        match (letter, quote) {
            ('$', None) if letters.peek() == Some(&'\'') => {
                letters.next();
                out.push_str(&quoted(&ansi_text(&mut letters)?));
                continue;
            }
            ('\\', None | Some('"')) => {
                let next = letters.next()?;
                // The line goes on behind its end, which Windows writes with two letters.
                if next == '\r' && letters.peek() == Some(&'\n') {
                    letters.next();
                    continue;
                }
                if next == '\n' {
                    continue;
                }
                out.extend([letter, next]);
                continue;
            }
            ('\'' | '"', None) => quote = Some(letter),
            ('\'' | '"', Some(begun)) if begun == letter => quote = None,
            _ => {}
        }
        out.push(letter);
    }
    Some(out)
}

/// Returns whether an operator of the shell begins here, and ends the command. In the middle of a word `&` and `;` are
/// taken for a part of an address that was not quoted.
fn ends_command(before: &str, letter: char, next: Option<char>) -> bool {
    let is_apart = before.ends_with(char::is_whitespace) || next.is_none_or(char::is_whitespace);
    match letter {
        '|' => true,
        '&' => is_apart || next == Some('&'),
        ';' => is_apart,
        '>' | '<' => is_apart || before.ends_with(" 1") || before.ends_with(" 2"),
        _ => false,
    }
}

/// The text up to the end of `$'...'`, with its escapes decoded.
fn ansi_text(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match letters.next()? {
            '\'' => return Some(text),
            '\\' => text.push(match letters.next()? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'a' => '\u{7}',
                'b' => '\u{8}',
                'e' | 'E' => '\u{1b}',
                'x' => code(letters, 2)?,
                'u' => code(letters, 4)?,
                'U' => code(letters, 8)?,
                other => other,
            }),
            other => text.push(other),
        }
    }
}

/// A letter by its hexadecimal code, of so many digits at most.
fn code(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, most: usize) -> Option<char> {
    let mut number = 0;
    for _ in 0..most {
        let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(16)) else { break };
        number = number * 16 + digit;
        letters.next();
    }
    char::from_u32(number)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        shell_words(line).expect("all quotes end")
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(words("curl -H 'A: b c' \\\n  \"x y\"  z"), ["curl", "-H", "A: b c", "x y", "z"]);
        assert_eq!(words("curl -H 'A: b' \\\r\n  x"), ["curl", "-H", "A: b", "x"]);
        assert_eq!(shell_words("curl 'x"), None);
    }

    #[test]
    fn the_quotes_of_bash_are_decoded() {
        assert_eq!(
            words(r#"curl --data-raw $'{\"a\":\"it\'s \u00fc\x21\n\"}' y"#),
            ["curl", "--data-raw", "{\"a\":\"it's \u{fc}!\n\"}", "y"]
        );
        assert_eq!(words(r#"curl "$'a'" '$x'"#), ["curl", "$'a'", "$x"]);
        assert_eq!(shell_words("curl $'x"), None);
    }
}
