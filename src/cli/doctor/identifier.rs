//! The opaque customer identifier: the same each time, another for each customer, without meaning for anybody else.

use aws_lc_rs::digest::{self, Algorithm};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use serde_json::Value;

use super::Trial;
use super::login::TrialLogin;
use super::report::DoctorReport;
use crate::hex::hex;

/// Checks what the tokens of the logins tell.
pub(super) fn check(
    trial: &Trial,
    first: &TrialLogin,
    again: Option<&TrialLogin>,
    second: Option<&TrialLogin>,
    report: &mut DoctorReport,
) {
    let of = |login: &TrialLogin| login.claims["sub"].as_str().map(str::to_owned);
    let Some(identifier) = of(first) else {
        return;
    };
    match again.and_then(of) {
        Some(other) => report.note(
            "identifier_same",
            other == identifier,
            if other == identifier {
                "the same in two logins, as a browser and as a phone"
            } else {
                "another at each login"
            },
            "Do all replicas have the same `identifier.key`?",
        ),
        None => report.skip("identifier_same", "the second login of the first account gave no JWT"),
    }
    match second.and_then(of) {
        Some(other) => report.note(
            "identifier_unique",
            other != identifier,
            if other == identifier { "both accounts have the same one" } else { "another one for the second account" },
            "Each account needs a `subject` of its own",
        ),
        None => report.skip("identifier_unique", "there is no JWT of a second account"),
    }
    let all = trial.known.iter().chain([&trial.first.name]);
    let fields: Vec<String> = all.flat_map(|field| fields(field)).collect();
    report.note_faults(
        "identifier_opaque",
        &meaning(&identifier, &fields),
        &format!(
            "{} characters that decode to nothing readable and are no hash of what is known of the account",
            identifier.len()
        ),
        "The identifier must come from `identifier.key`: see `identifier` and `forward_subject` in gateway.yaml",
    );
    report.note_faults(
        "token_not_personal",
        &personal(&first.claims, &trial.first.name),
        "no claim has the user name, an e-mail address or a name in it",
        "Take personal claims out of `login.claims`: callers may log the token's claims",
    );
}

/// The spellings of what is known of the account, from which somebody could guess.
fn fields(field: &str) -> Vec<String> {
    let mut all = vec![field.to_owned(), field.to_lowercase(), field.to_uppercase()];
    if let Some((local, _)) = field.split_once('@') {
        all.push(local.to_owned());
    }
    all.sort();
    all.dedup();
    all
}

/// The ways in which an identifier means something.
fn meaning(identifier: &str, fields: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    if identifier.len() < 22 {
        faults.push(format!("{} characters are fewer than 128 bits need", identifier.len()));
    }
    let lower = identifier.to_lowercase();
    if fields.iter().any(|field| field.len() > 2 && lower.contains(&field.to_lowercase())) {
        faults.push("the user name or another field stands in it".to_owned());
    }
    if identifier.contains('@') || (identifier.len() > 5 && identifier.bytes().all(|byte| byte.is_ascii_digit())) {
        faults.push("it looks like an e-mail address or an account number".to_owned());
    }
    // Also behind a prefix such as `t1-`.
    let behind = identifier.split_once(['-', '.', ':', '_']).filter(|(prefix, _)| prefix.len() <= 4);
    let parts = || [identifier, behind.map_or(identifier, |(_, rest)| rest)].into_iter();
    if parts().flat_map(decoded).any(|bytes| is_readable(&bytes)) {
        faults.push("it decodes to readable text".to_owned());
    }
    let guesses: Vec<String> = fields.iter().flat_map(|field| hashes(field)).collect();
    if parts().any(|part| guesses.iter().any(|guess| guess.eq_ignore_ascii_case(part) || guess == part)) {
        faults.push("it is a plain hash of a field of the account: anybody can compute it".to_owned());
    }
    faults
}

fn decoded(text: &str) -> Vec<Vec<u8>> {
    let by_hex = (text.len().is_multiple_of(2) && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| {
        let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_default();
        (0..text.len()).step_by(2).map(pair).collect()
    });
    let engines = [&URL_SAFE_NO_PAD, &URL_SAFE, &STANDARD, &STANDARD_NO_PAD];
    engines.iter().filter_map(|engine| engine.decode(text).ok()).chain(by_hex).collect()
}

/// Text that a person reads: all of it printable. Of random bytes that happens to none in a million.
fn is_readable(bytes: &[u8]) -> bool {
    bytes.len() >= 12 && bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The usual hashes of a text, in the usual spellings.
fn hashes(field: &str) -> Vec<String> {
    const ALGORITHMS: [&Algorithm; 5] =
        [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA224, &digest::SHA256, &digest::SHA384, &digest::SHA512];
    let sha = ALGORITHMS.iter().map(|algorithm| digest::digest(algorithm, field.as_bytes()).as_ref().to_vec());
    let all = sha.chain([Md5::digest(field.as_bytes()).to_vec()]);
    all.flat_map(|hash| [hex(&hash), STANDARD.encode(&hash), URL_SAFE_NO_PAD.encode(&hash)]).collect()
}

fn personal(claims: &Value, username: &str) -> Vec<String> {
    const NAMES: [&str; 9] = [
        "email",
        "name",
        "given_name",
        "family_name",
        "preferred_username",
        "phone_number",
        "birthdate",
        "address",
        "upn",
    ];
    let Some(claims) = claims.as_object() else { return Vec::new() };
    let mut faults = Vec::new();
    for (name, value) in claims {
        if NAMES.contains(&name.as_str()) {
            faults.push(format!("the claim {name} is personal"));
        } else if name != "sub" && value.to_string().to_lowercase().contains(&username.to_lowercase()) {
            faults.push(format!("the claim {name} has the user name in it"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_with_a_meaning_is_found_in_each_spelling_and_a_random_one_is_not() {
        let fields = fields("Alice@example.com");
        let sha256 = digest::digest(&digest::SHA256, b"alice@example.com");
        let bad = [
            "alice".to_owned(),
            "c-alice-000000000000000000".to_owned(),
            hex(sha256.as_ref()),
            hex(&Md5::digest("alice@example.com")),
            hex(sha256.as_ref()).to_uppercase(),
            format!("v1-{}", URL_SAFE_NO_PAD.encode(sha256.as_ref())),
            URL_SAFE_NO_PAD.encode("account number 100001"),
            STANDARD.encode("account number 100001."),
            hex(b"account number 100001"),
            "0000000000000000100001".to_owned(),
        ];
        for identifier in bad {
            assert!(!meaning(&identifier, &fields).is_empty(), "{identifier}");
        }
        for seed in 0..2_000_u32 {
            let random = digest::digest(&digest::SHA512, &seed.to_be_bytes());
            let random = format!("t1-{}", URL_SAFE_NO_PAD.encode(&random.as_ref()[..24]));
            assert_eq!(meaning(&random, &fields), Vec::<String>::new(), "{random}");
        }
    }
}
