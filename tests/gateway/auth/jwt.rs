//! Invalid and forged JWTs, each beside a valid one.

use std::net::TcpListener;

use crate::harness::keys::{TokenKey, base64url, decode, hs256, now, signing_input};
use crate::harness::*;

const PARTNER: &str = "https://login.example.com";

#[track_caller]
fn refused(gateway: &Gateway, what: &str, token: &str) {
    let answer = gateway.get("/me/x").customer(token).send();
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    assert!(matches!(answer.code().as_str(), "401-02" | "401-03"), "{what}: {}", answer.text());
}

#[track_caller]
fn accepted(gateway: &Gateway, token: &str) {
    gateway.get("/me/x").customer(token).send().ok();
}

#[test]
fn a_token_that_is_only_signed_anew_is_accepted() {
    let (_backend, gateway) = world();
    accepted(&gateway, &gateway.forge(|_, _| {}));
}

#[test]
fn no_spelling_of_none_is_an_algorithm() {
    let (backend, gateway) = world();
    let (header, claims) = decode(&gateway.customer_token());
    for alg in ["none", "None", "NONE", "nOnE", "", " none"] {
        let mut header = header.clone();
        header["alg"] = json!(alg);
        let input = signing_input(&header, &claims);
        refused(&gateway, alg, &format!("{input}."));
        refused(&gateway, alg, &gateway.signing_key.sign(&header, &claims));
    }
    backend.assert_untouched();
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    let (backend, gateway) = world();
    let (mut header, claims) = decode(&gateway.customer_token());
    header["alg"] = json!("HS256");
    let jwks = gateway.get("/.well-known/jwks.json").send().ok();
    let jwk = jwks.json()["keys"][0].to_string();
    let pem = gateway.get("/.well-known/jwks.pem").send().ok().text();
    let own = gateway.signing_key.public_pem.clone();
    for key in [own.as_str(), own.trim_end(), &pem, pem.trim_end(), &jwk, &jwks.text(), "", "secret"] {
        refused(&gateway, "HS256", &hs256(&header, &claims, key.as_bytes()));
    }
    backend.assert_untouched();
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused() {
    let (_backend, gateway) = world();
    for alg in ["RS256", "PS256", "ES384", "ES512", "EdDSA", "ES256K", "es256", "HS256"] {
        refused(&gateway, alg, &gateway.forge(|header, _| header["alg"] = json!(alg)));
    }
    refused(&gateway, "no alg", &gateway.forge(|header, _| drop(header.as_object_mut().unwrap().remove("alg"))));
}

#[test]
fn keys_named_by_the_token_are_neither_used_nor_fetched() {
    let (_backend, gateway) = world();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let attacker = TokenKey::generate();
    let (header, claims) = decode(&gateway.customer_token());
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("jwk", attacker.jwk("x")),
        ("x5c", json!(["MIIB"])),
        ("kid", json!(url)),
    ] {
        let mut header = header.clone();
        header[name] = value.clone();
        refused(&gateway, name, &attacker.sign(&header, &claims));
        // What the issuer itself signed is not refused for naming it, but for a `kid` that is nobody's.
        let own = gateway.forge(|header, _| header[name] = value);
        match name {
            "kid" => refused(&gateway, name, &own),
            _ => drop(gateway.profile().replace("customer-auth", &format!("JWT {own}")).send().ok()),
        }
    }
    assert!(listener.accept().is_err(), "the gateway connected to an address out of a token");
}

#[test]
fn the_key_id_is_only_looked_up() {
    let (_backend, gateway) = world();
    let long = "k".repeat(4_000);
    for kid in [
        json!("../../etc/passwd"),
        json!("' OR 1=1 --"),
        json!("x\0y"),
        json!("$(id)"),
        json!(""),
        json!(7),
        json!(null),
        json!([]),
        json!(long),
        json!("unknown"),
    ] {
        let shown = kid.to_string();
        refused(&gateway, &shown, &gateway.forge(|header, _| header["kid"] = kid));
    }
}

