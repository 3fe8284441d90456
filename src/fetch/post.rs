//! Messages posted to another party: a form, or a batch of telemetry.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Request, request};
use http_body_util::Full;

use super::{ChosenBy, FetchFault, Fetcher, retry_after};

/// The answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostAnswer {
    /// Its status.
    pub status: u16,
    /// `Retry-After`, where the server sends one.
    pub retry_after: Option<Duration>,
    /// Its bytes.
    pub body: Bytes,
}

impl Fetcher {
    /// Sends a form, with `authorization` where there is one.
    ///
    /// # Errors
    /// The failure. Any status but a redirection is an answer.
    pub async fn post_form(
        &self,
        url: &str,
        form: Bytes,
        authorization: Option<HeaderValue>,
    ) -> Result<PostAnswer, FetchFault> {
        let mut request = Request::post("/").header(header::ACCEPT, "application/json");
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.post_request(url, request, form).await
    }

    /// Sends a body of this content type, with these further fields.
    ///
    /// # Errors
    /// The failure. Any status but a redirection is an answer.
    pub async fn post(
        &self,
        url: &str,
        content_type: &'static str,
        fields: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<PostAnswer, FetchFault> {
        let mut request = Request::post("/").header(header::CONTENT_TYPE, content_type);
        for (name, value) in fields {
            request = request.header(name, value);
        }
        self.post_request(url, request, body).await
    }

    async fn post_request(&self, url: &str, request: request::Builder, body: Bytes) -> Result<PostAnswer, FetchFault> {
        let exchanged = async {
            let request = request.body(Full::new(body)).map_err(|_| FetchFault::Broken)?;
            self.exchange(url, request, ChosenBy::Us).await
        };
        let (parts, body) = tokio::time::timeout(self.timeout, exchanged).await.map_err(|_| self.timed_out(url))??;
        Ok(PostAnswer { status: parts.status.as_u16(), retry_after: retry_after(&parts.headers), body })
    }
}
