//! Configured requirements on claims: the path of a claim, and its expected value.

use serde_json::Value;

use super::jws::Members;
use crate::refusal::TokenFault;

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

    /// As it is written in gateway.yaml.
    pub(in crate::auth) fn written(&self) -> String {
        if self.rest.is_empty() {
            return self.name.clone();
        }
        format!("/{}{}", self.name.replace('~', "~0").replace('/', "~1"), self.rest)
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
    /// Not there at all, also not as `null`.
    Absent,
}

impl ClaimRule {
    pub(in crate::auth) fn holds(&self, claims: &Members) -> bool {
        let Some(found) = self.claim.find(claims) else { return self.expected == ExpectedClaim::Absent };
        match (&self.expected, found) {
            (ExpectedClaim::OneOf(values), found) => values.contains(found),
            (ExpectedClaim::Contains(value), Value::Array(list)) => list.contains(value),
            (ExpectedClaim::Contains(Value::String(word)), Value::String(words)) => {
                words.split(' ').any(|one| one == word)
            }
            (ExpectedClaim::Contains(_), _) => false,
            (ExpectedClaim::Present, found) => !found.is_null(),
            (ExpectedClaim::Absent, _) => false,
        }
    }
}

/// Most scopes of a token.
const MOST_SCOPES: usize = 1_000;

/// The scopes of a token: a list of words, or words separated by spaces. A claim that is not there has none.
///
/// # Errors
/// [`TokenFault::Malformed`]: the claim is something else, or too much.
pub(in crate::auth) fn scopes_of(claims: &Members, claim: &ClaimPath) -> Result<Vec<String>, TokenFault> {
    let scopes: Vec<String> = match claim.find(claims) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(words)) => {
            words.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).take(MOST_SCOPES + 1).collect()
        }
        Some(Value::Array(list)) => {
            let words = list.iter().take(MOST_SCOPES + 1).map(|word| word.as_str().map(str::to_owned));
            words.collect::<Option<_>>().ok_or(TokenFault::Malformed)?
        }
        Some(_) => return Err(TokenFault::Malformed),
    };
    if scopes.len() > MOST_SCOPES { Err(TokenFault::Malformed) } else { Ok(scopes) }
}

/// All audiences of a token whose claims were checked.
pub(in crate::auth) fn audiences_in(claims: &Members) -> Vec<String> {
    let named = match claims.get("aud") {
        Some(value @ Value::String(_)) => std::slice::from_ref(value),
        Some(Value::Array(values)) => values,
        _ => &[],
    };
    named.iter().filter_map(Value::as_str).map(str::to_owned).collect()
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
    fn a_claim_is_absent_only_where_it_is_not_there_at_all() {
        for absent in ["nobody", "/realm_access/role", "/tenant/x"] {
            assert!(holds(absent, ExpectedClaim::Absent), "{absent}");
        }
        for there in ["tenant", "nothing", "/realm_access/roles/0"] {
            assert!(!holds(there, ExpectedClaim::Absent), "{there}");
        }
    }

    #[test]
    fn scopes_are_a_list_or_words_and_nothing_else() {
        let claims = json!({
            "words": "read  write ", "list": ["a b", "c"], "none": "", "number": 7, "null": null, "mixed": ["a", 7],
            "many": vec!["a"; MOST_SCOPES + 1], "deep": { "roles": ["x"] },
        });
        let claims = Members::parse(claims.to_string().as_bytes()).unwrap();
        let read = |claim: &str| scopes_of(&claims, &ClaimPath::parse(claim));
        assert_eq!(read("words").unwrap(), ["read", "write"]);
        assert_eq!(read("list").unwrap(), ["a b", "c"], "one entry, one scope");
        assert_eq!(read("/deep/roles").unwrap(), ["x"]);
        for empty in ["none", "nobody"] {
            assert!(read(empty).unwrap().is_empty());
        }
        for odd in ["number", "mixed", "many"] {
            assert_eq!(read(odd), Err(TokenFault::Malformed), "{odd}");
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
