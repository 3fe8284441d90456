//! Requirements on claims.

use super::*;
use crate::explanation::trace::StepSink;

#[test]
fn times_are_numbers_and_exp_is_there() {
    let bench = Bench::new();
    let missing = bench.check(&bench.issuer.token(&header(), &without(&claims(), "exp")));
    assert_eq!(missing, Err(TokenFault::Malformed));
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("1900000000"),
            json!(""),
            json!(true),
            json!([1_900_000_000]),
            json!({}),
            json!(-1),
            json!(-1.5),
            json!(i64::MIN),
        ] {
            assert_eq!(bench.claim(name, value.clone()), Err(TokenFault::Malformed), "{name} {value}");
        }
        // 1e400 is no number that JSON readers agree about.
        for number in ["1e400", "-1e400", "NaN", "Infinity", "0x10", "1_000"] {
            let text = without(&claims(), name).to_string();
            let text = format!("{},\"{name}\":{number}}}", &text[..text.len() - 1]);
            assert_eq!(bench.raw_claims(&text), Err(TokenFault::Malformed), "{name} {number}");
        }
    }
    assert_eq!(bench.claim("exp", json!(null)), Err(TokenFault::Malformed));
    // As some libraries write what is not there.
    for name in ["iat", "nbf"] {
        assert!(bench.check(&bench.issuer.token(&header(), &without(&claims(), name))).is_ok());
        assert!(bench.claim(name, json!(null)).is_ok(), "{name}");
    }
    assert_eq!(bench.claim("iat", json!(null)).unwrap().issued_at, None);
}

#[test]
fn an_end_in_milliseconds_is_refused_by_its_own_word() {
    let bench = Bench::new();
    let ten_years = 10 * 366 * 24 * 3600;
    assert!(bench.claim("exp", json!(NOW + ten_years)).is_ok());
    for exp in [json!(NOW + ten_years + 1), json!((NOW + 600) * 1_000), json!(u64::MAX), json!(1e300)] {
        assert_eq!(bench.claim("exp", exp.clone()), Err(TokenFault::Lifetime), "{exp}");
    }
    // Also where its other times are in milliseconds.
    let all = with(&with(&claims(), "exp", json!((NOW + 600) * 1_000)), "iat", json!(NOW * 1_000));
    assert_eq!(bench.check(&bench.issuer.token(&header(), &all)), Err(TokenFault::Lifetime));
}

#[test]
fn tokens_of_other_kinds_are_told_by_their_claims() {
    let bench = Bench::new();
    for kind in ["Refresh", "Offline", "Logout", "logout"] {
        assert_eq!(bench.claim("typ", json!(kind)), Err(TokenFault::Type), "{kind}");
    }
    for kind in [json!("Bearer"), json!("ID"), json!(7), json!(null)] {
        assert!(bench.claim("typ", kind.clone()).is_ok(), "{kind}");
    }
    let event = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    for events in [event.clone(), json!({}), json!([]), json!("x")] {
        assert_eq!(bench.claim("events", events.clone()), Err(TokenFault::Type), "{events}");
    }
    assert!(bench.claim("events", json!(null)).is_ok());
    let token = bench.issuer.token(&header(), &with(&with(&claims(), "events", event), "typ", json!("Logout")));
    let of_events = bench.verifier.clone().of_events();
    assert!(of_events.verify(&Compact::parse(&token).unwrap(), NOW).is_ok());
}

#[test]
fn an_issuer_has_several_spellings_and_one_name() {
    let bench = Bench::new();
    let slash = format!("{ISSUER}/");
    let verifier = bench.verifier.clone().spelled(vec![slash.clone()]);
    for (iss, outcome) in
        [(ISSUER, Ok(())), (&*slash, Ok(())), ("https://login.example.com//", Err(TokenFault::Issuer))]
    {
        let token = bench.issuer.token(&header(), &with(&claims(), "iss", json!(iss)));
        assert_eq!(verifier.verify(&Compact::parse(&token).unwrap(), NOW).map(|_| ()), outcome, "{iss}");
    }
    assert_eq!((verifier.issuer(), verifier.tenant()), (ISSUER, ISSUER));
}

#[test]
fn tokens_without_an_audience_are_taken_where_the_issuer_has_none() {
    let bench = Bench::new();
    let verifier = bench.verifier.clone().without_audience();
    let verdict =
        |claims: &Value| verifier.verify(&Compact::parse(&bench.issuer.token(&header(), claims)).unwrap(), NOW);
    assert_eq!(verdict(&without(&claims(), "aud")).unwrap().audience, "");
    assert!(verdict(&with(&claims(), "aud", json!(null))).is_ok());
    // RFC 7519 section 4.1.3: one that names somebody else is for somebody else.
    for audience in [json!(US), json!("other"), json!(""), json!([]), json!([US]), json!(1), json!({})] {
        assert_eq!(verdict(&with(&claims(), "aud", audience.clone())), Err(TokenFault::Audience), "{audience}");
    }
}

