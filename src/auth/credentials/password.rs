//! Passwords and client secrets as hashes: argon2id, which this gateway makes, and those that companies have, which it
//! only verifies. It never writes any.

mod argon2id;
mod bcrypt;
mod decoy;
mod foreign;
mod pbkdf2;
mod scrypt;
mod sha_crypt;
mod work;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::normalization;
use crate::secret::random_bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

pub use decoy::Decoy;
pub use work::{Kind, Work};

/// What to do about a hash that is not accepted.
const NEW: &str = "make a new one with `wicketgate hash-password` or `wicketgate new client-secret`";
const TOO_CHEAP: &str = "this hash is too cheap to guess";
const TOO_DEAR: &str = "this hash is too dear to check";

/// A way to hash passwords, with what one hash names of it.
trait Scheme: Send + Sync {
    fn kind(&self) -> Kind;
    /// Cost of a verification, in units of its kind. Its time is proportional, beside [`Kind::effort`].
    fn units(&self) -> u64;
    /// What is less than is usual today.
    fn weakness(&self) -> Option<String>;
    /// True if this is the password, compared in constant time.
    fn fits(&self, password: &[u8]) -> bool;
    /// A hash of no password, at the same cost.
    fn decoy(&self) -> Box<dyn Scheme>;
    /// The hash as it was written; of a decoy anything but nothing.
    fn text(&self) -> &str;
}

/// A hash whose cost is neither too low nor too high.
#[derive(Clone)]
pub struct PasswordHash(Arc<dyn Scheme>);

impl PasswordHash {
    fn new(scheme: impl Scheme + 'static) -> Self {
        Self(Arc::new(scheme))
    }

    /// The hash as text: everything in which two can differ, never empty.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// Cost of a verification, in units of its kind.
    pub fn units(&self) -> u64 {
        self.0.units()
    }

    /// About its cost, to compare hashes of all kinds: KiB of memory times passes of argon2id.
    pub fn cost(&self) -> u64 {
        self.units().saturating_mul(self.kind().usual_thousandths()) / 1_000
    }

    /// What of it is less than is usual today, such as `bcrypt of cost 5, where 10 is the least today`.
    pub fn weakness(&self) -> Option<String> {
        self.0.weakness()
    }

