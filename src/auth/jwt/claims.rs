//! Configured requirements on claims: the path of a claim, and its expected value.

use serde_json::Value;

use super::jws::Members;

/// Path of a claim: its name, or a JSON pointer (RFC 6901) for one within another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath {
    name: String,
    /// A pointer into that claim; empty for the claim itself.
    rest: String,
}

impl ClaimPath {
    /// `sub`, `https://example.com/id`, or `/realm_access/roles`.
    pub fn parse(text: &str) -> Self {
        let Some(pointer) = text.strip_prefix('/') else {
            return Self { name: text.to_owned(), rest: String::new() };
        };
        let (name, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
        Self { name: name.replace("~1", "/").replace("~0", "~"), rest: rest.to_owned() }
    }

    pub(super) fn find<'c>(&self, claims: &'c Members) -> Option<&'c Value> {
        claims.get(&self.name)?.pointer(&self.rest)
    }
}

/// Requirement on a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRule {
    /// The path of the claim.
    pub claim: ClaimPath,
    /// The expected value.
    pub expected: ExpectedClaim,
}

/// Expected value of a claim.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpectedClaim {
    /// One of these values, of the same type.
    OneOf(Vec<Value>),
    /// A list with this value in it, or words separated by spaces with this one among them.
    Contains(Value),
    /// Anything but `null`.
    Present,
}

impl ClaimRule {
    pub(super) fn holds(&self, claims: &Members) -> bool {
        let Some(found) = self.claim.find(claims) else { return false };
        match (&self.expected, found) {
            (ExpectedClaim::OneOf(values), found) => values.contains(found),
            (ExpectedClaim::Contains(value), Value::Array(list)) => list.contains(value),
            (ExpectedClaim::Contains(Value::String(word)), Value::String(words)) => {
                words.split(' ').any(|one| one == word)
            }
            (ExpectedClaim::Contains(_), _) => false,
            (ExpectedClaim::Present, found) => !found.is_null(),
        }
    }
}

/// The scopes in `scope` or `scp`: words separated by spaces (RFC 8693 section 4.2), or a list, as Okta and Auth0 write
/// it. `None` where it is neither.
pub fn scopes(claim: &Value) -> Option<Vec<&str>> {
    match claim {
        Value::String(words) => Some(words.split(' ').filter(|word| !word.is_empty()).collect()),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use serde_json::json;

    use super::*;

    fn holds(claim: &str, expected: ExpectedClaim) -> bool {
        let claims = json!({
            "tenant": "acme", "level": 3, "verified": true, "nothing": null, "scope": "read write",
            "realm_access": { "roles": ["user", 7] }, "https://example.com/tier": "gold", "a/b": { "c~d": 1 },
        });
        let claims = Members::parse(claims.to_string().as_bytes()).unwrap();
        ClaimRule { claim: ClaimPath::parse(claim), expected }.holds(&claims)
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        for there in [
            "tenant",
            "/tenant",
            "https://example.com/tier",
            "/realm_access/roles",
            "/realm_access/roles/0",
            "/a~1b/c~0d",
        ] {
            assert!(holds(there, ExpectedClaim::Present), "{there}");
        }
        for missing in
            ["nobody", "nothing", "/realm_access/role", "realm_access/roles", "/tenant/x", "/realm_access/roles/2"]
        {
            assert!(!holds(missing, ExpectedClaim::Present), "{missing}");
        }
    }

    #[test]
    fn a_value_counts_only_with_its_type() {
        assert!(holds("tenant", ExpectedClaim::OneOf(vec![json!("other"), json!("acme")])));
        assert!(holds("level", ExpectedClaim::OneOf(vec![json!(3)])));
        assert!(holds("verified", ExpectedClaim::OneOf(vec![json!(true)])));
        for (claim, value) in
            [("tenant", json!("Acme")), ("level", json!("3")), ("verified", json!("true")), ("nothing", json!(""))]
        {
            assert!(!holds(claim, ExpectedClaim::OneOf(vec![value])), "{claim}");
        }
    }

    #[test]
    fn scopes_are_a_list_or_a_text_of_words() {
        for (claim, words) in [
            (json!("read  write "), &["read", "write"][..]),
            (json!(["read", "write"]), &["read", "write"]),
            (json!(["read write"]), &["read write"]),
            (json!(""), &[]),
            (json!([]), &[]),
        ] {
            assert_eq!(scopes(&claim).unwrap(), words, "{claim}");
        }
        for claim in [json!(null), json!(7), json!({ "read": true }), json!(["read", 7]), json!([["read"]])] {
            assert_eq!(scopes(&claim), None, "{claim}");
        }
    }

    #[test]
    fn a_list_or_a_text_of_words_contains_whole_values() {
        assert!(holds("/realm_access/roles", ExpectedClaim::Contains(json!("user"))));
        assert!(holds("/realm_access/roles", ExpectedClaim::Contains(json!(7))));
        assert!(holds("scope", ExpectedClaim::Contains(json!("write"))));
        for (claim, value) in
            [("scope", "writ"), ("scope", "read write"), ("/realm_access/roles", "use"), ("realm_access", "roles")]
        {
            assert!(!holds(claim, ExpectedClaim::Contains(json!(value))), "{claim} {value}");
        }
    }
}