#[test]
fn a_signature_has_one_spelling() {
    let (_backend, gateway) = world();
    let token = gateway.customer_token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let raw = keys::unbase64url(signature);
    let last = signature.len() - 1;
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.iter().position(|&b| b == signature.as_bytes()[last]).unwrap();
    let trailing = format!("{}{}", &signature[..last], char::from(alphabet[index | 1]));
    let mut spellings = vec![
        format!("{signature}="),
        format!("{signature}=="),
        format!("{signature} "),
        format!(" {signature}"),
        format!("{signature}A"),
        signature[..last].to_owned(),
        base64url(&raw[..63]),
        base64url(&[raw.clone(), vec![0]].concat()),
        String::new(),
        base64url(&[0; 64]),
        signature.to_lowercase(),
        format!("{signature}%3D"),
    ];
    if trailing != signature {
        spellings.push(trailing);
    }
    for spelling in spellings.iter().filter(|s| s.trim() != signature) {
        refused(&gateway, spelling, &format!("{input}.{spelling}"));
    }
    accepted(&gateway, &token);
}

#[test]
fn r_and_s_lie_in_their_range() {
    let (_backend, gateway) = world();
    let (header, claims) = decode(&gateway.customer_token());
    let input = signing_input(&header, &claims);
    let order: Vec<u8> = (0..32)
        .map(|i| {
            u8::from_str_radix(
                &"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551"[2 * i..2 * i + 2],
                16,
            )
            .unwrap()
        })
        .collect();
    let good = gateway.signing_key.signature(input.as_bytes());
    let zero = vec![0; 32];
    for (r, s) in [
        (&zero, &zero),
        (&order, &order),
        (&good[..32].to_vec(), &zero),
        (&zero, &good[32..].to_vec()),
        (&order, &good[32..].to_vec()),
        (&good[..32].to_vec(), &order),
    ] {
        refused(&gateway, "r or s out of range", &format!("{input}.{}", base64url(&[r.as_slice(), s].concat())));
    }
}

#[test]
fn only_three_parts_are_a_token() {
    let (_backend, gateway) = world();
    let token = gateway.customer_token();
    let parts: Vec<&str> = token.split('.').collect();
    let flattened = json!({"protected": parts[0], "payload": parts[1], "signature": parts[2]}).to_string();
    for wrong in [
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.x.y"),
        format!("{}.{}", parts[0], parts[1]),
        parts[1].to_owned(),
        "..".to_owned(),
        flattened,
        ".".repeat(5_000),
    ] {
        refused(&gateway, &wrong[..wrong.len().min(40)], &wrong);
    }
}

#[test]
fn critical_headers_are_refused() {
    let (_backend, gateway) = world();
    for crit in [json!(["unknown"]), json!([]), json!("b64"), json!(["alg"]), json!(["b64"]), json!(null)] {
        let shown = crit.to_string();
        refused(
            &gateway,
            &shown,
            &gateway.forge(|header, _| {
                header["crit"] = crit;
                header["b64"] = json!(false);
            }),
        );
    }
}

#[test]
fn an_expired_token_has_a_code_of_its_own() {
    let (_backend, gateway) = world();
    let token = gateway.forge(|_, claims| {
        claims["iat"] = json!(now() - 7_200);
        claims["exp"] = json!(now() - 120);
    });
    gateway.get("/me/x").customer(&token).send().expect(401, "401-02");
    gateway.get("/me/x").send().expect(401, "401-10");
    gateway.get("/me/x").customer("garbage").send().expect(401, "401-03");
}

