//! Passwords and client secrets: argon2id, as PHC strings.

use std::borrow::Cow;
use std::fmt;

use crate::normalization;
use crate::secret::random_bytes;
use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

/// The least memory, in KiB, and the least number of passes (OWASP, argon2id).
const LEAST_MEMORY: u32 = 19_456;
const LEAST_PASSES: u32 = 2;
/// The most: a hash that costs more would let a few logins use up the machine.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;
/// The shortest output, in bytes. That a salt has 8 is part of the format.
const SHORTEST_OUTPUT: usize = 16;

/// An argon2id hash whose cost is neither too low nor too high.
#[derive(Clone)]
pub struct PasswordHash(phc::PasswordHash);

impl PasswordHash {
    /// The PHC string.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    /// Everything in which two hashes can differ: parameters (never empty), salt and output.
    pub fn parts(&self) -> [&[u8]; 3] {
        let (salt, output) = (self.0.salt.as_deref(), self.0.hash.as_ref().map(|output| output.as_bytes()));
        [self.0.params.as_bytes(), salt.unwrap_or_default(), output.unwrap_or_default()]
    }

    /// Cost of a verification: KiB of memory times passes. Its time is proportional.
    pub fn cost(&self) -> u64 {
        Params::try_from(&self.0).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
    }
}

/// Decoy hash for names that do not exist, so that the time of a refusal does not tell which names do.
#[derive(Debug, Clone)]
pub struct Decoy {
    /// A hash that fits nobody and costs what the dearest in use costs.
    pub hash: PasswordHash,
    /// Cost of the dearest refusal: one that verifies all hashes of one client or account.
    pub cost: u64,
}

impl Decoy {
    /// A decoy with the cost of the dearest of these hashes.
    pub fn of<'h, Hashes: IntoIterator<Item = &'h PasswordHash>>(all: impl IntoIterator<Item = Hashes>) -> Self {
        let (mut dearest, mut cost) = (dummy(), 0);
        let mut is_theirs = false;
        for hashes in all {
            let mut sum = 0_u64;
            for hash in hashes {
                sum = sum.saturating_add(hash.cost());
                if !is_theirs || hash.cost() > dearest.cost() {
                    (dearest, is_theirs) = (dummy_like(hash), true);
                }
            }
            cost = cost.max(sum);
        }
        let cost = cost.max(dearest.cost());
        Self { hash: dearest, cost }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(..)")
    }
}

/// The PHC string of a new hash of this password, every character of which counts: `$argon2id$v=19$m=19456,t=2,p=1$...`.
///
/// # Errors
/// There is no memory for it, or the password has more than 4 GiB.
pub fn hash(password: &[u8]) -> Result<String, String> {
    let salt = random_bytes::<16>();
    let opaque = opaque(password);
    hasher()
        .hash_password_with_salt(opaque.as_ref().map_or(password, |opaque| opaque.as_bytes()), &salt)
        .map(|hash: phc::PasswordHash| hash.to_string())
        .map_err(|_| "the password could not be hashed: is there no memory?".to_owned())
}

/// Returns whether this is the password of the hash, in any Unicode form. Takes tens of milliseconds of CPU and the
/// memory that the hash names: run it where it blocks nothing.
pub fn verify(hash: &PasswordHash, password: &[u8]) -> bool {
    let fits = |password: &[u8]| hasher().verify_password(password, &hash.0).is_ok();
    // As it came: so hash earlier versions, and other programs. Whether it costs a second hash is up to the password alone.
    fits(password) || opaque(password).is_some_and(|opaque| fits(opaque.as_bytes()))
}

/// The form in which a password is hashed, where it came in another.
fn opaque(password: &[u8]) -> Option<Zeroizing<String>> {
    let password = std::str::from_utf8(password).ok()?;
    match normalization::opaque(password) {
        Cow::Owned(opaque) => Some(Zeroizing::new(opaque)).filter(|opaque| **opaque != *password),
        Cow::Borrowed(_) => None,
    }
}

