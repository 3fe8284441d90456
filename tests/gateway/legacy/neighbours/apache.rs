//! Apache httpd with a CGI program, as a backend.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{
    Read, before, identifier, only_authenticated_calls_arrive, only_our_identifier_arrives, statuses, without_gateway,
};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

const ID: &str = "HTTP_X_CUSTOMER_ID";

/// Apache whose CGI program shows its environment at /me/; more lines for its configuration.
fn cgi(lines: &str) -> Neighbour {
    let program = "ScriptSock socket\nScriptAlias /me/ DIRECTORY/show/\n<Directory DIRECTORY>\nRequire all granted\nCGIPassAuth On\n</Directory>\n";
    Neighbour::apache(&["cgid", "setenvif", "headers"], &format!("{program}{lines}"))
}

/// The recipe of Apache's own documentation (env.html, "Passing broken headers to CGI scripts"), for all signs but a dash.
const BROKEN_HEADERS: &str = "SetEnvIfNoCase ^X[^-]Customer[^-]Id$ ^(.+)$ fix_customer=$1\nRequestHeader set X-Customer-Id %{fix_customer}e env=fix_customer\n";

#[test]
fn a_cgi_program_of_apache_reads_only_our_identifier() {
    let apache = cgi("");
    for folded in ["X-Customer-Id", "x-CUSTOMER-id"] {
        let read = without_gateway(&apache, |request| request.header(folded, "victim"));
        assert_eq!(read.all(ID), ["victim"], "Apache folds {folded}");
    }
    // Apache itself makes one of two, and lets credentials through.
    let read = without_gateway(&apache, |request| {
        request.header("X-Customer-Id", "own").header("x-customer-id", "victim").header("Authorization", "Basic victim")
    });
    assert_eq!((read.all(ID), read.all("HTTP_AUTHORIZATION")), (vec!["own, victim"], vec!["Basic victim"]));
    let read = without_gateway(&apache, |request| request.header("Remote-User", "victim"));
    assert_eq!(read.all("HTTP_REMOTE_USER"), ["victim"]);
    let gateway = before(&apache, |config| config);
    only_our_identifier_arrives(&gateway, ID);
    only_authenticated_calls_arrive(&apache, &gateway);
}

#[test]
fn nor_does_one_whose_apache_mends_names_with_other_signs() {
    let apache = cgi(BROKEN_HEADERS);
    for folded in ["X_Customer_Id", "x.customer.id", "X~Customer~Id", "X!Customer|Id", "X%Customer%Id"] {
        let read = without_gateway(&apache, |request| request.header(folded, "victim"));
        assert_eq!(read.all(ID), ["victim"], "Apache folds {folded}");
    }
    only_our_identifier_arrives(&before(&apache, |config| config), ID);
}