#[test]
fn a_token_lives_from_nbf_to_exp_and_the_skew() {
    let bench = Bench::new();
    for (exp, fault) in [
        (json!(NOW + 1), None),
        (json!(NOW - SKEW + 1), None),
        (json!(NOW - SKEW), Some(TokenFault::Expired)),
        (json!(0), Some(TokenFault::Expired)),
        (json!(1e3), Some(TokenFault::Expired)),
        (json!(1.9e9), None),
        (json!(1_900_000_000.75), None),
    ] {
        assert_eq!(bench.claim("exp", exp.clone()).map(|_| ()).err(), fault, "exp {exp}");
    }
    assert_eq!(bench.claim("exp", json!(1_900_000_000.75)).unwrap().expires_at, 1_900_000_000);
    for name in ["nbf", "iat"] {
        for (value, fault) in [
            (json!(0), None),
            (json!(NOW), None),
            (json!(NOW + SKEW), None),
            (json!(NOW + SKEW + 1), Some(TokenFault::NotYetValid)),
            (json!(u64::MAX), Some(TokenFault::NotYetValid)),
            (json!(1e300), Some(TokenFault::NotYetValid)),
        ] {
            assert_eq!(bench.claim(name, value.clone()).map(|_| ()).err(), fault, "{name} {value}");
        }
    }
    let token = bench.issuer.token(&header(), &claims());
    assert!(bench.check_at(&token, NOW + 600 + SKEW - 1).is_ok());
    assert_eq!(bench.check_at(&token, NOW + 600 + SKEW), Err(TokenFault::Expired));
    assert_eq!(bench.check_at(&token, u64::MAX), Err(TokenFault::Expired));
    assert_eq!(bench.check_at(&token, NOW - 10_000), Err(TokenFault::NotYetValid));
    // Of a machine that believes to be in 1970.
    assert_eq!(bench.check_at(&token, 0), Err(TokenFault::Lifetime));
}

#[test]
fn the_issuer_is_exact_and_its_key_is_its_own() {
    let bench = Bench::new();
    for issuer in [
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!(&ISSUER[..ISSUER.len() - 1]),
        json!(format!("{ISSUER}.evil.example")),
        json!(format!(" {ISSUER}")),
        json!(""),
        json!([ISSUER]),
        json!([]),
        json!({ "a": ISSUER }),
        json!(1),
        json!(null),
    ] {
        assert_eq!(bench.claim("iss", issuer.clone()), Err(TokenFault::Issuer), "{issuer}");
    }
    assert_eq!(bench.check(&bench.issuer.token(&header(), &without(&claims(), "iss"))), Err(TokenFault::Issuer));
    // Another issuer's key under our kid.
    let other = Issuer::new();
    assert_eq!(bench.check(&other.token(&header(), &claims())), Err(TokenFault::Signature));
}

#[test]
fn the_audience_names_us_exactly() {
    let bench = Bench::new();
    for audience in [
        json!(US.to_uppercase()),
        json!(&US[1..]),
        json!(format!("{US}2")),
        json!(format!("{US} other")),
        json!(format!("{US}/")),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([[US]]),
        json!([US, 1]),
        json!([US, null]),
        json!({ US: US }),
        json!(1),
        json!(null),
        json!(true),
    ] {
        assert_eq!(bench.claim("aud", audience.clone()), Err(TokenFault::Audience), "{audience}");
    }
    assert_eq!(bench.check(&bench.issuer.token(&header(), &without(&claims(), "aud"))), Err(TokenFault::Audience));
    for audience in [json!(US), json!([US]), json!(["other", US])] {
        assert!(bench.claim("aud", audience).is_ok());
    }
    // A verifier without audiences accepts none.
    let none = Verifier::trusted(ISSUER.into(), Vec::new(), bench.issuer.keys(), SKEW, ClaimPath::parse("sub"));
    let token = bench.issuer.token(&header(), &claims());
    assert_eq!(none.verify(&Compact::parse(&token).unwrap(), NOW), Err(TokenFault::Audience));
}

