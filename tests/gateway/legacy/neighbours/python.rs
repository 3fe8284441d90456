//! Servers of Python's own library, as backends: HTTP/1.0 that closes after each answer, HTTP/1.1, and WSGI.

use std::collections::BTreeMap;

use super::{
    Read, before, identifier, only_authenticated_calls_arrive, only_our_identifier_arrives, statuses, without_gateway,
};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

#[test]
fn handlers_of_http_server_read_only_our_identifier() {
    for kind in ["http.server", "http.server-1.1"] {
        let python = Neighbour::python(kind);
        let read = without_gateway(&python, |request| {
            request.header("X-CUSTOMER-id", "victim").header("X-Customer-Id", "own")
        });
        assert_eq!(read.all("first"), ["victim"], "{kind} takes the first of two, in any letter case");
        let gateway = before(&python, |config| config);
        only_our_identifier_arrives(&gateway, "first");
        only_our_identifier_arrives(&gateway, "X-Customer-Id");
        only_authenticated_calls_arrive(&python, &gateway);
    }
}

#[test]
fn applications_of_wsgi_read_only_our_identifier_in_whatever_spelling_they_would_fold() {
    let python = Neighbour::python("wsgiref");
    let name = "HTTP_X_CUSTOMER_ID";
    for folded in ["X-Customer-Id", "X_Customer_Id", "x-customer_id"] {
        let read = without_gateway(&python, |request| request.header(folded, "victim"));
        assert_eq!(read.all(name), ["victim"], "WSGI folds {folded}");
    }
    let read = without_gateway(&python, |request| {
        request.header("X-Customer-Id", "own").header("X_Customer_Id", "victim").header("Remote_User", "victim")
    });
    assert_eq!((read.all(name), read.all("HTTP_REMOTE_USER")), (vec!["own,victim"], vec!["victim"]));
    let gateway = before(&python, |config| config);
    only_our_identifier_arrives(&gateway, name);
    only_authenticated_calls_arrive(&python, &gateway);
}

#[test]
fn a_server_that_closes_after_each_answer_loses_no_call_and_gets_the_identifier_in_the_body() {
    for kind in ["http.server", "http.server-1.1", "wsgiref"] {
        let python = Neighbour::python(kind);
        let gateway = before(&python, |config| config.route("me", "identifier", json!({"body": "/customer/id"})));
        let (token, own) = (gateway.customer_token(), identifier(&gateway));
        let read = Read::of(gateway.post("/me/x").customer(&token).json(r#"{"order":1}"#).send());
        let body: Value = serde_json::from_str(read.body()).unwrap();
        assert_eq!(body, json!({"order": 1, "customer": {"id": own}}), "{kind}");
        gateway.post("/me/x").customer(&token).json(r#"{"customer":{"id":"victim"}}"#).send().expect(403, "");
        assert_eq!(statuses(&gateway, "POST", 20), BTreeMap::from([(200, 80)]), "{kind}");
        eventually("all calls in its log", || python.requests().len() == 81);
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_arrives_whole() {
    let python = Neighbour::python("http.server");
    let gateway = before(&python, |config| config);
    let mut connection = gateway.connect();
    for _ in 0..3 {
        let request = gateway.get("/me/until-close").customer(&gateway.customer_token());
        let read = Read::of(request.send_on(&mut connection));
        assert_eq!(read.all("X-Customer-Id"), [identifier(&gateway)]);
        assert!(read.text.ends_with("\n\n"), "{}", read.text);
    }
}

/// Handlers that look for a name in one spelling are shown all as they came.
#[test]
fn a_handler_finds_the_names_of_fields_as_header_names_spells_them() {
    let python = Neighbour::python("http.server-1.1");
    for (case, kind) in [("lower", "content-type"), ("title", "Content-Type")] {
        let gateway = before(&python, |config| {
            config
                .set("/backends/legacy/header_case", json!(case))
                .set("/backends/legacy/header_names", json!(["SOAPAction", "X-CustomerID", "api_key"]))
                .set(
                    "/backends/legacy/authorization",
                    json!({"header": {"name": "API_key", "value": {"file": "certs/k"}}}),
                )
                .file("certs/k", "k")
                .route("me", "identifier", json!({"header": "x-customerid"}))
        });
        let post = gateway.post("/me/x").customer(&gateway.customer_token()).header("soapACTION", "\"urn:order\"");
        let read = Read::of(post.header("API_KEY", "victim").header("X-CUSTOMER_ID", "victim").json("{}").send());
        for line in [
            "SOAPAction=\"urn:order\"".to_owned(),
            "api_key=k".to_owned(),
            format!("X-CustomerID={}", identifier(&gateway)),
            format!("{kind}=application/json"),
        ] {
            let (name, _) = line.split_once('=').unwrap();
            assert_eq!(read.all(name).len(), 1, "{}", read.text);
            assert!(read.text.lines().any(|found| found == line), "{line}: {}", read.text);
        }
        assert!(!read.text.contains("victim"), "{}", read.text);
    }
}

/// While it holds one connection, others wait in its backlog.
#[test]
fn a_server_that_serves_one_connection_at_a_time_answers_all_of_six_callers() {
    let queued = |config: Config| {
        let queue = json!({"length": 20, "timeout": "9s"});
        config.set("/backends/legacy/max_connections", json!(1)).set("/backends/legacy/queue", queue)
    };
    let closing = |config: Config| config.set("/backends/legacy/keep_alive", json!(false));
    let changes: [&dyn Fn(Config) -> Config; 2] = [&queued, &closing];
    for change in changes {
        let python = Neighbour::python("http.server-1.1-single");
        let gateway = before(&python, |config| change(config.set("/workers", json!(4))));
        let token = gateway.customer_token();
        let caller = |method: &'static str| {
            let mut connection = gateway.connect();
            let request = gateway.request(method, "/me/x").customer(&token);
            let request = if method == "POST" { request.json("{}") } else { request };
            (0..10).for_each(|_| drop(request.send_on(&mut connection).ok()));
        };
        std::thread::scope(|scope| {
            for method in ["GET", "POST", "GET", "POST", "GET", "POST"] {
                scope.spawn(move || caller(method));
            }
        });
        eventually("all calls in its log", || python.requests().len() == 60);
    }
}

/// A handler reads as much as Content-Length says, and of a chunked body nothing.
#[test]
fn a_handler_reads_a_chunked_upload_where_it_is_buffered() {
    for kind in ["http.server", "http.server-1.1", "wsgiref"] {
        let python = Neighbour::python(kind);
        let gateway = before(&python, |config| config.set("/backends/legacy/request_buffering", json!(true)));
        let request = gateway.post("/me/x").customer(&gateway.customer_token()).header("Transfer-Encoding", "chunked");
        let head = request.header("Content-Type", "text/plain").bytes();
        let mut connection = gateway.connect();
        for _ in 0..2 {
            connection.send(&head);
            connection.send(b"5\r\nhello\r\n");
            connection.send(b"6\r\n world\r\n0\r\n\r\n");
            let read = Read::of(connection.receive("POST").unwrap());
            assert_eq!(read.body(), "hello world", "{kind}");
            assert_eq!((read.all("Transfer-Encoding"), read.all("HTTP_TRANSFER_ENCODING")), (vec![], vec![]));
        }
    }
}