#[test]
fn a_cgi_program_gets_the_body_and_what_frames_it_as_the_gateway_says() {
    let apache = cgi("");
    let gateway = before(&apache, |config| config.route("me", "identifier", json!({"body": "/customer/id"})));
    let own = identifier(&gateway);
    let request = gateway.post("/me/x?a=1").customer(&gateway.customer_token());
    let read = Read::of(request.header("Content_Length", "1").header("Content_Type", "text/html").json("{}").send());
    let expected = format!(r#"{{"customer":{{"id":"{own}"}}}}"#);
    assert_eq!(read.body(), expected);
    assert_eq!(read.all("CONTENT_LENGTH"), [expected.len().to_string()]);
    assert_eq!(read.all("CONTENT_TYPE"), ["application/json"]);
    assert_eq!(read.all("QUERY_STRING"), ["a=1"]);
    assert_eq!((read.all("SERVER_NAME"), read.all("HTTP_X_FORWARDED_PROTO")), (vec!["localhost"], vec!["https"]));
}

/// What the program reads of a chunked upload.
fn chunked(gateway: &Gateway) -> Read {
    let request = gateway.post("/me/x").customer(&gateway.customer_token()).header("Transfer-Encoding", "chunked");
    let mut connection = gateway.connect();
    connection.send(&request.header("Content-Type", "text/plain").bytes());
    connection.send(b"5\r\nhello\r\n0\r\n\r\n");
    Read::of(connection.receive("POST").unwrap())
}

/// Programs that read as much as CONTENT_LENGTH says read nothing of a chunked body; this one reads to the end.
#[test]
fn a_cgi_program_is_not_told_the_length_of_a_chunked_body() {
    let apache = cgi("");
    let gateway = before(&apache, |config| config);
    let read = chunked(&gateway);
    assert_eq!((read.all("CONTENT_LENGTH"), read.body()), (vec![], "hello"), "{}", read.text);
}

#[test]
fn but_where_a_chunked_body_is_buffered_a_cgi_program_is_told_its_length() {
    let apache = cgi("");
    let gateway = before(&apache, |config| config.set("/backends/legacy/request_buffering", json!(true)));
    let read = chunked(&gateway);
    assert_eq!((read.all("CONTENT_LENGTH"), read.body()), (vec!["5"], "hello"), "{}", read.text);
    assert_eq!(read.all("HTTP_TRANSFER_ENCODING"), [""; 0]);
}

#[test]
fn apache_loses_no_post_when_it_ends_connections_after_some_requests() {
    let apache = cgi("MaxKeepAliveRequests 3");
    let gateway = before(&apache, |config| config);
    assert_eq!(statuses(&gateway, "POST", 50), BTreeMap::from([(200, 200)]));
}

#[test]
fn apache_loses_no_get_when_it_is_restarted_gracefully() {
    // A file: CGI programs have no starter for a moment, and Apache says 503 itself.
    let apache =
        Neighbour::apache(&[], "Alias /me/ DIRECTORY/\n<Directory DIRECTORY>\nRequire all granted\n</Directory>\n");
    std::fs::write(apache.directory.join("x"), "a file").unwrap();
    let gateway = before(&apache, |config| config);
    let (stop, restarted) = (AtomicBool::new(false), || apache.output().matches("resuming normal operations").count());
    std::thread::scope(|scope| {
        let restarts = scope.spawn(|| {
            for _ in 0..3 {
                let before = restarted();
                apache.signal("USR1");
                eventually("a restart", || restarted() > before);
            }
            stop.store(true, Ordering::SeqCst);
        });
        while !stop.load(Ordering::SeqCst) && !restarts.is_finished() {
            assert_eq!(statuses(&gateway, "GET", 10), BTreeMap::from([(200, 40)]));
        }
        restarts.join().unwrap();
    });
}

/// Apache makes its redirects of the Host that it gets, or of its ServerName, which is server.internal.
#[test]
fn a_redirect_of_apache_for_a_directory_leads_to_where_the_caller_came() {
    let files = "DocumentRoot DIRECTORY/files\n<Directory DIRECTORY>\nRequire all granted\n</Directory>\n";
    for canonical in ["Off", "On"] {
        let apache = Neighbour::apache(&["dir"], &format!("UseCanonicalName {canonical}\n{files}"));
        for directory in ["orders", "me/orders", "v2/orders"] {
            std::fs::create_dir_all(apache.directory.join("files").join(directory)).unwrap();
        }
        // By its own name only where the gateway knows that.
        let hosts = if canonical == "On" { &["server.internal"][..] } else { &["caller", "server", "server.internal"] };
        for host in hosts {
            for rewrite in
                [json!({}), json!({"strip_prefix": "/me"}), json!({"strip_prefix": "/me", "add_prefix": "/v2"})]
            {
                let gateway = before(&apache, |config| {
                    let config = config.set("/backends/legacy/host", json!(host));
                    if rewrite == json!({}) { config } else { config.route("me", "rewrite", rewrite.clone()) }
                });
                for asked in ["api.test", "api.test:8443"] {
                    let request = gateway.get("/me/orders?a=1").customer(&gateway.customer_token());
                    let answer = request.replace("Host", asked).send().expect(301, "");
                    let expected = format!("https://{asked}/me/orders/?a=1");
                    assert_eq!(answer.header("Location"), Some(expected.as_str()), "{host} {rewrite} {canonical}");
                }
            }
        }
    }
}