/// The hash that a PHC string names.
///
/// # Errors
/// Not argon2id, too cheap, too dear or damaged; the sentence says what to do and nothing of the hash.
pub fn parse(text: &str) -> Result<PasswordHash, String> {
    const NEW: &str = "make a new one with `wicketgate hash-password` or `wicketgate new client-secret`";
    let hash = phc::PasswordHash::new(text)
        .map_err(|_| format!("this is not a password hash ($argon2id$v=19$m=19456,t=2,p=1$...); {NEW}"))?;
    if hash.algorithm.as_str() != "argon2id" {
        return Err(format!("only argon2id hashes are accepted; {NEW}"));
    }
    if hash.version != Some(Version::V0x13.into()) {
        return Err(format!("only version 19 of argon2id is accepted; {NEW}"));
    }
    if ["m", "t", "p"].iter().any(|name| hash.params.get(*name).is_none()) {
        return Err(format!("a hash must name its cost (m=19456,t=2,p=1); {NEW}"));
    }
    let params = Params::try_from(&hash).map_err(|_| format!("the parameters of this hash are not right; {NEW}"))?;
    if params.m_cost() < LEAST_MEMORY || params.t_cost() < LEAST_PASSES {
        return Err(format!(
            "this hash is too cheap to guess: m={LEAST_MEMORY} and t={LEAST_PASSES} are the least; {NEW}"
        ));
    }
    if params.m_cost() > MOST_MEMORY || params.t_cost() > MOST_PASSES || params.p_cost() > MOST_LANES {
        return Err(format!(
            "this hash is too dear to check: m={MOST_MEMORY}, t={MOST_PASSES} and p={MOST_LANES} are the most; {NEW}"
        ));
    }
    let (Some(_), Some(output)) = (&hash.salt, &hash.hash) else {
        return Err(format!("this hash has no salt or no output; {NEW}"));
    };
    if output.len() < SHORTEST_OUTPUT {
        return Err(format!("the output of a hash has {SHORTEST_OUTPUT} bytes at least; {NEW}"));
    }
    Ok(PasswordHash(hash))
}

/// A hash of no password, at the cost of [`hash`]: verified for a user that does not exist, so that this takes as long as
/// a wrong password.
pub fn dummy() -> PasswordHash {
    PasswordHash(phc::PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: phc::ParamsString::try_from(hasher().params()).unwrap_or_default(),
        salt: phc::Salt::new(&random_bytes::<16>()).ok(),
        hash: phc::Output::new(&random_bytes::<32>()).ok(),
    })
}

/// The same at the cost of another hash, for accounts whose hashes were made with other parameters.
fn dummy_like(like: &PasswordHash) -> PasswordHash {
    let PasswordHash(mut hash) = dummy();
    hash.params = like.0.params.clone();
    PasswordHash(hash)
}

/// A new client secret: `wgs_` and 256 random bits, in letters, digits, `-` and `_` only, which stay the same whether or
/// not a client form-encodes them before HTTP Basic (RFC 6749 section 2.3.1).
pub fn new_client_secret() -> Zeroizing<String> {
    random_text("wgs_")
}

/// A prefix by which scanners find a secret that has leaked, and 256 random bits.
pub(in crate::auth) fn random_text(prefix: &str) -> Zeroizing<String> {
    let bytes = Zeroizing::new(random_bytes::<32>());
    let mut text = Zeroizing::new(String::with_capacity(64));
    text.push_str(prefix);
    BASE64.encode_string(&bytes[..], &mut text);
    text
}