    /// A hash of no password, at the same cost.
    fn decoy(&self) -> Self {
        Self(self.0.decoy().into())
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
    let opaque = opaque(password);
    argon2id::hash(opaque.as_ref().map_or(password, |opaque| opaque.as_bytes()))
        .ok_or_else(|| "the password could not be hashed: is there no memory?".to_owned())
}

/// Returns whether this is the password of the hash, in any Unicode form, and how many forms have been hashed. Takes up to
/// seconds of CPU and the memory that the hash names: run it where it blocks nothing.
pub fn verify(hash: &PasswordHash, password: &[u8]) -> (bool, u64) {
    // As it came: so hash earlier versions, and other programs. Whether it costs a second hash is up to the password alone.
    if hash.0.fits(password) {
        return (true, 1);
    }
    opaque(password).map_or((false, 1), |opaque| (hash.0.fits(opaque.as_bytes()), 2))
}

/// How many forms of a wrong password are hashed.
pub fn forms(password: &[u8]) -> u64 {
    if opaque(password).is_some() { 2 } else { 1 }
}

/// The form in which a password is hashed, where it came in another.
fn opaque(password: &[u8]) -> Option<Zeroizing<String>> {
    let password = std::str::from_utf8(password).ok()?;
    match normalization::opaque(password) {
        Cow::Owned(opaque) => Some(Zeroizing::new(opaque)).filter(|opaque| **opaque != *password),
        Cow::Borrowed(_) => None,
    }
}

/// The hash that a text names, also behind `{bcrypt}` (Spring) or `{CRYPT}` (LDAP).
///
/// # Errors
/// Not of a kind that is accepted, too cheap, too dear or damaged; the sentence says what to do and nothing of the hash.
pub fn parse(text: &str) -> Result<PasswordHash, String> {
    let marked = |mark: &str| text.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    let text = ["{bcrypt}", "{crypt}"].iter().find(|mark| marked(mark)).map_or(text, |mark| &text[mark.len()..]);
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    if starts(&["$argon2"]) {
        argon2id::Argon2id::parse(text).map(PasswordHash::new)
    } else if starts(&["$2"]) {
        bcrypt::Bcrypt::parse(text).map(PasswordHash::new)
    } else if starts(&["$pbkdf2", "pbkdf2_"]) {
        pbkdf2::Pbkdf2::parse(text).map(PasswordHash::new)
    } else if starts(&["$scrypt$"]) {
        scrypt::Scrypt::parse(text).map(PasswordHash::new)
    } else if starts(&["$5$", "$6$"]) {
        sha_crypt::ShaCrypt::parse(text).map(PasswordHash::new)
    } else {
        Err(foreign::fault(text))
    }
}

/// A hash of no password, at the cost of [`hash`]: verified for a user that does not exist, so that this takes as long as
/// a wrong password.
pub fn dummy() -> PasswordHash {
    PasswordHash::new(argon2id::Argon2id::dummy())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

    use super::*;

    /// Of `correct horse`, made by PHP, Python and openssl.
    const HASHES: [&str; 9] = [
        "$2y$05$IvChdDl28Si0Bb8i.Z11TOD89vJ9qf.5c9.dkzxe0oVb5TyXk8xj.",
        "{bcrypt}$2y$05$IvChdDl28Si0Bb8i.Z11TOD89vJ9qf.5c9.dkzxe0oVb5TyXk8xj.",
        "$5$saltsaltsalt$7axwV9kT3PvvGXgJl1FcfUCHLdLFhWk/dIFhzsbucLB",
        "$6$saltsaltsaltsalt$GkzgkzVbauGAKXpOTbypQEKy/9yJWVjcvXvDw7CxoJjnJ1.w.g1rV8bhCVTpHrRrO/h6b3DAwPN3y5qmHXZ1R1",
        "$pbkdf2-sha256$i=10000,l=32$c29tZXNhbHRzb21lc2FsdA$0JXsf338da/a3PAJXwGwXKzM+8ASB16E9UK71ndwvhI",
        "$pbkdf2-sha256$10000$c29tZXNhbHRzb21lc2FsdA$0JXsf338da/a3PAJXwGwXKzM.8ASB16E9UK71ndwvhI",
        "pbkdf2_sha256$10000$somesaltsomesalt$0JXsf338da/a3PAJXwGwXKzM+8ASB16E9UK71ndwvhI=",
        "$pbkdf2-sha512$i=10000,l=64$c29tZXNhbHRzb21lc2FsdA$WjcuIi0i/sCar3oHuzb9VGHviOEIAr42463HxXgMOI+sLhW0X9UXo/XAynxiAi3WlrkE9lXNHZ+ylHwrJpPBWQ",
        "$scrypt$ln=14,r=8,p=1$c29tZXNhbHRzb21lc2FsdA$ICojmM1zy3lHlMbN9uc74G5myH6ugCkmKhmEWeSE8jc",
    ];

    fn fits(hash: &PasswordHash, password: &[u8]) -> bool {
        verify(hash, password).0
    }

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let text = hash(b"correct horse").unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let parsed = parse(&text).unwrap();
        assert!(fits(&parsed, b"correct horse"));
        for wrong in
            [&b""[..], b"correct hors", b"correct horse ", b" correct horse", b"Correct horse", b"correct horse\0"]
        {
            assert!(!fits(&parsed, wrong), "{wrong:?}");
        }
        assert_ne!(hash(b"correct horse").unwrap(), text, "each hash has its own salt");
    }

    #[test]
    fn every_byte_of_a_long_password_counts() {
        let long = [b'x'; 200];
        let parsed = parse(&hash(&long).unwrap()).unwrap();
        assert!(fits(&parsed, &long));
        assert!(!fits(&parsed, &long[..199]));
        assert!(!fits(&parsed, &long[..72]));
        let unicode = parse(&hash("pässwörd😀\0 ".as_bytes()).unwrap()).unwrap();
        assert!(fits(&unicode, "pässwörd😀\0 ".as_bytes()));
        assert!(!fits(&unicode, "pässwörd😀".as_bytes()));
    }