#[test]
fn the_subject_is_a_text_that_can_be_one() {
    let bench = Bench::new();
    for subject in [
        json!(""),
        json!("alice\r\nX-Admin: 1"),
        json!("alice\n"),
        json!("a\0"),
        json!("a\u{7f}"),
        json!("a\u{9f}"),
        json!("x".repeat(257)),
        json!(7.0),
        json!(-0.0),
        json!(1e3),
        json!(u64::MAX as f64 * 2.0),
        json!(null),
        json!(true),
        json!(["alice"]),
        json!([]),
        json!({ "id": "alice" }),
    ] {
        assert_eq!(bench.claim("sub", subject.clone()), Err(TokenFault::Subject), "{subject}");
    }
    assert_eq!(bench.check(&bench.issuer.token(&header(), &without(&claims(), "sub"))), Err(TokenFault::Subject));
    for subject in ["alice", "a@b@c", "Ünï😀", "\"quoted\"", " ", &"x".repeat(256)] {
        assert_eq!(bench.claim("sub", json!(subject)).unwrap().subject, subject);
    }
    // A whole number is its digits, as in JSON, and nothing that readers may differ about.
    for (number, subject) in [
        ("7", Some("7")),
        ("0", Some("0")),
        ("-7", Some("-7")),
        ("9007199254740993", Some("9007199254740993")),
        ("18446744073709551615", Some("18446744073709551615")),
        ("-9223372036854775808", Some("-9223372036854775808")),
        ("18446744073709551616", None),
        ("-9223372036854775809", None),
        ("7.0", None),
        ("7e0", None),
        ("70e-1", None),
        ("-0", None),
        ("1e400", None),
        ("007", None),
        ("+7", None),
    ] {
        let found = bench.raw_claims(&claims().to_string().replace("\"alice\"", number));
        assert_eq!(found.ok().map(|claims| claims.subject).as_deref(), subject, "{number}");
    }
    // Half a surrogate pair is no character.
    let text = claims().to_string().replace("alice", r"\ud800");
    assert_eq!(bench.raw_claims(&text), Err(TokenFault::Malformed));
}

#[test]
fn the_configured_claim_is_the_subject() {
    let bench = Bench::new();
    let verifier =
        Verifier::trusted(ISSUER.into(), vec![US.into()], bench.issuer.keys(), SKEW, ClaimPath::parse("customer_id"));
    let both = bench.issuer.token(&header(), &with(&claims(), "customer_id", json!("4711")));
    assert_eq!(verifier.verify(&Compact::parse(&both).unwrap(), NOW).unwrap().subject, "4711");
    let token = bench.issuer.token(&header(), &claims());
    assert_eq!(verifier.verify(&Compact::parse(&token).unwrap(), NOW), Err(TokenFault::Subject));
}

#[test]
fn only_our_own_tokens_name_a_client_and_its_scope() {
    let bench = Bench::new();
    let claims = with(&with(&claims(), "client_id", json!("asapp")), "scope", json!("profile orders"));
    let token = bench.issuer.token(&with(&header(), "typ", json!("at+jwt")), &claims);
    let access = Verifier::own(TokenKind::Access, ISSUER.into(), vec![US.into()], bench.issuer.keys(), SKEW);
    let read = access.verify(&Compact::parse(&token).unwrap(), NOW).unwrap();
    assert_eq!((read.client_id.as_deref(), read.scope.as_deref()), (Some("asapp"), Some("profile orders")));
    let foreign = bench.check(&bench.issuer.token(&header(), &claims)).unwrap();
    assert_eq!((foreign.client_id, foreign.scope), (None, None));
    for name in ["client_id", "scope", "jti"] {
        let token = bench.issuer.token(&with(&header(), "typ", json!("at+jwt")), &with(&claims, name, json!(["x"])));
        assert_eq!(access.verify(&Compact::parse(&token).unwrap(), NOW), Err(TokenFault::Malformed), "{name}");
    }
    // Some identity providers send the scope as a list: nothing to us.
    assert!(bench.claim("scope", json!(["openid"])).is_ok());
}

#[test]
fn our_own_subject_may_be_as_long_as_an_identifier() {
    let bench = Bench::new();
    let own = Verifier::own(TokenKind::Customer, ISSUER.into(), vec![US.into()], bench.issuer.keys(), SKEW);
    let verdict = |length: usize| {
        let token = bench.issuer.token(&header(), &with(&claims(), "sub", json!("x".repeat(length))));
        own.verify(&Compact::parse(&token).unwrap(), NOW).map(|_| ())
    };
    assert_eq!(verdict(customer::LONGEST_IDENTIFIER), Ok(()));
    assert_eq!(verdict(customer::LONGEST_IDENTIFIER + 1), Err(TokenFault::Subject));
}

#[test]
fn the_answer_of_an_issuer_may_leave_out_its_name() {
    let bench = Bench::new();
    let verifier =
        Verifier::trusted(ISSUER.into(), vec![US.into()], bench.issuer.keys(), SKEW, ClaimPath::parse("sub"));
    let asked = |claims: &Value| {
        let claims = crate::auth::jwt::jws::Members::parse(claims.to_string().as_bytes()).unwrap();
        verifier.verify_introspected(&claims, u64::MAX, NOW, StepSink::off()).map(|_| ())
    };
    assert_eq!(asked(&claims()), Ok(()));
    assert_eq!(asked(&without(&claims(), "iss")), Ok(()));
    assert_eq!(asked(&with(&claims(), "iss", json!(null))), Ok(()));
    for other in [json!("https://other.example.com"), json!(""), json!(7), json!([ISSUER])] {
        assert_eq!(asked(&with(&claims(), "iss", other.clone())), Err(TokenFault::Issuer), "{other}");
    }
}