fn hasher() -> Argon2<'static> {
    Argon2::default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let text = hash(b"correct horse").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let parsed = parse(&text).unwrap();
        assert!(verify(&parsed, b"correct horse"));
        for wrong in
            [&b""[..], b"correct hors", b"correct horse ", b" correct horse", b"Correct horse", b"correct horse\0"]
        {
            assert!(!verify(&parsed, wrong), "{wrong:?}");
        }
        assert_ne!(hash(b"correct horse").unwrap(), text, "each hash has its own salt");
    }

    #[test]
    fn every_byte_of_a_long_password_counts() {
        let long = [b'x'; 200];
        let parsed = parse(&hash(&long).unwrap()).unwrap();
        assert!(verify(&parsed, &long));
        assert!(!verify(&parsed, &long[..199]));
        assert!(!verify(&parsed, &long[..72]));
        let unicode = parse(&hash("pässwörd😀\0 ".as_bytes()).unwrap()).unwrap();
        assert!(verify(&unicode, "pässwörd😀\0 ".as_bytes()));
        assert!(!verify(&unicode, "pässwörd😀".as_bytes()));
    }

    #[test]
    fn a_password_fits_however_it_was_typed_when_it_was_hashed_and_since() {
        let (composed, isolated_audience) = ("Z\u{fc}rich x", "Zu\u{308}rich\u{a0}x");
        for hashed in [composed, isolated_audience] {
            let hash = parse(&hash(hashed.as_bytes()).unwrap()).unwrap();
            assert!(verify(&hash, composed.as_bytes()) && verify(&hash, isolated_audience.as_bytes()));
            for wrong in ["Zurich x", "Z\u{fc}richx", "z\u{fc}rich x", "Z\u{fc}rich x "] {
                assert!(!verify(&hash, wrong.as_bytes()), "{wrong:?}");
            }
        }
        let old: phc::PasswordHash = hasher().hash_password_with_salt(isolated_audience.as_bytes(), &[7; 16]).unwrap();
        assert!(verify(&parse(&old.to_string()).unwrap(), isolated_audience.as_bytes()));
    }

    #[test]
    fn a_hash_of_another_implementation_verifies() {
        // From the tests of the reference implementation, https://github.com/P-H-C/phc-winner-argon2 src/test.c.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(verify(&parse(hash).unwrap(), b"password"));
    }

    #[test]
    fn weak_dear_and_foreign_hashes_are_refused_with_what_to_do() {
        const TAIL: &str = "c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        assert!(parse(&format!("$argon2id$v=19$m=19456,t=2,p=1${TAIL}")).is_ok());
        assert!(parse(&format!("$argon2id$v=19$m=65536,t=3,p=4${TAIL}")).is_ok());
        for (text, part) in [
            (String::new(), "not a password hash"),
            ("secret".into(), "not a password hash"),
            ("5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".into(), "not a password hash"),
            (format!("$argon2i$v=19$m=19456,t=2,p=1${TAIL}"), "only argon2id"),
            (format!("$argon2d$v=19$m=19456,t=2,p=1${TAIL}"), "only argon2id"),
            (format!("$scrypt$ln=17,r=8,p=1${TAIL}"), "only argon2id"),
            ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), "not a password hash"),
            (format!("$argon2id$v=16$m=19456,t=2,p=1${TAIL}"), "version 19"),
            (format!("$argon2id$m=19456,t=2,p=1${TAIL}"), "version 19"),
            (format!("$argon2id$v=19$m=19455,t=2,p=1${TAIL}"), "too cheap"),
            (format!("$argon2id$v=19$m=19456,t=1,p=1${TAIL}"), "too cheap"),
            (format!("$argon2id$v=19${TAIL}"), "must name its cost"),
            (format!("$argon2id$v=19$m=2097152,t=2,p=1${TAIL}"), "too dear"),
            (format!("$argon2id$v=19$m=19456,t=1000,p=1${TAIL}"), "too dear"),
            (format!("$argon2id$v=19$m=19456,t=2,p=64${TAIL}"), "too dear"),
            ("$argon2id$v=19$m=19456,t=2,p=1".into(), "no salt"),
            ("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA".into(), "no salt"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1$c29tZXM{}", &TAIL[22..]), "not a password hash"),
            (format!("$argon2id$v=19$m=19456,t=2,p=1${}", &TAIL[..39]), "the output of a hash"),
        ] {
            let fault = parse(&text).map(|_| ()).unwrap_err();
            assert!(fault.contains(part) && fault.contains("wicketgate"), "{text}: {fault}");
        }
    }

    #[test]
    fn a_decoy_costs_what_the_dearest_hash_and_the_dearest_refusal_cost() {
        const TAIL: &str = "c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let hash =
            |memory: u64, passes: u64| parse(&format!("$argon2id$v=19$m={memory},t={passes},p=1${TAIL}")).unwrap();
        let (usual, dear) = (hash(19_456, 2), hash(65_536, 3));
        assert_eq!(dear.cost(), 65_536 * 3);
        let decoy = Decoy::of([vec![&usual; 7], vec![&dear]]);
        assert_eq!((decoy.hash.cost(), decoy.cost), (dear.cost(), 7 * usual.cost()));
        let decoy = Decoy::of([vec![&usual], vec![&dear]]);
        assert_eq!((decoy.hash.cost(), decoy.cost), (dear.cost(), dear.cost()));
        let nobody: [Vec<&PasswordHash>; 0] = [];
        assert_eq!(Decoy::of(nobody).cost, dummy().cost());
        assert!(!verify(&Decoy::of([[&usual]]).hash, b""));
    }

    #[test]
    fn a_dummy_costs_what_a_hash_costs_and_fits_nobody() {
        let real = parse(&hash(b"x").unwrap()).unwrap();
        let PasswordHash(unknown) = dummy();
        assert_eq!(unknown.params, real.0.params);
        assert_eq!(unknown.algorithm, real.0.algorithm);
        assert_eq!(unknown.version, real.0.version);
        assert_eq!(unknown.salt.unwrap().len(), real.0.salt.unwrap().len());
        assert_eq!(unknown.hash.unwrap().len(), real.0.hash.unwrap().len());
        assert!(parse(&unknown.to_string()).is_ok());
        for password in [&b""[..], b"x", b"password"] {
            assert!(!verify(&dummy(), password));
        }
        let dear =
            parse("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
                .unwrap();
        assert_eq!(dummy_like(&dear).0.params, dear.0.params);
    }

    #[test]
    fn a_client_secret_survives_form_encoding() {
        let secret = new_client_secret();
        assert_eq!(secret.len(), 4 + 43);
        assert!(secret.starts_with("wgs_"));
        assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_ne!(*secret, *new_client_secret());
    }

    #[test]
    fn a_hash_does_not_print() {
        assert_eq!(format!("{:?}", dummy()), "PasswordHash(..)");
    }
}
