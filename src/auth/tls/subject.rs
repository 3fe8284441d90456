//! The subject of a certificate, as RFC 4514 writes it: `CN=asapp,O=ASAPP\, Inc.,C=US`.

use std::fmt;

use x509_parser::x509::X509Name;

/// The attributes that have a name (RFC 4514 section 3, RFC 4519, RFC 2985); others are written by their number.
const NAMES: [(&str, &str); 13] = [
    ("CN", "2.5.4.3"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("x500UniqueIdentifier", "2.5.4.45"),
    ("organizationIdentifier", "2.5.4.97"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
];
const COMMON_NAME: &str = "2.5.4.3";

/// A distinguished name, the most specific part first. Two are equal only letter by letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName(Vec<Vec<Attribute>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Attribute {
    /// Its number, with dots.
    kind: String,
    /// `None` for what is no text: nothing that is configured equals it.
    value: Option<String>,
}

impl DistinguishedName {
    /// Reads one that somebody has written.
    ///
    /// # Errors
    /// The fault of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let part = |part: &str| {
            let mut attributes = split(part, '+').map(Attribute::parse).collect::<Result<Vec<_>, _>>()?;
            attributes.sort_unstable();
            Ok::<_, String>(attributes)
        };
        split(text, ',').map(part).collect::<Result<_, _>>().map(Self)
    }

    /// The subject of a certificate.
    pub(super) fn of(name: &X509Name<'_>) -> Self {
        let mut parts: Vec<Vec<Attribute>> = name
            .iter_rdn()
            .map(|part| {
                let mut attributes: Vec<Attribute> = part
                    .iter()
                    .map(|attribute| Attribute {
                        kind: attribute.attr_type().to_id_string(),
                        value: attribute.as_str().ok().map(str::to_owned),
                    })
                    .collect();
                attributes.sort_unstable();
                attributes
            })
            .collect();
        parts.reverse();
        Self(parts)
    }

    /// The common name, where there is exactly one.
    pub fn common_name(&self) -> Option<&str> {
        let mut names = self.0.iter().flatten().filter(|attribute| attribute.kind == COMMON_NAME);
        match (names.next(), names.next()) {
            (Some(only), None) => only.value.as_deref(),
            _ => None,
        }
    }
}

/// The pieces between separators that are not escaped.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |character| {
        let ends = character == separator && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    })
}

impl Attribute {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once('=').ok_or_else(|| format!("there is no `=` in `{}`", text.trim()))?;
        let kind = kind.trim();
        let is_number = |kind: &str| {
            kind.contains('.')
                && kind.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
        };
        let number = match NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)) {
            Some((_, number)) => (*number).to_owned(),
            None if is_number(kind) => kind.to_owned(),
            None => {
                return Err(format!("`{kind}` is no attribute that is known here: write its number, as in 2.5.4.3"));
            }
        };
        Ok(Self { kind: number, value: Some(unescaped(value.trim_start_matches(' '))?) })
    }
}

/// The value as it stands in the certificate (RFC 4514 section 2.4).
fn unescaped(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    // Spaces at the end that are not escaped are not part of it.
    let mut length = 0;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => {
                let hex = rest.as_str().get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match (hex, rest.as_str().chars().next()) {
                    (Some(byte), _) => {
                        bytes.push(byte);
                        rest.nth(1);
                    }
                    (None, Some(special)) if " \"#+,;<=>\\".contains(special) => {
                        bytes.push(special as u8);
                        rest.next();
                    }
                    _ => return Err("a `\\` stands before a special character or two hex digits".to_owned()),
                }
                length = bytes.len();
            }
            '"' | ';' | '<' | '>' | '\0' => return Err(format!("`{character}` needs a `\\` before it")),
            '#' if bytes.is_empty() => return Err("a value that starts with `#` needs a `\\` before it".to_owned()),
            _ => {
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                if character != ' ' {
                    length = bytes.len();
                }
            }
        }
    }
    bytes.truncate(length);
    if bytes.is_empty() {
        return Err("an attribute has no value".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "a value is not UTF-8".to_owned())
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, attributes) in self.0.iter().enumerate() {
            for (nth, attribute) in attributes.iter().enumerate() {
                formatter.write_str(if nth > 0 { "+" } else { &","[..usize::from(number > 0)] })?;
                write!(formatter, "{attribute}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, number)| *number == self.kind).map_or(&*self.kind, |(name, _)| name);
        write!(formatter, "{name}=")?;
        let Some(value) = &self.value else { return formatter.write_str("#") };
        for (at, character) in value.char_indices() {
            let is_edge = at == 0 || at + 1 == value.len();
            match character {
                '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(formatter, "\\{character}")?,
                ' ' if is_edge => formatter.write_str("\\ ")?,
                '#' if at == 0 => formatter.write_str("\\#")?,
                _ if character.is_ascii_control() => write!(formatter, "\\{:02x}", character as u32)?,
                _ => write!(formatter, "{character}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for text in [
            "CN=asapp",
            "CN=asapp,O=ASAPP\\, Inc.,C=US",
            "UID=7+CN=a,DC=example,DC=com",
            "1.2.3.4=x",
            "CN=\\ a #b\\\\\\ ",
            "CN=\\#a",
            "CN=Łódź",
            "O=a=b",
        ] {
            assert_eq!(DistinguishedName::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn spelling_does_not_matter_but_order_and_letters_do() {
        let parse = |text| DistinguishedName::parse(text).unwrap();
        assert_eq!(parse("cn=a, O = b ,c=US"), parse("CN=a,O=b,C=US"));
        assert_eq!(parse("UID=7+CN=a"), parse("CN=a+UID=7"));
        assert_eq!(parse("2.5.4.3=\\61"), parse("CN=a"));
        assert_eq!(parse("CN=\\c3\\a4"), parse("CN=ä"));
        for other in ["CN=A,O=b,C=US", "O=b,CN=a,C=US", "CN=a,O=b", "CN=a,O=b,C=US,C=US", "CN=a+O=b,C=US"] {
            assert_ne!(parse("CN=a,O=b,C=US"), parse(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_subject_is_refused() {
        for text in
            ["", "asapp", "CN=", "CN=a,", "CN=a\\", "CN=a\\x", "XY=a", "CN=\"a\"", "CN=#04", "CN=\\ff", "CN=a;O=b"]
        {
            assert!(DistinguishedName::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn two_common_names_are_none() {
        let name = |text| DistinguishedName::parse(text).unwrap().common_name().map(str::to_owned);
        assert_eq!(name("CN=a,O=b").as_deref(), Some("a"));
        assert_eq!(name("CN=a,CN=b"), None);
        assert_eq!(name("O=b"), None);
    }
}