#[test]
fn times_are_numbers_and_are_honoured() {
    let (_backend, gateway) = world();
    let soon = now() + 600;
    for exp in [
        json!(null),
        json!(soon.to_string()),
        json!(-1),
        json!([soon]),
        json!({}),
        json!(true),
        json!(0),
        json!(now() - 61),
    ] {
        let shown = exp.to_string();
        refused(&gateway, &format!("exp {shown}"), &gateway.forge(|_, claims| claims["exp"] = exp));
    }
    refused(&gateway, "no exp", &gateway.forge(|_, claims| drop(claims.as_object_mut().unwrap().remove("exp"))));
    for name in ["nbf", "iat"] {
        refused(&gateway, name, &gateway.forge(|_, claims| claims[name] = json!(now() + 300)));
        refused(&gateway, name, &gateway.forge(|_, claims| claims[name] = json!("soon")));
    }
    accepted(&gateway, &gateway.forge(|_, claims| claims["nbf"] = json!(now() - 10)));
    let (mut header, claims) = (decode(&gateway.customer_token()).0, decode(&gateway.customer_token()).1.to_string());
    header["x"] = json!(1);
    let overflow =
        claims.replacen(&format!("\"exp\":{}", decode(&gateway.customer_token()).1["exp"]), "\"exp\":1e400", 1);
    let input = format!("{}.{}", base64url(header.to_string().as_bytes()), base64url(overflow.as_bytes()));
    refused(&gateway, "exp 1e400", &format!("{input}.{}", base64url(&gateway.signing_key.signature(input.as_bytes()))));
}

#[test]
fn a_token_that_was_verified_before_is_refused_in_the_second_of_its_end() {
    let (_backend, gateway) = world_with(|config| config.set("/issuer/clock_skew", json!("0s")));
    gateway.customer_token();
    let ends = keys::now() + 4;
    let token = gateway.forge(|_, claims| claims["exp"] = json!(ends));
    let mut connection = gateway.connect();
    let mut ask = || {
        let before = keys::now();
        let answer = gateway.get("/me/x").customer(&token).send_on(&mut connection);
        (before, answer, keys::now())
    };
    assert_eq!(ask().1.status, 200);
    eventually("it ends", || {
        let (before, answer, after) = ask();
        assert!(answer.status == 200 || after >= ends, "too early");
        assert!(answer.status != 200 || before < ends, "its verdict outlived it");
        answer.status == 401 && answer.code() == "401-02"
    });
}

#[test]
fn the_issuer_is_matched_exactly_and_keys_belong_to_it() {
    let partner = TokenKey::generate();
    let (_backend, gateway) = world_with(|c| c.trust(PARTNER, &partner));
    let claims = |iss: Value| json!({"iss": iss, "aud": "legacy-api", "sub": "p-1", "iat": now(), "exp": now() + 600});
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"});
    accepted(&gateway, &partner.sign(&header, &claims(json!(PARTNER))));
    for iss in [
        json!(format!("{PARTNER}/")),
        json!(PARTNER.to_uppercase()),
        json!([PARTNER]),
        json!(&PARTNER[..PARTNER.len() - 1]),
        json!(null),
        json!("https://gateway.test"),
    ] {
        let shown = iss.to_string();
        refused(&gateway, &shown, &partner.sign(&header, &claims(iss)));
    }
    let own = decode(&gateway.customer_token()).0;
    refused(&gateway, "our key, their issuer", &gateway.signing_key.sign(&own, &claims(json!(PARTNER))));
    refused(&gateway, "our key, their key id", &gateway.signing_key.sign(&header, &claims(json!(PARTNER))));
}

#[test]
fn the_audience_must_be_ours_exactly() {
    let (_backend, gateway) = world();
    for aud in [
        json!("Legacy-Api"),
        json!("legacy"),
        json!("legacy-api-2"),
        json!([]),
        json!(["other"]),
        json!(1),
        json!(null),
        json!({"a": "legacy-api"}),
        json!(["legacy-ap"]),
    ] {
        let shown = aud.to_string();
        refused(&gateway, &shown, &gateway.forge(|_, claims| claims["aud"] = aud));
    }
    refused(&gateway, "no aud", &gateway.forge(|_, claims| drop(claims.as_object_mut().unwrap().remove("aud"))));
    accepted(&gateway, &gateway.forge(|_, claims| claims["aud"] = json!(["other", "legacy-api"])));
}