    #[test]
    fn a_password_fits_however_it_was_typed_when_it_was_hashed_and_since() {
        let (composed, isolated_audience) = ("Z\u{fc}rich x", "Zu\u{308}rich\u{a0}x");
        for hashed in [composed, isolated_audience] {
            let hash = parse(&hash(hashed.as_bytes()).unwrap()).unwrap();
            assert!(fits(&hash, composed.as_bytes()) && fits(&hash, isolated_audience.as_bytes()));
            for wrong in ["Zurich x", "Z\u{fc}richx", "z\u{fc}rich x", "Z\u{fc}rich x "] {
                assert!(!fits(&hash, wrong.as_bytes()), "{wrong:?}");
            }
        }
        let old = argon2id::hash(isolated_audience.as_bytes()).unwrap();
        assert!(fits(&parse(&old).unwrap(), isolated_audience.as_bytes()));
        assert_eq!((forms(composed.as_bytes()), forms(isolated_audience.as_bytes())), (1, 2));
    }

    #[test]
    fn a_hash_of_another_implementation_verifies() {
        // From the tests of the reference implementation, https://github.com/P-H-C/phc-winner-argon2 src/test.c.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(fits(&parse(hash).unwrap(), b"password"));
    }

    #[test]
    fn hashes_of_other_programs_verify_their_password_and_no_other() {
        for text in HASHES {
            let hash = parse(text).unwrap();
            assert!(fits(&hash, b"correct horse"), "{text}");
            for wrong in [&b""[..], b"correct hors", b"correct horse ", b"Correct horse", b"correct\0horse"] {
                assert!(!fits(&hash, wrong), "{text}: {wrong:?}");
            }
            assert!(hash.weakness().is_some_and(|weakness| weakness.contains("today")), "{text}");
        }
        // A NUL ends a password in C, and in bcrypt a key is repeated.
        let bcrypt = parse(HASHES[0]).unwrap();
        assert!(!fits(&bcrypt, b"correct horse\0correct horse") && !fits(&bcrypt, b"correct horse\0x"));
        assert!(!fits(&parse(HASHES[2]).unwrap(), b"correct horse\0x"));
    }

