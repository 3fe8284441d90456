#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use crate::refusal::TokenFault;
use std::process::Command;

use serde::Deserialize;
use x509_parser::pem::Pem;

use super::*;
use crate::auth::jwt::{Compact, TokenKind, Verifier};

const URL: &str = "https://api.example.com";
const NOW: u64 = 1_795_000_000;

fn pem(algorithm: NewKey) -> Secret {
    Secret::new(SigningKeys::generate(algorithm, NOW).unwrap().1.as_bytes())
}

fn keys(files: Vec<(&str, Secret)>) -> SigningKeys {
    let files = files.into_iter().map(|(name, pem)| (name.to_owned(), pem)).collect();
    SigningKeys::from_pems(files, URL).unwrap()
}

fn problem(pem: impl Into<Vec<u8>>) -> String {
    let problems = SigningKeys::from_pems(vec![("a.pem".into(), Secret::new(pem))], URL).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].0, "a.pem");
    problems[0].1.clone()
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[derive(Debug, Deserialize, PartialEq)]
struct Plain {
    sub: String,
    iss: String,
}

#[test]
fn what_we_sign_another_library_verifies_with_our_key_set() {
    use jsonwebtoken::{Algorithm as Theirs, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
    for (new, theirs) in
        [(NewKey::Es256, Theirs::ES256), (NewKey::EdDsa, Theirs::EdDSA), (NewKey::Rs256, Theirs::RS256)]
    {
        let keys = keys(vec![("a.pem", pem(new))]);
        let token = keys.sign("JWT", &json!({ "sub": "t1-x", "iss": URL, "exp": 4_000_000_000_u64 }), NOW).unwrap();
        let header = decode_header(&token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        assert_eq!(header.alg, theirs);
        let set: JwkSet = serde_json::from_str(&keys.jwks(NOW)).unwrap();
        let key = set.find(header.kid.as_deref().unwrap()).unwrap();
        let read = decode::<Plain>(&token, &DecodingKey::from_jwk(key).unwrap(), &Validation::new(theirs)).unwrap();
        assert_eq!(read.claims, Plain { sub: "t1-x".into(), iss: URL.into() });
    }
}

#[test]
fn our_certificates_hold_the_keys_that_verify_our_tokens() {
    for new in [NewKey::Es256, NewKey::EdDsa, NewKey::Rs256] {
        let keys = keys(vec![("a.pem", pem(new)), ("0-older.pem", pem(NewKey::EdDsa))]);
        let token = keys.sign("JWT", &json!({ "sub": "t1-x" }), NOW).unwrap();
        let all = keys.certificates_pem(NOW);
        let certificates: Vec<Pem> = Pem::iter_from_buffer(all.as_bytes()).collect::<Result<_, _>>().unwrap();
        assert_eq!(certificates.len(), 2);
        let certificate = certificates[0].parse_x509().unwrap();
        assert!(certificate.subject().to_string().contains(URL));
        assert!(certificate.validity().not_after.timestamp() > 200_000_000_000);
        assert!(!certificate.is_ca());
        let public = &certificate.public_key().subject_public_key.data;
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = BASE64.decode(signature).unwrap();
        let algorithm: &dyn signature::VerificationAlgorithm = match new {
            NewKey::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
            NewKey::EdDsa => &signature::ED25519,
            NewKey::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        algorithm.verify_sig(public, signed.as_bytes(), &signature).unwrap();
    }
}

#[test]
fn openssl_reads_our_keys_and_verifies_our_tokens_with_our_certificate() {
    let directory = std::env::temp_dir().join(format!("wicketgate-issuer-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    for new in [NewKey::Es256, NewKey::EdDsa, NewKey::Rs256] {
        let pem = pem(new);
        std::fs::write(path("key.pem"), pem.expose()).unwrap();
        let said = String::from_utf8(openssl(&["pkey", "-in", &path("key.pem"), "-noout", "-text"])).unwrap();
        let keys = keys(vec![("a.pem", pem)]);
        std::fs::write(path("certificate.pem"), keys.certificates_pem(NOW)).unwrap();
        let text = openssl(&["x509", "-in", &path("certificate.pem"), "-noout", "-text"]);
        assert!(String::from_utf8(text).unwrap().contains("token signing key"));
        openssl(&["verify", "-CAfile", &path("certificate.pem"), &path("certificate.pem")]);
        assert!(new != NewKey::Rs256 || said.contains("3072 bit"), "{said}");
        if new != NewKey::Rs256 {
            // ES256 needs its signature turned to DER first, and Ed25519 has another command: RSA stands for all.
            continue;
        }
        let token = keys.sign("JWT", &json!({ "sub": "t1-x" }), NOW).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        std::fs::write(path("signed"), signed).unwrap();
        std::fs::write(path("signature"), BASE64.decode(signature).unwrap()).unwrap();
        std::fs::write(path("public.pem"), openssl(&["x509", "-in", &path("certificate.pem"), "-noout", "-pubkey"]))
            .unwrap();
        let verified = openssl(&[
            "dgst",
            "-sha256",
            "-verify",
            &path("public.pem"),
            "-signature",
            &path("signature"),
            &path("signed"),
        ]);
        assert_eq!(String::from_utf8(verified).unwrap().trim(), "Verified OK");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn the_newest_signs_and_all_verify() {
    let (older, newer) = (pem(NewKey::EdDsa), pem(NewKey::Es256));
    let before = keys(vec![("20260101T000000Z-eddsa.pem", older.clone())]);
    let after = keys(vec![("20260601T000000Z-es256.pem", newer.clone()), ("20260101T000000Z-eddsa.pem", older)]);
    let only_new = keys(vec![("20260601T000000Z-es256.pem", newer)]);
    let claims = json!({ "iss": URL, "aud": "api", "sub": "t1-x", "exp": NOW + 60 });
    let verifier =
        |keys: &SigningKeys| Verifier::own(TokenKind::Customer, URL.into(), vec!["api".into()], keys.key_set(), 0);
    let (old_token, new_token) = (before.sign("JWT", &claims, NOW).unwrap(), after.sign("JWT", &claims, NOW).unwrap());
    let accepts = |keys: &SigningKeys, token: &str| {
        Compact::parse(token).and_then(|token| verifier(keys).verify(&token, NOW)).is_ok()
    };
    assert!(accepts(&after, &old_token));
    assert!(accepts(&after, &new_token));
    assert!(accepts(&only_new, &new_token));
    assert!(!accepts(&only_new, &old_token));
    assert!(!accepts(&before, &new_token));
    assert!(verifier(&before).with_keys(after.key_set()).verify(&Compact::parse(&new_token).unwrap(), NOW).is_ok());
}

#[test]
fn a_new_key_is_published_before_it_signs_and_an_old_one_verifies_until_its_tokens_have_ended() {
    let file = |name: &str, kind, placed| KeyFile { name: name.to_owned(), pem: pem(kind), placed };
    let schedule = Schedule { delay: 600, longest: 3_600 };
    // 2026-11-18T11:06:40Z is NOW; the second came to its place only then.
    let files = vec![
        file("20260101T000000Z-eddsa.pem", NewKey::EdDsa, 0),
        file("20260601T000000Z-es256.pem", NewKey::Es256, NOW),
    ];
    let keys = SigningKeys::scheduled(files, URL, schedule, |_| Arc::default()).unwrap();
    let alg = |now| {
        let token = keys.sign("JWT", &json!({}), now).unwrap();
        let header = BASE64.decode(token.split('.').next().unwrap()).unwrap();
        serde_json::from_slice::<Value>(&header).unwrap()["alg"].as_str().unwrap().to_owned()
    };
    assert_eq!((alg(NOW), alg(NOW + 599), alg(NOW + 600)), ("EdDSA".into(), "EdDSA".into(), "ES256".into()));
    let published = |now| serde_json::from_str::<Value>(&keys.jwks(now)).unwrap()["keys"].as_array().unwrap().len();
    assert_eq!((published(NOW), published(NOW + 600 + 3_599), published(NOW + 600 + 3_600)), (2, 2, 1));
    let claims = json!({ "iss": URL, "aud": "api", "sub": "t1-x", "exp": NOW + 100_000 });
    let old = keys.sign("JWT", &claims, NOW).unwrap();
    let verifier = Verifier::own(TokenKind::Customer, URL.into(), vec!["api".into()], keys.key_set(), 0);
    let verify = |now| verifier.verify(&Compact::parse(&old).unwrap(), now);
    assert_eq!(verify(NOW).unwrap().ends, NOW + 600 + 3_600, "a verdict ends with the key");
    assert!(verify(NOW + 600 + 3_599).is_ok());
    assert_eq!(verify(NOW + 600 + 3_600), Err(TokenFault::UnknownKey));
    let versions: Vec<(u64, u64)> = keys.versions().map(|version| (version.from, version.until)).collect();
    assert_eq!(versions[0], (NOW + 600, u64::MAX));
    assert_eq!(versions[1].1, NOW + 600 + 3_600);
    let alone =
        SigningKeys::scheduled(vec![file("a.pem", NewKey::Es256, NOW)], URL, schedule, |_| Arc::default()).unwrap();
    assert!(alone.sign("JWT", &json!({}), NOW).is_ok(), "the only key signs at once");
}

#[test]
fn the_published_set_is_public() {
    let keys = keys(vec![("a", pem(NewKey::EdDsa)), ("b", pem(NewKey::Es256)), ("c", pem(NewKey::Rs256))]);
    let set: Value = serde_json::from_str(&keys.jwks(NOW)).unwrap();
    let set = set["keys"].as_array().unwrap();
    assert_eq!(set.len(), 3);
    for key in set {
        let key = key.as_object().unwrap();
        for name in ["kid", "use", "alg", "kty"] {
            assert!(key[name].is_string(), "{name}");
        }
        let known = ["kid", "use", "alg", "kty", "crv", "x", "y", "n", "e"];
        assert!(key.keys().all(|name| known.contains(&name.as_str())));
    }
    assert_eq!(keys.key_set().key_ids().count(), 3);
    assert!(!format!("{keys:?}").contains("PRIVATE"));
}

#[test]
fn the_key_id_is_the_rfc_7638_thumbprint() {
    // The examples of RFC 7638 section 3.1 and RFC 8037 appendix A.3.
    let rsa = json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB"
    });
    assert_eq!(thumbprint(&rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let ed = json!({ "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kty": "OKP", "crv": "Ed25519" });
    assert_eq!(thumbprint(&ed), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn a_file_that_cannot_be_used_says_what_to_do() {
    let whole = String::from_utf8(pem(NewKey::Es256).expose().to_vec()).unwrap();
    assert!(problem("").contains("the file is empty"));
    assert!(problem("secret").contains("no private key"));
    assert!(problem(&whole[..60]).contains("no END line"));
    assert!(problem(whole.replace("M", "!")).contains("not base64"));
    assert!(problem(format!("{whole}{whole}")).contains("2 private keys"));
    let generated = |arguments: &[&str]| openssl(arguments);
    let sec1 = generated(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"]);
    assert!(problem(sec1).contains("openssl pkcs8 -topk8 -nocrypt"));
    let pkcs1 = generated(&["genrsa", "-traditional", "2048"]);
    assert!(problem(pkcs1).contains("PKCS #1"));
    let short = generated(&["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    assert!(problem(short).contains("2048 bits"));
    let p384 = generated(&["genpkey", "-quiet", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    assert!(problem(p384).contains("P-256"));
    let locked = generated(&["genpkey", "-quiet", "-algorithm", "ED25519", "-aes-256-cbc", "-pass", "pass:x"]);
    assert!(problem(locked).contains("encrypted"));
    let none = SigningKeys::from_pems(Vec::new(), URL).unwrap_err();
    assert!(none[0].1.contains("wicketgate new signing-key"));
}

#[test]
fn keys_that_openssl_made_are_read() {
    for arguments in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-algorithm", "ED25519"],
    ] {
        let pem = openssl(&[&["genpkey", "-quiet"], arguments].concat());
        let keys = keys(vec![("a.pem", Secret::new(pem))]);
        assert!(keys.sign("JWT", &json!({}), NOW).is_ok());
    }
}

#[test]
fn all_bad_files_are_named_and_the_same_key_twice_is_one() {
    let one = pem(NewKey::EdDsa);
    let files = vec![("a".into(), one.clone()), ("b".into(), one), ("c".into(), Secret::new("x"))];
    let problems = SigningKeys::from_pems(files, URL).unwrap_err();
    let names: Vec<_> = problems.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b", "c"]);
    assert!(problems[0].1.contains("another file"));
}

#[test]
fn the_name_of_a_new_key_sorts_by_time() {
    let name = |algorithm, now| SigningKeys::generate(algorithm, now).unwrap().0;
    assert_eq!(name(NewKey::Es256, 1_795_342_500), "20261122T101500Z-es256.pem");
    assert_eq!(name(NewKey::EdDsa, 0), "19700101T000000Z-eddsa.pem");
    assert!(name(NewKey::Es256, NOW) < name(NewKey::EdDsa, NOW + 1));
    assert!(SigningKeys::generate(NewKey::Es256, u64::MAX).is_err());
}