#[test]
fn a_subject_is_a_text_or_a_whole_number_that_can_stand_in_a_header() {
    let partner = TokenKey::generate();
    let (backend, gateway) = world_with(|c| c.trust(PARTNER, &partner));
    let header = json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"});
    let token = |sub: Value| {
        partner
            .sign(&header, &json!({"iss": PARTNER, "aud": "legacy-api", "sub": sub, "iat": now(), "exp": now() + 600}))
    };
    for sub in [json!(""), json!(1.0), json!(null), json!({}), json!(["a"]), json!(true)] {
        let shown = sub.to_string();
        refused(&gateway, &shown, &token(sub));
    }
    backend.assert_untouched();
    for sub in ["a\r\nX-Admin: 1", "a\nb", "a\0b", "\u{1f600}", "\"quoted\"", "é"] {
        let answer = gateway.get("/me/x").customer(&token(json!(sub))).send();
        assert!(matches!(answer.status, 200 | 401), "{sub:?}: {}", answer.status);
        for seen in backend.requests() {
            assert!(seen.all("X-Admin").is_empty() && seen.header("X-Customer-Id").unwrap().is_ascii(), "{sub:?}");
        }
    }
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn tokens_of_another_type_are_refused() {
    let (_backend, gateway) = world();
    for typ in ["at+jwt", "logout+jwt", "id_token+jwt", "dpop+jwt", "secevent+jwt", "JWE", ""] {
        refused(&gateway, typ, &gateway.forge(|header, _| header["typ"] = json!(typ)));
    }
}

#[test]
fn a_token_of_one_megabyte_is_refused_in_bounded_time() {
    let (backend, gateway) = world();
    let start = std::time::Instant::now();
    let long = gateway.forge(|_, claims| claims["x"] = json!("x".repeat(700_000)));
    let answer = gateway.get("/me/x").customer(&long).try_on(&mut gateway.connect());
    assert!(answer.is_err() || answer.is_ok_and(|a| matches!(a.status, 401 | 431)));
    let middle = gateway.forge(|_, claims| claims["x"] = json!("x".repeat(12_000)));
    let answer = gateway.get("/me/x").customer(&middle).send();
    assert!(matches!(answer.status, 401 | 431), "{}", answer.status);
    let nested = format!("{{\"x\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000));
    let input = format!(
        "{}.{}",
        base64url(decode(&gateway.customer_token()).0.to_string().as_bytes()),
        base64url(nested.as_bytes())
    );
    refused(&gateway, "nested", &format!("{input}.{}", base64url(&gateway.signing_key.signature(input.as_bytes()))));
    assert!(start.elapsed() < DEADLINE);
    backend.assert_untouched();
}

#[test]
fn the_answer_does_not_tell_why_a_token_is_bad() {
    let (_backend, gateway) = world();
    let token = gateway.customer_token();
    let mut bad_signature = token.clone();
    let at = bad_signature.rfind('.').unwrap() + 5;
    let other = if &bad_signature[at..=at] == "A" { "B" } else { "A" };
    bad_signature.replace_range(at..=at, other);
    let bodies: Vec<String> = [
        bad_signature,
        gateway.forge(|header, _| header["kid"] = json!("unknown")),
        gateway.forge(|_, claims| claims["aud"] = json!("other")),
        gateway.forge(|_, claims| claims["iss"] = json!("other")),
        "garbage".to_owned(),
    ]
    .iter()
    .map(|token| {
        gateway.get("/me/x").customer(token).header("X-Request-Id", "same").send().expect(401, "401-03").text()
    })
    .collect();
    assert!(bodies.iter().all(|body| body == &bodies[0]), "{bodies:?}");
}

#[test]
fn a_token_in_the_query_is_no_credential() {
    let (backend, gateway) = world();
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    gateway.get(&format!("/system/x?access_token={client}")).send().expect(401, "401-10");
    gateway.get(&format!("/me/x?customer-auth={customer}&jwt={customer}")).send().expect(401, "401-10");
    backend.assert_untouched();
}
