//! PHP-FPM behind nginx and behind Apache httpd, as a backend.

use super::{Read, before, identifier, only_authenticated_calls_arrive, only_our_identifier_arrives, without_gateway};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

const ID: &str = "HTTP_X_CUSTOMER_ID";

/// nginx that lets all names through to PHP.
fn behind_nginx(php: &Neighbour) -> Neighbour {
    let names = ["QUERY_STRING", "REQUEST_METHOD", "CONTENT_TYPE", "CONTENT_LENGTH", "REQUEST_URI", "REMOTE_ADDR"];
    let passed: String =
        names.iter().map(|name| format!("fastcgi_param {name} ${};\n", name.to_ascii_lowercase())).collect();
    let script = php.directory.join("show.php");
    Neighbour::nginx(&format!(
        "underscores_in_headers on;\nignore_invalid_headers off;\nserver {{ listen ADDRESS; location / {{\n\
         fastcgi_pass {};\n{passed}fastcgi_param SCRIPT_FILENAME {}; }} }}",
        php.address,
        script.display()
    ))
}

#[test]
fn php_behind_nginx_reads_only_our_identifier_in_whatever_spelling_it_would_fold() {
    let php = Neighbour::php_fpm();
    let nginx = behind_nginx(&php);
    for folded in ["X-Customer-Id", "X_Customer_Id", "x-customer_id", "x.customer.id", "X.Customer-Id"] {
        let read = without_gateway(&nginx, |request| request.header(folded, "victim"));
        assert_eq!(read.all(ID), ["victim"], "PHP folds {folded}");
    }
    let read = without_gateway(&nginx, |request| request.header("Authorization", "Basic dmljdGltOg=="));
    assert_eq!(read.all("PHP_AUTH_USER"), ["victim"]);
    let gateway = before(&nginx, |config| config);
    only_our_identifier_arrives(&gateway, ID);
    only_our_identifier_arrives(&gateway, "header.X-Customer-Id");
    let basic = gateway.get("/me/x").customer(&gateway.customer_token()).header("Authorization", "Basic dmljdGltOg==");
    let read = Read::of(basic.send());
    assert_eq!(read.all("PHP_AUTH_USER"), [""; 0]);
    only_authenticated_calls_arrive(&nginx, &gateway);
}

#[test]
fn php_behind_apache_reads_only_our_identifier() {
    let php = Neighbour::php_fpm();
    let (address, script) = (php.address, php.directory.join("show.php"));
    let apache = Neighbour::apache(
        &["proxy", "proxy_fcgi"],
        &format!("ProxyPass /me/ fcgi://{address}/\nProxyFCGISetEnvIf true SCRIPT_FILENAME {}\n", script.display()),
    );
    let read = without_gateway(&apache, |request| {
        request
            .header("X-Customer-Id", "victim")
            .header("SSL_Client_Verify", "victim")
            .header("SSL-Client-S-DN", "victim")
    });
    assert_eq!((read.all(ID), read.all("HTTP_SSL_CLIENT_S_DN")), (vec!["victim"], vec!["victim"]));
    let gateway = before(&apache, |config| config);
    only_our_identifier_arrives(&gateway, ID);
    only_authenticated_calls_arrive(&apache, &gateway);
}

