//! The sample legacy API behind the gateway: it answers with what it received.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The largest request body that it takes.
const BODY_LIMIT: usize = 1024 * 1024;
/// Pause after a failed accept, such as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers every request on `listener` until `shutdown` is done; connections that are open then are closed.
///
/// # Errors
/// None at present: a connection that fails ends alone.
pub(super) async fn serve(listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service_fn(answer));
                    connections.spawn(async move {
                        // Whoever broke the connection off knows it.
                        let _ = connection.await;
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(json_response(StatusCode::BAD_REQUEST, &json!({ "error": "the body broke off or is too large" })));
    };
    let answer = json!({
        "profile": { "name": "Ada Lovelace (sample)", "plan": "sample" },
        "received": {
            "method": head.method.as_str(),
            "path": head.uri.to_string(),
            "headers": headers(&head.headers),
            "body": body_value(&body.to_bytes()),
        },
    });
    Ok(json_response(StatusCode::OK, &answer))
}

/// Each name with its value, or with a list of its values where it stands there more than once.
fn headers(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut all = Map::new();
    for name in headers.keys() {
        let mut values: Vec<Value> = headers.get_all(name).iter().map(text).collect();
        let value = if values.len() == 1 { values.remove(0) } else { Value::Array(values) };
        all.insert(name.as_str().to_owned(), value);
    }
    Value::Object(all)
}

/// Null where there is none, the value where it is JSON, else its text.
fn body_value(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{value:#}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::sync::oneshot;

    use super::*;

    async fn exchange(request: &str) -> (String, Value) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, async {
            let _ = stopped.await;
        }));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }

    #[tokio::test]
    async fn it_shows_what_it_received() {
        let (head, body) = exchange(
            "POST /account/getprofile?x=1 HTTP/1.1\r\nhost: legacy\r\nx-customer-id: abc\r\nx-two: 1\r\nx-two: 2\r\n\
             content-length: 9\r\nconnection: close\r\n\r\n{\"a\": 10}",
        )
        .await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let received = &body["received"];
        assert_eq!(received["method"], "POST");
        assert_eq!(received["path"], "/account/getprofile?x=1");
        assert_eq!(received["headers"]["x-customer-id"], "abc");
        assert_eq!(received["headers"]["x-two"], json!(["1", "2"]));
        assert_eq!(received["body"], json!({ "a": 10 }));
    }

    #[tokio::test]
    async fn an_empty_body_is_null_and_one_that_is_not_json_is_text() {
        let (_, body) = exchange("GET / HTTP/1.1\r\nhost: legacy\r\nconnection: close\r\n\r\n").await;
        assert_eq!(body["received"]["body"], Value::Null);
        let (_, body) =
            exchange("POST / HTTP/1.1\r\nhost: legacy\r\ncontent-length: 3\r\nconnection: close\r\n\r\na=b").await;
        assert_eq!(body["received"]["body"], "a=b");
    }
}
