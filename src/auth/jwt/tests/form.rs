//! The compact form, the encoding and the signature.

use super::*;
use crate::auth::jwt::jws::LONGEST_TOKEN;

#[test]
fn the_encoding_is_strict() {
    let bench = Bench::new();
    let token = bench.issuer.token(&header(), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let put = |at: usize, part: String| {
        let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        parts[at] = part;
        bench.check(&parts.join("."))
    };
    for (at, part) in parts.iter().copied().enumerate() {
        let padded = URL_SAFE.encode(BASE64.decode(part).unwrap());
        let changes = [
            if padded == part { format!("{part}=") } else { padded },
            format!("{part}=="),
            format!("{part} "),
            format!(" {part}"),
            format!("{part}\n"),
            format!("{}\r\n{}", &part[..4], &part[4..]),
            format!("{}+{}", &part[..4], &part[5..]),
            format!("{}/{}", &part[..4], &part[5..]),
            format!("{}%{}", &part[..4], &part[5..]),
            format!("{}é{}", &part[..4], &part[6..]),
            format!("{part}\0"),
        ];
        for change in changes {
            assert_eq!(put(at, change.clone()), Err(TokenFault::Malformed), "{at} {change:?}");
        }
    }
    // 64 bytes leave four bits over in the last character, which must be zero.
    let signature = parts[2];
    assert_eq!(signature.len(), 86);
    for last in 'B'..='P' {
        let start = &signature[..85];
        if BASE64.decode(format!("{start}{last}")).is_err() {
            assert_eq!(put(2, format!("{start}{last}")), Err(TokenFault::Malformed));
        }
    }
    let bytes = BASE64.decode(signature).unwrap();
    for wrong in [&bytes[..63], &[&bytes[..], &[0]].concat(), &[&[0], &bytes[..]].concat(), &bytes[..1]] {
        assert_eq!(put(2, BASE64.encode(wrong)), Err(TokenFault::Signature));
    }
    assert_eq!(put(2, String::new()), Err(TokenFault::Malformed));
    assert_eq!(put(1, BASE64.encode(with(&claims(), "sub", json!("bob")).to_string())), Err(TokenFault::Signature));
    assert_eq!(put(0, BASE64.encode(with(&header(), "x", json!(1)).to_string())), Err(TokenFault::Signature));
    assert!(bench.check(&token).is_ok());
}

#[test]
fn signatures_out_of_range_are_refused() {
    let bench = Bench::new();
    let token = bench.issuer.ec_token(&json!({ "alg": "ES256", "kid": "ec" }));
    let (signed, right) = token.rsplit_once('.').unwrap();
    let order: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let mut one = [0; 32];
    one[31] = 1;
    let mut after = order;
    after[31] += 1;
    let edge = [[0; 32], one, order, after, [0xff; 32]];
    for r in edge {
        for s in edge {
            let token = format!("{signed}.{}", BASE64.encode([r, s].concat()));
            assert_eq!(bench.check(&token), Err(TokenFault::Signature));
        }
    }
    let right = BASE64.decode(right).unwrap();
    for s in edge {
        assert!(bench.check(&format!("{signed}.{}", BASE64.encode([&right[..32], &s].concat()))).is_err());
    }
    // DER in place of r and s side by side.
    let pkcs8 = bench.issuer.ec.to_pkcs8v1().unwrap();
    let der = EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
        .unwrap()
        .sign(&SystemRandom::new(), signed.as_bytes())
        .unwrap();
    assert_eq!(bench.check(&format!("{signed}.{}", BASE64.encode(der))), Err(TokenFault::Signature));
    assert!(bench.check(&token).is_ok());
}

#[test]
fn an_eddsa_signature_has_one_form() {
    let bench = Bench::new();
    let token = bench.issuer.token(&header(), &claims());
    let (signed, right) = token.rsplit_once('.').unwrap();
    let mut bytes = BASE64.decode(right).unwrap();
    // S + L, little endian: the same equation holds.
    let mut order = [0_u8; 32];
    order[..16].copy_from_slice(&[
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    ]);
    order[31] = 0x10;
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(bench.check(&format!("{signed}.{}", BASE64.encode(&bytes))), Err(TokenFault::Signature));
    assert_eq!(bench.check(&format!("{signed}.{}", BASE64.encode([0; 64]))), Err(TokenFault::Signature));
    assert!(bench.check(&token).is_ok());
}

#[test]
fn only_three_parts_are_a_token() {
    let bench = Bench::new();
    let token = bench.issuer.token(&header(), &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let (h, p, s) = (parts[0], parts[1], parts[2]);
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        h.into(),
        format!("{h}.{p}"),
        format!("{h}.{p}."),
        format!("{h}..{s}"),
        format!(".{p}.{s}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{s}"),
        format!("{token}.{s}.{s}"),
        format!("Bearer {token}"),
        json!({ "protected": h, "payload": p, "signature": s }).to_string(),
        json!({ "payload": p, "signatures": [{ "protected": h, "signature": s }] }).to_string(),
        ".".repeat(10_000),
    ] {
        assert_eq!(bench.check(&text), Err(TokenFault::Malformed), "{text}");
    }
    assert_eq!(bench.check(&".".repeat(1_000_000)), Err(TokenFault::TooLong));
}

#[test]
fn a_member_twice_is_refused() {
    let bench = Bench::new();
    for name in ["iss", "aud", "sub", "exp", "nbf", "iat", "x"] {
        let text = claims().to_string();
        let value = claims().get(name).cloned().unwrap_or(json!(1));
        let first = if text.contains(&format!("\"{name}\"")) { String::new() } else { format!("\"{name}\":1,") };
        let twice = format!("{{{first}\"{name}\":{value},{}", &text[1..]);
        assert_eq!(bench.raw_claims(&twice), Err(TokenFault::Malformed), "{name}");
    }
    let escaped = claims().to_string().replacen('{', r#"{"\u0073ub":"mallory","#, 1);
    assert_eq!(bench.raw_claims(&escaped), Err(TokenFault::Malformed));
    for header in [
        r#"{"alg":"EdDSA","alg":"EdDSA","kid":"ed"}"#,
        r#"{"alg":"none","alg":"EdDSA","kid":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ed","k\u0069d":"ed"}"#,
        r#"{"alg":"EdDSA","kid":"ed","x":1,"x":2}"#,
    ] {
        assert_eq!(bench.check(&bench.issuer.raw(header, &claims().to_string())), Err(TokenFault::Malformed));
    }
}

#[test]
fn what_is_no_json_object_is_no_token() {
    let bench = Bench::new();
    for text in ["", "x", "[]", "\"x\"", "1", "null", "{", "{}}", "{} x", "{\"a\":1,}", "\u{feff}{}"] {
        assert_eq!(bench.raw_claims(text), Err(TokenFault::Malformed), "{text}");
        assert_eq!(bench.check(&bench.issuer.raw(text, &claims().to_string())), Err(TokenFault::Malformed), "{text}");
    }
    let binary =
        join(&header().to_string(), "", |_| vec![1]).replace("..", &format!(".{}.", BASE64.encode([0xff, 0xfe])));
    assert_eq!(bench.check(&binary), Err(TokenFault::Malformed));
}

#[test]
fn size_and_depth_are_bounded_before_a_key_is_looked_up() {
    let bench = Bench::new();
    let started = Instant::now();
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let objects = |levels: usize| format!("{}1{}", "{\"x\":".repeat(levels), "}".repeat(levels));
    for text in [deep(100_000), objects(100_000), with(&claims(), "x", json!("x".repeat(1 << 20))).to_string()] {
        assert_eq!(bench.raw_claims(&text), Err(TokenFault::TooLong));
        assert_eq!(bench.check(&bench.issuer.raw(&text, "{}")), Err(TokenFault::TooLong));
        // The reader by itself does not overflow the stack either.
        let _ = Members::parse(text.as_bytes());
    }
    for text in [deep(5_000), objects(1_000), deep(200)] {
        assert_eq!(bench.raw_claims(&text), Err(TokenFault::Malformed));
        assert_eq!(bench.check(&bench.issuer.raw(&text, "{}")), Err(TokenFault::Malformed));
    }
    let many = (0..1_000).fold(claims(), |claims, number| with(&claims, &format!("c{number}"), json!(0)));
    assert!(bench.check(&bench.issuer.token(&header(), &many)).is_ok());
    assert!(Members::parse(format!("{{{}\"x\":1}}", "\"a\":1,".repeat(100_000)).as_bytes()).is_none());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // To the byte.
    let fill = |length: usize| bench.issuer.token(&header(), &with(&claims(), "x", json!("x".repeat(length))));
    let longest =
        (48_800..49_200).map(fill).filter(|token| token.len() <= LONGEST_TOKEN).max_by_key(String::len).unwrap();
    assert!(longest.len() > LONGEST_TOKEN - 4);
    assert!(bench.check(&longest).is_ok());
    let shortest_above =
        (48_800..49_200).map(fill).filter(|token| token.len() > LONGEST_TOKEN).min_by_key(String::len).unwrap();
    assert!(shortest_above.len() < LONGEST_TOKEN + 4);
    assert_eq!(bench.check(&shortest_above), Err(TokenFault::TooLong));
}

#[test]
fn the_signature_is_checked_before_the_claims() {
    let bench = Bench::new();
    let other = Issuer::new();
    for (name, value) in
        [("exp", json!(1)), ("iss", json!("x")), ("aud", json!("x")), ("sub", json!("")), ("exp", json!("x"))]
    {
        let forged = other.token(&header(), &with(&claims(), name, value));
        assert_eq!(bench.check(&forged), Err(TokenFault::Signature), "{name}");
    }
}

#[test]
fn no_single_changed_character_of_a_token_passes() {
    let bench = Bench::new();
    let token = bench.issuer.token(&header(), &claims());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(bench.check(&changed).is_err(), "character {at}");
        assert!(bench.check(&token[..at]).is_err(), "cut at {at}");
    }
    assert!(bench.check(&token).is_ok());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        prop_assert!(Compact::parse(&text).is_err());
    }

    #[test]
    fn no_parts_make_it_panic(
        header in proptest::collection::vec(any::<u8>(), 0..60),
        payload in proptest::collection::vec(any::<u8>(), 0..60),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let text = format!("{}.{}.{}", BASE64.encode(header), BASE64.encode(payload), BASE64.encode(signature));
        prop_assert!(Compact::parse(&text).is_err());
    }
}