/// Bodies in which careful or careless programs in PHP read somebody else, and by which of the two readings.
fn bodies(own: &str) -> Vec<(String, &'static str)> {
    let texts = [
        (r#"{"customer":{"id":"victim"}}"#, "json"),
        (r#"{"customer":{"id":"OWN","id":"victim"}}"#, "json"),
        (r#"{"customer":{"id":"OWN"},"customer":{"id":"victim"}}"#, "json"),
        (r#"{"customer":{"\u0069d":"victim"}}"#, "json"),
        (r#"{"\u0063ustomer":{"id":"victim"}}"#, "json"),
        (r#"{"customer":{"id":"OWN","\u0069\u0064":"victim"}}"#, "json"),
        (" \n{\"customer\" : {\t\"id\" : \"victim\"}} \r\n", "json"),
        (r#"{"Customer":{"ID":"victim"}}"#, "loose_json"),
        (r#"{"customer":{"id":"OWN","Id":"victim"}}"#, "loose_json"),
        (r#"{"customer":{"id":"OWN"},"CUSTOMER":{"id":"victim"}}"#, "loose_json"),
        ("\u{feff}{\"customer\":{\"id\":\"victim\"}}", "loose_json"),
    ];
    texts.iter().map(|(text, reading)| (text.replace("OWN", own), *reading)).collect()
}

#[test]
fn php_decodes_only_our_identifier_from_a_body_however_it_was_written() {
    let php = Neighbour::php_fpm();
    let nginx = behind_nginx(&php);
    let gateway = before(&nginx, |config| config.route("me", "identifier", json!({"body": "/customer/id"})));
    let (token, own) = (gateway.customer_token(), identifier(&gateway));
    for (body, reading) in bodies(&own) {
        for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
            let post = Request::new(nginx.address, "POST", "/direct").header("Content-Type", kind).body(body.as_str());
            let read = Read::of(post.send_on(&mut Connection::plain(nginx.address)));
            assert_eq!(read.all(reading), ["victim"], "{kind} {body}");
            let post = gateway.post("/me/x").customer(&token).header("Content-Type", kind).body(body.as_str());
            post.send().expect_one_of(&[400, 403, 415]);
        }
    }
    let form = "customer[id]=victim&customer.id=victim";
    let read = without_gateway(&nginx, |request| Request { method: "POST".into(), ..request.form(form) });
    assert_eq!(read.all("request.customer").len() + read.all("request.customer_id").len(), 2, "{}", read.text);
    gateway.post("/me/x").customer(&token).form(form).send().expect(415, "");
    eventually("the last of the bodies that came without the gateway", || {
        nginx.requests().len() == bodies(&own).len() * 3 + 1
    });
    // What arrives is read as ours by both readings, and with the length that it has.
    for body in [r#"{"order":1}"#.to_owned(), format!(r#"{{"order":1,"customer":{{"id":"{own}"}}}}"#), String::new()] {
        let read = Read::of(gateway.post("/me/x").customer(&token).json(&body).send());
        assert_eq!(
            (read.all("json"), read.all("loose_json")),
            (vec![own.as_str()], vec![own.as_str()]),
            "{}",
            read.text
        );
        assert_eq!(read.all("CONTENT_LENGTH"), [read.body().len().to_string()]);
    }
}

/// Pairs of which PHP makes `customer_id`.
const SPELLINGS: [&str; 24] = [
    "customer_id=victim",
    "cu%73tomer%5Fid=victim",
    "customer.id=victim",
    "customer%2Eid=victim",
    "customer+id=victim",
    "customer%20id=victim",
    "customer[id=victim",
    "customer%5Bid=victim",
    "+customer_id=victim",
    "%20%20customer.id=victim",
    "customer_id%00=victim",
    "customer.id%00x=victim",
    "customer%5Bid%00%5D=victim",
    "customer_id[]=victim",
    "customer_id%5B%5D=victim",
    "customer_id[a]=victim",
    "customer.id[a][b]=victim",
    "+customer+id%5Ba]=victim",
    "&&customer_id=victim&",
    "a=1&customer_id=own&b=2&customer.id=victim",
    "customer_id=own&customer_id=victim",
    "customer_id[]=own&customer_id=victim",
    "customer_id=own&customer_id[]=victim",
    "customer_id=victim%00own",
];

/// Pairs that nobody takes for it.
const OTHER_NAMES: &str = "customer=1&id=2&_customer_id=3&customer_ids=4&x[customer_id]=5&customer=[id]";

#[test]
fn php_reads_only_our_identifier_from_a_form_or_the_query_in_whatever_spelling_it_would_fold() {
    let php = Neighbour::php_fpm();
    let nginx = behind_nginx(&php);
    let posted = |request: Request, query: &str, form: &str| Request {
        method: "POST".into(),
        target: format!("/me/x?{query}"),
        ..request.form(form)
    };
    for pairs in SPELLINGS {
        let read = without_gateway(&nginx, |request| posted(request, pairs, pairs));
        for kind in ["get", "post", "request"] {
            let values = read.all(&format!("{kind}.customer_id"));
            assert!(matches!(values[..], [value] if value.contains("victim")), "PHP folds {pairs}: {values:?}");
        }
    }
    let read = without_gateway(&nginx, |request| request.header("Cookie", "a=1; customer.id=victim"));
    assert_eq!(read.all("request.customer_id"), [r#""victim""#], "a cookie is one of $_REQUEST");
    for place in ["query", "form"] {
        let gateway = before(&nginx, |config| config.route("me", "identifier", json!({place: "customer_id"})));
        let (token, own) = (gateway.customer_token(), identifier(&gateway));
        let send = |query: &str, form: &str| posted(gateway.get("/").customer(&token), query, form).send();
        for pairs in SPELLINGS {
            for pairs in [pairs.replace("own", &own), format!("customer_id={own}&{pairs}")] {
                send(&pairs, "a=1").expect_one_of(&[400, 403]);
                send("a=1", &pairs).expect_one_of(&[400, 403]);
                gateway.get(&format!("/me/x?{pairs}")).customer(&token).send().expect_one_of(&[400, 403]);
            }
        }
        let quoted = format!("\"{own}\"");
        let (here, there) = if place == "query" { ("get", "post") } else { ("post", "get") };
        let mine = format!("a=1&customer_id={own}&{OTHER_NAMES}");
        let in_place = if place == "query" { (mine.as_str(), OTHER_NAMES) } else { (OTHER_NAMES, mine.as_str()) };
        for (query, form) in [("", ""), ("a=1", "a=1"), (OTHER_NAMES, OTHER_NAMES), in_place] {
            let cookies = "customer_id=victim; customer.id=victim; +customer+id=victim; customer_id[a]=victim";
            let request = posted(gateway.get("/").customer(&token), query, form).header("Cookie", cookies);
            let read = Read::of(request.send());
            for kind in [here, "request"] {
                assert_eq!(read.all(&format!("{kind}.customer_id")), [quoted.as_str()], "{}", read.text);
            }
            for kind in [there, "cookie"] {
                assert_eq!(read.all(&format!("{kind}.customer_id")), [""; 0], "{}", read.text);
            }
        }
    }
}