    #[test]
    fn bcrypt_knows_72_bytes_of_a_password_and_sha_crypt_none_of_more_than_511() {
        // PHP: password_hash(str_repeat("x", 80), PASSWORD_BCRYPT, ["cost" => 5]); Python: crypt.crypt("x" * 511, "$6$...").
        let bcrypt = parse("$2y$05$NU1ASPaLowoPxfv02xQmrOYYYrRs8hbrnCfvhysGOn9s5m9z9CpVq").unwrap();
        assert!(fits(&bcrypt, &[b'x'; 80]) && fits(&bcrypt, &[b'x'; 72]) && !fits(&bcrypt, &[b'x'; 71]));
        let sha_crypt = parse("$6$saltsaltsaltsalt$xAsq1VIjsG3SI6qR1CqQZMeeabzICWrpvrYR9M9yp6tIUh9wtN5x21oxi74emjdZgCjw.XtAS1U/SOXVwmVUY/").unwrap();
        assert!(fits(&sha_crypt, &[b'x'; 511]) && !fits(&sha_crypt, &[b'x'; 512]) && !fits(&sha_crypt, &[b'x'; 510]));
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
            (format!("$scrypt$ln=13,r=8,p=1${TAIL}"), "too cheap"),
            (format!("$scrypt$ln=17,r=1,p=1${TAIL}"), "too cheap"),
            (format!("$scrypt$ln=21,r=8,p=1${TAIL}"), "too dear"),
            (format!("$scrypt$ln=17,r=8,p=17${TAIL}"), "too dear"),
            (format!("$scrypt$ln=17,r=8${TAIL}"), "damaged"),
            ("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMU".into(), "damaged"),
            ("$2x$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), "$2a$, $2b$ and $2y$"),
            ("$2b$04$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), "too cheap"),
            ("$2b$16$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(), "too dear"),
            (format!("$pbkdf2-sha256$i=9999,l=32${TAIL}"), "too cheap"),
            (format!("$pbkdf2-sha256$i=10000001,l=32${TAIL}"), "too dear"),
            (format!("$pbkdf2-sha256$i=10000,l=31${TAIL}"), "damaged"),
            (format!("$pbkdf2-sha1$i=1300000,l=32${TAIL}"), "SHA-256 and SHA-512"),
            (format!("$pbkdf2$131000${TAIL}"), "SHA-256 and SHA-512"),
            (format!("pbkdf2_sha256$600000${TAIL}"), "damaged"),
            (format!("pbkdf2_sha256$600000$${TAIL}"), "damaged"),
            ("pbkdf2_sha256$600000$salt$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into(), "a salt of 8"),
            (format!("$6$rounds=4999$saltsalt${}.", "a".repeat(85)), "too cheap"),
            (format!("$6$rounds=1000001$saltsalt${}.", "a".repeat(85)), "too dear"),
            (format!("$6$salt${}.", "a".repeat(85)), "8 to 16"),
            (format!("$6$saltsalt${}", "a".repeat(43)), "damaged"),
            (format!("$5$saltsalt${}", "a".repeat(86)), "damaged"),
            ("$apr1$eqXLaXYn$wM3vSMNkPCvwyzRnMXjVG1".into(), "MD5"),
            ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/".into(), "MD5"),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".into(), "SHA"),
            ("{SSHA}0c0blFTXXNuAMHECS4uxrj3ZieMoWImr".into(), "SHA"),
            ("rqXexS6ZhobKA".into(), "DES"),
            ("5f4dcc3b5aa765d61d8327deb882cf99".into(), "MD5 or SHA"),
            ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7".into(), "yescrypt"),
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
        let dearest =
            |decoy: &Decoy| decoy.refusals.iter().map(|work| work.by_kind().collect()).collect::<Vec<Vec<_>>>();
        assert_eq!(decoy.hash.cost(), dear.cost());
        assert_eq!(dearest(&decoy), [[(Kind::Argon2id, 7 * usual.cost())]]);
        let decoy = Decoy::of([vec![&usual], vec![&dear]]);
        assert_eq!((decoy.hash.cost(), dearest(&decoy)), (dear.cost(), vec![vec![(Kind::Argon2id, dear.cost())]]));
        let nobody: [Vec<&PasswordHash>; 0] = [];
        assert_eq!(dearest(&Decoy::of(nobody)), [[(Kind::Argon2id, dummy().cost())]]);
        assert!(!fits(&Decoy::of([[&usual]]).hash, b""));
        // Which kind takes longest is up to the machine: all that may are kept, with a sample of each to measure it by.
        let bcrypt = parse(HASHES[0]).unwrap();
        let decoy = Decoy::of([vec![&usual], vec![&bcrypt], vec![&bcrypt, &usual], vec![&dear]]);
        assert_eq!(decoy.refusals.len(), 2);
        assert_eq!(decoy.samples.iter().map(PasswordHash::kind).collect::<Vec<_>>(), [Kind::Argon2id, Kind::Bcrypt]);
    }

    #[test]
    fn a_decoy_costs_what_its_hash_costs_and_fits_nobody() {
        for text in [hash(b"x").unwrap().as_str()].into_iter().chain(HASHES) {
            let real = parse(text).unwrap();
            let decoy = real.decoy();
            assert_eq!((decoy.kind(), decoy.units()), (real.kind(), real.units()), "{text}");
            assert!(decoy.text() != real.text() && !decoy.text().is_empty());
            for password in [&b""[..], b"x", b"password", b"correct horse"] {
                assert!(!fits(&decoy, password), "{text}");
            }
            // One that could not be read would be refused at once, not hashed.
            let is_text = decoy.text().starts_with('$');
            assert!(!is_text || parse(decoy.text()).is_ok(), "{text}: {}", decoy.text());
        }
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
