//! Values of header fields with placeholders for what is proved of a caller: `partner-${client.id}`.

/// A value in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTemplate(Vec<FieldPart>);

/// Part of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPart {
    /// As it is.
    Text(String),
    /// The client of the access token.
    ClientId,
    /// The id of the API key.
    ApiKeyId,
    /// A claim of the customer's token.
    Claim(String),
    /// The id of the request.
    RequestId,
}

impl FieldTemplate {
    /// The value that is written so: `${...}` is a placeholder, `$${` stands for `${`, and everything else for itself.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            if let Some(before) = rest[..at].strip_suffix('$') {
                plain.push_str(before);
                plain.push_str("${");
                rest = &rest[at + 2..];
                continue;
            }
            let (name, behind) = rest[at + 2..].split_once('}').ok_or("a placeholder ends with `}`")?;
            plain.push_str(&rest[..at]);
            if !plain.is_empty() {
                parts.push(FieldPart::Text(std::mem::take(&mut plain)));
            }
            parts.push(placeholder(name)?);
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(FieldPart::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Its parts.
    pub fn parts(&self) -> &[FieldPart] {
        &self.0
    }

    /// The whole value, where nothing has to be filled in.
    pub fn plain(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [FieldPart::Text(text)] => Some(text),
            _ => None,
        }
    }
}

fn placeholder(name: &str) -> Result<FieldPart, String> {
    match name {
        "client.id" => Ok(FieldPart::ClientId),
        "api_key.id" => Ok(FieldPart::ApiKeyId),
        "request.id" => Ok(FieldPart::RequestId),
        _ => match name.strip_prefix("claims.").filter(|claim| !claim.is_empty()) {
            Some(claim) => Ok(FieldPart::Claim(claim.to_owned())),
            None => Err(format!(
                "`${{{name}}}` is none of ${{client.id}}, ${{api_key.id}}, ${{claims.NAME}} and ${{request.id}}"
            )),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_taken_out_of_the_text() {
        let text = |text: &str| FieldPart::Text(text.to_owned());
        let parts = |text| FieldTemplate::parse(text).unwrap().parts().to_vec();
        assert_eq!(parts("${client.id}"), [FieldPart::ClientId]);
        assert_eq!(
            parts("a ${claims.email_verified}, ${api_key.id}/${request.id}"),
            [
                text("a "),
                FieldPart::Claim("email_verified".to_owned()),
                text(", "),
                FieldPart::ApiKeyId,
                text("/"),
                FieldPart::RequestId
            ]
        );
        assert_eq!(parts("${claims./realm/tier}"), [FieldPart::Claim("/realm/tier".to_owned())]);
    }

    #[test]
    fn what_has_no_placeholder_means_what_it_always_meant() {
        for plain in ["", "a", "$", "$$", "$5 {x}", "a$b$$c", "{client.id}", "$ {client.id}"] {
            assert_eq!(FieldTemplate::parse(plain).unwrap().plain(), Some(plain));
        }
        assert_eq!(FieldTemplate::parse("a$${client.id}b").unwrap().plain(), Some("a${client.id}b"));
        assert_eq!(FieldTemplate::parse("$$${client.id}").unwrap().plain(), Some("$${client.id}"));
    }

    #[test]
    fn an_unknown_placeholder_is_refused_with_those_that_are_known() {
        for bad in ["${", "${client.id", "${}", "${client}", "${claims.}", "${header.x}", "a${client.id}${x}"] {
            assert!(FieldTemplate::parse(bad).is_err(), "{bad}");
        }
        let fault = FieldTemplate::parse("${customer}").unwrap_err();
        assert!(fault.contains("${customer}") && fault.contains("${claims.NAME}"), "{fault}");
    }
}
